#include "fs/tmpfs/tmpfs.h"

#include <charconv>

#include "abi/mman.h"
#include "abi/stat.h"
#include "base/kern/held.h"
#include "fs/tmpfs/directory.h"

namespace moat {

namespace {

// What an inode and its name take of our memory, about.
constexpr uint64_t kInodeBytes = 1024;

// "10m", "50%" is not supported. Suffixes k, m, g.
ErrorOr<uint64_t> ParseSize(std::string_view text) {
  uint64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end == text.data()) return kEINVAL;
  std::string_view suffix = text.substr(static_cast<size_t>(end - text.data()));
  int shift = 0;
  if (suffix == "k" || suffix == "K") shift = 10;
  else if (suffix == "m" || suffix == "M") shift = 20;
  else if (suffix == "g" || suffix == "G") shift = 30;
  else if (!suffix.empty()) return kEINVAL;
  if (n > (UINT64_MAX >> shift)) return kEINVAL;
  return n << shift;
}

ErrorOr<uint32_t> ParseNumber(std::string_view text, int base) {
  uint32_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n, base);
  if (error != std::errc() || end != text.data() + text.size()) return kEINVAL;
  return n;
}

uint64_t ToPages(uint64_t bytes) { return bytes / abi::kPAGE_SIZE + (bytes % abi::kPAGE_SIZE ? 1 : 0); }

ErrorOr<void> ParseOption(std::string_view option, TmpfsOptions& o) {
  size_t equals = option.find('=');
  std::string_view key = option.substr(0, equals);
  std::string_view value = equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1);
  if (key == "size") {
    o.limit->set_pages(ToPages(TRY(ParseSize(value))));
  } else if (key == "nr_blocks") {
    o.limit->set_pages(TRY(ParseSize(value)));
  } else if (key == "nr_inodes") {
    o.max_inodes = TRY(ParseSize(value));
  } else if (key == "mode") {
    o.mode = TRY(ParseNumber(value, 8)) & abi::kS_IALLUGO;
  } else if (key == "uid") {
    o.uid = TRY(ParseNumber(value, 10));
  } else if (key == "gid") {
    o.gid = TRY(ParseNumber(value, 10));
  } else if (key != "huge" && key != "mpol" && key != "inode64" && key != "inode32" && key != "noswap") {
    return kEINVAL;
  }
  return {};
}

}  // namespace

Ref<Tmpfs> Tmpfs::Create(TmpfsOptions options) {
  NewInode made{options.mode, options.uid, options.gid};
  Ref<Tmpfs> fs(new Tmpfs(std::move(options)), AdoptRef{});
  uint64_t ino = fs->CountInode();
  MutexLock lock(fs->mu_);
  fs->root_ = MakeRef<TmpfsDirectory>(*fs, ino, made);
  return fs;
}

ErrorOr<Ref<Tmpfs>> Tmpfs::CreateFromOptions(std::string_view data, uint64_t default_pages) {
  TmpfsOptions o;
  o.limit = MakeRef<MemoryLimit>(default_pages);
  o.show_options = std::string(data);
  while (!data.empty()) {
    size_t comma = std::min(data.find(','), data.size());
    if (comma) TRY(ParseOption(data.substr(0, comma), o));
    data.remove_prefix(std::min(comma + 1, data.size()));
  }
  if (o.max_inodes == 0) o.max_inodes = TmpfsOptions().max_inodes;  // 0: no limit asked for; ours stays
  if (o.limit->pages() == 0) o.limit->set_pages(default_pages);
  return Create(std::move(o));
}

Ref<Inode> Tmpfs::root() {
  MutexLock lock(mu_);
  return root_;
}

void Tmpfs::Unmounted() {
  Ref<FileSystem> self(this);
  Ref<Inode> root;
  MutexLock lock(mu_);
  root = std::move(root_);
}

ErrorOr<StatFs> Tmpfs::Stat() {
  StatFs s;
  s.type = abi::kTMPFS_MAGIC;
  s.blocks = static_cast<int64_t>(options_.limit->pages());
  s.bfree = s.bavail = static_cast<int64_t>(options_.limit->free());
  s.files = static_cast<int64_t>(options_.max_inodes);
  s.ffree = s.files - static_cast<int64_t>(inodes_.load(std::memory_order_relaxed));
  s.fsid = dev();
  return s;
}

ErrorOr<uint64_t> Tmpfs::TakeInode() {
  if (inodes_.load(std::memory_order_relaxed) >= options_.max_inodes || HeldMemory::full()) return kENOSPC;
  return CountInode();
}

uint64_t Tmpfs::CountInode() {
  inodes_.fetch_add(1, std::memory_order_relaxed);
  HeldMemory::TakeAlways(kInodeBytes);
  return next_ino_.fetch_add(1, std::memory_order_relaxed);
}

void Tmpfs::DropInode() {
  inodes_.fetch_sub(1, std::memory_order_relaxed);
  HeldMemory::Give(kInodeBytes);
}

void Tmpfs::Bury(std::vector<Ref<Inode>> inodes) {
  Ref<FileSystem> self(this);
  {
    MutexLock lock(mu_);
    for (Ref<Inode>& inode : inodes) graveyard_.push_back(std::move(inode));
    if (burying_) return;
    burying_ = true;
  }
  for (;;) {
    Ref<Inode> next;  // destroyed without the lock
    MutexLock lock(mu_);
    if (graveyard_.empty()) break;
    next = std::move(graveyard_.back());
    graveyard_.pop_back();
  }
  MutexLock lock(mu_);
  burying_ = false;
}

}  // namespace moat
