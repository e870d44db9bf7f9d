// Capabilities: capget, capset, the bounding and ambient sets, securebits, and their way through setuid and
// exec.
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "tests/util/fd.h"
#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

struct Caps {
  uint64_t effective = 0, permitted = 0, inheritable = 0;
};
constexpr uint64_t Bit(int cap) { return 1ull << cap; }

long RawCapget(uint32_t version, pid_t pid, __user_cap_data_struct* data) {
  __user_cap_header_struct header = {version, pid};
  return syscall(SYS_capget, &header, data);
}

Caps Get(pid_t pid = 0) {
  __user_cap_data_struct data[2] = {};
  EXPECT_THAT(RawCapget(_LINUX_CAPABILITY_VERSION_3, pid, data), SyscallSucceeds());
  auto join = [](uint32_t low, uint32_t high) { return low | static_cast<uint64_t>(high) << 32; };
  return {join(data[0].effective, data[1].effective), join(data[0].permitted, data[1].permitted),
          join(data[0].inheritable, data[1].inheritable)};
}

long Set(const Caps& caps, pid_t pid = 0) {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, pid};
  __user_cap_data_struct data[2];
  for (int i = 0; i < 2; ++i) {
    data[i] = {static_cast<uint32_t>(caps.effective >> (32 * i)),
               static_cast<uint32_t>(caps.permitted >> (32 * i)),
               static_cast<uint32_t>(caps.inheritable >> (32 * i))};
  }
  return syscall(SYS_capset, &header, data);
}

// Prints effective, permitted, inheritable and ambient sets as the low 20 bits in hexadecimal.
MOAT_TEST_ROLE(PrintCaps) {
  const Caps caps = Get();
  const std::string ambient = StatusField(getpid(), "CapAmb");
  dprintf(1, "%lx %lx %lx %lx", caps.effective & 0xfffff, caps.permitted & 0xfffff,
          caps.inheritable & 0xfffff, strtoul(ambient.c_str(), nullptr, 16) & 0xfffff);
  return 0;
}

// What PrintCaps says after `prepare` and an exec, in a child.
template <typename Prepare>
std::string CapsAfterExec(Prepare&& prepare) {
  int fds[2];
  EXPECT_THAT(pipe2(fds, O_CLOEXEC), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&]() -> int {
                prepare();
                dup2(fds[1], 1);
                ExecRole("PrintCaps", {"x"});
                return 127;
              }),
              ExitedWith(0));
  close(fds[1]);
  char text[128] = {};
  EXPECT_GT(read(fds[0], text, sizeof(text) - 1), 0);
  close(fds[0]);
  return text;
}

class CapabilityTest : public testing::Test {
 protected:
  void SetUp() override {
    SKIP_IF_NOT_ROOT();
    constexpr uint64_t kNeeded =
        Bit(CAP_SETUID) | Bit(CAP_SETGID) | Bit(CAP_SETPCAP) | Bit(CAP_CHOWN) | Bit(CAP_KILL);
    if ((Get().permitted & kNeeded) != kNeeded) GTEST_SKIP() << "needs the usual capabilities of root";
  }
};

TEST_F(CapabilityTest, StatusShowsTheSameSets) {
  const Caps caps = Get();
  EXPECT_EQ(strtoull(StatusField(getpid(), "CapEff").c_str(), nullptr, 16), caps.effective);
  EXPECT_EQ(strtoull(StatusField(getpid(), "CapPrm").c_str(), nullptr, 16), caps.permitted);
  EXPECT_EQ(strtoull(StatusField(getpid(), "CapInh").c_str(), nullptr, 16), caps.inheritable);
}

TEST_F(CapabilityTest, UnknownVersionReportsThePreferredOne) {
  __user_cap_header_struct header = {0x12345678, 0};
  EXPECT_THAT(syscall(SYS_capget, &header, nullptr), SyscallSucceeds());  // a probe
  EXPECT_EQ(header.version, static_cast<uint32_t>(_LINUX_CAPABILITY_VERSION_3));
  __user_cap_data_struct data[2];
  header.version = 0x12345678;
  EXPECT_THAT(syscall(SYS_capget, &header, data), SyscallFailsWithErrno(EINVAL));
}

