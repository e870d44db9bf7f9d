// Locks of files: fcntl(2) record locks of processes (POSIX) and of open file descriptions (OFD), flock(2).
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/record_lock.h"
#include "tests/util/signals.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

int Set(int fd, short type, off_t start, off_t len, int cmd = F_SETLK) {
  struct flock lock = RecordLock(type, start, len);
  return fcntl(fd, cmd, &lock);
}

// What F_GETLK says of [start, start+len) to another process: "free", or e.g. "W[0,10)" or "R[5,end)".
std::string SeenByChild(const TempFile& file, short type, off_t start, off_t len) {
  Pipe pipe;
  const int status = RunInChild([&] {
    FileDescriptor fd = file.Open();
    struct flock lock = RecordLock(type, start, len);
    ASSERT_THAT(fcntl(fd.get(), F_GETLK, &lock), SyscallSucceeds());
    std::string text = "free";
    if (lock.l_type != F_UNLCK) {
      EXPECT_EQ(lock.l_pid, getppid());
      EXPECT_EQ(lock.l_whence, SEEK_SET);
      text = std::string(lock.l_type == F_WRLCK ? "W" : "R") + "[" + std::to_string(lock.l_start) + "," +
             (lock.l_len ? std::to_string(lock.l_start + lock.l_len) : "end") + ")";
    }
    WriteAll(pipe.writer.get(), text);
  });
  EXPECT_THAT(status, ExitedWith(0));
  pipe.writer.Reset();
  return ReadAll(pipe.reader.get());
}

TEST(RecordLock, WriteLockExcludesOtherProcesses) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 5), SyscallSucceeds());
  EXPECT_THAT(
      RunInChild([&] {
        FileDescriptor other = file.Open();
        EXPECT_THAT(Set(other.get(), F_WRLCK, 4, 1), SyscallFailsWithErrno(testing::AnyOf(EAGAIN, EACCES)));
        EXPECT_THAT(Set(other.get(), F_RDLCK, 0, 1), SyscallFailsWithErrno(testing::AnyOf(EAGAIN, EACCES)));
        EXPECT_THAT(Set(other.get(), F_WRLCK, 5, 1), SyscallSucceeds());
      }),
      ExitedWith(0));
}

TEST(RecordLock, ReadLocksShare) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_RDLCK, 0, 0), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&] {
                FileDescriptor other = file.Open();
                EXPECT_THAT(Set(other.get(), F_RDLCK, 3, 4), SyscallSucceeds());
                EXPECT_THAT(Set(other.get(), F_WRLCK, 3, 4), SyscallFailsWithErrno(EAGAIN));
              }),
              ExitedWith(0));
}

TEST(RecordLock, OneProcessNeverConflictsWithItself) {
  TempFile file;
  FileDescriptor a = file.Open(), b = file.Open();
  ASSERT_THAT(Set(a.get(), F_WRLCK, 0, 10), SyscallSucceeds());
  EXPECT_THAT(Set(b.get(), F_WRLCK, 0, 10), SyscallSucceeds());
  struct flock lock = RecordLock(F_WRLCK, 0, 10);
  ASSERT_THAT(fcntl(b.get(), F_GETLK, &lock), SyscallSucceeds());
  EXPECT_EQ(lock.l_type, F_UNLCK);
}

TEST(RecordLock, GetlkReportsTheFirstConflict) {
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 10, 10), SyscallSucceeds());
  ASSERT_THAT(Set(fd.get(), F_RDLCK, 30, 0), SyscallSucceeds());
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 10), "free");
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 11), "W[10,20)");
  EXPECT_EQ(SeenByChild(file, F_RDLCK, 0, 0), "W[10,20)");
  EXPECT_EQ(SeenByChild(file, F_RDLCK, 20, 100), "free");
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 20, 100), "R[30,end)");
}

TEST(RecordLock, UnlockingTheMiddleSplits) {
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 100), SyscallSucceeds());
  ASSERT_THAT(Set(fd.get(), F_UNLCK, 40, 20), SyscallSucceeds());
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 0), "W[0,40)");
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 40, 20), "free");
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 40, 0), "W[60,100)");
}

