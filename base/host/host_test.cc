#include <gtest/gtest.h>
#include <string.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "abi/mman.h"
#include "abi/syscall_nr.h"
#include "abi/wait.h"
#include "base/host/directory.h"
#include "base/host/fd_passing.h"
#include "base/host/file.h"
#include "base/host/futex.h"
#include "base/host/memory.h"
#include "base/host/poll.h"
#include "base/host/process.h"
#include "base/host/raw.h"
#include "base/host/signal.h"
#include "base/host/socket.h"
#include "base/host/time.h"

extern "C" const char __executable_start, etext;

namespace moat {
namespace {

constexpr int kAfUnix = 1;
constexpr uint32_t kSockSeqpacket = 5;
constexpr uint32_t kSockCloexec = 02000000;

TEST(HostCheck, ResultsAreNotErrorsUntilTheLastPage) {
  EXPECT_EQ(*host::Check(-4096), -4096);
  EXPECT_EQ(host::Check(-4095).error(), Errno{4095});
  EXPECT_EQ(host::Check(-1).error(), kEPERM);
  EXPECT_EQ(*host::Check(0), 0);
}

TEST(HostFile, ErrorsComeAsErrno) {
  EXPECT_EQ(host::Read(-1, nullptr, 0).error(), kEBADF);
  EXPECT_EQ(host::Openat(abi::kAT_FDCWD, "/nonexistent", abi::kO_RDONLY).error(), kENOENT);
  EXPECT_EQ(host::Close(1 << 30).error(), kEBADF);
}

TEST(HostFile, MemfdKeepsWhatIsWrittenAndItsSeals) {
  UniqueFd fd = std::move(*host::MemfdCreate("t", abi::kMFD_CLOEXEC | abi::kMFD_ALLOW_SEALING));
  ASSERT_TRUE(host::WriteFull(fd.get(), "hello", 5).ok());
  char buffer[8] = {};
  EXPECT_EQ(*host::Pread(fd.get(), buffer, sizeof buffer, 1), 4u);
  EXPECT_STREQ(buffer, "ello");
  EXPECT_EQ(host::Fstat(fd.get())->st_size, 5);
  EXPECT_EQ(host::Statx(fd.get(), "", abi::kAT_EMPTY_PATH, abi::kSTATX_SIZE)->stx_size, 5u);
  ASSERT_TRUE(host::FcntlAddSeals(fd.get(), abi::kF_SEAL_SHRINK).ok());
  EXPECT_EQ(host::Ftruncate(fd.get(), 0).error(), kEPERM);
  EXPECT_EQ(*host::FcntlGetSeals(fd.get()), abi::kF_SEAL_SHRINK);
}

TEST(HostFile, UniqueFdClosesWhatItOwns) {
  int number;
  {
    UniqueFd fd = std::move(*host::Eventfd2(0, 0));
    number = fd.get();
    EXPECT_TRUE(host::FcntlGetfd(number).ok());
  }
  EXPECT_EQ(host::FcntlGetfd(number).error(), kEBADF);
}

TEST(HostDirectory, ReadlinkStringGrowsUntilTheTargetFits) {
  char dir[] = "/tmp/moat-host-test-XXXXXX";
  ASSERT_NE(mkdtemp(dir), nullptr);
  std::string link = std::string(dir) + "/l";
  std::string target(600, 'x');
  ASSERT_TRUE(host::Symlinkat(target.c_str(), abi::kAT_FDCWD, link.c_str()).ok());
  EXPECT_EQ(*host::ReadlinkatString(abi::kAT_FDCWD, link.c_str()), target);
  EXPECT_TRUE(host::Unlinkat(abi::kAT_FDCWD, link.c_str(), 0).ok());
  EXPECT_TRUE(host::Unlinkat(abi::kAT_FDCWD, dir, abi::kAT_REMOVEDIR).ok());
}

TEST(HostSocket, DescriptorsTravelCloseOnExec) {
  host::SocketPair pair = std::move(*host::Socketpair(kAfUnix, kSockSeqpacket | kSockCloexec, 0));
  UniqueFd memfd = std::move(*host::MemfdCreate("t", 0));
  std::byte byte{7};
  int fds[] = {memfd.get(), memfd.get()};
  ASSERT_EQ(*host::SendWithFds(pair.first.get(), {&byte, 1}, fds), 1u);
  std::byte buffer[16];
  host::Received received = std::move(*host::RecvWithFds(pair.second.get(), buffer));
  EXPECT_EQ(received.length, 1u);
  EXPECT_EQ(buffer[0], byte);
  EXPECT_FALSE(received.truncated);
  ASSERT_EQ(received.fds.size(), 2u);
  EXPECT_EQ(*host::FcntlGetfd(received.fds[0].get()), abi::kFD_CLOEXEC);
  EXPECT_EQ(host::Fstat(received.fds[1].get())->st_ino, host::Fstat(memfd.get())->st_ino);
}

TEST(HostSocket, ATooLongMessageIsReportedTruncated) {
  host::SocketPair pair = std::move(*host::Socketpair(kAfUnix, kSockSeqpacket | kSockCloexec, 0));
  std::byte data[32] = {};
  ASSERT_TRUE(host::SendWithFds(pair.first.get(), data, {}).ok());
  std::byte buffer[16];
  EXPECT_TRUE(host::RecvWithFds(pair.second.get(), buffer)->truncated);
}

TEST(HostSocket, TooManyDescriptorsAreRefused) {
  std::vector<int> fds(host::kMaxPassedFds + 1, 0);
  std::byte byte{};
  EXPECT_EQ(host::SendWithFds(0, {&byte, 1}, fds).error(), kEINVAL);
}

// KiB resident of what is mapped in [begin, end).
int64_t ResidentKib(const char* begin, const char* end) {
  std::ifstream smaps("/proc/self/smaps");
  int64_t total = 0;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long from = 0, to = 0;
    long kib = 0;
    if (sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      inside = from >= reinterpret_cast<uintptr_t>(begin) && from < reinterpret_cast<uintptr_t>(end);
    } else if (inside && sscanf(line.c_str(), "Rss: %ld kB", &kib) == 1) {
      total += kib;
    }
  }
  return total;
}

// Of the bytes of the image that are not writable; red zones between constants among them.
__attribute__((no_sanitize("address"))) uint64_t ImageSum() {
  uint64_t sum = 0;
  for (const char* p = &__executable_start; p < &etext; ++p)
    sum = sum * 31 + *static_cast<const volatile char*>(p);
  return sum;
}

TEST(HostMemory, ReleasedImagePagesComeBackUnchanged) {
  static int written = 1;
  written = 4711;
  const uint64_t before = ImageSum();
  const int64_t all_kib = ResidentKib(&__executable_start, &etext);
  host::ReleaseImagePages();
  EXPECT_LT(ResidentKib(&__executable_start, &etext), all_kib);
  EXPECT_EQ(ImageSum(), before);
  EXPECT_EQ(written, 4711);
}

TEST(HostMemory, MapProtectUnmap) {
  constexpr size_t kSize = 8192;
  void* p = *host::Mmap(nullptr, kSize, abi::kPROT_READ | abi::kPROT_WRITE,
                        abi::kMAP_PRIVATE | abi::kMAP_ANONYMOUS, -1, 0);
  memset(p, 1, kSize);
  EXPECT_TRUE(host::Mprotect(p, kSize, abi::kPROT_NONE).ok());
  UniqueFd fd = std::move(*host::MemfdCreate("t", 0));
  EXPECT_EQ(host::Write(fd.get(), p, 1).error(), kEFAULT);
  EXPECT_TRUE(host::Munmap(p, kSize).ok());
  EXPECT_EQ(host::Mprotect(p, kSize, abi::kPROT_READ).error(), kENOMEM);
}

int FdTableSize() {
  std::ifstream status("/proc/self/status");
  std::string word;
  int size = -1;
  while (status >> word && word != "FDSize:") {
  }
  status >> size;
  return size;
}

TEST(HostFile, ReservedFdsHaveRoomInTheTableAndAreNotOpen) {
  int pid = *host::Fork(0);
  if (pid == 0) {
    host::ReserveFds(1, 1000);
    const bool closed = host::FcntlGetfd(999).error() == kEBADF;
    if (FdTableSize() < 1000 || !closed) host::ExitGroup(1);
    const host::ResourceLimit few{300, 300};
    constexpr int kRlimitNofile = 7;
    if (!host::PrlimitSet(0, kRlimitNofile, few).ok()) host::ExitGroup(2);
    host::ReserveFds(1, 4000);  // takes what there is
    host::ExitGroup(host::FcntlGetfd(1).ok() ? 0 : 3);
  }
  int status = -1;
  EXPECT_EQ(*host::Wait4(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
}

TEST(HostProcess, ForkedChildIsReaped) {
  int pid = *host::Fork(0);
  if (pid == 0) host::ExitGroup(42);
  int status = 0;
  EXPECT_EQ(*host::RetryEintr([&] { return host::Wait4(pid, &status, 0); }), pid);
  EXPECT_TRUE(abi::WaitIfExited(status));
  EXPECT_EQ(abi::WaitExitStatus(status), 42);
  EXPECT_EQ(host::Wait4(pid, &status, 0).error(), kECHILD);
}

TEST(HostProcess, ATimeSliceLeavesPolicyAndNiceAlone) {
  int pid = *host::Fork(0);
  if (pid == 0) {
    const bool nicer = host::RawSyscall(abi::kNr_setpriority, 0, 0, 5) == 0;
    const bool set = host::SchedSetSlice(200'000).ok();
    const int64_t nice = 20 - host::RawSyscall(abi::kNr_getpriority, 0, 0);  // as the call returns it
    host::ExitGroup(nicer && set && nice == 5 && host::RawSyscall(abi::kNr_sched_getscheduler, 0) == 0 ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(*host::RetryEintr([&] { return host::Wait4(pid, &status, 0); }), pid);
  EXPECT_EQ(status, 0);
}

TEST(HostProcess, RandomBytesFillLargeBuffers) {
  std::vector<uint8_t> buffer(100000);
  ASSERT_TRUE(host::Getrandom(buffer.data(), buffer.size()).ok());
  EXPECT_NE(std::count(buffer.end() - 256, buffer.end(), 0), 256);
}

int g_seen_signal = 0;
uint64_t g_seen_value = 0;

TEST(HostSignal, HandlerRunsAndReturnsThroughOurRestorer) {
  auto handler = [](int signo, abi::SigInfo*, void*) { g_seen_signal = signo; };
  ASSERT_TRUE(host::SigAction(abi::kSIGUSR1, handler, 0, 0).ok());
  ASSERT_TRUE(host::Tgkill(host::Getpid(), host::Gettid(), abi::kSIGUSR1).ok());
  EXPECT_EQ(g_seen_signal, abi::kSIGUSR1);
  EXPECT_TRUE(host::SigActionDefault(abi::kSIGUSR1).ok());
}

TEST(HostTime, TimerSendsItsSignalToTheThread) {
  auto handler = [](int, abi::SigInfo*, void*) { g_seen_value = 1; };
  ASSERT_TRUE(host::SigAction(abi::kSIGUSR2, handler, 0, 0).ok());
  int timer = *host::TimerCreate(abi::kCLOCK_MONOTONIC, host::Gettid(), abi::kSIGUSR2, 5);
  abi::Itimerspec in_a_millisecond{{}, {0, abi::kNSEC_PER_MSEC}};
  ASSERT_TRUE(host::TimerSettime(timer, 0, in_a_millisecond).ok());
  EXPECT_EQ(host::ClockNanosleep(abi::kCLOCK_MONOTONIC, 0, {5, 0}).error(), kEINTR);
  EXPECT_EQ(g_seen_value, 1u);
  EXPECT_TRUE(host::TimerDelete(timer).ok());
  EXPECT_TRUE(host::SigActionDefault(abi::kSIGUSR2).ok());
}

TEST(HostTime, ClocksMoveAndUnknownOnesFail) {
  int64_t before = host::NowMonotonicNs();
  EXPECT_GE(host::NowMonotonicNs(), before);
  EXPECT_EQ(host::ClockGettime(1000).error(), kEINVAL);
}

TEST(HostFutex, WaitReturnsAtOnceIfTheWordDiffersAndTimesOut) {
  uint32_t word = 1;
  EXPECT_EQ(host::FutexWait(&word, 2, nullptr, false).error(), kEAGAIN);
  abi::Timespec past{1, 0};
  EXPECT_EQ(host::FutexWait(&word, 1, &past, false).error(), kETIMEDOUT);
  EXPECT_EQ(*host::FutexWake(&word, 1, false), 0);
}

}  // namespace
}  // namespace moat
