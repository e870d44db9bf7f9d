#include "runtime/util/files.h"

#include <filesystem>

#include "abi/fcntl.h"
#include "base/host/file.h"

namespace moat {

ErrorOr<std::string> ReadFile(const std::string& path) {
  const UniqueFd fd = TRY(host::Openat(abi::kAT_FDCWD, path.c_str(), abi::kO_RDONLY | abi::kO_CLOEXEC));
  std::string text;
  char buffer[4096];
  while (const size_t got = TRY(host::ReadFull(fd.get(), buffer, sizeof(buffer)))) text.append(buffer, got);
  return text;
}

ErrorOr<void> WriteFile(const std::string& path, std::string_view text) {
  const UniqueFd fd = TRY(host::Openat(abi::kAT_FDCWD, path.c_str(), abi::kO_WRONLY | abi::kO_CLOEXEC));
  return host::WriteFull(fd.get(), text.data(), text.size());
}

std::string NormalPath(std::string_view path, std::string_view base) {
  std::filesystem::path full(base);
  full /= path;  // an absolute `path` replaces `base`
  std::string text = ("/" / full).lexically_normal().string();
  const size_t first = text.find_first_not_of('/');
  if (first == text.npos) return "/";
  text.erase(0, first - 1);
  if (text.ends_with('/')) text.pop_back();
  return text;
}

bool IsWithin(std::string_view path, std::string_view ancestor) {
  if (ancestor == "/") return true;
  return path.starts_with(ancestor) && (path.size() == ancestor.size() || path[ancestor.size()] == '/');
}

ErrorOr<UniqueFd> SealedFile(const char* name, std::string_view bytes) {
  UniqueFd fd = TRY(host::MemfdCreate(name, abi::kMFD_CLOEXEC | abi::kMFD_ALLOW_SEALING));
  TRY(host::WriteFull(fd.get(), bytes.data(), bytes.size()));
  TRY(host::Lseek(fd.get(), 0, abi::kSEEK_SET));
  TRY(host::FcntlAddSeals(fd.get(),
                          abi::kF_SEAL_SEAL | abi::kF_SEAL_SHRINK | abi::kF_SEAL_GROW | abi::kF_SEAL_WRITE));
  return fd;
}

}  // namespace moat
