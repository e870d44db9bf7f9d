// Linux's signals: numbers, actions, codes and the structs of sigaction(2), sigaltstack(2),
// rt_sigqueueinfo(2), signalfd(2) and sigevent(3type).
#pragma once

#include <stdint.h>

namespace moat::abi {

// Signal numbers.
inline constexpr int kSIGHUP = 1;
inline constexpr int kSIGINT = 2;
inline constexpr int kSIGQUIT = 3;
inline constexpr int kSIGILL = 4;
inline constexpr int kSIGTRAP = 5;
inline constexpr int kSIGABRT = 6;
inline constexpr int kSIGIOT = 6;
inline constexpr int kSIGBUS = 7;
inline constexpr int kSIGFPE = 8;
inline constexpr int kSIGKILL = 9;
inline constexpr int kSIGUSR1 = 10;
inline constexpr int kSIGSEGV = 11;
inline constexpr int kSIGUSR2 = 12;
inline constexpr int kSIGPIPE = 13;
inline constexpr int kSIGALRM = 14;
inline constexpr int kSIGTERM = 15;
inline constexpr int kSIGSTKFLT = 16;
inline constexpr int kSIGCHLD = 17;
inline constexpr int kSIGCONT = 18;
inline constexpr int kSIGSTOP = 19;
inline constexpr int kSIGTSTP = 20;
inline constexpr int kSIGTTIN = 21;
inline constexpr int kSIGTTOU = 22;
inline constexpr int kSIGURG = 23;
inline constexpr int kSIGXCPU = 24;
inline constexpr int kSIGXFSZ = 25;
inline constexpr int kSIGVTALRM = 26;
inline constexpr int kSIGPROF = 27;
inline constexpr int kSIGWINCH = 28;
inline constexpr int kSIGIO = 29;
inline constexpr int kSIGPOLL = 29;
inline constexpr int kSIGPWR = 30;
inline constexpr int kSIGSYS = 31;
inline constexpr int kSIGUNUSED = 31;
// The kernel's SIGRTMIN; glibc keeps the first two for itself.
inline constexpr int kSIGRTMIN = 32;
inline constexpr int kSIGRTMAX = 64;
inline constexpr int kNSIG = 64;

// A set of signals: signal n is bit n - 1.
using SigSet = uint64_t;
using Sigset = SigSet;
constexpr SigSet SigMask(int signo) { return SigSet{1} << (signo - 1); }
// SIGKILL and SIGSTOP, which no mask or handler touches.
inline constexpr SigSet kUNBLOCKABLE_SIGNALS = SigMask(kSIGKILL) | SigMask(kSIGSTOP);

// sigprocmask(2).
inline constexpr int kSIG_BLOCK = 0;
inline constexpr int kSIG_UNBLOCK = 1;
inline constexpr int kSIG_SETMASK = 2;

// Dispositions, values of sa_handler.
inline constexpr uint64_t kSIG_DFL = 0;
inline constexpr uint64_t kSIG_IGN = 1;
inline constexpr uint64_t kSIG_ERR = ~uint64_t{0};

// sa_flags.
inline constexpr uint64_t kSA_NOCLDSTOP = 0x1;
inline constexpr uint64_t kSA_NOCLDWAIT = 0x2;
inline constexpr uint64_t kSA_SIGINFO = 0x4;
inline constexpr uint64_t kSA_UNSUPPORTED = 0x400;
inline constexpr uint64_t kSA_EXPOSE_TAGBITS = 0x800;
inline constexpr uint64_t kSA_RESTORER = 0x4000000;
inline constexpr uint64_t kSA_ONSTACK = 0x8000000;
inline constexpr uint64_t kSA_RESTART = 0x10000000;
inline constexpr uint64_t kSA_NODEFER = 0x40000000;
inline constexpr uint64_t kSA_NOMASK = 0x40000000;
inline constexpr uint64_t kSA_RESETHAND = 0x80000000;
inline constexpr uint64_t kSA_ONESHOT = 0x80000000;

#pragma push_macro("sa_handler")
#pragma push_macro("sa_sigaction")
#undef sa_handler
#undef sa_sigaction
// The kernel's struct sigaction of x86-64. The handler and the restorer are guest addresses.
struct Sigaction {
  union {
    uint64_t sa_handler;
    uint64_t sa_sigaction;
    // Where glibc's macros of the same names lead, for a file that must include <signal.h> as well.
    union {
      uint64_t sa_handler;
      uint64_t sa_sigaction;
    } __sigaction_handler;
  };
  uint64_t sa_flags;
  uint64_t sa_restorer;
  SigSet sa_mask;
};
#pragma pop_macro("sa_handler")
#pragma pop_macro("sa_sigaction")
using SigAction = Sigaction;
static_assert(sizeof(Sigaction) == 32);

// sigaltstack(2).
inline constexpr uint32_t kSS_ONSTACK = 0x1;
inline constexpr uint32_t kSS_DISABLE = 0x2;
inline constexpr uint32_t kSS_AUTODISARM = 0x80000000;
inline constexpr uint32_t kSS_FLAG_BITS = 0x80000000;
inline constexpr uint64_t kMINSIGSTKSZ = 2048;
inline constexpr uint64_t kSIGSTKSZ = 8192;
struct StackT {
  uint64_t ss_sp;
  int32_t ss_flags;
  int32_t pad_;
  uint64_t ss_size;
};
using Sigaltstack = StackT;
using SigAltStack = StackT;
static_assert(sizeof(StackT) == 24);

// si_code of any signal.
inline constexpr int kSI_USER = 0;
inline constexpr int kSI_KERNEL = 128;
inline constexpr int kSI_QUEUE = -1;
inline constexpr int kSI_TIMER = -2;
inline constexpr int kSI_MESGQ = -3;
inline constexpr int kSI_ASYNCIO = -4;
inline constexpr int kSI_SIGIO = -5;
inline constexpr int kSI_TKILL = -6;
inline constexpr int kSI_DETHREAD = -7;
inline constexpr int kSI_ASYNCNL = -60;
// si_code of SIGILL, SIGFPE, SIGSEGV, SIGBUS, SIGTRAP, SIGCHLD, SIGIO and SIGSYS.
inline constexpr int kILL_ILLOPC = 1;
inline constexpr int kILL_ILLOPN = 2;
inline constexpr int kILL_ILLADR = 3;
inline constexpr int kILL_ILLTRP = 4;
inline constexpr int kILL_PRVOPC = 5;
inline constexpr int kILL_PRVREG = 6;
inline constexpr int kILL_COPROC = 7;
inline constexpr int kILL_BADSTK = 8;
inline constexpr int kILL_BADIADDR = 9;
inline constexpr int kFPE_INTDIV = 1;
inline constexpr int kFPE_INTOVF = 2;
inline constexpr int kFPE_FLTDIV = 3;
inline constexpr int kFPE_FLTOVF = 4;
inline constexpr int kFPE_FLTUND = 5;
inline constexpr int kFPE_FLTRES = 6;
inline constexpr int kFPE_FLTINV = 7;
inline constexpr int kFPE_FLTSUB = 8;
inline constexpr int kFPE_FLTUNK = 14;
inline constexpr int kFPE_CONDTRAP = 15;
inline constexpr int kSEGV_MAPERR = 1;
inline constexpr int kSEGV_ACCERR = 2;
inline constexpr int kSEGV_BNDERR = 3;
inline constexpr int kSEGV_PKUERR = 4;
inline constexpr int kSEGV_CPERR = 10;
inline constexpr int kBUS_ADRALN = 1;
inline constexpr int kBUS_ADRERR = 2;
inline constexpr int kBUS_OBJERR = 3;
inline constexpr int kBUS_MCEERR_AR = 4;
inline constexpr int kBUS_MCEERR_AO = 5;
inline constexpr int kTRAP_BRKPT = 1;
inline constexpr int kTRAP_TRACE = 2;
inline constexpr int kTRAP_BRANCH = 3;
inline constexpr int kTRAP_HWBKPT = 4;
inline constexpr int kTRAP_UNK = 5;
inline constexpr int kTRAP_PERF = 6;
inline constexpr int kCLD_EXITED = 1;
inline constexpr int kCLD_KILLED = 2;
inline constexpr int kCLD_DUMPED = 3;
inline constexpr int kCLD_TRAPPED = 4;
inline constexpr int kCLD_STOPPED = 5;
inline constexpr int kCLD_CONTINUED = 6;
inline constexpr int kPOLL_IN = 1;
inline constexpr int kPOLL_OUT = 2;
inline constexpr int kPOLL_MSG = 3;
inline constexpr int kPOLL_ERR = 4;
inline constexpr int kPOLL_PRI = 5;
inline constexpr int kPOLL_HUP = 6;
inline constexpr int kSYS_SECCOMP = 1;
inline constexpr int kSYS_USER_DISPATCH = 2;

union Sigval {
  int32_t sival_int;
  uint64_t sival_ptr;
};

// libc's <signal.h> turns the names of siginfo's members into macros. A test may have included it before this
// file.
#pragma push_macro("si_pid")
#pragma push_macro("si_uid")
#pragma push_macro("si_tid")
#pragma push_macro("si_timerid")
#pragma push_macro("si_overrun")
#pragma push_macro("si_sys_private")
#pragma push_macro("si_status")
#pragma push_macro("si_utime")
#pragma push_macro("si_stime")
#pragma push_macro("si_value")
#pragma push_macro("si_int")
#pragma push_macro("si_ptr")
#pragma push_macro("si_addr")
#pragma push_macro("si_addr_lsb")
#pragma push_macro("si_lower")
#pragma push_macro("si_upper")
#pragma push_macro("si_pkey")
#pragma push_macro("si_band")
#pragma push_macro("si_fd")
#pragma push_macro("si_call_addr")
#pragma push_macro("si_syscall")
#pragma push_macro("si_trapno")
#pragma push_macro("si_perf_data")
#pragma push_macro("si_perf_type")
#pragma push_macro("si_perf_flags")
#pragma push_macro("si_arch")
#undef si_pid
#undef si_uid
#undef si_tid
#undef si_timerid
#undef si_overrun
#undef si_sys_private
#undef si_status
#undef si_utime
#undef si_stime
#undef si_value
#undef si_int
#undef si_ptr
#undef si_addr
#undef si_addr_lsb
#undef si_lower
#undef si_upper
#undef si_pkey
#undef si_band
#undef si_fd
#undef si_call_addr
#undef si_syscall
#undef si_trapno
#undef si_perf_data
#undef si_perf_type
#undef si_perf_flags
#undef si_arch
// Where libc's macros si_pid and so on lead; the same bytes as SigInfo's plain members.
union SigInfoFields {
  struct {
    int32_t si_pid;
    uint32_t si_uid;
  } _kill;
  struct {
    int32_t si_tid;
    int32_t si_overrun;
    Sigval si_sigval;
    int32_t _sys_private;
  } _timer;
  struct {
    int32_t si_pid;
    uint32_t si_uid;
    Sigval si_sigval;
  } _rt;
  struct {
    int32_t si_pid;
    uint32_t si_uid;
    int32_t si_status;
    int64_t si_utime;
    int64_t si_stime;
  } _sigchld;
  struct {
    uint64_t si_addr;
    int16_t si_addr_lsb;
    union {
      struct {
        uint64_t _lower;
        uint64_t _upper;
      } _addr_bnd;
      uint32_t _pkey;
    } _bounds;
  } _sigfault;
  struct {
    int64_t si_band;
    int32_t si_fd;
  } _sigpoll;
  struct {
    uint64_t _call_addr;
    int32_t _syscall;
    uint32_t _arch;
  } _sigsys;
  uint8_t bytes[112];
};

// siginfo_t. Which members hold follows from si_signo and si_code, see sigaction(2).
struct SigInfo {
  int32_t si_signo;
  int32_t si_errno;
  int32_t si_code;
  int32_t pad_;
  union {
    SigInfoFields _sifields;
    struct {
      union {
        struct {
          int32_t si_pid;
          uint32_t si_uid;
        };
        struct {
          union {
            int32_t si_tid;
            int32_t si_timerid;
          };
          int32_t si_overrun;
        };
        uint64_t si_addr;
        int64_t si_band;
        uint64_t si_call_addr;
      };
      union {
        Sigval si_value;
        int32_t si_int;
        uint64_t si_ptr;
        int32_t si_status;
        int16_t si_addr_lsb;
        int32_t si_trapno;
        int32_t si_fd;
        uint64_t si_perf_data;
        struct {
          int32_t si_syscall;
          uint32_t si_arch;
        };
      };
      union {
        struct {
          int64_t si_utime;
          int64_t si_stime;
        };
        struct {
          uint64_t si_lower;
          uint64_t si_upper;
        };
        struct {
          uint32_t si_perf_type;
          uint32_t si_perf_flags;
        };
        uint32_t si_pkey;
        int32_t si_sys_private;
      };
    };
  };
};
#pragma pop_macro("si_pid")
#pragma pop_macro("si_uid")
#pragma pop_macro("si_tid")
#pragma pop_macro("si_timerid")
#pragma pop_macro("si_overrun")
#pragma pop_macro("si_sys_private")
#pragma pop_macro("si_status")
#pragma pop_macro("si_utime")
#pragma pop_macro("si_stime")
#pragma pop_macro("si_value")
#pragma pop_macro("si_int")
#pragma pop_macro("si_ptr")
#pragma pop_macro("si_addr")
#pragma pop_macro("si_addr_lsb")
#pragma pop_macro("si_lower")
#pragma pop_macro("si_upper")
#pragma pop_macro("si_pkey")
#pragma pop_macro("si_band")
#pragma pop_macro("si_fd")
#pragma pop_macro("si_call_addr")
#pragma pop_macro("si_syscall")
#pragma pop_macro("si_trapno")
#pragma pop_macro("si_perf_data")
#pragma pop_macro("si_perf_type")
#pragma pop_macro("si_perf_flags")
#pragma pop_macro("si_arch")
using Siginfo = SigInfo;
using SiginfoT = SigInfo;
static_assert(sizeof(SigInfo) == 128);

// sigev_notify.
inline constexpr int kSIGEV_SIGNAL = 0;
inline constexpr int kSIGEV_NONE = 1;
inline constexpr int kSIGEV_THREAD = 2;
inline constexpr int kSIGEV_THREAD_ID = 4;

#pragma push_macro("sigev_notify_function")
#pragma push_macro("sigev_notify_attributes")
#pragma push_macro("sigev_notify_thread_id")
#undef sigev_notify_function
#undef sigev_notify_attributes
#undef sigev_notify_thread_id
struct Sigevent {
  Sigval sigev_value;
  int32_t sigev_signo;
  int32_t sigev_notify;
  union {
    int32_t sigev_notify_thread_id;
    struct {
      uint64_t sigev_notify_function;
      uint64_t sigev_notify_attributes;
    };
    uint8_t sigev_pad_[48];
  };
};
#pragma pop_macro("sigev_notify_function")
#pragma pop_macro("sigev_notify_attributes")
#pragma pop_macro("sigev_notify_thread_id")
static_assert(sizeof(Sigevent) == 64);

// signalfd(2).
inline constexpr uint32_t kSFD_NONBLOCK = 04000;
inline constexpr uint32_t kSFD_CLOEXEC = 02000000;
struct SignalfdSiginfo {
  uint32_t ssi_signo;
  int32_t ssi_errno;
  int32_t ssi_code;
  uint32_t ssi_pid;
  uint32_t ssi_uid;
  int32_t ssi_fd;
  uint32_t ssi_tid;
  uint32_t ssi_band;
  uint32_t ssi_overrun;
  uint32_t ssi_trapno;
  int32_t ssi_status;
  int32_t ssi_int;
  uint64_t ssi_ptr;
  uint64_t ssi_utime;
  uint64_t ssi_stime;
  uint64_t ssi_addr;
  uint16_t ssi_addr_lsb;
  uint16_t pad2_;
  int32_t ssi_syscall;
  uint64_t ssi_call_addr;
  uint32_t ssi_arch;
  uint8_t pad_[28];
};
static_assert(sizeof(SignalfdSiginfo) == 128);

}  // namespace moat::abi
