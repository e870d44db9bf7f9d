// Linux's System V IPC: sysvipc(7).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kIPC_PRIVATE = 0;
inline constexpr int kIPC_RMID = 0;
inline constexpr int kIPC_SET = 1;
inline constexpr int kIPC_STAT = 2;
inline constexpr int kIPC_INFO = 3;
inline constexpr int kIPC_CREAT = 01000;
inline constexpr int kIPC_EXCL = 02000;
inline constexpr int kIPC_NOWAIT = 04000;
inline constexpr int kIPC_64 = 0400;

// struct ipc64_perm.
struct Ipc64Perm {
  int32_t key;
  uint32_t uid;
  uint32_t gid;
  uint32_t cuid;
  uint32_t cgid;
  uint32_t mode;
  uint16_t seq;
  uint16_t pad2_;
  uint32_t pad3_;
  uint64_t unused1_;
  uint64_t unused2_;
};
using IpcPerm = Ipc64Perm;
static_assert(sizeof(Ipc64Perm) == 48);

// Shared memory.
inline constexpr int kSHM_RDONLY = 010000;
inline constexpr int kSHM_RND = 020000;
inline constexpr int kSHM_REMAP = 040000;
inline constexpr int kSHM_EXEC = 0100000;
inline constexpr int kSHM_R = 0400;
inline constexpr int kSHM_W = 0200;
inline constexpr int kSHM_DEST = 01000;
inline constexpr int kSHM_LOCKED = 02000;
inline constexpr int kSHM_HUGETLB = 04000;
inline constexpr int kSHM_NORESERVE = 010000;
inline constexpr int kSHM_LOCK = 11;
inline constexpr int kSHM_UNLOCK = 12;
inline constexpr int kSHM_STAT = 13;
inline constexpr int kSHM_INFO = 14;
inline constexpr int kSHM_STAT_ANY = 15;
inline constexpr int kSHM_HUGE_SHIFT = 26;
inline constexpr int kSHM_HUGE_MASK = 63;
inline constexpr uint64_t kSHMMIN = 1;
inline constexpr uint64_t kSHMMNI = 4096;
inline constexpr uint64_t kSHMMAX = 0xfffffffffeffffff;
inline constexpr uint64_t kSHMALL = 0xfffffffffeffffff;
inline constexpr uint64_t kSHMSEG = 4096;
inline constexpr uint64_t kSHMLBA = 4096;

struct Shmid64Ds {
  Ipc64Perm shm_perm;
  uint64_t shm_segsz;
  int64_t shm_atime;
  int64_t shm_dtime;
  int64_t shm_ctime;
  int32_t shm_cpid;
  int32_t shm_lpid;
  uint64_t shm_nattch;
  uint64_t unused4_;
  uint64_t unused5_;
};
using ShmidDs = Shmid64Ds;
static_assert(sizeof(Shmid64Ds) == 112);

struct Shminfo64 {
  uint64_t shmmax;
  uint64_t shmmin;
  uint64_t shmmni;
  uint64_t shmseg;
  uint64_t shmall;
  uint64_t unused_[4];
};
using Shminfo = Shminfo64;
static_assert(sizeof(Shminfo64) == 72);

struct ShmInfo {
  int32_t used_ids;
  int32_t pad_;
  uint64_t shm_tot;
  uint64_t shm_rss;
  uint64_t shm_swp;
  uint64_t swap_attempts;
  uint64_t swap_successes;
};
static_assert(sizeof(ShmInfo) == 48);

// Semaphores.
inline constexpr int kSEM_UNDO = 0x1000;
inline constexpr int kGETPID = 11;
inline constexpr int kGETVAL = 12;
inline constexpr int kGETALL = 13;
inline constexpr int kGETNCNT = 14;
inline constexpr int kGETZCNT = 15;
inline constexpr int kSETVAL = 16;
inline constexpr int kSETALL = 17;
inline constexpr int kSEM_STAT = 18;
inline constexpr int kSEM_INFO = 19;
inline constexpr int kSEM_STAT_ANY = 20;
inline constexpr int kSEMMNI = 32000;
inline constexpr int kSEMMSL = 32000;
inline constexpr int kSEMMNS = 1024000000;
inline constexpr int kSEMOPM = 500;
inline constexpr int kSEMVMX = 32767;
inline constexpr int kSEMAEM = 32767;
inline constexpr int kSEMUME = 500;
inline constexpr int kSEMMNU = 1024000000;
inline constexpr int kSEMMAP = 1024000000;
inline constexpr int kSEMUSZ = 20;

struct Sembuf {
  uint16_t sem_num;
  int16_t sem_op;
  int16_t sem_flg;
};
static_assert(sizeof(Sembuf) == 6);

struct Semid64Ds {
  Ipc64Perm sem_perm;
  int64_t sem_otime;
  uint64_t unused1_;
  int64_t sem_ctime;
  uint64_t unused2_;
  uint64_t sem_nsems;
  uint64_t unused3_;
  uint64_t unused4_;
};
using SemidDs = Semid64Ds;
static_assert(sizeof(Semid64Ds) == 104);

struct Seminfo {
  int32_t semmap;
  int32_t semmni;
  int32_t semmns;
  int32_t semmnu;
  int32_t semmsl;
  int32_t semopm;
  int32_t semume;
  int32_t semusz;
  int32_t semvmx;
  int32_t semaem;
};
static_assert(sizeof(Seminfo) == 40);

// Message queues.
inline constexpr int kMSG_NOERROR = 010000;
inline constexpr int kMSG_EXCEPT = 020000;
inline constexpr int kMSG_COPY = 040000;
inline constexpr int kMSG_STAT = 11;
inline constexpr int kMSG_INFO = 12;
inline constexpr int kMSG_STAT_ANY = 13;
inline constexpr int kMSGMNI = 32000;
inline constexpr int kMSGMAX = 8192;
inline constexpr int kMSGMNB = 16384;
inline constexpr int kMSGPOOL = 512000;
inline constexpr int kMSGTQL = 16384;
inline constexpr int kMSGMAP = 16384;
inline constexpr int kMSGSSZ = 16;
inline constexpr int kMSGSEG = 65535;

struct Msqid64Ds {
  Ipc64Perm msg_perm;
  int64_t msg_stime;
  int64_t msg_rtime;
  int64_t msg_ctime;
  uint64_t msg_cbytes;
  uint64_t msg_qnum;
  uint64_t msg_qbytes;
  int32_t msg_lspid;
  int32_t msg_lrpid;
  uint64_t unused4_;
  uint64_t unused5_;
};
using MsqidDs = Msqid64Ds;
static_assert(sizeof(Msqid64Ds) == 120);

struct Msginfo {
  int32_t msgpool;
  int32_t msgmap;
  int32_t msgmax;
  int32_t msgmnb;
  int32_t msgmni;
  int32_t msgssz;
  int32_t msgtql;
  uint16_t msgseg;
};
static_assert(sizeof(Msginfo) == 32);

}  // namespace moat::abi
