// rename(2), renameat(2), renameat2(2).
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

ino_t Inode(const std::string& path) {
  struct stat st = {};
  EXPECT_THAT(lstat(path.c_str(), &st), SyscallSucceeds()) << path;
  return st.st_ino;
}
bool Exists(const std::string& path) {
  return faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}
int Rename(const std::string& from, const std::string& to) { return rename(from.c_str(), to.c_str()); }
int Rename2(const std::string& from, const std::string& to, unsigned flags) {
  return renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
}

TEST(Rename, MovesTheFileItself) {
  TempDir dir;
  const std::string a = dir.CreateFile("a", "data"), b = dir.Path("b");
  const ino_t ino = Inode(a);
  ASSERT_THAT(Rename(a, b), SyscallSucceeds());
  EXPECT_FALSE(Exists(a));
  EXPECT_EQ(Inode(b), ino);
  EXPECT_EQ(ReadFile(b), "data");
}

TEST(Rename, ReplacesAFileWhoseOpenDescriptorsLiveOn) {
  TempDir dir;
  const std::string a = dir.CreateFile("a", "new"), b = dir.CreateFile("b", "old");
  FileDescriptor old = Open(b, O_RDONLY);
  ASSERT_THAT(Rename(a, b), SyscallSucceeds());
  EXPECT_EQ(ReadFile(b), "new");
  EXPECT_EQ(ReadAll(old.get()), "old");
  struct stat st;
  ASSERT_THAT(fstat(old.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_nlink, 0u);
}

TEST(Rename, OntoItselfOrAnotherLinkOfItDoesNothing) {
  TempDir dir;
  const std::string a = dir.CreateFile("a"), b = dir.Path("b");
  EXPECT_THAT(Rename(a, a), SyscallSucceeds());
  ASSERT_THAT(link(a.c_str(), b.c_str()), SyscallSucceeds());
  EXPECT_THAT(Rename(a, b), SyscallSucceeds());
  EXPECT_TRUE(Exists(a));
  EXPECT_TRUE(Exists(b));
}

TEST(Rename, MovesDirectoriesWithTheirContents) {
  TempDir dir;
  dir.CreateDir("a");
  dir.CreateDir("target");
  dir.CreateFile("a/file", "x");
  ASSERT_THAT(Rename(dir.Path("a"), dir.Path("target/b")), SyscallSucceeds());
  EXPECT_EQ(ReadFile(dir.Path("target/b/file")), "x");
  // ".." follows the move.
  EXPECT_EQ(Inode(dir.Path("target/b/..")), Inode(dir.Path("target")));
}

TEST(Rename, DirectoryReplacesOnlyAnEmptyDirectory) {
  TempDir dir;
  const std::string a = dir.CreateDir("a"), empty = dir.CreateDir("empty"), full = dir.CreateDir("full");
  dir.CreateFile("full/x");
  EXPECT_THAT(Rename(a, full), SyscallFailsWithErrno(testing::AnyOf(ENOTEMPTY, EEXIST)));
  const ino_t ino = Inode(a);
  EXPECT_THAT(Rename(a, empty), SyscallSucceeds());
  EXPECT_EQ(Inode(empty), ino);
}

TEST(Rename, KindsMustAgree) {
  TempDir dir;
  const std::string file = dir.CreateFile("file"), sub = dir.CreateDir("sub");
  EXPECT_THAT(Rename(file, sub), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(Rename(sub, file), SyscallFailsWithErrno(ENOTDIR));
}

TEST(Rename, DirectoryCannotMoveBelowItself) {
  TempDir dir;
  const std::string a = dir.CreateDir("a");
  dir.CreateDir("a/b");
  EXPECT_THAT(Rename(a, dir.Path("a/c")), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Rename(a, dir.Path("a/b/c")), SyscallFailsWithErrno(EINVAL));
  // And what is above the source cannot be its target.
  EXPECT_THAT(Rename(dir.Path("a/b"), a), SyscallFailsWithErrno(ENOTEMPTY));
}

TEST(Rename, DotsAndRootsAreBusy) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub");
  EXPECT_THAT(Rename(sub + "/.", dir.Path("x")), SyscallFailsWithErrno(EBUSY));
  EXPECT_THAT(Rename(sub + "/..", dir.Path("x")), SyscallFailsWithErrno(EBUSY));
  EXPECT_THAT(Rename(sub, dir.Path("sub/.")), SyscallFailsWithErrno(EBUSY));
  EXPECT_THAT(Rename("/", "/none"), SyscallFailsWithErrno(EBUSY));
}

TEST(Rename, TrailingSlashesWantDirectories) {
  TempDir dir;
  const std::string file = dir.CreateFile("file"), sub = dir.CreateDir("sub");
  EXPECT_THAT(Rename(file + "/", dir.Path("x")), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Rename(file, dir.Path("x/")), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Rename(sub + "/", dir.Path("x/")), SyscallSucceeds());
}

TEST(Rename, MovesTheSymlinkNotItsTarget) {
  TempDir dir;
  const std::string file = dir.CreateFile("file", "data");
  const std::string link = dir.CreateSymlink("link", "file");
  ASSERT_THAT(Rename(link, dir.Path("moved")), SyscallSucceeds());
  char buf[16];
  EXPECT_THAT(readlink(dir.Path("moved").c_str(), buf, sizeof(buf)), SyscallSucceedsWithValue(4));
  // Renaming onto a symlink replaces the link.
  const std::string other = dir.CreateFile("other", "other");
  ASSERT_THAT(Rename(other, dir.Path("moved")), SyscallSucceeds());
  EXPECT_EQ(ReadFile(file), "data");
  EXPECT_EQ(ReadFile(dir.Path("moved")), "other");
}

TEST(Rename, MissingPathsFail) {
  TempDir dir;
  const std::string a = dir.CreateFile("a");
  EXPECT_THAT(Rename(dir.Path("none"), dir.Path("b")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Rename(a, dir.Path("none/b")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Rename(a, a + "/b"), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Rename("", dir.Path("b")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Rename(a, ""), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(rename(BadPointer<char>(), a.c_str()), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(rename(a.c_str(), BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Rename, AcrossFileSystemsIsExdev) {
  TempFile file;
  EXPECT_THAT(Rename(file.path(), "/proc/x"), SyscallFailsWithErrno(EXDEV));
}

TEST(Rename, NeedsWriteAccessToBothDirectories) {
  SKIP_IF_NOT_ROOT();
  TempDir dir(0755);
  dir.CreateDir("open", 0777);
  dir.CreateDir("closed", 0755);
  dir.CreateFile("open/a");
  dir.CreateFile("closed/b");
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(Rename(dir.Path("open/a"), dir.Path("closed/a")), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(Rename(dir.Path("closed/b"), dir.Path("open/b")), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(Rename(dir.Path("open/a"), dir.Path("open/c")), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST(Rename, MovingADirectoryNeedsWriteAccessToIt) {
  SKIP_IF_NOT_ROOT();
  TempDir dir(0777);
  dir.CreateDir("target", 0777);
  const std::string sub = dir.CreateDir("sub", 0755);
  EXPECT_THAT(RunAsUser([&] {
                // Its ".." would change; within one directory it does not.
                EXPECT_THAT(Rename(sub, dir.Path("target/sub")), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(Rename(sub, dir.Path("sub2")), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST(Renameat, UsesBothDirectories) {
  TempDir a, b;
  a.CreateFile("x", "data");
  FileDescriptor from = Open(a.path(), O_PATH), to = Open(b.path(), O_PATH);
  ASSERT_THAT(renameat(from.get(), "x", to.get(), "y"), SyscallSucceeds());
  EXPECT_EQ(ReadFile(b.Path("y")), "data");
  EXPECT_THAT(renameat(-1, "x", to.get(), "y"), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(renameat(to.get(), "y", -1, "y"), SyscallFailsWithErrno(EBADF));
}

TEST(Renameat2, NoreplaceKeepsTheTarget) {
  TempDir dir;
  const std::string a = dir.CreateFile("a", "a"), b = dir.CreateFile("b", "b");
  EXPECT_THAT(Rename2(a, b, RENAME_NOREPLACE), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(Rename2(a, a, RENAME_NOREPLACE), SyscallFailsWithErrno(EEXIST));
  EXPECT_EQ(ReadFile(b), "b");
  EXPECT_THAT(Rename2(a, dir.Path("c"), RENAME_NOREPLACE), SyscallSucceeds());
  EXPECT_THAT(Rename2(b, dir.CreateSymlink("dangling", "none"), RENAME_NOREPLACE),
              SyscallFailsWithErrno(EEXIST));
}

TEST(Renameat2, ExchangeSwapsAnyTwoKinds) {
  TempDir dir;
  const std::string file = dir.CreateFile("file", "data"), sub = dir.CreateDir("sub");
  dir.CreateFile("sub/inner", "inner");
  ASSERT_THAT(Rename2(file, sub, RENAME_EXCHANGE), SyscallSucceeds());
  EXPECT_EQ(ReadFile(sub), "data");
  EXPECT_EQ(ReadFile(dir.Path("file/inner")), "inner");
}

TEST(Renameat2, ExchangeNeedsBothAndNoAncestry) {
  TempDir dir;
  const std::string a = dir.CreateDir("a");
  dir.CreateDir("a/b");
  EXPECT_THAT(Rename2(a, dir.Path("none"), RENAME_EXCHANGE), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Rename2(a, dir.Path("a/b"), RENAME_EXCHANGE), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Rename2(dir.Path("a/b"), a, RENAME_EXCHANGE), SyscallFailsWithErrno(EINVAL));
}

TEST(Renameat2, FlagsAreChecked) {
  TempDir dir;
  const std::string a = dir.CreateFile("a"), b = dir.CreateFile("b");
  EXPECT_THAT(Rename2(a, b, 1u << 20), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Rename2(a, b, RENAME_EXCHANGE | RENAME_NOREPLACE), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace moat::test
