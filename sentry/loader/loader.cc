#include "sentry/loader/loader.h"

#include <algorithm>
#include <array>
#include <memory>

#include "abi/auxv.h"
#include "abi/fcntl.h"
#include "abi/mman.h"
#include "abi/personality.h"
#include "base/host/process.h"
#include "fs/vfs/permissions.h"
#include "fs/vfs/vfs.h"
#include "sentry/loader/elf.h"
#include "sentry/loader/script.h"
#include "sentry/loader/stack_image.h"
#include "sentry/loader/vdso.h"

namespace moat {

namespace {

constexpr uint64_t kPageSize = 4096;
constexpr int kMaxScriptDepth = 5;                 // execve(2): "interpreter recursion"
constexpr size_t kScriptHead = 255;                // BINPRM_BUF_SIZE and its NUL
constexpr uint64_t kMaxArgBytes = 6 << 20;         // three quarters of _STK_LIM
constexpr size_t kMaxArgString = 32 * kPageSize;   // MAX_ARG_STRLEN
constexpr uint64_t kMinStackGap = 128 << 20;       // mmap_base's distance from the stack, at least and at most
constexpr uint64_t kMaxStackGap = 5ull << 44;
constexpr uint64_t kFirstStack = 128 << 10;        // mapped at once; the host grows the rest
constexpr UserAddr kPieBase = 0x555555554000;      // ELF_ET_DYN_BASE: two thirds of the space
constexpr int kMmapRandomBits = 28;                // vm.mmap_rnd_bits
constexpr int kStackRandomBits = 22;
constexpr int kBrkRandomBits = 13;

// `bits` random pages, as bytes; 0 without address space randomization.
uint64_t RandomPages(int bits, bool randomize) {
  if (!randomize) return 0;
  uint64_t r = 0;
  if (!host::Getrandom(&r, sizeof r).ok()) return 0;
  return (r & ((1ull << bits) - 1)) * kPageSize;
}

// Nobody may write to a program's file from before its format is looked at until its last mapping is gone.
class WriteDenied {
 public:
  explicit WriteDenied(Ref<Inode> inode) : inode_(std::move(inode)) {}
  ~WriteDenied() { inode_->AllowWriteAccess(); }
  WriteDenied(const WriteDenied&) = delete;

