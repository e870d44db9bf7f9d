// How paths are resolved: slashes, dots, symbolic links, limits (path_resolution(7)).
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

int Stat(const std::string& path) {
  struct stat st;
  return stat(path.c_str(), &st);
}
int Lstat(const std::string& path) {
  struct stat st;
  return lstat(path.c_str(), &st);
}
ino_t Inode(const std::string& path) {
  struct stat st = {};
  EXPECT_THAT(stat(path.c_str(), &st), SyscallSucceeds()) << path;
  return st.st_ino;
}

TEST(PathWalk, RepeatedSlashesAndDotsMeanNothing) {
  TempDir dir;
  dir.CreateDir("sub");
  dir.CreateFile("sub/file", "x");
  const ino_t ino = Inode(dir.Path("sub/file"));
  EXPECT_EQ(Inode(dir.Path("sub//file")), ino);
  EXPECT_EQ(Inode(dir.Path("./sub/././file")), ino);
  EXPECT_EQ(Inode(dir.Path("sub/../sub/file")), ino);
  EXPECT_EQ(Inode("//" + dir.Path("sub/file")), ino);
}

TEST(PathWalk, DotDotAboveTheRootIsTheRoot) {
  EXPECT_EQ(Inode("/.."), Inode("/"));
  EXPECT_EQ(Inode("/../../../.."), Inode("/"));
}

TEST(PathWalk, DotDotNeedsWhatItLeaves) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  EXPECT_THAT(Stat(dir.Path("none/..")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Stat(file + "/.."), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Stat(file + "/."), SyscallFailsWithErrno(ENOTDIR));
}

TEST(PathWalk, DotDotAfterALinkLeavesTheTarget) {
  TempDir dir;
  dir.CreateDir("a");
  dir.CreateDir("a/b");
  dir.CreateFile("a/mark");
  dir.CreateSymlink("link", "a/b");
  EXPECT_EQ(Inode(dir.Path("link/..")), Inode(dir.Path("a")));
  EXPECT_EQ(Inode(dir.Path("link/../mark")), Inode(dir.Path("a/mark")));
}

