// Linux's mount(2), umount2(2), mount_setattr(2) and the calls of the new mount interface.
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint64_t kMS_RDONLY = 0x1;
inline constexpr uint64_t kMS_NOSUID = 0x2;
inline constexpr uint64_t kMS_NODEV = 0x4;
inline constexpr uint64_t kMS_NOEXEC = 0x8;
inline constexpr uint64_t kMS_SYNCHRONOUS = 0x10;
inline constexpr uint64_t kMS_REMOUNT = 0x20;
inline constexpr uint64_t kMS_MANDLOCK = 0x40;
inline constexpr uint64_t kMS_DIRSYNC = 0x80;
inline constexpr uint64_t kMS_NOSYMFOLLOW = 0x100;
inline constexpr uint64_t kMS_NOATIME = 0x400;
inline constexpr uint64_t kMS_NODIRATIME = 0x800;
inline constexpr uint64_t kMS_BIND = 0x1000;
inline constexpr uint64_t kMS_MOVE = 0x2000;
inline constexpr uint64_t kMS_REC = 0x4000;
inline constexpr uint64_t kMS_SILENT = 0x8000;
inline constexpr uint64_t kMS_POSIXACL = 0x10000;
inline constexpr uint64_t kMS_UNBINDABLE = 0x20000;
inline constexpr uint64_t kMS_PRIVATE = 0x40000;
inline constexpr uint64_t kMS_SLAVE = 0x80000;
inline constexpr uint64_t kMS_SHARED = 0x100000;
inline constexpr uint64_t kMS_RELATIME = 0x200000;
inline constexpr uint64_t kMS_KERNMOUNT = 0x400000;
inline constexpr uint64_t kMS_I_VERSION = 0x800000;
inline constexpr uint64_t kMS_STRICTATIME = 0x1000000;
inline constexpr uint64_t kMS_LAZYTIME = 0x2000000;
inline constexpr uint64_t kMS_NOUSER = 0xffffffff80000000;
inline constexpr uint64_t kMS_RMT_MASK = 0x2800051;
inline constexpr uint64_t kMS_MGC_VAL = 0xc0ed0000;
inline constexpr uint64_t kMS_MGC_MSK = 0xffff0000;
inline constexpr uint32_t kMNT_FORCE = 1;
inline constexpr uint32_t kMNT_DETACH = 2;
inline constexpr uint32_t kMNT_EXPIRE = 4;
inline constexpr uint32_t kUMOUNT_NOFOLLOW = 8;

inline constexpr uint64_t kMOUNT_ATTR_RDONLY = 0x1;
inline constexpr uint64_t kMOUNT_ATTR_NOSUID = 0x2;
inline constexpr uint64_t kMOUNT_ATTR_NODEV = 0x4;
inline constexpr uint64_t kMOUNT_ATTR_NOEXEC = 0x8;
inline constexpr uint64_t kMOUNT_ATTR__ATIME = 0x70;
inline constexpr uint64_t kMOUNT_ATTR_RELATIME = 0x0;
inline constexpr uint64_t kMOUNT_ATTR_NOATIME = 0x10;
inline constexpr uint64_t kMOUNT_ATTR_STRICTATIME = 0x20;
inline constexpr uint64_t kMOUNT_ATTR_NODIRATIME = 0x80;
inline constexpr uint64_t kMOUNT_ATTR_IDMAP = 0x100000;
inline constexpr uint64_t kMOUNT_ATTR_NOSYMFOLLOW = 0x200000;
inline constexpr uint64_t kMOUNT_ATTR_SIZE_VER0 = 32;
struct MountAttr {
  uint64_t attr_set;
  uint64_t attr_clr;
  uint64_t propagation;
  uint64_t userns_fd;
};
static_assert(sizeof(MountAttr) == kMOUNT_ATTR_SIZE_VER0);

inline constexpr uint32_t kOPEN_TREE_CLONE = 0x1;
inline constexpr uint32_t kOPEN_TREE_CLOEXEC = 02000000;
inline constexpr uint32_t kMOVE_MOUNT_F_SYMLINKS = 0x1;
inline constexpr uint32_t kMOVE_MOUNT_F_AUTOMOUNTS = 0x2;
inline constexpr uint32_t kMOVE_MOUNT_F_EMPTY_PATH = 0x4;
inline constexpr uint32_t kMOVE_MOUNT_T_SYMLINKS = 0x10;
inline constexpr uint32_t kMOVE_MOUNT_T_AUTOMOUNTS = 0x20;
inline constexpr uint32_t kMOVE_MOUNT_T_EMPTY_PATH = 0x40;
inline constexpr uint32_t kMOVE_MOUNT_SET_GROUP = 0x100;
inline constexpr uint32_t kMOVE_MOUNT_BENEATH = 0x200;
inline constexpr uint32_t kMOVE_MOUNT__MASK = 0x377;
inline constexpr uint32_t kFSOPEN_CLOEXEC = 0x1;
inline constexpr uint32_t kFSPICK_CLOEXEC = 0x1;
inline constexpr uint32_t kFSPICK_SYMLINK_NOFOLLOW = 0x2;
inline constexpr uint32_t kFSPICK_NO_AUTOMOUNT = 0x4;
inline constexpr uint32_t kFSPICK_EMPTY_PATH = 0x8;
inline constexpr uint32_t kFSMOUNT_CLOEXEC = 0x1;
inline constexpr int kFSCONFIG_SET_FLAG = 0;
inline constexpr int kFSCONFIG_SET_STRING = 1;
inline constexpr int kFSCONFIG_SET_BINARY = 2;
inline constexpr int kFSCONFIG_SET_PATH = 3;
inline constexpr int kFSCONFIG_SET_PATH_EMPTY = 4;
inline constexpr int kFSCONFIG_SET_FD = 5;
inline constexpr int kFSCONFIG_CMD_CREATE = 6;
inline constexpr int kFSCONFIG_CMD_RECONFIGURE = 7;
inline constexpr int kFSCONFIG_CMD_CREATE_EXCL = 8;

// statmount(2) and listmount(2).
struct MntIdReq {
  uint32_t size;
  uint32_t spare;
  uint64_t mnt_id;
  uint64_t param;
  uint64_t mnt_ns_id;
};
inline constexpr uint32_t kMNT_ID_REQ_SIZE_VER0 = 24;
inline constexpr uint32_t kMNT_ID_REQ_SIZE_VER1 = 32;
inline constexpr uint64_t kLSMT_ROOT = 0xffffffffffffffff;
inline constexpr uint64_t kSTATMOUNT_SB_BASIC = 0x1;
inline constexpr uint64_t kSTATMOUNT_MNT_BASIC = 0x2;
inline constexpr uint64_t kSTATMOUNT_PROPAGATE_FROM = 0x4;
inline constexpr uint64_t kSTATMOUNT_MNT_ROOT = 0x8;
inline constexpr uint64_t kSTATMOUNT_MNT_POINT = 0x10;
inline constexpr uint64_t kSTATMOUNT_FS_TYPE = 0x20;
inline constexpr uint64_t kSTATMOUNT_MNT_NS_ID = 0x40;
inline constexpr uint64_t kSTATMOUNT_MNT_OPTS = 0x80;

}  // namespace moat::abi