TEST(RecordLock, AdjacentLocksOfOneKindMerge) {
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 10), SyscallSucceeds());
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 20, 10), SyscallSucceeds());
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 10, 10), SyscallSucceeds());
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 0), "W[0,30)");
}

TEST(RecordLock, ChangingThePartsKindSplits) {
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 30), SyscallSucceeds());
  ASSERT_THAT(Set(fd.get(), F_RDLCK, 10, 10), SyscallSucceeds());
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 10, 10), "R[10,20)");
  EXPECT_EQ(SeenByChild(file, F_RDLCK, 10, 10), "free");
  EXPECT_EQ(SeenByChild(file, F_RDLCK, 5, 10), "W[0,10)");
  EXPECT_EQ(SeenByChild(file, F_RDLCK, 15, 10), "W[20,30)");
}

TEST(RecordLock, RangesCanBeRelativeAndNegative) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(lseek(fd.get(), 4, SEEK_SET), SyscallSucceeds());
  struct flock lock = RecordLock(F_WRLCK, 1, 2, SEEK_CUR);
  ASSERT_THAT(fcntl(fd.get(), F_SETLK, &lock), SyscallSucceeds());
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 0), "W[5,7)");
  ASSERT_THAT(Set(fd.get(), F_UNLCK, 0, 0), SyscallSucceeds());
  lock = RecordLock(F_WRLCK, 0, -3, SEEK_END);
  ASSERT_THAT(fcntl(fd.get(), F_SETLK, &lock), SyscallSucceeds());
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 0), "W[7,10)");
}

TEST(RecordLock, BadArguments) {
  TempFile file;
  FileDescriptor fd = file.Open();
  EXPECT_THAT(Set(fd.get(), F_WRLCK, -1, 5), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 2, -3), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Set(fd.get(), 7, 0, 1), SyscallFailsWithErrno(EINVAL));
  struct flock lock = RecordLock(F_WRLCK, 0, 1, 7);
  EXPECT_THAT(fcntl(fd.get(), F_SETLK, &lock), SyscallFailsWithErrno(EINVAL));
  lock = RecordLock(F_UNLCK, 0, 1);
  EXPECT_THAT(fcntl(fd.get(), F_GETLK, &lock), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fcntl(fd.get(), F_SETLK, BadPointer<struct flock>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(Set(-1, F_WRLCK, 0, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 0x7ffffffffffffff0, 0x7fffffff), SyscallFailsWithErrno(EOVERFLOW));
}

TEST(RecordLock, NeedsTheMatchingAccessMode) {
  TempFile file;
  FileDescriptor reader = file.Open(O_RDONLY), writer = file.Open(O_WRONLY);
  EXPECT_THAT(Set(reader.get(), F_WRLCK, 0, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(Set(reader.get(), F_RDLCK, 0, 1), SyscallSucceeds());
  EXPECT_THAT(Set(writer.get(), F_RDLCK, 0, 1), SyscallFailsWithErrno(EBADF));
}

TEST(RecordLock, ClosingAnyDescriptorOfTheFileReleases) {
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 10), SyscallSucceeds());
  file.Open().Reset();
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 0), "free");
}

TEST(RecordLock, IsNotInheritedByFork) {
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 10), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&] { EXPECT_THAT(Set(fd.get(), F_WRLCK, 0, 10), SyscallFailsWithErrno(EAGAIN)); }),
              ExitedWith(0));
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 0), "W[0,10)");
}

TEST(RecordLock, ExitReleasesAndWakesAWaiter) {
  TempFile file;
  FileDescriptor fd = file.Open();
  Pipe locked;
  ScopedChild holder([&] {
    ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 10), SyscallSucceeds());
    WriteAll(locked.writer.get(), "x");
    WaitUntilAsleep(getppid());
  });
  EXPECT_EQ(ReadAll(locked.reader.get(), 1), "x");
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 0, 10, F_SETLKW), SyscallSucceeds());
  EXPECT_THAT(holder.Wait(), ExitedWith(0));
}

