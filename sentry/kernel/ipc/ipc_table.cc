#include "sentry/kernel/ipc/ipc_table.h"

#include "abi/capability.h"
#include "abi/time.h"
#include "base/host/time.h"

namespace moat {

int64_t IpcNow() {
  ErrorOr<abi::Timespec> now = host::ClockGettime(abi::kCLOCK_REALTIME);
  return now.ok() ? now->tv_sec : 0;
}

IpcObject::IpcObject(int32_t key, int mode, const Credentials& creds) : key(key), perm{}, ctime(IpcNow()) {
  perm.key = key;
  perm.uid = perm.cuid = creds.euid;
  perm.gid = perm.cgid = creds.egid;
  perm.mode = static_cast<uint32_t>(mode) & 0777;
}

ErrorOr<void> IpcObject::Check(const Credentials& creds, int mode) const {
  uint32_t granted = perm.mode;
  if (creds.euid == perm.uid || creds.euid == perm.cuid) {
    granted >>= 6;
  } else if (creds.InGroup(perm.gid) || creds.InGroup(perm.cgid)) {
    granted >>= 3;
  }
  uint32_t wanted = static_cast<uint32_t>(mode) >> 6;
  if ((wanted & ~granted & 7) && !creds.Has(abi::kCAP_IPC_OWNER)) return kEACCES;
  return {};
}

ErrorOr<void> IpcObject::CheckOwner(const Credentials& creds) const {
  if (creds.euid == perm.uid || creds.euid == perm.cuid || creds.Has(abi::kCAP_SYS_ADMIN)) return {};
  return kEPERM;
}

ErrorOr<void> IpcObject::SetPerm(const Credentials& creds, const abi::Ipc64Perm& from) {
  TRY(CheckOwner(creds));
  constexpr uint32_t kNoId = ~0u;
  if (from.uid == kNoId || from.gid == kNoId) return kEINVAL;
  perm.uid = from.uid;
  perm.gid = from.gid;
  perm.mode = (perm.mode & ~0777u) | (from.mode & 0777);
  ctime = IpcNow();
  return {};
}

}  // namespace moat
