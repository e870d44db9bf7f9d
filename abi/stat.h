// Linux's file modes, struct stat, statx(2), statfs(2) and the magic numbers of file systems.
#pragma once

#include <stdint.h>

#include "abi/time.h"

namespace moat::abi {

// Type bits of st_mode.
inline constexpr uint32_t kS_IFMT = 0170000;
inline constexpr uint32_t kS_IFSOCK = 0140000;
inline constexpr uint32_t kS_IFLNK = 0120000;
inline constexpr uint32_t kS_IFREG = 0100000;
inline constexpr uint32_t kS_IFBLK = 060000;
inline constexpr uint32_t kS_IFDIR = 040000;
inline constexpr uint32_t kS_IFCHR = 020000;
inline constexpr uint32_t kS_IFIFO = 010000;
// Permission bits.
inline constexpr uint32_t kS_ISUID = 04000;
inline constexpr uint32_t kS_ISGID = 02000;
inline constexpr uint32_t kS_ISVTX = 01000;
inline constexpr uint32_t kS_IRWXU = 0700;
inline constexpr uint32_t kS_IRUSR = 0400;
inline constexpr uint32_t kS_IWUSR = 0200;
inline constexpr uint32_t kS_IXUSR = 0100;
inline constexpr uint32_t kS_IRWXG = 070;
inline constexpr uint32_t kS_IRGRP = 040;
inline constexpr uint32_t kS_IWGRP = 020;
inline constexpr uint32_t kS_IXGRP = 010;
inline constexpr uint32_t kS_IRWXO = 07;
inline constexpr uint32_t kS_IROTH = 04;
inline constexpr uint32_t kS_IWOTH = 02;
inline constexpr uint32_t kS_IXOTH = 01;
inline constexpr uint32_t kS_IRWXUGO = 0777;
inline constexpr uint32_t kS_IALLUGO = 07777;
inline constexpr uint32_t kS_IRUGO = 0444;
inline constexpr uint32_t kS_IWUGO = 0222;
inline constexpr uint32_t kS_IXUGO = 0111;

// The predicates of inode(7) on st_mode.
constexpr bool IsReg(uint32_t mode) { return (mode & kS_IFMT) == kS_IFREG; }
constexpr bool IsDir(uint32_t mode) { return (mode & kS_IFMT) == kS_IFDIR; }
constexpr bool IsLnk(uint32_t mode) { return (mode & kS_IFMT) == kS_IFLNK; }
constexpr bool IsChr(uint32_t mode) { return (mode & kS_IFMT) == kS_IFCHR; }
constexpr bool IsBlk(uint32_t mode) { return (mode & kS_IFMT) == kS_IFBLK; }
constexpr bool IsFifo(uint32_t mode) { return (mode & kS_IFMT) == kS_IFIFO; }
constexpr bool IsSock(uint32_t mode) { return (mode & kS_IFMT) == kS_IFSOCK; }

// Device numbers as stat(2) and mknod(2) carry them: 12 bits of major, 20 of minor, interleaved.
constexpr uint64_t MakeDev(uint32_t major_number, uint32_t minor_number) {
  return (minor_number & 0xff) | (uint64_t{major_number & 0xfff} << 8) |
         (uint64_t{minor_number & ~0xffu} << 12) | (uint64_t{major_number & ~0xfffu} << 32);
}
constexpr uint32_t DevMajor(uint64_t dev) {
  return static_cast<uint32_t>((dev >> 8) & 0xfff) | static_cast<uint32_t>((dev >> 32) & ~uint64_t{0xfff});
}
constexpr uint32_t DevMinor(uint64_t dev) {
  return static_cast<uint32_t>(dev & 0xff) | static_cast<uint32_t>((dev >> 12) & ~uint64_t{0xff});
}

#pragma push_macro("st_atime")
#pragma push_macro("st_mtime")
#pragma push_macro("st_ctime")
#undef st_atime
#undef st_mtime
#undef st_ctime
// x86-64's struct stat. The times have both the kernel's names (st_atime, st_atime_nsec) and POSIX's
// (st_atim).
struct Stat {
  uint64_t st_dev;
  uint64_t st_ino;
  uint64_t st_nlink;
  uint32_t st_mode;
  uint32_t st_uid;
  uint32_t st_gid;
  uint32_t pad0_;
  uint64_t st_rdev;
  int64_t st_size;
  int64_t st_blksize;
  int64_t st_blocks;
  union {
    Timespec st_atim;
    struct {
      int64_t st_atime, st_atime_nsec;
    };
  };
  union {
    Timespec st_mtim;
    struct {
      int64_t st_mtime, st_mtime_nsec;
    };
  };
  union {
    Timespec st_ctim;
    struct {
      int64_t st_ctime, st_ctime_nsec;
    };
  };
  int64_t unused_[3];
};
#pragma pop_macro("st_atime")
#pragma pop_macro("st_mtime")
#pragma pop_macro("st_ctime")
static_assert(sizeof(Stat) == 144);

// tv_nsec values of utimensat(2).
inline constexpr int64_t kUTIME_NOW = 1073741823;
inline constexpr int64_t kUTIME_OMIT = 1073741822;

struct Utimbuf {
  int64_t actime;
  int64_t modtime;
};

// statx(2): bits of stx_mask.
inline constexpr uint32_t kSTATX_TYPE = 0x1;
inline constexpr uint32_t kSTATX_MODE = 0x2;
inline constexpr uint32_t kSTATX_NLINK = 0x4;
inline constexpr uint32_t kSTATX_UID = 0x8;
inline constexpr uint32_t kSTATX_GID = 0x10;
inline constexpr uint32_t kSTATX_ATIME = 0x20;
inline constexpr uint32_t kSTATX_MTIME = 0x40;
inline constexpr uint32_t kSTATX_CTIME = 0x80;
inline constexpr uint32_t kSTATX_INO = 0x100;
inline constexpr uint32_t kSTATX_SIZE = 0x200;
inline constexpr uint32_t kSTATX_BLOCKS = 0x400;
inline constexpr uint32_t kSTATX_BASIC_STATS = 0x7ff;
inline constexpr uint32_t kSTATX_BTIME = 0x800;
inline constexpr uint32_t kSTATX_MNT_ID = 0x1000;
inline constexpr uint32_t kSTATX_DIOALIGN = 0x2000;
inline constexpr uint32_t kSTATX_MNT_ID_UNIQUE = 0x4000;
inline constexpr uint32_t kSTATX_SUBVOL = 0x8000;
inline constexpr uint32_t kSTATX_WRITE_ATOMIC = 0x10000;
inline constexpr uint32_t kSTATX_ALL = 0xfff;
inline constexpr uint32_t kSTATX__RESERVED = 0x80000000;
// Bits of stx_attributes.
inline constexpr uint64_t kSTATX_ATTR_COMPRESSED = 0x4;
inline constexpr uint64_t kSTATX_ATTR_IMMUTABLE = 0x10;
inline constexpr uint64_t kSTATX_ATTR_APPEND = 0x20;
inline constexpr uint64_t kSTATX_ATTR_NODUMP = 0x40;
inline constexpr uint64_t kSTATX_ATTR_ENCRYPTED = 0x800;
inline constexpr uint64_t kSTATX_ATTR_AUTOMOUNT = 0x1000;
inline constexpr uint64_t kSTATX_ATTR_MOUNT_ROOT = 0x2000;
inline constexpr uint64_t kSTATX_ATTR_VERITY = 0x100000;
inline constexpr uint64_t kSTATX_ATTR_DAX = 0x200000;
inline constexpr uint64_t kSTATX_ATTR_WRITE_ATOMIC = 0x400000;

struct StatxTimestamp {
  int64_t tv_sec;
  uint32_t tv_nsec;
  int32_t reserved_;
};

struct Statx {
  uint32_t stx_mask;
  uint32_t stx_blksize;
  uint64_t stx_attributes;
  uint32_t stx_nlink;
  uint32_t stx_uid;
  uint32_t stx_gid;
  uint16_t stx_mode;
  uint16_t spare0_;
  uint64_t stx_ino;
  uint64_t stx_size;
  uint64_t stx_blocks;
  uint64_t stx_attributes_mask;
  StatxTimestamp stx_atime;
  StatxTimestamp stx_btime;
  StatxTimestamp stx_ctime;
  StatxTimestamp stx_mtime;
  uint32_t stx_rdev_major;
  uint32_t stx_rdev_minor;
  uint32_t stx_dev_major;
  uint32_t stx_dev_minor;
  uint64_t stx_mnt_id;
  uint32_t stx_dio_mem_align;
  uint32_t stx_dio_offset_align;
  uint64_t stx_subvol;
  uint32_t stx_atomic_write_unit_min;
  uint32_t stx_atomic_write_unit_max;
  uint32_t stx_atomic_write_segments_max;
  uint32_t spare1_;
  uint64_t spare3_[9];
};
static_assert(sizeof(Statx) == 256);

// statfs(2). f_flags holds the ST_* bits.
struct Statfs {
  int64_t f_type;
  int64_t f_bsize;
  uint64_t f_blocks;
  uint64_t f_bfree;
  uint64_t f_bavail;
  uint64_t f_files;
  uint64_t f_ffree;
  int32_t f_fsid[2];
  int64_t f_namelen;
  int64_t f_frsize;
  int64_t f_flags;
  int64_t f_spare[4];
};
static_assert(sizeof(Statfs) == 120);

inline constexpr int64_t kST_RDONLY = 0x1;
inline constexpr int64_t kST_NOSUID = 0x2;
inline constexpr int64_t kST_NODEV = 0x4;
inline constexpr int64_t kST_NOEXEC = 0x8;
inline constexpr int64_t kST_SYNCHRONOUS = 0x10;
inline constexpr int64_t kST_VALID = 0x20;
inline constexpr int64_t kST_MANDLOCK = 0x40;
inline constexpr int64_t kST_NOATIME = 0x400;
inline constexpr int64_t kST_NODIRATIME = 0x800;
inline constexpr int64_t kST_RELATIME = 0x1000;
inline constexpr int64_t kST_NOSYMFOLLOW = 0x2000;

// f_type.
inline constexpr int64_t kTMPFS_MAGIC = 0x1021994;
inline constexpr int64_t kRAMFS_MAGIC = 0x858458f6;
inline constexpr int64_t kPROC_SUPER_MAGIC = 0x9fa0;
inline constexpr int64_t kSYSFS_MAGIC = 0x62656572;
inline constexpr int64_t kDEVPTS_SUPER_MAGIC = 0x1cd1;
inline constexpr int64_t kDEVMEM_MAGIC = 0x454d444d;
inline constexpr int64_t kPIPEFS_MAGIC = 0x50495045;
inline constexpr int64_t kSOCKFS_MAGIC = 0x534f434b;
inline constexpr int64_t kANON_INODE_FS_MAGIC = 0x9041934;
inline constexpr int64_t kOVERLAYFS_SUPER_MAGIC = 0x794c7630;
inline constexpr int64_t kEXT2_SUPER_MAGIC = 0xef53;
inline constexpr int64_t kEXT3_SUPER_MAGIC = 0xef53;
inline constexpr int64_t kEXT4_SUPER_MAGIC = 0xef53;
inline constexpr int64_t kXFS_SUPER_MAGIC = 0x58465342;
inline constexpr int64_t kBTRFS_SUPER_MAGIC = 0x9123683e;
inline constexpr int64_t kF2FS_SUPER_MAGIC = 0xf2f52010;
inline constexpr int64_t kNFS_SUPER_MAGIC = 0x6969;
inline constexpr int64_t kV9FS_MAGIC = 0x1021997;
inline constexpr int64_t kFUSE_SUPER_MAGIC = 0x65735546;
inline constexpr int64_t kCGROUP_SUPER_MAGIC = 0x27e0eb;
inline constexpr int64_t kCGROUP2_SUPER_MAGIC = 0x63677270;
inline constexpr int64_t kNSFS_MAGIC = 0x6e736673;
inline constexpr int64_t kHUGETLBFS_MAGIC = 0x958458f6;
inline constexpr int64_t kSECRETMEM_MAGIC = 0x5345434d;
inline constexpr int64_t kSECURITYFS_MAGIC = 0x73636673;
inline constexpr int64_t kDEBUGFS_MAGIC = 0x64626720;
inline constexpr int64_t kTRACEFS_MAGIC = 0x74726163;
inline constexpr int64_t kBPF_FS_MAGIC = 0xcafe4a11;
inline constexpr int64_t kMSDOS_SUPER_MAGIC = 0x4d44;
inline constexpr int64_t kISOFS_SUPER_MAGIC = 0x9660;
inline constexpr int64_t kSQUASHFS_MAGIC = 0x73717368;
inline constexpr int64_t kEROFS_SUPER_MAGIC_V1 = 0xe0f5e1e2;
inline constexpr int64_t kSELINUX_MAGIC = 0xf97cff8c;
inline constexpr int64_t kMQUEUE_MAGIC = 0x19800202;
inline constexpr int64_t kPID_FS_MAGIC = 0x50494446;
inline constexpr int64_t kBINFMTFS_MAGIC = 0x42494e4d;
inline constexpr int64_t kSTACK_END_MAGIC = 0x57ac6e9d;

}  // namespace moat::abi
