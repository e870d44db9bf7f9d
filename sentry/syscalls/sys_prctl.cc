// prctl(2) and arch_prctl(2).
#include <bit>

#include "abi/capability.h"
#include "abi/prctl.h"
#include "abi/seccomp.h"
#include "abi/signal.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/thread_group.h"
#include "sentry/syscalls/families.h"

namespace moat {
namespace {

constexpr uint64_t kTaskCommLength = 16;  // with its NUL

template <class F>
void EditCreds(Task& t, F edit) {
  Ref<Credentials> c = MakeRef<Credentials>(t.creds());
  edit(*c);
  t.set_creds(std::move(c));
}

ErrorOr<uint64_t> SetName(Task& t, UserAddr addr) {
  char name[kTaskCommLength] = {};
  // At most 15 bytes; what ends earlier need not be readable further (strncpy_from_user).
  ErrorOr<std::string> text = t.mm().ReadString(addr, kTaskCommLength);
  if (text.ok()) {
    t.set_comm(*text);
    return uint64_t{0};
  }
  if (text.error() != kENAMETOOLONG) return text.error();
  TRY(t.mm().CopyIn(addr, name, kTaskCommLength - 1));
  t.set_comm(std::string(name, kTaskCommLength - 1));
  return uint64_t{0};
}

ErrorOr<uint64_t> GetName(Task& t, UserAddr addr) {
  char name[kTaskCommLength] = {};
  memcpy(name, t.comm().data(), std::min<size_t>(t.comm().size(), kTaskCommLength - 1));
  TRY(t.mm().CopyOut(addr, name, sizeof name));
  return uint64_t{0};
}

ErrorOr<uint64_t> DropBounding(Task& t, uint64_t cap) {
  if (!t.creds().Has(abi::kCAP_SETPCAP)) return kEPERM;
  if (cap > static_cast<uint64_t>(abi::kCAP_LAST_CAP)) return kEINVAL;
  EditCreds(t, [cap](Credentials& c) { c.bounding &= ~(uint64_t{1} << cap); });
  return uint64_t{0};
}

ErrorOr<uint64_t> Ambient(Task& t, uint64_t what, uint64_t cap, uint64_t a4, uint64_t a5) {
  if (a4 || a5) return kEINVAL;
  if (what == abi::kPR_CAP_AMBIENT_CLEAR_ALL) {
    if (cap) return kEINVAL;
    EditCreds(t, [](Credentials& c) { c.ambient = 0; });
    return uint64_t{0};
  }
  if (cap > static_cast<uint64_t>(abi::kCAP_LAST_CAP)) return kEINVAL;
  uint64_t bit = uint64_t{1} << cap;
  const Credentials& c = t.creds();
  switch (what) {
    case abi::kPR_CAP_AMBIENT_IS_SET: return (c.ambient & bit) ? uint64_t{1} : uint64_t{0};
    case abi::kPR_CAP_AMBIENT_RAISE:
      if (!(c.permitted & c.inheritable & bit) || (c.securebits & abi::kSECBIT_NO_CAP_AMBIENT_RAISE)) return kEPERM;
      EditCreds(t, [bit](Credentials& e) { e.ambient |= bit; });
      return uint64_t{0};
    case abi::kPR_CAP_AMBIENT_LOWER:
      EditCreds(t, [bit](Credentials& e) { e.ambient &= ~bit; });
      return uint64_t{0};
    default: return kEINVAL;
  }
}

ErrorOr<uint64_t> SetSecurebits(Task& t, uint64_t bits) {
  const Credentials& c = t.creds();
  constexpr uint64_t kAllBits = 0xff, kLocks = 0xaa;
  uint64_t old = c.securebits;
  bool locked_changes = ((old & kLocks) >> 1) & (old ^ bits);
  bool unlocks = (old & kLocks) & ~bits;
  if ((bits & ~kAllBits) || locked_changes || unlocks || !c.Has(abi::kCAP_SETPCAP)) return kEPERM;
  EditCreds(t, [bits](Credentials& e) { e.securebits = static_cast<uint32_t>(bits); });
  return uint64_t{0};
}

ErrorOr<uint64_t> SetKeepCaps(Task& t, uint64_t on) {
  if (on > 1) return kEINVAL;
  if (t.creds().securebits & abi::kSECBIT_KEEP_CAPS_LOCKED) return kEPERM;
  EditCreds(t, [on](Credentials& c) {
    c.securebits = on ? c.securebits | abi::kSECBIT_KEEP_CAPS : c.securebits & ~abi::kSECBIT_KEEP_CAPS;
  });
  return uint64_t{0};
}

ErrorOr<uint64_t> SetDeathSignal(Task& t, uint64_t signo) {
  if (signo > abi::kNSIG) return kEINVAL;
  t.parent_death_signal = static_cast<int>(signo);
  return uint64_t{0};
}

ErrorOr<uint64_t> SetDumpable(Task& t, uint64_t value) {
  if (value > 1) return kEINVAL;
  t.mm().dumpable = static_cast<int>(value);
  return uint64_t{0};
}

ErrorOr<uint64_t> SetSubreaper(Task& t, uint64_t on) {
  MutexLock lock(t.kernel().tasks_lock);
  t.group().child_subreaper = on != 0;
  return uint64_t{0};
}

ErrorOr<uint64_t> SetNoNewPrivs(Task& t, uint64_t on, bool rest_zero) {
  if (on != 1 || !rest_zero) return kEINVAL;
  t.no_new_privs = true;
  return uint64_t{0};
}

// Strict mode; filters are refused as by a kernel without CONFIG_SECCOMP_FILTER.
ErrorOr<uint64_t> SetSeccomp(Task& t, uint64_t mode) {
  if (mode != abi::kSECCOMP_MODE_STRICT) return kEINVAL;
  t.seccomp_strict = true;
  return uint64_t{0};
}

ErrorOr<uint64_t> WriteInt(Task& t, UserAddr out, int value) {
  TRY(t.mm().Write<int>(out, value));
  return uint64_t{0};
}

ErrorOr<uint64_t> SysPrctl(Task& t, int option, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5) {
  bool rest_zero = !a3 && !a4 && !a5;
  switch (option) {
    case abi::kPR_SET_NAME: return SetName(t, a2);
    case abi::kPR_GET_NAME: return GetName(t, a2);
    case abi::kPR_SET_PDEATHSIG: return SetDeathSignal(t, a2);
    case abi::kPR_GET_PDEATHSIG: return WriteInt(t, a2, t.parent_death_signal);
    case abi::kPR_SET_DUMPABLE: return SetDumpable(t, a2);
    case abi::kPR_GET_DUMPABLE: return static_cast<uint64_t>(t.mm().dumpable);
    case abi::kPR_SET_KEEPCAPS: return SetKeepCaps(t, a2);
    case abi::kPR_GET_KEEPCAPS: return (t.creds().securebits & abi::kSECBIT_KEEP_CAPS) ? uint64_t{1} : uint64_t{0};
    case abi::kPR_SET_SECUREBITS: return SetSecurebits(t, a2);
    case abi::kPR_GET_SECUREBITS: return uint64_t{t.creds().securebits};
    case abi::kPR_CAPBSET_READ:
      if (a2 > static_cast<uint64_t>(abi::kCAP_LAST_CAP)) return kEINVAL;
      return (t.creds().bounding >> a2) & 1;
    case abi::kPR_CAPBSET_DROP: return DropBounding(t, a2);
    case abi::kPR_CAP_AMBIENT: return Ambient(t, a2, a3, a4, a5);
    case abi::kPR_SET_NO_NEW_PRIVS: return SetNoNewPrivs(t, a2, rest_zero);
    case abi::kPR_GET_NO_NEW_PRIVS:
      if (a2 || !rest_zero) return kEINVAL;
      return t.no_new_privs ? uint64_t{1} : uint64_t{0};
    case abi::kPR_SET_CHILD_SUBREAPER: return SetSubreaper(t, a2);
    case abi::kPR_GET_CHILD_SUBREAPER: return WriteInt(t, a2, t.group().child_subreaper);
    case abi::kPR_SET_TIMERSLACK:
      t.timer_slack_ns = a2 ? a2 : 50'000;
      return uint64_t{0};
    case abi::kPR_GET_TIMERSLACK: return t.timer_slack_ns;
    case abi::kPR_GET_TID_ADDRESS:
      TRY(t.mm().Write<uint64_t>(a2, t.clear_child_tid));
      return uint64_t{0};
    case abi::kPR_GET_SECCOMP: return uint64_t{0};  // a task in strict mode dies of asking
    case abi::kPR_SET_SECCOMP: return SetSeccomp(t, a2);
    case abi::kPR_GET_TSC: return WriteInt(t, a2, abi::kPR_TSC_ENABLE);
    case abi::kPR_SET_TSC: return a2 == abi::kPR_TSC_ENABLE ? ErrorOr<uint64_t>(uint64_t{0}) : kEINVAL;
    case abi::kPR_GET_THP_DISABLE:
      if (a2 || !rest_zero) return kEINVAL;
      return t.thp_disabled ? uint64_t{1} : uint64_t{0};
    case abi::kPR_SET_THP_DISABLE:
      if (!rest_zero) return kEINVAL;
      t.thp_disabled = a2 != 0;
      return uint64_t{0};
    default: return kEINVAL;
  }
}

ErrorOr<void> SetBase(Task& t, uint64_t abi::UserRegs::*base, uint64_t value) {
  if (value >= t.mm().platform_info().task_size) return kEPERM;
  abi::UserRegs regs = t.GetRegs();
  regs.*base = value;
  t.SetRegs(regs);
  return {};
}

ErrorOr<void> SysArchPrctl(Task& t, int code, uint64_t addr) {
  switch (code) {
    case abi::kARCH_SET_FS: return SetBase(t, &abi::UserRegs::fs_base, addr);
    case abi::kARCH_SET_GS: return SetBase(t, &abi::UserRegs::gs_base, addr);
    case abi::kARCH_GET_FS: return t.mm().Write(addr, t.GetRegs().fs_base);
    case abi::kARCH_GET_GS: return t.mm().Write(addr, t.GetRegs().gs_base);
    default: return kEINVAL;
  }
}

// Strict mode and nothing else, as a kernel without CONFIG_SECCOMP_FILTER.
ErrorOr<uint64_t> SysSeccomp(Task& t, uint32_t operation, uint32_t flags, UserAddr args) {
  if (operation != abi::kSECCOMP_SET_MODE_STRICT || flags || args) return kEINVAL;
  return SetSeccomp(t, abi::kSECCOMP_MODE_STRICT);
}

constexpr SyscallRow kRows[] = {
    CALL_PARTIAL(prctl, SysPrctl, "int hex hex hex hex", "no PR_SET_MM, PR_SET_VMA, seccomp filters, speculation and core scheduling controls"),
    CALL_PARTIAL(seccomp, SysSeccomp, "uint hex ptr", "strict mode only; filters: EINVAL, as without CONFIG_SECCOMP_FILTER"),
    CALL_PARTIAL(arch_prctl, SysArchPrctl, "hex hex", "FS and GS bases"),
};

}  // namespace

const SyscallFamily kPrctlCalls = {"process controls", kRows};

}  // namespace moat
