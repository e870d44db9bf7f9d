// Linux's capabilities(7), capset(2) and file capabilities.
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kCAP_CHOWN = 0;
inline constexpr int kCAP_DAC_OVERRIDE = 1;
inline constexpr int kCAP_DAC_READ_SEARCH = 2;
inline constexpr int kCAP_FOWNER = 3;
inline constexpr int kCAP_FSETID = 4;
inline constexpr int kCAP_KILL = 5;
inline constexpr int kCAP_SETGID = 6;
inline constexpr int kCAP_SETUID = 7;
inline constexpr int kCAP_SETPCAP = 8;
inline constexpr int kCAP_LINUX_IMMUTABLE = 9;
inline constexpr int kCAP_NET_BIND_SERVICE = 10;
inline constexpr int kCAP_NET_BROADCAST = 11;
inline constexpr int kCAP_NET_ADMIN = 12;
inline constexpr int kCAP_NET_RAW = 13;
inline constexpr int kCAP_IPC_LOCK = 14;
inline constexpr int kCAP_IPC_OWNER = 15;
inline constexpr int kCAP_SYS_MODULE = 16;
inline constexpr int kCAP_SYS_RAWIO = 17;
inline constexpr int kCAP_SYS_CHROOT = 18;
inline constexpr int kCAP_SYS_PTRACE = 19;
inline constexpr int kCAP_SYS_PACCT = 20;
inline constexpr int kCAP_SYS_ADMIN = 21;
inline constexpr int kCAP_SYS_BOOT = 22;
inline constexpr int kCAP_SYS_NICE = 23;
inline constexpr int kCAP_SYS_RESOURCE = 24;
inline constexpr int kCAP_SYS_TIME = 25;
inline constexpr int kCAP_SYS_TTY_CONFIG = 26;
inline constexpr int kCAP_MKNOD = 27;
inline constexpr int kCAP_LEASE = 28;
inline constexpr int kCAP_AUDIT_WRITE = 29;
inline constexpr int kCAP_AUDIT_CONTROL = 30;
inline constexpr int kCAP_SETFCAP = 31;
inline constexpr int kCAP_MAC_OVERRIDE = 32;
inline constexpr int kCAP_MAC_ADMIN = 33;
inline constexpr int kCAP_SYSLOG = 34;
inline constexpr int kCAP_WAKE_ALARM = 35;
inline constexpr int kCAP_BLOCK_SUSPEND = 36;
inline constexpr int kCAP_AUDIT_READ = 37;
inline constexpr int kCAP_PERFMON = 38;
inline constexpr int kCAP_BPF = 39;
inline constexpr int kCAP_CHECKPOINT_RESTORE = 40;
inline constexpr int kCAP_LAST_CAP = 40;

// The set of `cap` alone, and of every capability.
constexpr uint64_t CapMask(int cap) { return uint64_t{1} << cap; }
inline constexpr uint64_t kCAP_FULL_SET = (uint64_t{1} << (kCAP_LAST_CAP + 1)) - 1;

// capset(2). Versions 2 and 3 have two data structs, version 1 one.
inline constexpr uint32_t k_LINUX_CAPABILITY_VERSION_1 = 0x19980330;
inline constexpr uint32_t k_LINUX_CAPABILITY_VERSION_2 = 0x20071026;
inline constexpr uint32_t k_LINUX_CAPABILITY_VERSION_3 = 0x20080522;
inline constexpr uint32_t kLINUX_CAPABILITY_VERSION_1 = k_LINUX_CAPABILITY_VERSION_1;
inline constexpr uint32_t kLINUX_CAPABILITY_VERSION_2 = k_LINUX_CAPABILITY_VERSION_2;
inline constexpr uint32_t kLINUX_CAPABILITY_VERSION_3 = k_LINUX_CAPABILITY_VERSION_3;
inline constexpr int k_LINUX_CAPABILITY_U32S_1 = 1;
inline constexpr int k_LINUX_CAPABILITY_U32S_2 = 2;
inline constexpr int k_LINUX_CAPABILITY_U32S_3 = 2;
inline constexpr int kLINUX_CAPABILITY_U32S_1 = 1;
inline constexpr int kLINUX_CAPABILITY_U32S_3 = 2;

struct UserCapHeader {
  uint32_t version;
  int32_t pid;
};
using CapUserHeader = UserCapHeader;

struct UserCapData {
  uint32_t effective;
  uint32_t permitted;
  uint32_t inheritable;
};
using CapUserData = UserCapData;

// The xattr security.capability.
inline constexpr uint32_t kVFS_CAP_REVISION_MASK = 0xff000000;
inline constexpr uint32_t kVFS_CAP_REVISION_1 = 0x1000000;
inline constexpr uint32_t kVFS_CAP_REVISION_2 = 0x2000000;
inline constexpr uint32_t kVFS_CAP_REVISION_3 = 0x3000000;
inline constexpr uint32_t kVFS_CAP_FLAGS_MASK = 0xffffff;
inline constexpr uint32_t kVFS_CAP_FLAGS_EFFECTIVE = 0x1;
inline constexpr uint64_t kXATTR_CAPS_SZ_1 = 12;
inline constexpr uint64_t kXATTR_CAPS_SZ_2 = 20;
inline constexpr uint64_t kXATTR_CAPS_SZ_3 = 24;
struct VfsCapU32 {
  uint32_t permitted;
  uint32_t inheritable;
};

struct VfsNsCapData {
  uint32_t magic_etc;
  VfsCapU32 data[2];
  uint32_t rootid;
};
static_assert(sizeof(VfsNsCapData) == 24);

// PR_SET_SECUREBITS.
inline constexpr uint32_t kSECBIT_NOROOT = 0x1;
inline constexpr uint32_t kSECBIT_NOROOT_LOCKED = 0x2;
inline constexpr uint32_t kSECBIT_NO_SETUID_FIXUP = 0x4;
inline constexpr uint32_t kSECBIT_NO_SETUID_FIXUP_LOCKED = 0x8;
inline constexpr uint32_t kSECBIT_KEEP_CAPS = 0x10;
inline constexpr uint32_t kSECBIT_KEEP_CAPS_LOCKED = 0x20;
inline constexpr uint32_t kSECBIT_NO_CAP_AMBIENT_RAISE = 0x40;
inline constexpr uint32_t kSECBIT_NO_CAP_AMBIENT_RAISE_LOCKED = 0x80;
inline constexpr uint32_t kSECURE_ALL_BITS = 0x55;
inline constexpr uint32_t kSECURE_ALL_LOCKS = 0xaa;

// Ids that a user namespace does not map show as these.
inline constexpr uint32_t kOVERFLOW_UID = 65534;
inline constexpr uint32_t kOVERFLOW_GID = 65534;
inline constexpr uint32_t kINVALID_UID = 0xffffffff;
inline constexpr uint32_t kINVALID_GID = 0xffffffff;

}  // namespace moat::abi
