#include "fs/tty/pty_pair.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <utility>

#include "abi/fcntl.h"
#include "abi/ioctl.h"
#include "abi/poll.h"
#include "abi/signal.h"
#include "abi/stat.h"
#include "base/host/time.h"
#include "base/util/no_destructor.h"
#include "fs/tty/pty.h"
#include "fs/vfs/vfs.h"

namespace moat {

namespace {

constexpr uint32_t kTtyGroup = 5;  // "tty" in every distribution; the usual gid= of devpts

struct PtyTable {
  Mutex mu;
  std::map<int, Ref<PtyPair>> pairs MOAT_GUARDED_BY(mu);
};
PtyTable& Table() {
  static NoDestructor<PtyTable> table;
  return *table;
}

constexpr EventMask kReadable = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kWritable = abi::kPOLLOUT | abi::kPOLLWRNORM;

}  // namespace

Ref<PtyPair> FindPty(int number) {
  PtyTable& t = Table();
  MutexLock lock(t.mu);
  auto it = t.pairs.find(number);
  return it == t.pairs.end() ? nullptr : it->second;
}

std::vector<int> PtyNumbers() {
  PtyTable& t = Table();
  MutexLock lock(t.mu);
  std::vector<int> out;
  for (auto& [number, pair] : t.pairs) out.push_back(number);
  return out;
}

ErrorOr<Ref<PtyPair>> NewPty(uint32_t uid, uint32_t gid) {
  PtyTable& t = Table();
  MutexLock lock(t.mu);
  int number = 0;
  while (t.pairs.count(number)) ++number;
  if (number >= kMaxPtys) return kENOSPC;
  return t.pairs[number] = MakeRef<PtyPair>(number, uid, gid);
}

PtyPair::PtyPair(int number, uint32_t uid, uint32_t) : number_(number) {
  constexpr uint64_t kFirstIno = 3;  // as Linux: 1 is the directory, 2 ptmx
  MutexLock lock(mu_);
  attr_.ino = static_cast<uint64_t>(number) + kFirstIno;
  attr_.mode = abi::kS_IFCHR | 0620;
  attr_.uid = uid;
  attr_.gid = kTtyGroup;
  attr_.rdev = rdev();
  attr_.blksize = 1024;
  attr_.atime = attr_.mtime = attr_.ctime = attr_.btime = vfs::CurrentTime();
}

uint64_t PtyPair::rdev() { return abi::MakeDev(abi::kUNIX98_PTY_SLAVE_MAJOR, static_cast<uint32_t>(number_)); }

bool PtyPair::StopsBackgroundOutput() {
  MutexLock lock(mu_);
  return (line_.termios().c_lflag & abi::kTOSTOP) != 0;
}

Attr PtyPair::Attributes() {
  MutexLock lock(mu_);
  return attr_;
}

void PtyPair::SetAttributes(const SetAttr& set) {
  MutexLock lock(mu_);
  if (set.mask & SetAttr::kMode) attr_.mode = abi::kS_IFCHR | (set.mode & abi::kS_IALLUGO);
  if (set.mask & SetAttr::kUid) attr_.uid = set.uid;
  if (set.mask & SetAttr::kGid) attr_.gid = set.gid;
  if (set.mask & SetAttr::kAtime) attr_.atime = set.atime;
  if (set.mask & SetAttr::kMtime) attr_.mtime = set.mtime;
  if (set.mask & SetAttr::kCtime) attr_.ctime = vfs::CurrentTime();
}

// --- Reads and writes. ---

ErrorOr<size_t> PtyPair::MasterRead(IoSink& dst) {
  std::string taken;  // copied without the lock: guest memory may make the fiber wait
  size_t header = 0;
  {
    MutexLock lock(mu_);
    if (packet_mode_ && packet_status_) {
      taken.push_back(static_cast<char>(std::exchange(packet_status_, uint8_t{0})));
      header = 1;
    } else {
      bool hung_up = slave_was_open_ && slaves_ == 0;
      if (output_.empty() || line_.stopped()) return hung_up && output_.empty() ? kEIO : kEAGAIN;
      if (packet_mode_) taken.push_back(static_cast<char>(abi::kTIOCPKT_DATA));
      header = taken.size();
      size_t n = std::min(output_.size(), dst.remaining() - std::min(header, dst.remaining()));
      taken.append(output_, 0, n);
      output_.erase(0, n);
    }
  }
  ErrorOr<size_t> put = dst.Put(std::as_bytes(std::span(taken)));
  size_t done = put.value_or(0);
  if (done < taken.size()) {
    MutexLock lock(mu_);
    output_.insert(0, taken.substr(std::max(done, header)));
  }
  slave_queue_.Wake(kWritable);
  return put;
}

ErrorOr<size_t> PtyPair::MasterWrite(IoSource& src) {
  size_t done = 0;
  std::vector<int> signals;
  bool readable = false, echoed = false, drained = false;
  while (src.remaining() > 0) {
    std::array<char, 512> chunk;
    size_t got = TRY(src.Get(std::as_writable_bytes(std::span(chunk).first(std::min(chunk.size(), src.remaining())))));
    std::string echo;
    size_t taken = 0;
    {
      MutexLock lock(mu_);
      bool stopped = line_.stopped();
      taken = line_.Type(std::string_view(chunk.data(), got), echo, signals);
      if (output_.size() < 2 * kOutputSize) output_ += line_.Output(echo);  // nobody reads: it is lost
      echoed |= !echo.empty();
      readable |= line_.Readable(1);
      drained |= stopped && !line_.stopped();
    }
    done += taken;
    if (taken < got) {
      src.Unget(got - taken);
      break;
    }
  }
  for (int signo : signals) JobControl::Get().Signal(*this, signo);
  if (readable) slave_queue_.Wake(kReadable);
  if (echoed || drained) master_queue_.Wake(kReadable);
  if (done == 0) return kEAGAIN;
  return done;
}

size_t PtyPair::LeastForRead() const {
  if (line_.canonical()) return 1;
  const abi::Termios2& t = line_.termios();
  return t.c_cc[abi::kVTIME] ? 1 : std::max<size_t>(t.c_cc[abi::kVMIN], 1);
}

// VTIME counts from the read's start if VMIN is 0, else from the first byte.
bool PtyPair::TimedOut(bool have_some) {
  const abi::Termios2& t = line_.termios();
  if (line_.canonical() || !t.c_cc[abi::kVTIME] || (t.c_cc[abi::kVMIN] && !have_some)) return false;
  constexpr int64_t kTenthNs = 100'000'000;
  int64_t now = host::NowMonotonicNs();
  if (read_deadline_ && now >= read_deadline_) {
    read_deadline_ = 0;
    return true;
  }
  if (!read_deadline_) read_deadline_ = now + t.c_cc[abi::kVTIME] * kTenthNs;
  if (!timer_) timer_ = std::make_unique<Timer>([this] { slave_queue_.Wake(kReadable); });
  timer_->Arm(read_deadline_);
  return false;
}

ErrorOr<size_t> PtyPair::SlaveRead(IoSink& dst, bool nonblocking) {
  std::string text;
  {
    MutexLock lock(mu_);
    if (!master_open_) return size_t{0};
    if (dst.remaining() == 0) return size_t{0};
    const abi::Termios2& t = line_.termios();
    size_t least = line_.canonical() ? 1 : std::min<size_t>(t.c_cc[abi::kVMIN], dst.remaining());
    bool some = line_.Readable(1);
    if (!line_.Readable(std::max<size_t>(least, 1)) && !(some && nonblocking)) {
      if (!line_.canonical() && t.c_cc[abi::kVMIN] == 0 && t.c_cc[abi::kVTIME] == 0) return size_t{0};
      if (nonblocking || !TimedOut(some)) return kEAGAIN;
    }
    read_deadline_ = 0;
    text = line_.Take(dst.remaining());
  }
  master_queue_.Wake(kWritable);
  return dst.Put(std::as_bytes(std::span(text)));
}

ErrorOr<size_t> PtyPair::SlaveWrite(IoSource& src) {
  size_t done = 0;
  bool gone = false;
  while (src.remaining() > 0) {
    std::array<char, 1024> chunk;
    size_t room = 0;
    {
      MutexLock lock(mu_);
      gone = !master_open_;
      room = gone || line_.stopped() ? 0 : kOutputSize - std::min(kOutputSize, output_.size());
    }
    // A newline may become two bytes, a tab eight; output may exceed its limit by that much.
    size_t want = std::min({room, chunk.size(), src.remaining()});
    if (want == 0) break;
    size_t got = TRY(src.Get(std::as_writable_bytes(std::span(chunk).first(want))));
    MutexLock lock(mu_);
    output_ += line_.Output(std::string_view(chunk.data(), got));
    done += got;
  }
  if (done) master_queue_.Wake(kReadable);
  if (done == 0 && gone) return kEIO;
  if (done == 0 && src.remaining() > 0) return kEAGAIN;
  return done;
}

EventMask PtyPair::MasterReadiness() {
  MutexLock lock(mu_);
  EventMask m = 0;
  if ((!output_.empty() && !line_.stopped()) || (packet_mode_ && packet_status_)) m |= kReadable;
  if (packet_mode_ && packet_status_) m |= abi::kPOLLPRI;
  if (line_.HasRoom()) m |= kWritable;
  if (slave_was_open_ && slaves_ == 0) m |= abi::kPOLLHUP;
  return m;
}

EventMask PtyPair::SlaveReadiness() {
  MutexLock lock(mu_);
  if (!master_open_) return kReadable | kWritable | abi::kPOLLHUP | abi::kPOLLERR;
  EventMask m = 0;
  if (line_.Readable(LeastForRead())) m |= kReadable;
  if (output_.size() < kOutputSize && !line_.stopped()) m |= kWritable;
  return m;
}

// --- ioctl(2). ---

ErrorOr<void> PtyPair::SetTermios(uint32_t command, const abi::Termios2& t, bool master) {
  if (!master) TRY(JobControl::Get().CheckChange(*this));
  bool flush = command == abi::kTCSETSF || command == abi::kTCSETSF2;
  if (flush) Flush(abi::kTCIFLUSH, master);
  {
    MutexLock lock(mu_);
    line_.SetTermios(t);
  }
  slave_queue_.Wake(kReadable | kWritable | kAsyncNothing);
  master_queue_.Wake(kReadable | kWritable | kAsyncNothing);
  return {};
}

// `what` as tcflush(3), seen from the slave: the master's input is the slave's output.
void PtyPair::Flush(int what, bool) {
  {
    MutexLock lock(mu_);
    if (what == abi::kTCIFLUSH || what == abi::kTCIOFLUSH) {
      line_.FlushInput();
      if (packet_mode_) packet_status_ |= abi::kTIOCPKT_FLUSHREAD;
    }
    if (what == abi::kTCOFLUSH || what == abi::kTCIOFLUSH) {
      output_.clear();
      if (packet_mode_) packet_status_ |= abi::kTIOCPKT_FLUSHWRITE;
    }
  }
  master_queue_.Wake(kWritable | kReadable | kAsyncNothing);
  slave_queue_.Wake(kWritable);
}

void PtyPair::SetFlow(int what) {
  {
    MutexLock lock(mu_);
    if (what == abi::kTCOOFF) line_.set_stopped(true);
    if (what == abi::kTCOON) line_.set_stopped(false);
  }
  master_queue_.Wake(kReadable | kAsyncNothing);
  slave_queue_.Wake(kWritable);
}

ErrorOr<uint64_t> PtyPair::CommonIoctl(uint32_t command, uint64_t arg, UserMemory& memory, bool master) {
  constexpr uint64_t kDone = 0;
  switch (command) {
    case abi::kTCGETS: case abi::kTCGETS2: {
      abi::Termios2 t;
      {
        MutexLock lock(mu_);
        t = line_.termios();
      }
      TRY(memory.CopyOut(arg, &t, command == abi::kTCGETS ? sizeof(abi::Termios) : sizeof t));
      return kDone;
    }
    case abi::kTCSETS: case abi::kTCSETSW: case abi::kTCSETSF: case abi::kTCSETS2: case abi::kTCSETSW2: case abi::kTCSETSF2: {
      abi::Termios2 t;
      {
        MutexLock lock(mu_);
        t = line_.termios();
      }
      bool with_speeds = command == abi::kTCSETS2 || command == abi::kTCSETSW2 || command == abi::kTCSETSF2;
      TRY(memory.CopyIn(arg, &t, with_speeds ? sizeof t : sizeof(abi::Termios)));
      TRY(SetTermios(command, t, master));
      return kDone;
    }
    case abi::kTIOCGWINSZ: {
      abi::Winsize size;
      {
        MutexLock lock(mu_);
        size = size_;
      }
      TRY(memory.Write(arg, size));
      return kDone;
    }
    case abi::kTIOCSWINSZ: {
      abi::Winsize size = TRY(memory.Read<abi::Winsize>(arg));
      bool changed = false;
      {
        MutexLock lock(mu_);
        changed = memcmp(&size, &size_, sizeof size) != 0;
        size_ = size;
      }
      if (changed) JobControl::Get().Signal(*this, abi::kSIGWINCH);
      return kDone;
    }
    case abi::kTCFLSH:
      if (arg > 2) return kEINVAL;
      if (!master) TRY(JobControl::Get().CheckChange(*this));
      Flush(static_cast<int>(arg), master);
      return kDone;
    case abi::kTCXONC:
      if (arg > 3) return kEINVAL;
      if (!master) TRY(JobControl::Get().CheckChange(*this));
      SetFlow(static_cast<int>(arg));
      return kDone;
    case abi::kTCSBRK: case abi::kTCSBRKP: case abi::kTIOCSBRK: case abi::kTIOCCBRK:
      return kDone;  // there is no line to break
    case abi::kTIOCGETD:
      TRY(memory.Write<int>(arg, abi::kN_TTY));
      return kDone;
    case abi::kTIOCSETD:
      return TRY(memory.Read<int>(arg)) == abi::kN_TTY ? ErrorOr<uint64_t>(kDone) : kEINVAL;
    default: return kENOTTY;
  }
}

ErrorOr<uint64_t> PtyPair::SlaveIoctl(FileDescription& file, uint32_t command, uint64_t arg, UserMemory& memory) {
  if (IsJobControlIoctl(command)) return JobControl::Get().Ioctl(*this, file, command, arg, memory, false);
  if (command == abi::kFIONREAD || command == abi::kTIOCOUTQ) {
    size_t n = 0;
    if (command == abi::kFIONREAD) {
      MutexLock lock(mu_);
      n = line_.InputBytes();
    }
    TRY(memory.Write<int>(arg, static_cast<int>(n)));
    return uint64_t{0};
  }
  return CommonIoctl(command, arg, memory, false);
}

ErrorOr<uint64_t> PtyPair::MasterIoctl(FileDescription& file, uint32_t command, uint64_t arg, UserMemory& memory) {
  if (IsJobControlIoctl(command)) return JobControl::Get().Ioctl(*this, file, command, arg, memory, true);
  constexpr uint64_t kDone = 0;
  auto get = [&](int value) -> ErrorOr<uint64_t> {
    TRY(memory.Write<int>(arg, value));
    return kDone;
  };
  switch (command) {
    case abi::kTIOCGPTN: return get(number_);
    case abi::kTIOCSPTLCK: {
      int on = TRY(memory.Read<int>(arg));
      MutexLock lock(mu_);
      locked_ = on != 0;
      return kDone;
    }
    case abi::kTIOCGPTLCK: {
      bool on = false;
      {
        MutexLock lock(mu_);
        on = locked_;
      }
      return get(on);
    }
    case abi::kTIOCPKT: {
      int on = TRY(memory.Read<int>(arg));
      MutexLock lock(mu_);
      packet_mode_ = on != 0;
      packet_status_ = 0;
      return kDone;
    }
    case abi::kTIOCGPKT: {
      bool on = false;
      {
        MutexLock lock(mu_);
        on = packet_mode_;
      }
      return get(on);
    }
    case abi::kTIOCSIG:
      if (arg != abi::kSIGINT && arg != abi::kSIGQUIT && arg != abi::kSIGTSTP) return kEINVAL;
      JobControl::Get().Signal(*this, static_cast<int>(arg));
      return kDone;
    case abi::kFIONREAD: {
      size_t n = 0;
      {
        MutexLock lock(mu_);
        n = output_.size();
      }
      return get(static_cast<int>(n));
    }
    default: return CommonIoctl(command, arg, memory, true);
  }
}

// --- Ends. ---

void PtyPair::MasterClosed() {
  Ref<PtyPair> self(this);
  {
    PtyTable& t = Table();
    MutexLock lock(t.mu);
    t.pairs.erase(number_);
  }
  {
    MutexLock lock(mu_);
    master_open_ = false;
  }
  JobControl::Get().HungUp(*this);
  slave_queue_.Wake(kReadable | kWritable | abi::kPOLLHUP | abi::kPOLLERR | kAsyncNothing);
}

void PtyPair::SlaveClosed() {
  {
    MutexLock lock(mu_);
    --slaves_;
  }
  master_queue_.Wake(kReadable | kWritable | abi::kPOLLHUP | abi::kPOLLERR | kAsyncNothing);
}

class PtyMasterFile final : public FileDescription {
 public:
  PtyMasterFile(const Path& path, uint32_t flags, Ref<PtyPair> pair) : FileDescription(path, flags), pair_(std::move(pair)) {}
  ~PtyMasterFile() override { pair_->MasterClosed(); }
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t*, IoFlags) override { return pair_->MasterRead(dst); }
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t*, IoFlags) override {
    ErrorOr<size_t> r = pair_->MasterWrite(src);
    if (src.remaining() > 0) MissedRoom();
    return r;
  }
  AsyncKind async_kind() const override { return AsyncKind::kTerminal; }
  EventMask Readiness() override { return pair_->MasterReadiness(); }
  WaitQueue* wait_queue() override { return &pair_->master_queue_; }
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override {
    return pair_->MasterIoctl(*this, command, arg, memory);
  }

 private:
  const Ref<PtyPair> pair_;
};

