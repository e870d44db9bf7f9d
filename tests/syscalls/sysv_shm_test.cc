// System V shared memory: shmget, shmat, shmdt, shmctl.
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "tests/util/memory.h"
#include "tests/util/process.h"

namespace moat::test {
namespace {

constexpr size_t kPage = 4096;

// A segment that is removed at the end of the scope.
class Segment {
 public:
  explicit Segment(size_t size, int flags = IPC_CREAT | 0600, key_t key = IPC_PRIVATE)
      : id_(shmget(key, size, flags)) {
    EXPECT_THAT(id_, SyscallSucceeds());
  }
  ~Segment() { shmctl(id_, IPC_RMID, nullptr); }
  int id() const { return id_; }
  char* Attach(int flags = 0, const void* at = nullptr) const {
    return static_cast<char*>(shmat(id_, at, flags));
  }
  shmid_ds Stat() const {
    shmid_ds ds = {};
    EXPECT_THAT(shmctl(id_, IPC_STAT, &ds), SyscallSucceeds());
    return ds;
  }

 private:
  int id_;
};

key_t UnusedKey() { return 0x4d4f0000 ^ getpid(); }

TEST(ShmTest, SegmentIsZeroedAndShared) {
  Segment segment(2 * kPage);
  char* a = segment.Attach();
  char* b = segment.Attach();
  ASSERT_THAT(a, SyscallSucceeds());
  EXPECT_NE(a, b);
  EXPECT_EQ(a[kPage], 0);
  a[5] = 'x';
  EXPECT_EQ(b[5], 'x');
  EXPECT_THAT(shmdt(a), SyscallSucceeds());
  EXPECT_EQ(b[5], 'x');
  EXPECT_THAT(shmdt(b), SyscallSucceeds());
}

TEST(ShmTest, AttachmentsAreInheritedByFork) {
  Segment segment(kPage);
  char* a = segment.Attach();
  EXPECT_THAT(RunInChild([&] {
                a[0] = 'c';
                EXPECT_EQ(segment.Stat().shm_nattch, 2u);
              }),
              ExitedWith(0));
  EXPECT_EQ(a[0], 'c');
  EXPECT_EQ(segment.Stat().shm_nattch, 1u);
  shmdt(a);
}

TEST(ShmTest, KeysFindTheSameSegment) {
  Segment segment(kPage, IPC_CREAT | IPC_EXCL | 0600, UnusedKey());
  EXPECT_THAT(shmget(UnusedKey(), kPage, 0), SyscallSucceedsWithValue(segment.id()));
  EXPECT_THAT(shmget(UnusedKey(), 0, 0), SyscallSucceedsWithValue(segment.id()));
  EXPECT_THAT(shmget(UnusedKey(), kPage, IPC_CREAT | IPC_EXCL | 0600), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(shmget(UnusedKey(), 2 * kPage, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(ShmTest, GetErrors) {
  EXPECT_THAT(shmget(UnusedKey(), kPage, 0), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(shmget(IPC_PRIVATE, 0, IPC_CREAT | 0600), SyscallFailsWithErrno(EINVAL));
}

TEST(ShmTest, StatDescribesTheSegment) {
  Segment segment(100, IPC_CREAT | 0640);
  shmid_ds ds = segment.Stat();
  EXPECT_EQ(ds.shm_segsz, 100u);
  EXPECT_EQ(ds.shm_perm.mode & 0777, 0640);
  EXPECT_EQ(ds.shm_perm.uid, geteuid());
  EXPECT_EQ(ds.shm_perm.cuid, geteuid());
  EXPECT_EQ(ds.shm_cpid, getpid());
  EXPECT_EQ(ds.shm_nattch, 0u);
  EXPECT_EQ(ds.shm_atime, 0);
  char* a = segment.Attach();
  ds = segment.Stat();
  EXPECT_EQ(ds.shm_nattch, 1u);
  EXPECT_EQ(ds.shm_lpid, getpid());
  EXPECT_NE(ds.shm_atime, 0);
  shmdt(a);
}

TEST(ShmTest, RemovedSegmentLivesUntilTheLastDetach) {
  Segment segment(kPage);
  char* a = segment.Attach();
  a[0] = 'r';
  EXPECT_THAT(shmctl(segment.id(), IPC_RMID, nullptr), SyscallSucceeds());
  EXPECT_EQ(a[0], 'r');
  EXPECT_NE(segment.Stat().shm_perm.mode & SHM_DEST, 0);
  EXPECT_THAT(shmdt(a), SyscallSucceeds());
  shmid_ds ds;
  EXPECT_THAT(shmctl(segment.id(), IPC_STAT, &ds), SyscallFailsWithErrno(EINVAL));
}

TEST(ShmTest, RemovedKeyIsFreeAtOnce) {
  Segment segment(kPage, IPC_CREAT | IPC_EXCL | 0600, UnusedKey());
  char* a = segment.Attach();
  ASSERT_THAT(shmctl(segment.id(), IPC_RMID, nullptr), SyscallSucceeds());
  EXPECT_THAT(shmget(UnusedKey(), kPage, 0), SyscallFailsWithErrno(ENOENT));
  shmdt(a);
}

TEST(ShmTest, ReadOnlyAttachmentCannotBeWritten) {
  Segment segment(kPage);
  char* a = segment.Attach(SHM_RDONLY);
  ASSERT_THAT(a, SyscallSucceeds());
  EXPECT_TRUE(DiedOf(RunInChild([&]() -> int {
                       a[0] = 1;
                       return 0;
                     }),
                     SIGSEGV));
  EXPECT_THAT(mprotect(a, kPage, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EACCES));
  shmdt(a);
}

TEST(ShmTest, AttachesAtTheGivenAddress) {
  Segment segment(kPage);
  Mapping area = AnonymousMapping(2 * kPage);
  ASSERT_THAT(munmap(area.data() + kPage, kPage), SyscallSucceeds());
  EXPECT_EQ(segment.Attach(0, area.data() + kPage), area.data() + kPage);
  EXPECT_THAT(shmdt(area.data() + kPage), SyscallSucceeds());
  EXPECT_EQ(segment.Attach(SHM_RND, area.data() + kPage + 77), area.data() + kPage);
  EXPECT_THAT(shmdt(area.data() + kPage), SyscallSucceeds());
}

TEST(ShmTest, AttachErrors) {
  Segment segment(kPage);
  Mapping area = AnonymousMapping(kPage);
  EXPECT_THAT(segment.Attach(0, area.data() + 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(segment.Attach(0, area.data()), SyscallFailsWithErrno(EINVAL));  // in use
  EXPECT_THAT(segment.Attach(SHM_REMAP), SyscallFailsWithErrno(EINVAL));       // needs an address
  EXPECT_THAT(shmat(-1, nullptr, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(ShmTest, RemapReplacesWhatIsThere) {
  Segment segment(kPage);
  Mapping area = AnonymousMapping(kPage);
  area[0] = 'o';
  EXPECT_EQ(segment.Attach(SHM_REMAP, area.data()), area.data());
  EXPECT_EQ(area[0], 0);
  shmdt(area.data());
}

TEST(ShmTest, DetachNeedsTheStartOfAnAttachment) {
  Segment segment(2 * kPage);
  char* a = segment.Attach();
  EXPECT_THAT(shmdt(a + kPage), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmdt(a), SyscallSucceeds());
  EXPECT_THAT(shmdt(a), SyscallFailsWithErrno(EINVAL));
  Mapping plain = AnonymousMapping(kPage);
  EXPECT_THAT(shmdt(plain.data()), SyscallFailsWithErrno(EINVAL));
}

TEST(ShmTest, ModeIsCheckedForOthers) {
  SKIP_IF_NOT_ROOT();
  Segment hidden(kPage, IPC_CREAT | 0600), readable(kPage, IPC_CREAT | 0604);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(hidden.Attach(), SyscallFailsWithErrno(EACCES));
                shmid_ds ds;
                EXPECT_THAT(shmctl(hidden.id(), IPC_STAT, &ds), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(shmctl(hidden.id(), IPC_RMID, nullptr), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(readable.Attach(), SyscallFailsWithErrno(EACCES));
                char* a = readable.Attach(SHM_RDONLY);
                EXPECT_THAT(a, SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST(ShmTest, SetChangesOwnerAndMode) {
  SKIP_IF_NOT_ROOT();
  Segment segment(kPage);
  shmid_ds ds = segment.Stat();
  ds.shm_perm.uid = kOtherUid;
  ds.shm_perm.mode = 0400;
  ASSERT_THAT(shmctl(segment.id(), IPC_SET, &ds), SyscallSucceeds());
  ds = segment.Stat();
  EXPECT_EQ(ds.shm_perm.uid, kOtherUid);
  EXPECT_EQ(ds.shm_perm.mode & 0777, 0400);
  EXPECT_NE(ds.shm_ctime, 0);
}

TEST(ShmTest, ControlErrors) {
  Segment segment(kPage);
  EXPECT_THAT(shmctl(segment.id(), 9999, nullptr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(shmctl(segment.id(), IPC_STAT, BadPointer<shmid_ds>()), SyscallFailsWithErrno(EFAULT));
  shmid_ds ds;
  EXPECT_THAT(shmctl(-1, IPC_STAT, &ds), SyscallFailsWithErrno(EINVAL));
}

TEST(ShmTest, ExecDetaches) {
  Segment segment(kPage);
  char* a = segment.Attach();
  int fds[2];
  ASSERT_THAT(pipe(fds), SyscallSucceeds());
  EXPECT_THAT(RunInChild([&]() -> int {
                char* argv[] = {const_cast<char*>("x"), const_cast<char*>("--gtest_list_tests"), nullptr};
                dup2(open("/dev/null", O_WRONLY), 1);
                return execve("/proc/self/exe", argv, argv + 2);
              }),
              ExitedWith(0));
  EXPECT_EQ(segment.Stat().shm_nattch, 1u);
  shmdt(a);
  close(fds[0]);
  close(fds[1]);
}

TEST(ShmTest, LimitsAreReported) {
  shminfo info = {};
  EXPECT_THAT(shmctl(0, IPC_INFO, reinterpret_cast<shmid_ds*>(&info)), SyscallSucceeds());
  EXPECT_EQ(info.shmmin, 1u);
  EXPECT_GT(info.shmmni, 0u);
}

}  // namespace
}  // namespace moat::test
