// Locks of files that a guest shares with the host (--rw): each side sees the other's.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <fstream>

#include "tests/util/moat_process.h"
#include "tests/util/record_lock.h"

namespace moat::test {
namespace {

// Bytes of the file that stand for what was locked by which call.
constexpr off_t kPosix = 10, kOpenFile = 20;

void Say(const char* text) { (void)!write(1, text, strlen(text)); }

// Waits until the host has made `file`.
void Await(const char* file) {
  while (access(file, F_OK) != 0) usleep(5000);
}

// Guest: holds locks of all kinds until the file "go" is there; gives up the record lock of bytes 12 and 13 at once.
MOAT_TEST_ROLE(Hold) {
  const int fd = open("file", O_RDWR);
  struct flock posix = RecordLock(F_WRLCK, kPosix, 5), hole = RecordLock(F_UNLCK, kPosix + 2, 2);
  struct flock open_file = RecordLock(F_RDLCK, kOpenFile, 1);
  if (fd < 0 || flock(fd, LOCK_EX) != 0 || fcntl(fd, F_SETLK, &posix) != 0 || fcntl(fd, F_SETLK, &hole) != 0) return 1;
  const int other = open("file", O_RDWR);
  if (fcntl(other, F_OFD_SETLK, &open_file) != 0) return 2;
  Say("held\n");
  Await("go");
  close(fd);  // which gives up everything but the lock of the other open file
  Say("closed\n");
  Await("end");
  return 0;
}

// Guest: tries what the host holds.
MOAT_TEST_ROLE(Try) {
  const int fd = open("file", O_RDWR);
  if (flock(fd, LOCK_EX | LOCK_NB) != -1 || errno != EAGAIN) return 1;
  if (flock(fd, LOCK_SH | LOCK_NB) != 0) return 2;
  struct flock lock = RecordLock(F_WRLCK, 0, 0);
  if (fcntl(fd, F_SETLK, &lock) != -1 || errno != EAGAIN) return 3;
  if (fcntl(fd, F_GETLK, &lock) != 0) return 4;
  if (lock.l_type != F_WRLCK || lock.l_start != kPosix || lock.l_len != 5) return 5;
  lock = RecordLock(F_WRLCK, kPosix + 5, 0);
  if (fcntl(fd, F_SETLK, &lock) != 0) return 6;
  return 0;
}

// Guest: waits for what the host holds.
MOAT_TEST_ROLE(WaitForHost) {
  const int fd = open("file", O_RDWR);
  struct flock lock = RecordLock(F_WRLCK, kPosix, 1);
  Say("waiting\n");
  if (flock(fd, LOCK_EX) != 0) return 1;
  Say("flock\n");
  if (fcntl(fd, F_SETLKW, &lock) != 0) return 2;
  Say("record\n");
  return 0;
}

class SharedLocks : public testing::Test {
 protected:
  SharedLocks() {
    char name[] = "/var/tmp/moat-locks-XXXXXX";
    path_ = mkdtemp(name);
    std::ofstream(path_ + "/file") << std::string(100, 'x');
    // The guests' program: this one, where they see it.
    std::filesystem::copy_file(std::filesystem::read_symlink("/proc/self/exe"), path_ + "/guest");
    fd_ = open((path_ + "/file").c_str(), O_RDWR | O_CLOEXEC);
  }
  ~SharedLocks() override {
    close(fd_);
    std::filesystem::remove_all(path_);
  }

  MoatProcess Guest(const std::string& role) {
    return MoatProcess(std::string(getenv("MOAT_PROGRAMS")) + "/moat",
                       {"do", "--rw", path_, "--", "/bin/sh", "-c", "cd " + path_ + " && MOAT_TEST_ROLE=" + role + " exec ./guest"});
  }
  void Make(const std::string& name) { std::ofstream(path_ + "/" + name) << ""; }
  // Whether the host may take it now; it is given back.
  bool Free(short type, off_t start, off_t length) {
    struct flock lock = RecordLock(type, start, length);
    if (fcntl(fd_, F_OFD_SETLK, &lock) != 0) return false;
    lock.l_type = F_UNLCK;
    return fcntl(fd_, F_OFD_SETLK, &lock) == 0;
  }
  bool FlockFree(int operation) {
    return flock(fd_, operation | LOCK_NB) == 0 && flock(fd_, LOCK_UN) == 0;
  }

  std::string path_;
  int fd_;
};

TEST_F(SharedLocks, GuestsKeepTheHostOut) {
  MoatProcess guest = Guest("Hold");
  ASSERT_TRUE(guest.OutputContains("held")) << guest.err();
  EXPECT_FALSE(FlockFree(LOCK_SH));
  EXPECT_FALSE(Free(F_RDLCK, kPosix, 1));
  EXPECT_TRUE(Free(F_WRLCK, kPosix + 2, 2));
  EXPECT_FALSE(Free(F_RDLCK, kPosix + 4, 1));
  EXPECT_TRUE(Free(F_WRLCK, kPosix + 5, 1));
  EXPECT_FALSE(Free(F_WRLCK, kOpenFile, 1));
  EXPECT_TRUE(Free(F_RDLCK, kOpenFile, 1));
  Make("go");
  ASSERT_TRUE(guest.OutputContains("closed")) << guest.err();
  EXPECT_TRUE(FlockFree(LOCK_EX));
  EXPECT_TRUE(Free(F_WRLCK, kPosix, 5));
  EXPECT_FALSE(Free(F_WRLCK, kOpenFile, 1));
  Make("end");
  EXPECT_EQ(guest.Wait(), 0);
  EXPECT_TRUE(Free(F_WRLCK, 0, 0));
}

TEST_F(SharedLocks, TheHostKeepsGuestsOut) {
  struct flock lock = RecordLock(F_WRLCK, kPosix, 5);
  ASSERT_EQ(flock(fd_, LOCK_SH), 0);
  ASSERT_EQ(fcntl(fd_, F_SETLK, &lock), 0);
  MoatProcess guest = Guest("Try");
  EXPECT_EQ(guest.Wait(), 0) << guest.err();
}

TEST_F(SharedLocks, GuestsWaitForTheHost) {
  struct flock lock = RecordLock(F_WRLCK, kPosix, 5);
  ASSERT_EQ(flock(fd_, LOCK_SH), 0);
  ASSERT_EQ(fcntl(fd_, F_OFD_SETLK, &lock), 0);
  MoatProcess guest = Guest("WaitForHost");
  ASSERT_TRUE(guest.OutputContains("waiting")) << guest.err();
  usleep(100'000);
  EXPECT_EQ(guest.out(), "waiting\n");
  ASSERT_EQ(flock(fd_, LOCK_UN), 0);
  ASSERT_TRUE(guest.OutputContains("flock")) << guest.err();
  usleep(100'000);
  EXPECT_EQ(guest.out(), "waiting\nflock\n");
  lock.l_type = F_UNLCK;
  ASSERT_EQ(fcntl(fd_, F_OFD_SETLK, &lock), 0);
  EXPECT_EQ(guest.Wait(), 0);
  EXPECT_EQ(guest.out(), "waiting\nflock\nrecord\n");
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
