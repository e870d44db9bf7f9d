#include "sentry/loader/stack_image.h"

#include <array>
#include <cstring>

#include "abi/auxv.h"
#include "base/host/process.h"

namespace moat {

namespace {

constexpr char kPlatform[] = "x86_64";
constexpr size_t kRandomBytes = 16;

// Collects what goes to the top of the stack, growing down from `top`; written in one copy.
class StackWriter {
 public:
  StackWriter(UserAddr top, size_t capacity) : top_(top), bytes_(capacity), used_(0) {}

  UserAddr Push(const void* data, size_t n) {
    used_ += n;
    if (n) memcpy(bytes_.data() + bytes_.size() - used_, data, n);
    return top_ - used_;
  }
  UserAddr PushString(const std::string& s) { return Push(s.c_str(), s.size() + 1); }
  void AlignTo(size_t alignment, size_t then_push) {
    while ((top_ - used_ - then_push) % alignment) ++used_;
  }
  ErrorOr<void> Write(MemoryManager& mm) {
    return mm.CopyOut(top_ - used_, bytes_.data() + bytes_.size() - used_, used_);
  }

 private:
  UserAddr top_;
  std::vector<std::byte> bytes_;
  size_t used_;
};

}  // namespace

uint64_t StackBytes(const StackStrings& s) {
  uint64_t bytes = s.filename.size() + 1;
  for (const std::string& v : s.argv) bytes += v.size() + 1 + sizeof(uint64_t);
  for (const std::string& v : s.envp) bytes += v.size() + 1 + sizeof(uint64_t);
  return bytes;
}

ErrorOr<BuiltStack> BuildStack(MemoryManager& mm, UserAddr top, const StackStrings& strings,
                               std::vector<std::pair<uint64_t, uint64_t>> auxv) {
  constexpr size_t kRoomForTheRest = 4096;  // auxv, random bytes, alignment
  StackWriter w(top, StackBytes(strings) + kRoomForTheRest);
  BuiltStack out;
  uint64_t zero = 0;
  w.Push(&zero, sizeof zero);  // the end marker
  UserAddr execfn = w.PushString(strings.filename);
  // argv's strings lie below envp's, both rising.
  std::vector<uint64_t> envp(strings.envp.size()), argv(strings.argv.size());
  out.env_end = execfn;
  for (size_t i = envp.size(); i-- > 0;) envp[i] = w.PushString(strings.envp[i]);
  out.env_start = envp.empty() ? out.env_end : envp[0];
  out.arg_end = out.env_start;
  for (size_t i = argv.size(); i-- > 0;) argv[i] = w.PushString(strings.argv[i]);
  out.arg_start = argv.empty() ? out.arg_end : argv[0];
  UserAddr platform = w.Push(kPlatform, sizeof kPlatform);
  std::array<std::byte, kRandomBytes> random;
  TRY(host::Getrandom(random.data(), random.size()));
  UserAddr random_addr = w.Push(random.data(), random.size());

  auxv.emplace_back(abi::kAT_RANDOM, random_addr);
  auxv.emplace_back(abi::kAT_EXECFN, execfn);
  auxv.emplace_back(abi::kAT_PLATFORM, platform);
  auxv.emplace_back(abi::kAT_NULL, 0);
  for (auto& [type, value] : auxv) {
    out.auxv.push_back(type);
    out.auxv.push_back(value);
  }
  std::vector<uint64_t> words;
  words.push_back(argv.size());
  words.insert(words.end(), argv.begin(), argv.end());
  words.push_back(0);
  words.insert(words.end(), envp.begin(), envp.end());
  words.push_back(0);
  words.insert(words.end(), out.auxv.begin(), out.auxv.end());
  size_t bytes = words.size() * sizeof(uint64_t);
  w.AlignTo(16, bytes);
  out.sp = w.Push(words.data(), bytes);
  TRY(w.Write(mm));
  return out;
}

}  // namespace moat