class PtySlaveFile final : public FileDescription {
 public:
  PtySlaveFile(const Path& path, uint32_t flags, Ref<PtyPair> pair) : FileDescription(path, flags), pair_(std::move(pair)) {}
  ~PtySlaveFile() override { pair_->SlaveClosed(); }
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t*, IoFlags flags) override {
    TRY(JobControl::Get().CheckRead(*pair_));
    return pair_->SlaveRead(dst, flags.nonblocking);
  }
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t*, IoFlags) override {
    if (pair_->StopsBackgroundOutput()) TRY(JobControl::Get().CheckChange(*pair_));
    ErrorOr<size_t> r = pair_->SlaveWrite(src);
    if (src.remaining() > 0) MissedRoom();
    return r;
  }
  AsyncKind async_kind() const override { return AsyncKind::kTerminal; }
  EventMask Readiness() override { return pair_->SlaveReadiness(); }
  WaitQueue* wait_queue() override { return &pair_->slave_queue_; }
  bool pollable() const override { return true; }
  bool seekable() const override { return false; }
  Terminal* terminal() override { return pair_.get(); }
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override {
    return pair_->SlaveIoctl(*this, command, arg, memory);
  }

 private:
  const Ref<PtyPair> pair_;
};

Ref<FileDescription> PtyPair::OpenMaster(const Path& path, uint32_t flags) {
  return MakeRef<PtyMasterFile>(path, flags & ~abi::kO_NOCTTY, Ref<PtyPair>(this));
}

ErrorOr<Ref<FileDescription>> PtyPair::OpenSlave(const Path& path, uint32_t flags) {
  {
    MutexLock lock(mu_);
    if (locked_ || !master_open_) return kEIO;
    ++slaves_;
    slave_was_open_ = true;
  }
  Ref<FileDescription> file = MakeRef<PtySlaveFile>(path, flags & ~abi::kO_NOCTTY, Ref<PtyPair>(this));
  if (!(flags & abi::kO_NOCTTY)) JobControl::Get().Opened(*this, (flags & abi::kO_ACCMODE) != abi::kO_WRONLY);
  return file;
}

}  // namespace moat
