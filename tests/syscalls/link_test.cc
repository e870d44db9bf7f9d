// link(2), symlink(2), readlink(2), unlink(2) and the "at" forms.
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

struct stat Lstat(const std::string& path) {
  struct stat st = {};
  EXPECT_THAT(lstat(path.c_str(), &st), SyscallSucceeds()) << path;
  return st;
}

TEST(Link, TwoNamesShareOneFile) {
  TempDir dir;
  const std::string a = dir.CreateFile("a", "data"), b = dir.Path("b");
  ASSERT_THAT(link(a.c_str(), b.c_str()), SyscallSucceeds());
  EXPECT_EQ(Lstat(a).st_ino, Lstat(b).st_ino);
  EXPECT_EQ(Lstat(a).st_nlink, 2u);
  WriteFile(b, "changed");
  EXPECT_EQ(ReadFile(a), "changed");
  ASSERT_THAT(unlink(a.c_str()), SyscallSucceeds());
  EXPECT_EQ(Lstat(b).st_nlink, 1u);
  EXPECT_EQ(ReadFile(b), "changed");
}

TEST(Link, RefusesWhatExistsAndWhatDoesNot) {
  TempDir dir;
  const std::string a = dir.CreateFile("a"), b = dir.CreateFile("b");
  EXPECT_THAT(link(a.c_str(), b.c_str()), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(link(a.c_str(), a.c_str()), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(link(dir.Path("none").c_str(), dir.Path("c").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(link(a.c_str(), dir.Path("none/c").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(link(a.c_str(), (b + "/c").c_str()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(link(a.c_str(), dir.Path("c/").c_str()), SyscallFailsWithErrno(ENOENT));
}

TEST(Link, DirectoriesCannotBeLinked) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub");
  EXPECT_THAT(link(sub.c_str(), dir.Path("other").c_str()), SyscallFailsWithErrno(EPERM));
}

TEST(Link, AcrossFileSystemsIsExdev) {
  TempFile file;
  EXPECT_THAT(link("/proc/self/stat", file.dir().Path("x").c_str()), SyscallFailsWithErrno(EXDEV));
}

TEST(Link, LinksTheSymlinkUnlessAskedToFollow) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  const std::string sym = dir.CreateSymlink("sym", "file");
  ASSERT_THAT(link(sym.c_str(), dir.Path("a").c_str()), SyscallSucceeds());
  EXPECT_TRUE(S_ISLNK(Lstat(dir.Path("a")).st_mode));
  ASSERT_THAT(linkat(AT_FDCWD, sym.c_str(), AT_FDCWD, dir.Path("b").c_str(), AT_SYMLINK_FOLLOW),
              SyscallSucceeds());
  EXPECT_EQ(Lstat(dir.Path("b")).st_ino, Lstat(file).st_ino);
}

TEST(Link, BadArguments) {
  TempFile file;
  const std::string other = file.dir().Path("other");
  EXPECT_THAT(link(BadPointer<char>(), other.c_str()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(link(file.path().c_str(), BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(linkat(AT_FDCWD, file.path().c_str(), AT_FDCWD, other.c_str(), 0x1),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(linkat(-1, "x", AT_FDCWD, other.c_str(), 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(link("", other.c_str()), SyscallFailsWithErrno(ENOENT));
}

TEST(Symlink, HoldsAnyText) {
  TempDir dir;
  const std::string text = "no such//thing/../ at all";
  const std::string link = dir.CreateSymlink("link", text);
  char buf[PATH_MAX];
  EXPECT_THAT(readlink(link.c_str(), buf, sizeof(buf)),
              SyscallSucceedsWithValue(static_cast<long>(text.size())));
  EXPECT_EQ(std::string(buf, text.size()), text);
  EXPECT_EQ(Lstat(link).st_size, static_cast<off_t>(text.size()));
}

TEST(Symlink, TextLengthLimits) {
  TempDir dir;
  EXPECT_THAT(symlink("", dir.Path("a").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(symlink(std::string(PATH_MAX, 'x').c_str(), dir.Path("a").c_str()),
              SyscallFailsWithErrno(ENAMETOOLONG));
  EXPECT_THAT(symlink(std::string(1000, 'x').c_str(), dir.Path("a").c_str()), SyscallSucceeds());
}

TEST(Symlink, RefusesExistingNamesAndTrailingSlashes) {
  TempDir dir;
  const std::string dangling = dir.CreateSymlink("dangling", "none");
  EXPECT_THAT(symlink("x", dangling.c_str()), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(symlink("x", dir.Path("new/").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(symlink("x", dir.Path("none/new").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(symlink("x", dir.path().c_str()), SyscallFailsWithErrno(EEXIST));
}

TEST(Readlink, CutsToTheBufferWithoutATerminator) {
  TempDir dir;
  const std::string link = dir.CreateSymlink("link", "abcdef");
  char buf[8];
  memset(buf, '#', sizeof(buf));
  EXPECT_THAT(readlink(link.c_str(), buf, 3), SyscallSucceedsWithValue(3));
  EXPECT_EQ(std::string(buf, 4), "abc#");
  EXPECT_THAT(readlink(link.c_str(), buf, sizeof(buf)), SyscallSucceedsWithValue(6));
  EXPECT_EQ(buf[6], '#');
}

TEST(Readlink, BadArguments) {
  TempDir dir;
  const std::string link = dir.CreateSymlink("link", "abcdef");
  const std::string file = dir.CreateFile("file");
  char buf[8];
  EXPECT_THAT(readlink(file.c_str(), buf, sizeof(buf)), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(readlink(dir.path().c_str(), buf, sizeof(buf)), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_readlink, link.c_str(), buf, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_readlink, link.c_str(), buf, -1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(readlink(link.c_str(), BadPointer<char>(), 8), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(readlink(dir.Path("none").c_str(), buf, sizeof(buf)), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(readlinkat(AT_FDCWD, "", buf, sizeof(buf)), SyscallFailsWithErrno(ENOENT));
}

TEST(Unlink, RemovesTheNameNotTheLinkTarget) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  const std::string link = dir.CreateSymlink("link", "file");
  ASSERT_THAT(unlink(link.c_str()), SyscallSucceeds());
  EXPECT_THAT(access(link.c_str(), F_OK), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(access(file.c_str(), F_OK), SyscallSucceeds());
}

TEST(Unlink, RefusesDirectoriesAndMissingNames) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub"), file = dir.CreateFile("file");
  EXPECT_THAT(unlink(sub.c_str()), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(unlink(dir.Path("none").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(unlink((file + "/").c_str()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(unlink((sub + "/").c_str()), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(unlink((sub + "/.").c_str()), SyscallFailsWithErrno(testing::AnyOf(EISDIR, EINVAL)));
  EXPECT_THAT(unlink(""), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(unlink(BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Unlink, NameCanBeReusedWhileTheOldFileIsOpen) {
  TempFile file("old");
  FileDescriptor old = file.Open();
  const ino_t old_ino = Lstat(file.path()).st_ino;
  ASSERT_THAT(unlink(file.path().c_str()), SyscallSucceeds());
  WriteFile(file.path(), "new");
  EXPECT_NE(Lstat(file.path()).st_ino, old_ino);
  EXPECT_EQ(ReadAll(old.get()), "old");
  EXPECT_EQ(ReadFile(file.path()), "new");
}

TEST(Unlinkat, RemovedirFlagChoosesTheKind) {
  TempDir dir;
  dir.CreateDir("sub");
  dir.CreateFile("file");
  FileDescriptor fd = Open(dir.path(), O_PATH | O_DIRECTORY);
  EXPECT_THAT(unlinkat(fd.get(), "sub", 0), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(unlinkat(fd.get(), "file", AT_REMOVEDIR), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(unlinkat(fd.get(), "file", 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(unlinkat(fd.get(), "sub", AT_REMOVEDIR), SyscallSucceeds());
  EXPECT_THAT(unlinkat(fd.get(), "file", 0), SyscallSucceeds());
  EXPECT_THAT(unlinkat(-1, "file", 0), SyscallFailsWithErrno(EBADF));
}

TEST(Linkat, UnlinkedFileCannotGetANameBack) {
  TempFile file("x");
  FileDescriptor fd = file.Open();
  ASSERT_THAT(unlink(file.path().c_str()), SyscallSucceeds());
  const std::string self = "/proc/self/fd/" + std::to_string(fd.get());
  EXPECT_THAT(linkat(AT_FDCWD, self.c_str(), AT_FDCWD, file.path().c_str(), AT_SYMLINK_FOLLOW),
              SyscallFailsWithErrno(ENOENT));
}

TEST(Mknod, MakesRegularFilesFifosAndSockets) {
  TempDir dir;
  ASSERT_THAT(mknod(dir.Path("a").c_str(), S_IFREG | 0600, 0), SyscallSucceeds());
  ASSERT_THAT(mknod(dir.Path("b").c_str(), 0600, 0), SyscallSucceeds());
  ASSERT_THAT(mknod(dir.Path("c").c_str(), S_IFIFO | 0600, 0), SyscallSucceeds());
  ASSERT_THAT(mknod(dir.Path("d").c_str(), S_IFSOCK | 0600, 0), SyscallSucceeds());
  EXPECT_TRUE(S_ISREG(Lstat(dir.Path("a")).st_mode));
  EXPECT_TRUE(S_ISREG(Lstat(dir.Path("b")).st_mode));
  EXPECT_TRUE(S_ISFIFO(Lstat(dir.Path("c")).st_mode));
  EXPECT_TRUE(S_ISSOCK(Lstat(dir.Path("d")).st_mode));
  EXPECT_THAT(mknod(dir.Path("a").c_str(), S_IFREG | 0600, 0), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mknod(dir.Path("e").c_str(), S_IFDIR | 0600, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(mknod(dir.Path("e").c_str(), S_IFLNK | 0600, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(Mknod, DevicesNeedPrivilege) {
  SKIP_IF_NOT_ROOT();
  TempDir dir(0777);
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(mknod(dir.Path("x").c_str(), S_IFCHR | 0600, 0x103),
                            SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
