// chdir(2), fchdir(2), getcwd(2), chroot(2).
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

// What the system call says, without libc's interpretation.
std::string Cwd() {
  char buf[PATH_MAX];
  const long n = syscall(SYS_getcwd, buf, sizeof(buf));
  EXPECT_THAT(n, SyscallSucceeds());
  return n > 0 ? std::string(buf, static_cast<size_t>(n) - 1) : "";
}

ino_t Inode(const std::string& path) {
  struct stat st = {};
  EXPECT_THAT(stat(path.c_str(), &st), SyscallSucceeds()) << path;
  return st.st_ino;
}

TEST(Chdir, ChangesWhereRelativePathsStart) {
  TempDir dir;
  dir.CreateFile("file", "here");
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(dir.path().c_str()), SyscallSucceeds());
                EXPECT_EQ(Cwd(), dir.path());
                EXPECT_EQ(ReadFile("file"), "here");
                EXPECT_EQ(ReadFile("./file"), "here");
              }),
              ExitedWith(0));
}

TEST(Chdir, ThroughASymlinkEndsAtTheTarget) {
  TempDir dir;
  dir.CreateDir("real");
  dir.CreateSymlink("link", "real");
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(dir.Path("link").c_str()), SyscallSucceeds());
                EXPECT_EQ(Cwd(), dir.Path("real"));
                ASSERT_THAT(chdir(".."), SyscallSucceeds());
                EXPECT_EQ(Cwd(), dir.path());
              }),
              ExitedWith(0));
}

TEST(Chdir, BadPathsLeaveItWhereItWas) {
  TempFile file;
  const std::string before = Cwd();
  EXPECT_THAT(chdir(file.path().c_str()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(chdir("/none"), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(chdir(""), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(chdir(BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(Cwd(), before);
}

TEST(Chdir, NeedsSearchPermission) {
  SKIP_IF_NOT_ROOT();
  TempDir dir(0755);
  const std::string closed = dir.CreateDir("closed", 0666);
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(chdir(closed.c_str()), SyscallFailsWithErrno(EACCES)); }),
              ExitedWith(0));
}

TEST(Chdir, IsSharedByThreadsAndCopiedByFork) {
  TempDir dir;
  EXPECT_THAT(RunInChild([&] {
                {
                  ScopedThread thread([&] { EXPECT_THAT(chdir(dir.path().c_str()), SyscallSucceeds()); });
                }
                EXPECT_EQ(Cwd(), dir.path());
                EXPECT_THAT(RunInChild([] { EXPECT_THAT(chdir("/"), SyscallSucceeds()); }), ExitedWith(0));
                EXPECT_EQ(Cwd(), dir.path());
              }),
              ExitedWith(0));
}

TEST(Fchdir, TakesAnyDirectoryDescriptor) {
  TempDir dir;
  FileDescriptor fd = Open(dir.path(), O_RDONLY), path = Open("/", O_PATH);
  EXPECT_THAT(RunInChild([&] {
                EXPECT_THAT(fchdir(fd.get()), SyscallSucceeds());
                EXPECT_EQ(Cwd(), dir.path());
                EXPECT_THAT(fchdir(path.get()), SyscallSucceeds());
                EXPECT_EQ(Cwd(), "/");
              }),
              ExitedWith(0));
}

TEST(Fchdir, BadDescriptors) {
  TempFile file;
  FileDescriptor fd = file.Open();
  EXPECT_THAT(fchdir(fd.get()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(fchdir(-1), SyscallFailsWithErrno(EBADF));
}

TEST(Getcwd, LengthIncludesTheTerminator) {
  EXPECT_THAT(RunInChild([] {
                ASSERT_THAT(chdir("/proc"), SyscallSucceeds());
                char buf[16];
                EXPECT_THAT(syscall(SYS_getcwd, buf, sizeof(buf)), SyscallSucceedsWithValue(6));
                EXPECT_STREQ(buf, "/proc");
                EXPECT_THAT(syscall(SYS_getcwd, buf, 6), SyscallSucceedsWithValue(6));
                EXPECT_THAT(syscall(SYS_getcwd, buf, 5), SyscallFailsWithErrno(ERANGE));
                EXPECT_THAT(syscall(SYS_getcwd, buf, 0), SyscallFailsWithErrno(ERANGE));
                EXPECT_THAT(syscall(SYS_getcwd, BadPointer(), 16), SyscallFailsWithErrno(EFAULT));
              }),
              ExitedWith(0));
}

TEST(Getcwd, FollowsRenamesOfItsAncestors) {
  TempDir dir;
  dir.CreateDir("a");
  dir.CreateDir("a/b");
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(dir.Path("a/b").c_str()), SyscallSucceeds());
                ASSERT_THAT(rename(dir.Path("a").c_str(), dir.Path("z").c_str()), SyscallSucceeds());
                EXPECT_EQ(Cwd(), dir.Path("z/b"));
              }),
              ExitedWith(0));
}

TEST(Getcwd, OfARemovedDirectoryFails) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub");
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(sub.c_str()), SyscallSucceeds());
                ASSERT_THAT(rmdir(sub.c_str()), SyscallSucceeds());
                char buf[PATH_MAX];
                EXPECT_THAT(syscall(SYS_getcwd, buf, sizeof(buf)), SyscallFailsWithErrno(ENOENT));
                EXPECT_THAT(open("new", O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(ENOENT));
                // ".." still leads out.
                EXPECT_THAT(chdir(".."), SyscallSucceeds());
                EXPECT_EQ(Cwd(), dir.path());
              }),
              ExitedWith(0));
}