 private:
  const Ref<Inode> inode_;
};

ErrorOr<std::shared_ptr<const void>> DenyWrites(const Path& path) {
  Ref<Inode> inode(path.dentry->inode());
  TRY(inode->DenyWriteAccess());
  return std::shared_ptr<const void>(std::make_shared<WriteDenied>(std::move(inode)));
}

// The file to run after `#!` lines were followed, and its final argv.
struct Target {
  Ref<FileDescription> file;
  Path path;
  std::vector<std::string> argv;
  std::shared_ptr<const void> hold;
};

ErrorOr<Ref<FileDescription>> OpenExecutable(const LoadRequest& r, const Path& path) {
  Inode* inode = path.dentry->inode();
  if (!inode) return kENOENT;
  if (!inode->is_regular()) return kEACCES;
  TRY(PathPermission(r.walk.creds, path, kMayExec));
  // Reading needs no permission: the kernel reads it (an execute-only file runs).
  return inode->Open(path, abi::kO_RDONLY);
}

ErrorOr<Target> FollowScripts(const LoadRequest& r) {
  Target t{.file = nullptr, .path = r.file, .argv = r.argv};
  std::string name = r.filename;
  for (int depth = 0;; ++depth) {
    t.file = TRY(OpenExecutable(r, t.path));
    t.hold = TRY(DenyWrites(t.path));
    std::array<char, kScriptHead> head;
    BufferSink sink(std::as_writable_bytes(std::span(head)));
    int64_t position = 0;
    TRY(t.file->TryRead(sink, &position, {}));
    std::optional<ScriptLine> script = TRY(ParseScript({head.data(), sink.done()}));
    if (!script) return t;
    if (depth >= kMaxScriptDepth) return kELOOP;
    if (depth == 0 && r.fd_path_cloexec) return kENOENT;
    std::vector<std::string> argv{script->interpreter};
    if (script->argument) argv.push_back(*script->argument);
    argv.push_back(name);
    if (!t.argv.empty()) argv.insert(argv.end(), t.argv.begin() + 1, t.argv.end());
    t.argv = std::move(argv);
    name = script->interpreter;
    t.path = TRY(Walk(r.walk, r.walk.cwd, script->interpreter));
  }
}

ErrorOr<void> CheckArgumentSize(const LoadRequest& r, const StackStrings& strings) {
  uint64_t limit = std::max<uint64_t>(std::min(r.stack_limit / 4, kMaxArgBytes), kMaxArgString);
  if (StackBytes(strings) > limit) return kE2BIG;
  auto too_long = [](const std::string& s) { return s.size() >= kMaxArgString; };
  if (std::any_of(strings.argv.begin(), strings.argv.end(), too_long)) return kE2BIG;
  if (std::any_of(strings.envp.begin(), strings.envp.end(), too_long)) return kE2BIG;
  return {};
}

// Lays the space out: stack at the top, mmap area below its gap.
ErrorOr<UserAddr> MapStack(const LoadRequest& r, MemoryManager& mm, const ElfImage& image, bool randomize) {
  UserAddr top = mm.platform_info().task_size - kPageSize - RandomPages(kStackRandomBits, randomize);
  uint64_t gap = std::clamp(r.stack_limit, kMinStackGap, kMaxStackGap);
  uint64_t random_room = (1ull << kStackRandomBits) * kPageSize;
  mm.layout.mmap_base = mm.platform_info().task_size - gap - random_room - (1 << 20) -
                        RandomPages(kMmapRandomBits, randomize);
  mm.layout.mmap_base &= ~(kPageSize - 1);
  TRY(mm.space().SetStackLimit(r.stack_limit));
  int prot = abi::kPROT_READ | abi::kPROT_WRITE;
  if (image.executable_stack) prot |= abi::kPROT_EXEC;
  TRY(mm.Mmap({.addr = top - kFirstStack,
               .length = kFirstStack,
               .prot = prot,
               .flags = abi::kMAP_PRIVATE | abi::kMAP_ANONYMOUS | abi::kMAP_FIXED | abi::kMAP_GROWSDOWN,
               .name = "[stack]"},
              r.limits));
  mm.layout.start_stack = top;
  return top;
}

ErrorOr<uint64_t> ChooseBias(MemoryManager& mm, const ElfImage& image, bool is_interpreter, bool has_interpreter,
                             bool randomize) {
  if (!image.position_independent()) return uint64_t{0};
  uint64_t span = image.end - image.first;
  UserAddr base;
  if (is_interpreter || !has_interpreter) {
    base = TRY(mm.FindRoom(span + image.alignment));
  } else {
    base = kPieBase + RandomPages(kMmapRandomBits, randomize);
  }
  base = (base + image.alignment - 1) & ~(image.alignment - 1);
  return base - image.first;
}

struct Loaded {
  MappedElf program;
  MappedElf interpreter;
  bool has_interpreter = false;
  UserAddr entry() const { return has_interpreter ? interpreter.entry : program.entry; }
};

ErrorOr<Loaded> MapImages(const LoadRequest& r, MemoryManager& mm, const Target& target, const ElfImage& image,
                          bool randomize) {
  Loaded out;
  Ref<FileDescription> interpreter_file;
  ElfImage interpreter;
  if (!image.interpreter.empty()) {
    Path path = TRY(Walk(r.walk, r.walk.cwd, image.interpreter));
    interpreter_file = TRY(OpenExecutable(r, path));
    ErrorOr<ElfImage> parsed = ParseElf(*interpreter_file);
    if (!parsed.ok()) return kELIBBAD;
    interpreter = std::move(*parsed);
    out.has_interpreter = true;
  }
  uint64_t bias = TRY(ChooseBias(mm, image, false, out.has_interpreter, randomize));
  out.program = TRY(MapElf(mm, target.file, image, bias, r.limits));
  UserAddr brk = (out.program.brk + kPageSize - 1) & ~(kPageSize - 1);
  mm.SetBrkStart(brk + RandomPages(kBrkRandomBits, randomize));
  if (out.has_interpreter) {
    uint64_t at = TRY(ChooseBias(mm, interpreter, true, false, randomize));
    out.interpreter = TRY(MapElf(mm, interpreter_file, interpreter, at, r.limits));
  }
  return out;
}

std::vector<std::pair<uint64_t, uint64_t>> Auxv(const LoadRequest& r, const MemoryManager& mm, const ElfImage& image,
                                                const Loaded& loaded, const ProgramIdentity& identity) {
  const Credentials& c = *identity.creds;
  constexpr uint64_t kClockTicks = 100;
  return {
      {abi::kAT_SYSINFO_EHDR, mm.layout.vdso},
      {abi::kAT_HWCAP, HardwareCapabilities()},
      {abi::kAT_PAGESZ, kPageSize},
      {abi::kAT_CLKTCK, kClockTicks},
      {abi::kAT_PHDR, loaded.program.program_headers},
      {abi::kAT_PHENT, sizeof(abi::Elf64Phdr)},
      {abi::kAT_PHNUM, image.segments.size()},
      {abi::kAT_BASE, loaded.has_interpreter ? loaded.interpreter.bias : 0},
      {abi::kAT_FLAGS, 0},
      {abi::kAT_ENTRY, loaded.program.entry},
      {abi::kAT_UID, c.uid},
      {abi::kAT_EUID, c.euid},
      {abi::kAT_GID, c.gid},
      {abi::kAT_EGID, c.egid},
      {abi::kAT_SECURE, identity.secure ? 1u : 0u},
      {abi::kAT_HWCAP2, 0},
      {abi::kAT_MINSIGSTKSZ, mm.platform_info().xsave_size + 1024},
  };
}

void FillLayout(MemoryManager& mm, const MappedElf& program, BuiltStack& stack) {
  mm.layout.start_code = program.start_code;
  mm.layout.end_code = program.end_code;
  mm.layout.start_data = program.start_data;
  mm.layout.end_data = program.end_data;
  mm.layout.start_stack = stack.sp;
  mm.layout.arg_start = stack.arg_start;
  mm.layout.arg_end = stack.arg_end;
  mm.layout.env_start = stack.env_start;
  mm.layout.env_end = stack.env_end;
  mm.auxv = std::move(stack.auxv);
}

std::string CommOf(const std::string& filename) {
  constexpr size_t kTaskCommLength = 15;
  size_t slash = filename.rfind('/');
  std::string base = slash == std::string::npos ? filename : filename.substr(slash + 1);
  return base.substr(0, kTaskCommLength);
}

}  // namespace

ErrorOr<LoadedProgram> LoadProgram(const LoadRequest& r) {
  Target target = TRY(FollowScripts(r));
  if (target.argv.empty()) target.argv.push_back("");  // since 5.18 an empty argv gets ""
  StackStrings strings{target.argv, r.envp, r.filename};
  TRY(CheckArgumentSize(r, strings));
  ElfImage image = TRY(ParseElf(*target.file));
  ProgramIdentity identity = TRY(r.identify(target.path));
  bool randomize = !(r.personality & abi::kADDR_NO_RANDOMIZE);

  AddressSpace::Forked fresh = TRY(r.platform.NewAddressSpace());
  Ref<MemoryManager> mm = MemoryManager::Create(std::move(fresh.space), r.platform.info());
  LoadedProgram out{.mm = mm, .thread = std::move(fresh.thread), .comm = CommOf(r.filename)};
  UserAddr stack_top = TRY(MapStack(r, *mm, image, randomize));
  Loaded loaded = TRY(MapImages(r, *mm, target, image, randomize));
  TRY(MapVdso(r.clock, *mm, r.limits));
  BuiltStack stack = TRY(BuildStack(*mm, stack_top, strings, Auxv(r, *mm, image, loaded, identity)));
  FillLayout(*mm, loaded.program, stack);
  mm->exe = target.path;
  mm->exe_hold = std::move(target.hold);
  // What its user may not read, or what runs with more rights than its user has, is nobody's to look into (prctl(2)).
  bool readable = PathPermission(r.walk.creds, target.path, kMayRead).ok();
  mm->dumpable = identity.secure || !readable ? 0 : 1;
  out.identity = std::move(identity);

  abi::UserRegs regs = out.thread->regs();
  regs.rip = loaded.entry();
  regs.rsp = stack.sp;
  regs.rax = regs.rbx = regs.rcx = regs.rdx = regs.rsi = regs.rdi = regs.rbp = 0;
  regs.r8 = regs.r9 = regs.r10 = regs.r11 = regs.r12 = regs.r13 = regs.r14 = regs.r15 = 0;
  regs.fs_base = regs.gs_base = 0;
  out.thread->SetRegs(regs);
  return out;
}

}  // namespace moat