TEST(PathWalk, TrailingSlashFollowsALinkToADirectory) {
  TempDir dir;
  dir.CreateDir("real");
  const std::string link = dir.CreateSymlink("link", "real");
  struct stat st;
  ASSERT_THAT(lstat((link + "/").c_str(), &st), SyscallSucceeds());
  EXPECT_TRUE(S_ISDIR(st.st_mode));
  char buf[16];
  EXPECT_THAT(readlink((link + "/").c_str(), buf, sizeof(buf)), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(rmdir((link + "/").c_str()), SyscallFailsWithErrno(ENOTDIR));
}

TEST(PathWalk, RelativeLinksStartAtTheirDirectory) {
  TempDir dir;
  dir.CreateDir("sub");
  dir.CreateFile("sub/target", "sub");
  dir.CreateFile("target", "top");
  dir.CreateSymlink("sub/link", "target");
  dir.CreateSymlink("sub/up", "../target");
  EXPECT_EQ(ReadFile(dir.Path("sub/link")), "sub");
  EXPECT_EQ(ReadFile(dir.Path("sub/up")), "top");
}

TEST(PathWalk, LinkTextMayEndWithASlashOrDots) {
  TempDir dir;
  dir.CreateDir("real");
  dir.CreateFile("file");
  dir.CreateSymlink("slash", "real/");
  dir.CreateSymlink("dots", "real/..");
  dir.CreateSymlink("fileslash", "file/");
  EXPECT_EQ(Inode(dir.Path("slash")), Inode(dir.Path("real")));
  EXPECT_EQ(Inode(dir.Path("dots")), Inode(dir.path()));
  EXPECT_THAT(Stat(dir.Path("fileslash")), SyscallFailsWithErrno(ENOTDIR));
}

TEST(PathWalk, FortyLinksAreFollowedAndNotOneMore) {
  TempDir dir;
  dir.CreateFile("link0", "end");
  for (int i = 1; i <= 41; ++i) {
    dir.CreateSymlink("link" + std::to_string(i), "link" + std::to_string(i - 1));
  }
  EXPECT_THAT(Stat(dir.Path("link40")), SyscallSucceeds());
  EXPECT_THAT(Stat(dir.Path("link41")), SyscallFailsWithErrno(ELOOP));
  EXPECT_THAT(Lstat(dir.Path("link41")), SyscallSucceeds());
  EXPECT_THAT(open(dir.Path("link41").c_str(), O_RDONLY), SyscallFailsWithErrno(ELOOP));
}

TEST(PathWalk, LinksOfAllComponentsCountTogether) {
  TempDir dir;
  dir.CreateSymlink("here", ".");
  std::string path = dir.path();
  for (int i = 0; i < 40; ++i) path += "/here";
  EXPECT_THAT(Stat(path), SyscallSucceeds());
  EXPECT_THAT(Stat(path + "/here"), SyscallFailsWithErrno(ELOOP));
}

TEST(PathWalk, SelfLinksLoop) {
  TempDir dir;
  const std::string self = dir.CreateSymlink("self", "self");
  dir.CreateSymlink("a", "b");
  dir.CreateSymlink("b", "a");
  EXPECT_THAT(Stat(self), SyscallFailsWithErrno(ELOOP));
  EXPECT_THAT(Stat(self + "/x"), SyscallFailsWithErrno(ELOOP));
  EXPECT_THAT(Stat(dir.Path("a")), SyscallFailsWithErrno(ELOOP));
  EXPECT_THAT(open(self.c_str(), O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(ELOOP));
}

TEST(PathWalk, NamesHave255BytesAtMost) {
  TempDir dir;
  dir.CreateFile(std::string(255, 'n'));
  EXPECT_THAT(Stat(dir.Path(std::string(255, 'n'))), SyscallSucceeds());
  EXPECT_THAT(Stat(dir.Path(std::string(256, 'n'))), SyscallFailsWithErrno(ENAMETOOLONG));
  EXPECT_THAT(Stat(dir.Path(std::string(256, 'n') + "/x")), SyscallFailsWithErrno(ENAMETOOLONG));
}

TEST(PathWalk, PathsHave4095BytesAtMost) {
  std::string path = "/";
  while (path.size() < PATH_MAX - 1) path += "/";
  EXPECT_THAT(Stat(path), SyscallSucceeds());
  EXPECT_THAT(Stat(path + "/"), SyscallFailsWithErrno(ENAMETOOLONG));
  EXPECT_THAT(mkdir((path + "/").c_str(), 0700), SyscallFailsWithErrno(ENAMETOOLONG));
}

TEST(PathWalk, NamesAreBytes) {
  TempDir dir;
  const std::string name = "\x01 \xff\xfe*?\n\"x\xc3\xa4";
  dir.CreateFile(name, "odd");
  EXPECT_EQ(ReadFile(dir.Path(name)), "odd");
  EXPECT_THAT(Stat(dir.Path("A")), SyscallFailsWithErrno(ENOENT));
  dir.CreateFile("a");
  EXPECT_THAT(Stat(dir.Path("A")), SyscallFailsWithErrno(ENOENT));
}

TEST(PathWalk, NamesThatLookLikeDotsAreOrdinary) {
  TempDir dir;
  dir.CreateFile("...", "three");
  dir.CreateFile("..x", "twox");
  dir.CreateFile(".x", "onex");
  EXPECT_EQ(ReadFile(dir.Path("...")), "three");
  EXPECT_EQ(ReadFile(dir.Path("..x")), "twox");
  EXPECT_EQ(ReadFile(dir.Path(".x")), "onex");
}

TEST(PathWalk, FileInTheMiddleIsNotADirectory) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  dir.CreateSymlink("link", "file");
  EXPECT_THAT(Stat(file + "/x/y"), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Stat(dir.Path("link/x")), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(Stat("/dev/null/x"), SyscallFailsWithErrno(ENOTDIR));
}

TEST(PathWalk, DanglingLinkInTheMiddleIsMissing) {
  TempDir dir;
  dir.CreateSymlink("link", "none");
  EXPECT_THAT(Stat(dir.Path("link")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(Stat(dir.Path("link/x")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdir(dir.Path("link/x").c_str(), 0700), SyscallFailsWithErrno(ENOENT));
}

TEST(PathWalk, MissingNamesAppearWhenCreated) {
  TempDir dir;
  // A kernel may remember that a name was missing; creating it must undo that.
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(Stat(dir.Path("x")), SyscallFailsWithErrno(ENOENT));
    dir.CreateFile("x");
    EXPECT_THAT(Stat(dir.Path("x")), SyscallSucceeds());
    ASSERT_THAT(unlink(dir.Path("x").c_str()), SyscallSucceeds());
    dir.CreateDir("x");
    EXPECT_THAT(Stat(dir.Path("x/")), SyscallSucceeds());
    ASSERT_THAT(rmdir(dir.Path("x").c_str()), SyscallSucceeds());
  }
}

}  // namespace
}  // namespace moat::test
