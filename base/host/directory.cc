#include "base/host/directory.h"

#include "abi/syscall_nr.h"

#include "base/host/raw.h"

namespace moat::host {

ErrorOr<size_t> Readlinkat(int dirfd, const char* path, char* buffer, size_t size) {
  return Call<size_t>(abi::kNr_readlinkat, dirfd, path, buffer, size);
}
ErrorOr<std::string> ReadlinkatString(int dirfd, const char* path) {
  constexpr size_t kFirstGuess = 256;
  std::string target(kFirstGuess, '\0');
  for (;;) {
    size_t n = TRY(Readlinkat(dirfd, path, target.data(), target.size()));
    if (n < target.size()) {
      target.resize(n);
      return target;
    }
    target.resize(target.size() * 2);
  }
}
ErrorOr<size_t> Getdents64(int fd, void* buffer, size_t size) { return Call<size_t>(abi::kNr_getdents64, fd, buffer, size); }
ErrorOr<void> Faccessat2(int dirfd, const char* path, uint32_t mode, uint32_t flags) {
  return Call<void>(abi::kNr_faccessat2, dirfd, path, mode, flags);
}
ErrorOr<void> Mkdirat(int dirfd, const char* path, uint32_t mode) { return Call<void>(abi::kNr_mkdirat, dirfd, path, mode); }
ErrorOr<void> Mknodat(int dirfd, const char* path, uint32_t mode, uint64_t dev) {
  return Call<void>(abi::kNr_mknodat, dirfd, path, mode, dev);
}
ErrorOr<void> Symlinkat(const char* target, int dirfd, const char* path) {
  return Call<void>(abi::kNr_symlinkat, target, dirfd, path);
}
ErrorOr<void> Linkat(int old_dirfd, const char* old_path, int new_dirfd, const char* new_path, uint32_t flags) {
  return Call<void>(abi::kNr_linkat, old_dirfd, old_path, new_dirfd, new_path, flags);
}
ErrorOr<void> Unlinkat(int dirfd, const char* path, uint32_t flags) {
  return Call<void>(abi::kNr_unlinkat, dirfd, path, flags);
}
ErrorOr<void> Renameat2(int old_dirfd, const char* old_path, int new_dirfd, const char* new_path, uint32_t flags) {
  return Call<void>(abi::kNr_renameat2, old_dirfd, old_path, new_dirfd, new_path, flags);
}

ErrorOr<void> Fchmod(int fd, uint32_t mode) { return Call<void>(abi::kNr_fchmod, fd, mode); }
ErrorOr<void> Fchmodat(int dirfd, const char* path, uint32_t mode) {
  return Call<void>(abi::kNr_fchmodat, dirfd, path, mode);
}
ErrorOr<void> Fchown(int fd, uint32_t uid, uint32_t gid) { return Call<void>(abi::kNr_fchown, fd, uid, gid); }
ErrorOr<void> Fchownat(int dirfd, const char* path, uint32_t uid, uint32_t gid, uint32_t flags) {
  return Call<void>(abi::kNr_fchownat, dirfd, path, uid, gid, flags);
}
ErrorOr<void> Utimensat(int dirfd, const char* path, const abi::Timespec times[2], uint32_t flags) {
  return Call<void>(abi::kNr_utimensat, dirfd, path, times, flags);
}

ErrorOr<size_t> Fgetxattr(int fd, const char* name, void* value, size_t size) {
  return Call<size_t>(abi::kNr_fgetxattr, fd, name, value, size);
}
ErrorOr<void> Fsetxattr(int fd, const char* name, const void* value, size_t size, uint32_t flags) {
  return Call<void>(abi::kNr_fsetxattr, fd, name, value, size, flags);
}
ErrorOr<size_t> Flistxattr(int fd, char* list, size_t size) { return Call<size_t>(abi::kNr_flistxattr, fd, list, size); }
ErrorOr<void> Fremovexattr(int fd, const char* name) { return Call<void>(abi::kNr_fremovexattr, fd, name); }
ErrorOr<size_t> Getxattr(const char* path, const char* name, void* value, size_t size) {
  return Call<size_t>(abi::kNr_getxattr, path, name, value, size);
}
ErrorOr<void> Setxattr(const char* path, const char* name, const void* value, size_t size, uint32_t flags) {
  return Call<void>(abi::kNr_setxattr, path, name, value, size, flags);
}
ErrorOr<size_t> Listxattr(const char* path, char* list, size_t size) {
  return Call<size_t>(abi::kNr_listxattr, path, list, size);
}
ErrorOr<void> Removexattr(const char* path, const char* name) { return Call<void>(abi::kNr_removexattr, path, name); }
ErrorOr<size_t> Lgetxattr(const char* path, const char* name, void* value, size_t size) {
  return Call<size_t>(abi::kNr_lgetxattr, path, name, value, size);
}

uint32_t Umask(uint32_t mask) { return static_cast<uint32_t>(RawSyscall(abi::kNr_umask, mask)); }

}  // namespace moat::host
