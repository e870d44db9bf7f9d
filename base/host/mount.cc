#include "base/host/mount.h"

#include "abi/syscall_nr.h"
#include "base/host/raw.h"

namespace moat::host {

ErrorOr<void> Mount(const char* source, const char* target, const char* type, uint64_t flags, const void* data) {
  return Call<void>(abi::kNr_mount, source, target, type, flags, data);
}
ErrorOr<void> Umount2(const char* target, uint32_t flags) { return Call<void>(abi::kNr_umount2, target, flags); }
ErrorOr<void> PivotRoot(const char* new_root, const char* put_old) {
  return Call<void>(abi::kNr_pivot_root, new_root, put_old);
}
ErrorOr<void> Chroot(const char* path) { return Call<void>(abi::kNr_chroot, path); }
ErrorOr<void> Chdir(const char* path) { return Call<void>(abi::kNr_chdir, path); }
ErrorOr<void> Fchdir(int fd) { return Call<void>(abi::kNr_fchdir, fd); }
ErrorOr<UniqueFd> OpenTree(int dirfd, const char* path, uint32_t flags) {
  return Call<UniqueFd>(abi::kNr_open_tree, dirfd, path, flags);
}
ErrorOr<void> MoveMount(int from_dirfd, const char* from, int to_dirfd, const char* to, uint32_t flags) {
  return Call<void>(abi::kNr_move_mount, from_dirfd, from, to_dirfd, to, flags);
}
ErrorOr<void> MountSetattr(int dirfd, const char* path, uint32_t flags, const void* attr, size_t size) {
  return Call<void>(abi::kNr_mount_setattr, dirfd, path, flags, attr, size);
}

}  // namespace moat::host