TEST(Getcwd, ManyLevelsDeep) {
  TempDir dir;
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(dir.path().c_str()), SyscallSucceeds());
                const std::string name(200, 'd');
                for (int i = 0; i < 15; ++i) {
                  ASSERT_THAT(mkdir(name.c_str(), 0700), SyscallSucceeds());
                  ASSERT_THAT(chdir(name.c_str()), SyscallSucceeds());
                }
                EXPECT_EQ(Cwd().size(), dir.path().size() + 15 * 201);
              }),
              ExitedWith(0));
}

TEST(Chroot, MovesTheRootAndNotTheWorkingDirectory) {
  SKIP_IF_NOT_ROOT();
  TempDir dir;
  dir.CreateDir("jail");
  dir.CreateFile("jail/file", "inside");
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(dir.path().c_str()), SyscallSucceeds());
                ASSERT_THAT(chroot("jail"), SyscallSucceeds());
                EXPECT_EQ(ReadFile("/file"), "inside");
                EXPECT_EQ(ReadFile("jail/file"), "inside");
                EXPECT_EQ(Cwd().substr(0, 13), "(unreachable)");
              }),
              ExitedWith(0));
}

TEST(Chroot, DotDotStopsAtTheNewRoot) {
  SKIP_IF_NOT_ROOT();
  TempDir dir;
  dir.CreateDir("jail");
  dir.CreateDir("jail/sub");
  dir.CreateFile("secret", "outside");
  dir.CreateFile("jail/secret", "inside");
  dir.CreateSymlink("jail/up", "../../../secret");
  dir.CreateSymlink("jail/absolute", "/secret");
  const std::string jail = dir.Path("jail");
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chroot(jail.c_str()), SyscallSucceeds());
                ASSERT_THAT(chdir("/sub"), SyscallSucceeds());
                EXPECT_EQ(ReadFile("../secret"), "inside");
                EXPECT_EQ(ReadFile("../../../secret"), "inside");
                EXPECT_EQ(ReadFile("/up"), "inside");
                EXPECT_EQ(ReadFile("/absolute"), "inside");
                EXPECT_EQ(Inode("/.."), Inode("/"));
                EXPECT_EQ(Cwd(), "/sub");
              }),
              ExitedWith(0));
}

TEST(Chroot, BadArguments) {
  TempFile file;
  EXPECT_THAT(chroot(file.path().c_str()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(chroot("/none"), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(chroot(BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Chroot, NeedsPrivilege) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] { EXPECT_THAT(chroot("/"), SyscallFailsWithErrno(EPERM)); }), ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
