// Scheduling: affinity, priorities, policies, yield and getcpu.
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <algorithm>
#include <set>

#include "tests/util/memory.h"
#include "tests/util/process.h"

namespace moat::test {
namespace {

cpu_set_t Affinity(pid_t pid = 0) {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_THAT(sched_getaffinity(pid, sizeof(set), &set), SyscallSucceeds());
  return set;
}

int FirstCpu(const cpu_set_t& set) {
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) return cpu;
  }
  return -1;
}

TEST(AffinityTest, HasAtLeastOneCpuAndReturnsTheMasksSize) {
  unsigned long mask[128] = {};
  const long size = syscall(SYS_sched_getaffinity, 0, sizeof(mask), mask);
  ASSERT_THAT(size, SyscallSucceeds());
  EXPECT_GE(size, 8);
  EXPECT_EQ(size % 8, 0);
  EXPECT_TRUE(std::any_of(mask, mask + 128, [](unsigned long word) { return word != 0; }));
}

TEST(AffinityTest, CanBeNarrowedAndIsInherited) {
  EXPECT_THAT(RunInChild([] {
                const int cpu = FirstCpu(Affinity());
                cpu_set_t one;
                CPU_ZERO(&one);
                CPU_SET(cpu, &one);
                ASSERT_THAT(sched_setaffinity(0, sizeof(one), &one), SyscallSucceeds());
                const cpu_set_t now = Affinity();
                EXPECT_TRUE(CPU_EQUAL(&one, &now));
                EXPECT_THAT(RunInChild([&] {
                              const cpu_set_t inherited = Affinity();
                              EXPECT_TRUE(CPU_EQUAL(&one, &inherited));
                            }),
                            ExitedWith(0));
                EXPECT_EQ(StatusField(getpid(), "Cpus_allowed_list"), std::to_string(cpu));
              }),
              ExitedWith(0));
}

TEST(AffinityTest, IsPerThread) {
  EXPECT_THAT(RunInChild([] {
                const cpu_set_t before = Affinity();
                {
                  ScopedThread thread([&] {
                    cpu_set_t one;
                    CPU_ZERO(&one);
                    CPU_SET(FirstCpu(before), &one);
                    EXPECT_THAT(sched_setaffinity(0, sizeof(one), &one), SyscallSucceeds());
                  });
                }
                const cpu_set_t after = Affinity();
                EXPECT_TRUE(CPU_EQUAL(&before, &after));
              }),
              ExitedWith(0));
}

TEST(AffinityTest, BadArguments) {
  cpu_set_t set;
  CPU_ZERO(&set);
  EXPECT_THAT(sched_setaffinity(0, sizeof(set), &set), SyscallFailsWithErrno(EINVAL));  // no CPU
  EXPECT_THAT(syscall(SYS_sched_getaffinity, 0, 1, &set), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sched_getaffinity, 0, 12, &set), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sched_getaffinity(0x3ffffff, sizeof(set), &set), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(syscall(SYS_sched_getaffinity, 0, sizeof(set), BadPointer()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_sched_setaffinity, 0, sizeof(set), BadPointer()), SyscallFailsWithErrno(EFAULT));
}

TEST(AffinityTest, AnotherUsersProcessIsEperm) {
  SKIP_IF_NOT_ROOT();
  const cpu_set_t set = Affinity();
  const pid_t target = getpid();
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(sched_setaffinity(target, sizeof(set), &set), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(GetcpuTest, CpuIsWithinTheAffinityMask) {
  unsigned cpu = 9999, node = 9999;
  ASSERT_THAT(syscall(SYS_getcpu, &cpu, &node, nullptr), SyscallSucceeds());
  const cpu_set_t set = Affinity();
  EXPECT_TRUE(CPU_ISSET(cpu, &set));
  EXPECT_LT(node, 1024u);
  EXPECT_THAT(syscall(SYS_getcpu, nullptr, nullptr, nullptr), SyscallSucceeds());
  EXPECT_THAT(syscall(SYS_getcpu, BadPointer(), nullptr, nullptr), SyscallFailsWithErrno(EFAULT));
}

TEST(YieldTest, Succeeds) {
  for (int i = 0; i < 100; ++i) ASSERT_THAT(sched_yield(), SyscallSucceeds());
}

TEST(PriorityTest, NicenessIsSetReadAndInherited) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpriority(PRIO_PROCESS, 0, 7), SyscallSucceeds());
                errno = 0;
                EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 7);
                EXPECT_EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0),
                          20 - 7);  // the raw call returns 40 - (nice + 20)
                EXPECT_THAT(RunInChild([]() -> int { return getpriority(PRIO_PROCESS, 0); }), ExitedWith(7));
              }),
              ExitedWith(0));
}

TEST(PriorityTest, ValuesAreClamped) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpriority(PRIO_PROCESS, 0, 1000), SyscallSucceeds());
                EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 19);
              }),
              ExitedWith(0));
}

TEST(PriorityTest, UsersCannotRaiseIt) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                const rlimit none = {0, 0};
                ASSERT_THAT(setrlimit(RLIMIT_NICE, &none), SyscallSucceeds());
                ASSERT_THAT(setpriority(PRIO_PROCESS, 0, 5), SyscallSucceeds());
                EXPECT_THAT(setpriority(PRIO_PROCESS, 0, 4), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(setpriority(PRIO_PROCESS, getppid(), 5), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST(PriorityTest, GroupTakesTheLowestNice) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpgid(0, 0), SyscallSucceeds());
                ASSERT_THAT(setpriority(PRIO_PROCESS, 0, 3), SyscallSucceeds());
                Gate ready;
                ScopedChild child([&]() -> int {
                  setpriority(PRIO_PROCESS, 0, 9);
                  ready.Open();
                  for (;;) pause();
                });
                ready.Wait();
                EXPECT_EQ(getpriority(PRIO_PGRP, 0), 3);
                ASSERT_THAT(setpriority(PRIO_PGRP, 0, 12), SyscallSucceeds());
                EXPECT_EQ(getpriority(PRIO_PROCESS, child.pid()), 12);
              }),
              ExitedWith(0));
}

