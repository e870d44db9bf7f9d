// Linux's numbers of ptrace(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kPTRACE_TRACEME = 0x0;
inline constexpr int kPTRACE_PEEKTEXT = 0x1;
inline constexpr int kPTRACE_PEEKDATA = 0x2;
inline constexpr int kPTRACE_PEEKUSR = 0x3;
inline constexpr int kPTRACE_POKETEXT = 0x4;
inline constexpr int kPTRACE_POKEDATA = 0x5;
inline constexpr int kPTRACE_POKEUSR = 0x6;
inline constexpr int kPTRACE_PEEKUSER = 0x3;
inline constexpr int kPTRACE_POKEUSER = 0x6;
inline constexpr int kPTRACE_CONT = 0x7;
inline constexpr int kPTRACE_KILL = 0x8;
inline constexpr int kPTRACE_SINGLESTEP = 0x9;
inline constexpr int kPTRACE_GETREGS = 0xc;
inline constexpr int kPTRACE_SETREGS = 0xd;
inline constexpr int kPTRACE_GETFPREGS = 0xe;
inline constexpr int kPTRACE_SETFPREGS = 0xf;
inline constexpr int kPTRACE_ATTACH = 0x10;
inline constexpr int kPTRACE_DETACH = 0x11;
inline constexpr int kPTRACE_GETFPXREGS = 0x12;
inline constexpr int kPTRACE_SETFPXREGS = 0x13;
inline constexpr int kPTRACE_OLDSETOPTIONS = 0x15;
inline constexpr int kPTRACE_SYSCALL = 0x18;
inline constexpr int kPTRACE_GET_THREAD_AREA = 0x19;
inline constexpr int kPTRACE_SET_THREAD_AREA = 0x1a;
inline constexpr int kPTRACE_ARCH_PRCTL = 0x1e;
inline constexpr int kPTRACE_SYSEMU = 0x1f;
inline constexpr int kPTRACE_SYSEMU_SINGLESTEP = 0x20;
inline constexpr int kPTRACE_SINGLEBLOCK = 0x21;
inline constexpr int kPTRACE_SETOPTIONS = 0x4200;
inline constexpr int kPTRACE_GETEVENTMSG = 0x4201;
inline constexpr int kPTRACE_GETSIGINFO = 0x4202;
inline constexpr int kPTRACE_SETSIGINFO = 0x4203;
inline constexpr int kPTRACE_GETREGSET = 0x4204;
inline constexpr int kPTRACE_SETREGSET = 0x4205;
inline constexpr int kPTRACE_SEIZE = 0x4206;
inline constexpr int kPTRACE_INTERRUPT = 0x4207;
inline constexpr int kPTRACE_LISTEN = 0x4208;
inline constexpr int kPTRACE_PEEKSIGINFO = 0x4209;
inline constexpr int kPTRACE_GETSIGMASK = 0x420a;
inline constexpr int kPTRACE_SETSIGMASK = 0x420b;
inline constexpr int kPTRACE_SECCOMP_GET_FILTER = 0x420c;
inline constexpr int kPTRACE_SECCOMP_GET_METADATA = 0x420d;
inline constexpr int kPTRACE_GET_SYSCALL_INFO = 0x420e;
inline constexpr int kPTRACE_GET_RSEQ_CONFIGURATION = 0x420f;
inline constexpr int kPTRACE_SET_SYSCALL_USER_DISPATCH_CONFIG = 0x4210;
inline constexpr int kPTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG = 0x4211;

inline constexpr uint64_t kPTRACE_O_TRACESYSGOOD = 0x1;
inline constexpr uint64_t kPTRACE_O_TRACEFORK = 0x2;
inline constexpr uint64_t kPTRACE_O_TRACEVFORK = 0x4;
inline constexpr uint64_t kPTRACE_O_TRACECLONE = 0x8;
inline constexpr uint64_t kPTRACE_O_TRACEEXEC = 0x10;
inline constexpr uint64_t kPTRACE_O_TRACEVFORKDONE = 0x20;
inline constexpr uint64_t kPTRACE_O_TRACEEXIT = 0x40;
inline constexpr uint64_t kPTRACE_O_TRACESECCOMP = 0x80;
inline constexpr uint64_t kPTRACE_O_EXITKILL = 0x100000;
inline constexpr uint64_t kPTRACE_O_SUSPEND_SECCOMP = 0x200000;
inline constexpr uint64_t kPTRACE_O_MASK = 0x3000ff;

inline constexpr int kPTRACE_EVENT_FORK = 1;
inline constexpr int kPTRACE_EVENT_VFORK = 2;
inline constexpr int kPTRACE_EVENT_CLONE = 3;
inline constexpr int kPTRACE_EVENT_EXEC = 4;
inline constexpr int kPTRACE_EVENT_VFORK_DONE = 5;
inline constexpr int kPTRACE_EVENT_EXIT = 6;
inline constexpr int kPTRACE_EVENT_SECCOMP = 7;
inline constexpr int kPTRACE_EVENT_STOP = 128;
inline constexpr uint64_t kPTRACE_EVENTMSG_SYSCALL_ENTRY = 1;
inline constexpr uint64_t kPTRACE_EVENTMSG_SYSCALL_EXIT = 2;
inline constexpr uint32_t kPTRACE_PEEKSIGINFO_SHARED = 1;
inline constexpr uint8_t kPTRACE_SYSCALL_INFO_NONE = 0;
inline constexpr uint8_t kPTRACE_SYSCALL_INFO_ENTRY = 1;
inline constexpr uint8_t kPTRACE_SYSCALL_INFO_EXIT = 2;
inline constexpr uint8_t kPTRACE_SYSCALL_INFO_SECCOMP = 3;

struct PtracePeeksiginfoArgs {
  uint64_t off;
  uint32_t flags;
  int32_t nr;
};

struct PtraceSyscallInfo {
  uint8_t op;
  uint8_t pad[3];
  uint32_t arch;
  uint64_t instruction_pointer;
  uint64_t stack_pointer;
  union {
    struct {
      uint64_t nr;
      uint64_t args[6];
    } entry;
    struct {
      int64_t rval;
      uint8_t is_error;
    } exit;
    struct {
      uint64_t nr;
      uint64_t args[6];
      uint32_t ret_data;
    } seccomp;
  };
};
static_assert(sizeof(PtraceSyscallInfo) == 88);

struct PtraceRseqConfiguration {
  uint64_t rseq_abi_pointer;
  uint32_t rseq_abi_size;
  uint32_t signature;
  uint32_t flags;
  uint32_t pad;
};

}  // namespace moat::abi