TEST(RecordLock, WaitingIsInterruptedBySignals) {
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 10), SyscallSucceeds());
  ScopedChild waiter([&] {
    SignalCounter usr1(SIGUSR1);
    EXPECT_THAT(Set(fd.get(), F_WRLCK, 0, 10, F_SETLKW), SyscallFailsWithErrno(EINTR));
    EXPECT_EQ(usr1.count(), 1);
  });
  WaitUntilAsleep(waiter.pid());
  ASSERT_THAT(kill(waiter.pid(), SIGUSR1), SyscallSucceeds());
  EXPECT_THAT(waiter.Wait(), ExitedWith(0));
}

TEST(RecordLock, CycleOfWaitersIsADeadlock) {
  TempFile file;
  FileDescriptor fd = file.Open();
  ASSERT_THAT(Set(fd.get(), F_WRLCK, 0, 1), SyscallSucceeds());
  Pipe ready;
  ScopedChild other([&] {
    ASSERT_THAT(Set(fd.get(), F_WRLCK, 1, 1), SyscallSucceeds());
    WriteAll(ready.writer.get(), "x");
    EXPECT_THAT(Set(fd.get(), F_WRLCK, 0, 1, F_SETLKW), SyscallSucceeds());
  });
  EXPECT_EQ(ReadAll(ready.reader.get(), 1), "x");
  WaitUntilAsleep(other.pid());
  EXPECT_THAT(Set(fd.get(), F_WRLCK, 1, 1, F_SETLKW), SyscallFailsWithErrno(EDEADLK));
  ASSERT_THAT(Set(fd.get(), F_UNLCK, 0, 1), SyscallSucceeds());
  EXPECT_THAT(other.Wait(), ExitedWith(0));
}

TEST(OfdLock, BelongsToTheDescription) {
  TempFile file;
  FileDescriptor a = file.Open(), b = file.Open();
  FileDescriptor copy(dup(a.get()));
  ASSERT_THAT(Set(a.get(), F_WRLCK, 0, 10, F_OFD_SETLK), SyscallSucceeds());
  EXPECT_THAT(Set(copy.get(), F_WRLCK, 0, 10, F_OFD_SETLK), SyscallSucceeds());
  EXPECT_THAT(Set(b.get(), F_WRLCK, 5, 1, F_OFD_SETLK), SyscallFailsWithErrno(EAGAIN));
  // Closing an unrelated descriptor of the file releases nothing; the last copy does.
  file.Open().Reset();
  EXPECT_THAT(Set(b.get(), F_RDLCK, 5, 1, F_OFD_SETLK), SyscallFailsWithErrno(EAGAIN));
  a.Reset();
  EXPECT_THAT(Set(b.get(), F_RDLCK, 5, 1, F_OFD_SETLK), SyscallFailsWithErrno(EAGAIN));
  copy.Reset();
  EXPECT_THAT(Set(b.get(), F_WRLCK, 5, 1, F_OFD_SETLK), SyscallSucceeds());
}

TEST(OfdLock, ConflictsWithProcessLocks) {
  TempFile file;
  FileDescriptor a = file.Open(), b = file.Open();
  ASSERT_THAT(Set(a.get(), F_WRLCK, 0, 10, F_OFD_SETLK), SyscallSucceeds());
  EXPECT_THAT(Set(b.get(), F_WRLCK, 0, 10, F_SETLK), SyscallFailsWithErrno(EAGAIN));
  struct flock lock = RecordLock(F_WRLCK, 0, 10);
  ASSERT_THAT(fcntl(b.get(), F_GETLK, &lock), SyscallSucceeds());
  EXPECT_EQ(lock.l_type, F_WRLCK);
  EXPECT_EQ(lock.l_pid, -1);
}

