// System V semaphores: semget, semop, semtimedop, semctl and SEM_UNDO.
#include <sys/ipc.h>
#include <sys/sem.h>

#include <vector>

#include "tests/util/memory.h"
#include "tests/util/process.h"
#include "tests/util/signals.h"

namespace moat::test {
namespace {

union SemArg {
  int val;
  semid_ds* buf;
  unsigned short* array;
  seminfo* info;
};

class Semaphores {
 public:
  explicit Semaphores(int count, int flags = IPC_CREAT | 0600, key_t key = IPC_PRIVATE)
      : id_(semget(key, count, flags)) {
    EXPECT_THAT(id_, SyscallSucceeds());
  }
  ~Semaphores() { Remove(); }
  int id() const { return id_; }
  int Remove() { return semctl(id_, 0, IPC_RMID); }
  int Value(int index = 0) const { return semctl(id_, index, GETVAL); }
  int Set(int value, int index = 0) const { return semctl(id_, index, SETVAL, SemArg{.val = value}); }
  int Op(std::vector<sembuf> ops) const { return semop(id_, ops.data(), ops.size()); }

 private:
  int id_;
};

sembuf Op(unsigned short index, short change, short flags = 0) { return {index, change, flags}; }
key_t UnusedKey() { return 0x4d530000 ^ getpid(); }

TEST(SemTest, StartAtZeroAndCanBeSet) {
  Semaphores sem(3);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(sem.Value(i), 0);
  EXPECT_THAT(sem.Set(7, 1), SyscallSucceeds());
  EXPECT_EQ(sem.Value(1), 7);
  EXPECT_EQ(sem.Value(2), 0);
}

TEST(SemTest, GetErrors) {
  EXPECT_THAT(semget(IPC_PRIVATE, 0, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semget(IPC_PRIVATE, -1, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semget(UnusedKey(), 1, 0), SyscallFailsWithErrno(ENOENT));
  Semaphores sem(2, IPC_CREAT | IPC_EXCL | 0600, UnusedKey());
  EXPECT_THAT(semget(UnusedKey(), 2, IPC_CREAT | IPC_EXCL), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(semget(UnusedKey(), 3, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semget(UnusedKey(), 0, 0), SyscallSucceedsWithValue(sem.id()));
}

TEST(SemTest, OperationsAddAndSubtract) {
  Semaphores sem(1);
  EXPECT_THAT(sem.Op({Op(0, 5)}), SyscallSucceeds());
  EXPECT_THAT(sem.Op({Op(0, -3)}), SyscallSucceeds());
  EXPECT_EQ(sem.Value(), 2);
  EXPECT_EQ(semctl(sem.id(), 0, GETPID), getpid());
}

TEST(SemTest, NowaitIsEagain) {
  Semaphores sem(1);
  EXPECT_THAT(sem.Op({Op(0, -1, IPC_NOWAIT)}), SyscallFailsWithErrno(EAGAIN));
  sem.Set(1);
  EXPECT_THAT(sem.Op({Op(0, 0, IPC_NOWAIT)}), SyscallFailsWithErrno(EAGAIN));
}

TEST(SemTest, AllOperationsHappenOrNone) {
  Semaphores sem(2);
  sem.Set(3, 0);
  EXPECT_THAT(sem.Op({Op(0, -2), Op(1, -1, IPC_NOWAIT)}), SyscallFailsWithErrno(EAGAIN));
  EXPECT_EQ(sem.Value(0), 3);
  EXPECT_THAT(sem.Op({Op(0, -2), Op(1, 4), Op(1, -1)}), SyscallSucceeds());
  EXPECT_EQ(sem.Value(0), 1);
  EXPECT_EQ(sem.Value(1), 3);
}

TEST(SemTest, WaiterIsWokenWhenItsOperationsFit) {
  Semaphores sem(1);
  ScopedChild child([&]() -> int { return sem.Op({Op(0, -2)}); });
  EXPECT_TRUE(Eventually([&] { return semctl(sem.id(), 0, GETNCNT) == 1; }));
  sem.Op({Op(0, 1)});
  EXPECT_EQ(sem.Value(), 1);
  sem.Op({Op(0, 1)});
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_EQ(sem.Value(), 0);
  EXPECT_EQ(semctl(sem.id(), 0, GETNCNT), 0);
}

TEST(SemTest, WaiterForZeroIsWoken) {
  Semaphores sem(1);
  sem.Set(2);
  ScopedChild child([&]() -> int { return sem.Op({Op(0, 0)}); });
  EXPECT_TRUE(Eventually([&] { return semctl(sem.id(), 0, GETZCNT) == 1; }));
  sem.Op({Op(0, -2)});
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(SemTest, SetvalWakesToo) {
  Semaphores sem(1);
  ScopedChild child([&]() -> int { return sem.Op({Op(0, -4)}); });
  EXPECT_TRUE(Eventually([&] { return semctl(sem.id(), 0, GETNCNT) == 1; }));
  sem.Set(4);
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(SemTest, RemovalWakesWaitersWithEidrm) {
  Semaphores sem(1);
  ScopedChild child([&]() -> int { return sem.Op({Op(0, -1)}) == -1 && errno == EIDRM ? 0 : 1; });
  EXPECT_TRUE(Eventually([&] { return semctl(sem.id(), 0, GETNCNT) == 1; }));
  EXPECT_THAT(sem.Remove(), SyscallSucceeds());
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_THAT(sem.Op({Op(0, 1)}), SyscallFailsWithErrno(EINVAL));
}

TEST(SemTest, HandlerInterruptsEvenUnderRestart) {
  Semaphores sem(1);
  SignalCounter counter(SIGUSR1, SA_RESTART);
  Nudger nudger(SIGUSR1);
  EXPECT_THAT(sem.Op({Op(0, -1)}), SyscallFailsWithErrno(EINTR));
}

TEST(SemTest, TimeoutIsEagain) {
  Semaphores sem(1);
  sembuf op = Op(0, -1);
  timespec timeout = {0, 10000000};
  const long start = MonotonicNs();
  EXPECT_THAT(semtimedop(sem.id(), &op, 1, &timeout), SyscallFailsWithErrno(EAGAIN));
  EXPECT_GE(MonotonicNs() - start, 10000000);
  timeout = {0, -1};
  EXPECT_THAT(semtimedop(sem.id(), &op, 1, &timeout), SyscallFailsWithErrno(EINVAL));
}

TEST(SemTest, OperationErrors) {
  Semaphores sem(1);
  sembuf op = Op(0, 1);
  EXPECT_THAT(semop(sem.id(), &op, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semop(-1, &op, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semop(sem.id(), BadPointer<sembuf>(), 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(sem.Op({Op(1, 1)}), SyscallFailsWithErrno(EFBIG));
  EXPECT_THAT(semop(sem.id(), &op, 100000), SyscallFailsWithErrno(E2BIG));
}

TEST(SemTest, ValuesAboveTheMaximumAreErange) {
  Semaphores sem(1);
  EXPECT_THAT(sem.Set(32768), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(sem.Set(-1), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(sem.Set(32767), SyscallSucceeds());
  EXPECT_THAT(sem.Op({Op(0, 1)}), SyscallFailsWithErrno(ERANGE));
}

TEST(SemTest, AllValuesAtOnce) {
  Semaphores sem(3);
  unsigned short values[] = {4, 5, 6};
  EXPECT_THAT(semctl(sem.id(), 0, SETALL, SemArg{.array = values}), SyscallSucceeds());
  unsigned short got[3] = {};
  EXPECT_THAT(semctl(sem.id(), 0, GETALL, SemArg{.array = got}), SyscallSucceeds());
  EXPECT_EQ(got[0], 4);
  EXPECT_EQ(got[2], 6);
}

TEST(SemTest, StatDescribesTheSet) {
  Semaphores sem(5, IPC_CREAT | 0620);
  semid_ds ds = {};
  ASSERT_THAT(semctl(sem.id(), 0, IPC_STAT, SemArg{.buf = &ds}), SyscallSucceeds());
  EXPECT_EQ(ds.sem_nsems, 5u);
  EXPECT_EQ(ds.sem_perm.mode & 0777, 0620);
  EXPECT_EQ(ds.sem_otime, 0);
  sem.Op({Op(0, 1)});
  ASSERT_THAT(semctl(sem.id(), 0, IPC_STAT, SemArg{.buf = &ds}), SyscallSucceeds());
  EXPECT_NE(ds.sem_otime, 0);
}

TEST(SemTest, ControlErrors) {
  Semaphores sem(1);
  EXPECT_THAT(semctl(sem.id(), 1, GETVAL), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semctl(sem.id(), -1, GETVAL), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semctl(sem.id(), 0, 9999), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(semctl(sem.id(), 0, IPC_STAT, SemArg{.buf = BadPointer<semid_ds>()}),
              SyscallFailsWithErrno(EFAULT));
}

TEST(SemTest, UndoRevertsAtExit) {
  Semaphores sem(1);
  sem.Set(5);
  EXPECT_THAT(RunInChild([&] {
                EXPECT_THAT(sem.Op({Op(0, -3, SEM_UNDO)}), SyscallSucceeds());
                EXPECT_THAT(sem.Op({Op(0, 1)}), SyscallSucceeds());
                EXPECT_EQ(sem.Value(), 3);
              }),
              ExitedWith(0));
  EXPECT_EQ(sem.Value(), 6);
}

TEST(SemTest, UndoOfAKilledProcessReleasesAWaiter) {
  Semaphores sem(1);
  sem.Set(1);
  Gate taken;
  ScopedChild holder([&]() -> int {
    sem.Op({Op(0, -1, SEM_UNDO)});
    taken.Open();
    for (;;) pause();
  });
  taken.Wait();
  ScopedChild waiter([&]() -> int { return sem.Op({Op(0, -1)}); });
  EXPECT_TRUE(Eventually([&] { return semctl(sem.id(), 0, GETNCNT) == 1; }));
  kill(holder.pid(), SIGKILL);
  EXPECT_THAT(waiter.Wait(), ExitedWith(0));
}

TEST(SemTest, SetvalClearsUndo) {
  Semaphores sem(1);
  EXPECT_THAT(RunInChild([&] {
                sem.Op({Op(0, 4, SEM_UNDO)});
                sem.Set(9);
              }),
              ExitedWith(0));
  EXPECT_EQ(sem.Value(), 9);
}

TEST(SemTest, ModeIsCheckedForOthers) {
  SKIP_IF_NOT_ROOT();
  Semaphores hidden(1, IPC_CREAT | 0600), readable(1, IPC_CREAT | 0604);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(hidden.Value(), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(hidden.Op({Op(0, 1)}), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(hidden.Remove(), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(readable.Value(), SyscallSucceedsWithValue(0));
                EXPECT_THAT(readable.Op({Op(0, 0)}), SyscallSucceeds());
                EXPECT_THAT(readable.Op({Op(0, 1)}), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
