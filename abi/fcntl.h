// Linux's numbers of open(2), fcntl(2), the *at calls, renameat2(2), fallocate(2), memfd_create(2) and
// splice(2).
#pragma once

#include <stdint.h>

#include "abi/stat.h"

namespace moat::abi {

// open(2). O_SYNC, O_TMPFILE and O_RSYNC each hold the bit of O_DSYNC or O_DIRECTORY as well.
inline constexpr uint32_t kO_ACCMODE = 03;
inline constexpr uint32_t kO_RDONLY = 0;
inline constexpr uint32_t kO_WRONLY = 01;
inline constexpr uint32_t kO_RDWR = 02;
inline constexpr uint32_t kO_CREAT = 0100;
inline constexpr uint32_t kO_EXCL = 0200;
inline constexpr uint32_t kO_NOCTTY = 0400;
inline constexpr uint32_t kO_TRUNC = 01000;
inline constexpr uint32_t kO_APPEND = 02000;
inline constexpr uint32_t kO_NONBLOCK = 04000;
inline constexpr uint32_t kO_NDELAY = 04000;
inline constexpr uint32_t kO_DSYNC = 010000;
inline constexpr uint32_t kO_ASYNC = 020000;
inline constexpr uint32_t kFASYNC = 020000;
inline constexpr uint32_t kO_DIRECT = 040000;
inline constexpr uint32_t kO_LARGEFILE = 0100000;
inline constexpr uint32_t kO_DIRECTORY = 0200000;
inline constexpr uint32_t kO_NOFOLLOW = 0400000;
inline constexpr uint32_t kO_NOATIME = 01000000;
inline constexpr uint32_t kO_CLOEXEC = 02000000;
inline constexpr uint32_t kO_SYNC = 04010000;
inline constexpr uint32_t kO_RSYNC = 04010000;
inline constexpr uint32_t kO_PATH = 010000000;
inline constexpr uint32_t kO_TMPFILE = 020200000;

// What fcntl(F_SETFL) may change.
inline constexpr uint32_t kSETFL_MASK = kO_APPEND | kO_NONBLOCK | kO_DIRECT | kO_NOATIME;
// Every flag that open(2) knows; it ignores the others, openat2(2) refuses them.
inline constexpr uint32_t kVALID_OPEN_FLAGS = kO_ACCMODE | kO_CREAT | kO_EXCL | kO_NOCTTY | kO_TRUNC |
                                              kO_APPEND | kO_NONBLOCK | kO_SYNC | kO_DSYNC | kO_ASYNC |
                                              kO_DIRECT | kO_LARGEFILE | kO_DIRECTORY | kO_NOFOLLOW |
                                              kO_NOATIME | kO_CLOEXEC | kO_PATH | kO_TMPFILE;

// access(2).
inline constexpr uint32_t kF_OK = 0;
inline constexpr uint32_t kR_OK = 4;
inline constexpr uint32_t kW_OK = 2;
inline constexpr uint32_t kX_OK = 1;

// The *at calls.
inline constexpr int kAT_FDCWD = -100;
inline constexpr uint32_t kAT_SYMLINK_NOFOLLOW = 0x100;
inline constexpr uint32_t kAT_EACCESS = 0x200;
inline constexpr uint32_t kAT_REMOVEDIR = 0x200;
inline constexpr uint32_t kAT_SYMLINK_FOLLOW = 0x400;
inline constexpr uint32_t kAT_NO_AUTOMOUNT = 0x800;
inline constexpr uint32_t kAT_EMPTY_PATH = 0x1000;
inline constexpr uint32_t kAT_STATX_SYNC_TYPE = 0x6000;
inline constexpr uint32_t kAT_STATX_SYNC_AS_STAT = 0x0;
inline constexpr uint32_t kAT_STATX_FORCE_SYNC = 0x2000;
inline constexpr uint32_t kAT_STATX_DONT_SYNC = 0x4000;
inline constexpr uint32_t kAT_RECURSIVE = 0x8000;
inline constexpr uint32_t kAT_HANDLE_FID = 0x200;
inline constexpr uint32_t kAT_HANDLE_MNT_ID_UNIQUE = 0x001;
inline constexpr uint32_t kAT_RENAME_NOREPLACE = 0x0001;
inline constexpr uint32_t kAT_RENAME_EXCHANGE = 0x0002;
inline constexpr uint32_t kAT_RENAME_WHITEOUT = 0x0004;

// openat2(2).
inline constexpr uint64_t kRESOLVE_NO_XDEV = 0x1;
inline constexpr uint64_t kRESOLVE_NO_MAGICLINKS = 0x2;
inline constexpr uint64_t kRESOLVE_NO_SYMLINKS = 0x4;
inline constexpr uint64_t kRESOLVE_BENEATH = 0x8;
inline constexpr uint64_t kRESOLVE_IN_ROOT = 0x10;
inline constexpr uint64_t kRESOLVE_CACHED = 0x20;
inline constexpr uint32_t kOPEN_HOW_SIZE_VER0 = 24;

struct OpenHow {
  uint64_t flags;
  uint64_t mode;
  uint64_t resolve;
};
static_assert(sizeof(OpenHow) == kOPEN_HOW_SIZE_VER0);

// fcntl(2).
inline constexpr int kF_DUPFD = 0;
inline constexpr int kF_GETFD = 1;
inline constexpr int kF_SETFD = 2;
inline constexpr int kF_GETFL = 3;
inline constexpr int kF_SETFL = 4;
inline constexpr int kF_GETLK = 5;
inline constexpr int kF_SETLK = 6;
inline constexpr int kF_SETLKW = 7;
inline constexpr int kF_SETOWN = 8;
inline constexpr int kF_GETOWN = 9;
inline constexpr int kF_SETSIG = 10;
inline constexpr int kF_GETSIG = 11;
inline constexpr int kF_SETOWN_EX = 15;
inline constexpr int kF_GETOWN_EX = 16;
inline constexpr int kF_GETOWNER_UIDS = 17;
inline constexpr int kF_OFD_GETLK = 36;
inline constexpr int kF_OFD_SETLK = 37;
inline constexpr int kF_OFD_SETLKW = 38;
inline constexpr int kF_LINUX_SPECIFIC_BASE = 1024;
inline constexpr int kF_SETLEASE = 1024;
inline constexpr int kF_GETLEASE = 1025;
inline constexpr int kF_CANCELLK = 1029;
inline constexpr int kF_DUPFD_CLOEXEC = 1030;
inline constexpr int kF_NOTIFY = 1026;
inline constexpr int kF_SETPIPE_SZ = 1031;
inline constexpr int kF_GETPIPE_SZ = 1032;
inline constexpr int kF_ADD_SEALS = 1033;
inline constexpr int kF_GET_SEALS = 1034;
inline constexpr int kF_GET_RW_HINT = 1035;
inline constexpr int kF_SET_RW_HINT = 1036;
inline constexpr int kF_GET_FILE_RW_HINT = 1037;
inline constexpr int kF_SET_FILE_RW_HINT = 1038;
inline constexpr int kF_DUPFD_QUERY = 1027;
inline constexpr int kF_CREATED_QUERY = 1028;
inline constexpr uint32_t kFD_CLOEXEC = 1;
inline constexpr int16_t kF_RDLCK = 0;
inline constexpr int16_t kF_WRLCK = 1;
inline constexpr int16_t kF_UNLCK = 2;
inline constexpr int16_t kF_EXLCK = 4;
inline constexpr int16_t kF_SHLCK = 8;
inline constexpr int kF_OWNER_TID = 0;
inline constexpr int kF_OWNER_PID = 1;
inline constexpr int kF_OWNER_PGRP = 2;
inline constexpr uint32_t kF_SEAL_SEAL = 0x1;
inline constexpr uint32_t kF_SEAL_SHRINK = 0x2;
inline constexpr uint32_t kF_SEAL_GROW = 0x4;
inline constexpr uint32_t kF_SEAL_WRITE = 0x8;
inline constexpr uint32_t kF_SEAL_FUTURE_WRITE = 0x10;
inline constexpr uint32_t kF_SEAL_EXEC = 0x20;
inline constexpr uint64_t kRWH_WRITE_LIFE_NOT_SET = 0;
inline constexpr uint64_t kRWH_WRITE_LIFE_NONE = 1;
inline constexpr uint64_t kRWH_WRITE_LIFE_SHORT = 2;
inline constexpr uint64_t kRWH_WRITE_LIFE_MEDIUM = 3;
inline constexpr uint64_t kRWH_WRITE_LIFE_LONG = 4;
inline constexpr uint64_t kRWH_WRITE_LIFE_EXTREME = 5;
inline constexpr uint32_t kDN_ACCESS = 0x1;
inline constexpr uint32_t kDN_MODIFY = 0x2;
inline constexpr uint32_t kDN_CREATE = 0x4;
inline constexpr uint32_t kDN_DELETE = 0x8;
inline constexpr uint32_t kDN_RENAME = 0x10;
inline constexpr uint32_t kDN_ATTRIB = 0x20;
inline constexpr uint32_t kDN_MULTISHOT = 0x80000000;

// A record lock; struct flock64 is the same on x86-64.
struct Flock {
  int16_t l_type;
  int16_t l_whence;
  uint32_t pad_;
  int64_t l_start;
  int64_t l_len;
  int32_t l_pid;
  uint32_t pad2_;
};
using Flock64 = Flock;
static_assert(sizeof(Flock) == 32);

struct FOwnerEx {
  int32_t type;
  int32_t pid;
};

// flock(2).
inline constexpr uint32_t kLOCK_SH = 1;
inline constexpr uint32_t kLOCK_EX = 2;
inline constexpr uint32_t kLOCK_NB = 4;
inline constexpr uint32_t kLOCK_UN = 8;
inline constexpr uint32_t kLOCK_MAND = 32;
inline constexpr uint32_t kLOCK_READ = 64;
inline constexpr uint32_t kLOCK_WRITE = 128;
inline constexpr uint32_t kLOCK_RW = 192;

// lseek(2).
inline constexpr int kSEEK_SET = 0;
inline constexpr int kSEEK_CUR = 1;
inline constexpr int kSEEK_END = 2;
inline constexpr int kSEEK_DATA = 3;
inline constexpr int kSEEK_HOLE = 4;
inline constexpr int kSEEK_MAX = 4;

// fallocate(2), posix_fadvise(2), sync_file_range(2).
inline constexpr uint32_t kFALLOC_FL_KEEP_SIZE = 0x1;
inline constexpr uint32_t kFALLOC_FL_PUNCH_HOLE = 0x2;
inline constexpr uint32_t kFALLOC_FL_NO_HIDE_STALE = 0x4;
inline constexpr uint32_t kFALLOC_FL_COLLAPSE_RANGE = 0x8;
inline constexpr uint32_t kFALLOC_FL_ZERO_RANGE = 0x10;
inline constexpr uint32_t kFALLOC_FL_INSERT_RANGE = 0x20;
inline constexpr uint32_t kFALLOC_FL_UNSHARE_RANGE = 0x40;
inline constexpr int kPOSIX_FADV_NORMAL = 0;
inline constexpr int kPOSIX_FADV_RANDOM = 1;
inline constexpr int kPOSIX_FADV_SEQUENTIAL = 2;
inline constexpr int kPOSIX_FADV_WILLNEED = 3;
inline constexpr int kPOSIX_FADV_DONTNEED = 4;
inline constexpr int kPOSIX_FADV_NOREUSE = 5;
inline constexpr uint32_t kSYNC_FILE_RANGE_WAIT_BEFORE = 1;
inline constexpr uint32_t kSYNC_FILE_RANGE_WRITE = 2;
inline constexpr uint32_t kSYNC_FILE_RANGE_WAIT_AFTER = 4;

// preadv2(2) and pwritev2(2).
inline constexpr uint32_t kRWF_HIPRI = 0x1;
inline constexpr uint32_t kRWF_DSYNC = 0x2;
inline constexpr uint32_t kRWF_SYNC = 0x4;
inline constexpr uint32_t kRWF_NOWAIT = 0x8;
inline constexpr uint32_t kRWF_APPEND = 0x10;
inline constexpr uint32_t kRWF_NOAPPEND = 0x20;
inline constexpr uint32_t kRWF_ATOMIC = 0x40;
inline constexpr uint32_t kRWF_DONTCACHE = 0x80;

// renameat2(2).
inline constexpr uint32_t kRENAME_NOREPLACE = 1;
inline constexpr uint32_t kRENAME_EXCHANGE = 2;
inline constexpr uint32_t kRENAME_WHITEOUT = 4;

// memfd_create(2).
inline constexpr uint32_t kMFD_CLOEXEC = 0x1;
inline constexpr uint32_t kMFD_ALLOW_SEALING = 0x2;
inline constexpr uint32_t kMFD_HUGETLB = 0x4;
inline constexpr uint32_t kMFD_NOEXEC_SEAL = 0x8;
inline constexpr uint32_t kMFD_EXEC = 0x10;
inline constexpr uint32_t kMFD_HUGE_SHIFT = 26;
inline constexpr uint32_t kMFD_HUGE_MASK = 63;
inline constexpr uint32_t kMFD_HUGE_2MB = 0x54000000;
inline constexpr uint32_t kMFD_HUGE_1GB = 0x78000000;

// close_range(2).
inline constexpr uint32_t kCLOSE_RANGE_UNSHARE = 0x2;
inline constexpr uint32_t kCLOSE_RANGE_CLOEXEC = 0x4;

// splice(2), tee(2), vmsplice(2).
inline constexpr uint32_t kSPLICE_F_MOVE = 0x1;
inline constexpr uint32_t kSPLICE_F_NONBLOCK = 0x2;
inline constexpr uint32_t kSPLICE_F_MORE = 0x4;
inline constexpr uint32_t kSPLICE_F_GIFT = 0x8;

// name_to_handle_at(2): handle_bytes of opaque data follow.
inline constexpr uint32_t kMAX_HANDLE_SZ = 128;
struct FileHandle {
  uint32_t handle_bytes;
  int32_t handle_type;
};

// cachestat(2).
struct CachestatRange {
  uint64_t off;
  uint64_t len;
};

struct Cachestat {
  uint64_t nr_cache;
  uint64_t nr_dirty;
  uint64_t nr_writeback;
  uint64_t nr_evicted;
  uint64_t nr_recently_evicted;
};

}  // namespace moat::abi