TEST(OfdLock, IsKeptByAForkedChild) {
  TempFile file;
  FileDescriptor a = file.Open(), b = file.Open();
  Pipe hold, started;
  ASSERT_THAT(Set(a.get(), F_WRLCK, 0, 10, F_OFD_SETLK), SyscallSucceeds());
  ScopedChild child([&] {
    hold.writer.Reset();
    WriteAll(started.writer.get(), "x");
    ReadAll(hold.reader.get());
  });
  EXPECT_EQ(ReadAll(started.reader.get(), 1), "x");
  a.Reset();
  EXPECT_THAT(Set(b.get(), F_WRLCK, 0, 10, F_OFD_SETLK), SyscallFailsWithErrno(EAGAIN));
  hold.writer.Reset();
  EXPECT_THAT(child.Wait(), ExitedWith(0));
  EXPECT_THAT(Set(b.get(), F_WRLCK, 0, 10, F_OFD_SETLK), SyscallSucceeds());
}

TEST(OfdLock, PidMustBeZero) {
  TempFile file;
  FileDescriptor fd = file.Open();
  struct flock lock = RecordLock(F_WRLCK, 0, 10);
  lock.l_pid = 1;
  EXPECT_THAT(fcntl(fd.get(), F_OFD_SETLK, &lock), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fcntl(fd.get(), F_OFD_GETLK, &lock), SyscallFailsWithErrno(EINVAL));
}

TEST(Flock, ExclusiveExcludesOtherDescriptions) {
  TempFile file;
  FileDescriptor a = file.Open(), b = file.Open();
  FileDescriptor copy(dup(a.get()));
  ASSERT_THAT(flock(a.get(), LOCK_EX), SyscallSucceeds());
  EXPECT_THAT(flock(copy.get(), LOCK_EX | LOCK_NB), SyscallSucceeds());
  EXPECT_THAT(flock(b.get(), LOCK_SH | LOCK_NB), SyscallFailsWithErrno(EWOULDBLOCK));
  ASSERT_THAT(flock(copy.get(), LOCK_UN), SyscallSucceeds());
  EXPECT_THAT(flock(b.get(), LOCK_EX | LOCK_NB), SyscallSucceeds());
}

TEST(Flock, SharedLocksShareAndConvert) {
  TempFile file;
  FileDescriptor a = file.Open(O_RDONLY), b = file.Open(O_RDONLY);
  ASSERT_THAT(flock(a.get(), LOCK_SH), SyscallSucceeds());
  ASSERT_THAT(flock(b.get(), LOCK_SH), SyscallSucceeds());
  EXPECT_THAT(flock(a.get(), LOCK_EX | LOCK_NB), SyscallFailsWithErrno(EWOULDBLOCK));
  b.Reset();
  EXPECT_THAT(flock(a.get(), LOCK_EX | LOCK_NB), SyscallSucceeds());
}

TEST(Flock, IsIndependentOfRecordLocks) {
  TempFile file;
  FileDescriptor a = file.Open();
  ASSERT_THAT(flock(a.get(), LOCK_EX), SyscallSucceeds());
  EXPECT_EQ(SeenByChild(file, F_WRLCK, 0, 0), "free");
}

TEST(Flock, WaiterGetsTheLockWhenTheHolderExits) {
  TempFile file;
  Pipe locked;
  ScopedChild holder([&] {
    FileDescriptor fd = file.Open();
    ASSERT_THAT(flock(fd.get(), LOCK_EX), SyscallSucceeds());
    WriteAll(locked.writer.get(), "x");
    WaitUntilAsleep(getppid());
  });
  EXPECT_EQ(ReadAll(locked.reader.get(), 1), "x");
  FileDescriptor fd = file.Open();
  EXPECT_THAT(flock(fd.get(), LOCK_EX), SyscallSucceeds());
  EXPECT_THAT(holder.Wait(), ExitedWith(0));
}

TEST(Flock, BadArguments) {
  TempFile file;
  FileDescriptor fd = file.Open(), path = file.Open(O_PATH);
  EXPECT_THAT(flock(-1, LOCK_EX), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(flock(path.get(), LOCK_EX), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(flock(fd.get(), LOCK_NB), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(flock(fd.get(), 64 | 3), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