TEST_F(CapabilityTest, GetErrors) {
  __user_cap_data_struct data[2];
  EXPECT_THAT(RawCapget(_LINUX_CAPABILITY_VERSION_3, -1, data), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(RawCapget(_LINUX_CAPABILITY_VERSION_3, 0x3ffffff, data), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(syscall(SYS_capget, BadPointer(), data), SyscallFailsWithErrno(EFAULT));
}

TEST_F(CapabilityTest, OtherProcessesCanBeReadButNotChanged) {
  ScopedChild child([]() -> int {
    for (;;) pause();
  });
  const Caps caps = Get(child.pid());
  EXPECT_EQ(caps.permitted, Get().permitted);
  EXPECT_THAT(Set(caps, child.pid()), SyscallFailsWithErrno(EPERM));
}

TEST_F(CapabilityTest, DroppedPermittedCapabilityCannotBeRegained) {
  EXPECT_THAT(RunInChild([] {
                const Caps all = Get();
                Caps less = all;
                less.permitted &= ~Bit(CAP_KILL);
                less.effective &= ~Bit(CAP_KILL);
                ASSERT_THAT(Set(less), SyscallSucceeds());
                EXPECT_THAT(Set(all), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, EffectiveMustBeWithinPermitted) {
  EXPECT_THAT(RunInChild([] {
                Caps caps = Get();
                caps.permitted &= ~Bit(CAP_KILL);
                EXPECT_THAT(Set(caps), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, EffectiveCanBeDroppedAndRaised) {
  EXPECT_THAT(RunInChild([] {
                Caps caps = Get();
                caps.effective &= ~Bit(CAP_SETUID);
                ASSERT_THAT(Set(caps), SyscallSucceeds());
                EXPECT_THAT(syscall(SYS_setuid, 1000), SyscallFailsWithErrno(EPERM));
                caps.effective |= Bit(CAP_SETUID);
                ASSERT_THAT(Set(caps), SyscallSucceeds());
                EXPECT_THAT(syscall(SYS_setuid, 1000), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, LeavingRootClearsThem) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(syscall(SYS_setresuid, 1000, 1000, 1000), SyscallSucceeds());
                EXPECT_EQ(Get().permitted, 0u);
                EXPECT_EQ(Get().effective, 0u);
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, EffectiveUserChangeTogglesTheEffectiveSetOnly) {
  EXPECT_THAT(RunInChild([] {
                const Caps all = Get();
                ASSERT_THAT(syscall(SYS_setresuid, -1, 1000, -1), SyscallSucceeds());
                EXPECT_EQ(Get().effective, 0u);
                EXPECT_EQ(Get().permitted, all.permitted);
                ASSERT_THAT(syscall(SYS_setresuid, -1, 0, -1), SyscallSucceeds());
                EXPECT_EQ(Get().effective, all.permitted);
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, KeepcapsKeepsThePermittedSet) {
  EXPECT_THAT(RunInChild([] {
                const Caps all = Get();
                EXPECT_EQ(prctl(PR_GET_KEEPCAPS), 0);
                ASSERT_THAT(prctl(PR_SET_KEEPCAPS, 1), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_GET_KEEPCAPS), 1);
                EXPECT_THAT(prctl(PR_SET_KEEPCAPS, 2), SyscallFailsWithErrno(EINVAL));
                ASSERT_THAT(syscall(SYS_setresuid, 1000, 1000, 1000), SyscallSucceeds());
                EXPECT_EQ(Get().permitted, all.permitted);
                EXPECT_EQ(Get().effective, 0u);
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, BoundingSetCanOnlyShrink) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_KILL), 1);
                ASSERT_THAT(prctl(PR_CAPBSET_DROP, CAP_KILL), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_CAPBSET_READ, CAP_KILL), 0);
                EXPECT_NE(Get().permitted & Bit(CAP_KILL), 0u);  // only exec consults it
              }),
              ExitedWith(0));
  EXPECT_THAT(prctl(PR_CAPBSET_READ, 64), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(RunAsUser([] { EXPECT_THAT(prctl(PR_CAPBSET_DROP, CAP_KILL), SyscallFailsWithErrno(EPERM)); }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, RootGetsTheBoundingSetOnExec) {
  const std::string text = CapsAfterExec([] { prctl(PR_CAPBSET_DROP, CAP_KILL); });
  uint64_t effective = 0;
  ASSERT_EQ(sscanf(text.c_str(), "%lx", &effective), 1);
  EXPECT_EQ(effective & Bit(CAP_KILL), 0u);
  EXPECT_NE(effective & Bit(CAP_CHOWN), 0u);
}

TEST_F(CapabilityTest, UserLosesThemOnExec) {
  EXPECT_EQ(CapsAfterExec([] {
              prctl(PR_SET_KEEPCAPS, 1);
              syscall(SYS_setresuid, 1000, 1000, 1000);
            }),
            "0 0 0 0");
}

TEST_F(CapabilityTest, AmbientCapabilitiesSurviveExec) {
  EXPECT_EQ(CapsAfterExec([] {
              prctl(PR_SET_KEEPCAPS, 1);
              syscall(SYS_setresuid, 1000, 1000, 1000);
              Caps caps = Get();
              caps.inheritable = Bit(CAP_KILL);
              Set(caps);
              prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0);
            }),
            "20 20 20 20");
}

TEST_F(CapabilityTest, AmbientNeedsPermittedAndInheritable) {
  EXPECT_THAT(RunInChild([] {
                EXPECT_THAT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0),
                            SyscallFailsWithErrno(EPERM));
                Caps caps = Get();
                caps.inheritable |= Bit(CAP_KILL);
                ASSERT_THAT(Set(caps), SyscallSucceeds());
                EXPECT_THAT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_KILL, 0, 0), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0), 1);
                caps.inheritable &= ~Bit(CAP_KILL);
                ASSERT_THAT(Set(caps), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_KILL, 0, 0),
                          0);  // dropped with it
                EXPECT_THAT(prctl(PR_CAP_AMBIENT, 9, CAP_KILL, 0, 0), SyscallFailsWithErrno(EINVAL));
                EXPECT_THAT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, SecurebitsNorootDisablesRootsMagic) {
  EXPECT_EQ(CapsAfterExec([] { prctl(PR_SET_SECUREBITS, SECBIT_NOROOT); }), "0 0 0 0");
}

TEST_F(CapabilityTest, SecurebitsNoSetuidFixupKeepsThem) {
  EXPECT_THAT(RunInChild([] {
                const Caps all = Get();
                ASSERT_THAT(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP), SyscallSucceeds());
                EXPECT_EQ(prctl(PR_GET_SECUREBITS), SECBIT_NO_SETUID_FIXUP);
                ASSERT_THAT(syscall(SYS_setresuid, 1000, 1000, 1000), SyscallSucceeds());
                EXPECT_EQ(Get().effective, all.effective);
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, LockedSecurebitsStay) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED),
                            SyscallSucceeds());
                EXPECT_THAT(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT_LOCKED), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(prctl(PR_SET_SECUREBITS, 0), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, ChownNeedsItsCapability) {
  TempFile file("x");
  EXPECT_THAT(RunInChild([&] {
                Caps caps = Get();
                caps.effective &= ~Bit(CAP_CHOWN);
                ASSERT_THAT(Set(caps), SyscallSucceeds());
                EXPECT_THAT(chown(file.path().c_str(), 5, 5), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(CapabilityTest, PermissionChecksNeedDacOverride) {
  TempDir dir(0755);
  const std::string path = dir.CreateFile("f", "x", 0000);
  EXPECT_THAT(open(path.c_str(), O_RDWR), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&] {
                Caps caps = Get();
                caps.effective &= ~(Bit(CAP_DAC_OVERRIDE) | Bit(CAP_DAC_READ_SEARCH));
                ASSERT_THAT(Set(caps), SyscallSucceeds());
                EXPECT_THAT(open(path.c_str(), O_RDONLY), SyscallFailsWithErrno(EACCES));
                caps.effective |= Bit(CAP_DAC_READ_SEARCH);
                ASSERT_THAT(Set(caps), SyscallSucceeds());
                EXPECT_THAT(open(path.c_str(), O_RDONLY), SyscallSucceeds());
                EXPECT_THAT(open(path.c_str(), O_WRONLY), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