TEST(PriorityTest, BadArguments) {
  EXPECT_THAT(syscall(SYS_getpriority, 3, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_setpriority, -1, 0, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_getpriority, PRIO_PROCESS, 0x3ffffff), SyscallFailsWithErrno(ESRCH));
}

TEST(SchedulerTest, DefaultPolicyIsOther) {
  EXPECT_THAT(sched_getscheduler(0), SyscallSucceedsWithValue(SCHED_OTHER));
  sched_param param = {.sched_priority = 9};
  ASSERT_THAT(sched_getparam(0, &param), SyscallSucceeds());
  EXPECT_EQ(param.sched_priority, 0);
}

TEST(SchedulerTest, BatchAndIdleCanBeChosen) {
  EXPECT_THAT(RunInChild([] {
                const sched_param param = {.sched_priority = 0};
                ASSERT_THAT(sched_setscheduler(0, SCHED_BATCH, &param), SyscallSucceeds());
                EXPECT_EQ(sched_getscheduler(0), SCHED_BATCH);
                EXPECT_THAT(RunInChild([]() -> int { return sched_getscheduler(0); }),
                            ExitedWith(SCHED_BATCH));
                ASSERT_THAT(sched_setscheduler(0, SCHED_IDLE, &param), SyscallSucceeds());
                EXPECT_EQ(sched_getscheduler(0), SCHED_IDLE);
              }),
              ExitedWith(0));
}

TEST(SchedulerTest, PriorityRanges) {
  EXPECT_EQ(sched_get_priority_min(SCHED_FIFO), 1);
  EXPECT_EQ(sched_get_priority_max(SCHED_FIFO), 99);
  EXPECT_EQ(sched_get_priority_min(SCHED_RR), 1);
  EXPECT_EQ(sched_get_priority_max(SCHED_RR), 99);
  EXPECT_EQ(sched_get_priority_min(SCHED_OTHER), 0);
  EXPECT_EQ(sched_get_priority_max(SCHED_OTHER), 0);
  EXPECT_THAT(sched_get_priority_max(77), SyscallFailsWithErrno(EINVAL));
}

TEST(SchedulerTest, BadArguments) {
  sched_param param = {.sched_priority = 5};
  EXPECT_THAT(sched_setscheduler(0, SCHED_OTHER, &param), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sched_setscheduler(0, 77, &param), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sched_setscheduler(-1, SCHED_OTHER, &param), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sched_getscheduler(0x3ffffff), SyscallFailsWithErrno(ESRCH));
  EXPECT_THAT(sched_getscheduler(-1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sched_setscheduler, 0, SCHED_OTHER, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sched_getparam, 0, nullptr), SyscallFailsWithErrno(EINVAL));
  param.sched_priority = 0;
  EXPECT_THAT(sched_setscheduler(0, SCHED_FIFO, &param), SyscallFailsWithErrno(EINVAL));
}

TEST(SchedulerTest, RealTimePoliciesNeedPrivilege) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                const rlimit none = {0, 0};
                ASSERT_THAT(setrlimit(RLIMIT_RTPRIO, &none), SyscallSucceeds());
                const sched_param param = {.sched_priority = 1};
                EXPECT_THAT(sched_setscheduler(0, SCHED_FIFO, &param), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

// sched_attr of the extended calls, which this libc does not declare.
struct SchedAttr {
  uint32_t size, policy;
  uint64_t flags;
  int32_t nice;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};

TEST(SchedAttrTest, ReadsPolicyAndNiceness) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(setpriority(PRIO_PROCESS, 0, 4), SyscallSucceeds());
                SchedAttr attr = {};
                ASSERT_THAT(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 0), SyscallSucceeds());
                EXPECT_EQ(attr.policy, static_cast<uint32_t>(SCHED_OTHER));
                EXPECT_EQ(attr.nice, 4);
                attr.size = sizeof(attr);
                attr.nice = 6;
                EXPECT_THAT(syscall(SYS_sched_setattr, 0, &attr, 0), SyscallSucceeds());
                EXPECT_EQ(getpriority(PRIO_PROCESS, 0), 6);
              }),
              ExitedWith(0));
}

TEST(SchedAttrTest, BadArguments) {
  SchedAttr attr = {};
  EXPECT_THAT(syscall(SYS_sched_getattr, 0, &attr, 4, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sched_getattr, 0, nullptr, sizeof(attr), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_sched_getattr, 0, &attr, sizeof(attr), 1), SyscallFailsWithErrno(EINVAL));
  attr.size = sizeof(attr);
  EXPECT_THAT(syscall(SYS_sched_setattr, 0, &attr, 1), SyscallFailsWithErrno(EINVAL));
  attr.size = 8;
  EXPECT_THAT(syscall(SYS_sched_setattr, 0, &attr, 0), SyscallFailsWithErrno(E2BIG));
}

TEST(SchedulerTest, RoundRobinIntervalCanBeRead) {
  timespec interval = {-1, -1};
  EXPECT_THAT(sched_rr_get_interval(0, &interval), SyscallSucceeds());
  EXPECT_GE(interval.tv_sec, 0);
  EXPECT_THAT(sched_rr_get_interval(-1, &interval), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
