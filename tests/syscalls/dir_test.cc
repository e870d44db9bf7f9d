// mkdir(2), rmdir(2), getdents64(2).
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <map>
#include <set>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

struct Entry {
  std::string name;
  ino_t ino;
  off_t next;  // d_off: where the following entry starts
  unsigned char type;
};

// One getdents64 call with a buffer of `size` bytes; empty at the end.
std::vector<Entry> Getdents(const FileDescriptor& fd, size_t size = 4096) {
  std::vector<char> buf(size);
  const long n = syscall(SYS_getdents64, fd.get(), buf.data(), size);
  EXPECT_THAT(n, SyscallSucceeds());
  std::vector<Entry> out;
  for (long pos = 0; pos < n;) {
    const auto* d = reinterpret_cast<dirent64*>(buf.data() + pos);
    EXPECT_EQ(d->d_reclen % 8, 0);
    out.push_back({d->d_name, d->d_ino, d->d_off, d->d_type});
    pos += d->d_reclen;
  }
  return out;
}

// All entries, read with many small calls.
std::vector<Entry> ListAll(const FileDescriptor& fd, size_t size = 4096) {
  std::vector<Entry> all;
  for (;;) {
    const std::vector<Entry> some = Getdents(fd, size);
    if (some.empty()) return all;
    all.insert(all.end(), some.begin(), some.end());
  }
}

std::multiset<std::string> Names(const std::vector<Entry>& entries) {
  std::multiset<std::string> names;
  for (const Entry& entry : entries) names.insert(entry.name);
  return names;
}

TEST(Mkdir, MakesAnEmptyDirectory) {
  TempDir dir;
  const mode_t old = umask(022);
  ASSERT_THAT(mkdir(dir.Path("sub").c_str(), 0777), SyscallSucceeds());
  umask(old);
  struct stat st;
  ASSERT_THAT(stat(dir.Path("sub").c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_mode, S_IFDIR | 0755u);
  EXPECT_EQ(Names(ListAll(Open(dir.Path("sub"), O_RDONLY))), (std::multiset<std::string>{".", ".."}));
}

TEST(Mkdir, AcceptsATrailingSlash) {
  TempDir dir;
  EXPECT_THAT(mkdir(dir.Path("sub///").c_str(), 0700), SyscallSucceeds());
  EXPECT_THAT(mkdir(dir.Path("sub/./inner/").c_str(), 0700), SyscallSucceeds());
}

TEST(Mkdir, RefusesWhatExistsInAnyForm) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  const std::string dangling = dir.CreateSymlink("dangling", "none");
  EXPECT_THAT(mkdir(file.c_str(), 0700), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mkdir(dangling.c_str(), 0700), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mkdir(dir.path().c_str(), 0700), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mkdir(dir.Path(".").c_str(), 0700), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mkdir(dir.Path("..").c_str(), 0700), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mkdir("/", 0700), SyscallFailsWithErrno(EEXIST));
}

TEST(Mkdir, BadPaths) {
  TempDir dir;
  const std::string file = dir.CreateFile("file");
  EXPECT_THAT(mkdir(dir.Path("none/sub").c_str(), 0700), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdir((file + "/sub").c_str(), 0700), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(mkdir("", 0700), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdir(BadPointer<char>(), 0700), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(mkdir(dir.Path(std::string(256, 'x')).c_str(), 0700), SyscallFailsWithErrno(ENAMETOOLONG));
  EXPECT_THAT(mkdir(dir.Path(std::string(255, 'x')).c_str(), 0700), SyscallSucceeds());
  EXPECT_THAT(mkdirat(-1, "x", 0700), SyscallFailsWithErrno(EBADF));
}

TEST(Mkdir, KeepsOnlyPermissionAndStickyBits) {
  TempDir dir;
  ASSERT_THAT(mkdir(dir.Path("sub").c_str(), 07777), SyscallSucceeds());
  struct stat st;
  ASSERT_THAT(stat(dir.Path("sub").c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_mode & (S_ISUID | S_ISGID), 0u);
  EXPECT_NE(st.st_mode & S_ISVTX, 0u);
}

TEST(Rmdir, RemovesOnlyEmptyDirectories) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub");
  const std::string file = dir.CreateFile("sub/file");
  EXPECT_THAT(rmdir(sub.c_str()), SyscallFailsWithErrno(ENOTEMPTY));
  ASSERT_THAT(unlink(file.c_str()), SyscallSucceeds());
  EXPECT_THAT(rmdir(sub.c_str()), SyscallSucceeds());
  EXPECT_THAT(rmdir(sub.c_str()), SyscallFailsWithErrno(ENOENT));
}

TEST(Rmdir, BadPaths) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub"), file = dir.CreateFile("file");
  const std::string link = dir.CreateSymlink("link", "sub");
  EXPECT_THAT(rmdir(file.c_str()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(rmdir(link.c_str()), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(rmdir((sub + "/.").c_str()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(rmdir((sub + "/..").c_str()), SyscallFailsWithErrno(ENOTEMPTY));
  EXPECT_THAT(rmdir("/"), SyscallFailsWithErrno(EBUSY));
  EXPECT_THAT(rmdir(BadPointer<char>()), SyscallFailsWithErrno(EFAULT));
}

TEST(Rmdir, RemovedDirectoryIsDeadButStillThere) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub");
  FileDescriptor fd = Open(sub, O_RDONLY | O_DIRECTORY);
  ASSERT_THAT(rmdir(sub.c_str()), SyscallSucceeds());
  struct stat st;
  EXPECT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_nlink, 0u);
  EXPECT_THAT(openat(fd.get(), "new", O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(mkdirat(fd.get(), "new", 0600), SyscallFailsWithErrno(ENOENT));
  char buf[512];
  EXPECT_THAT(syscall(SYS_getdents64, fd.get(), buf, sizeof(buf)), SyscallFailsWithErrno(ENOENT));
}

TEST(Getdents, ListsEveryNameOnceWithTypeAndInode) {
  TempDir dir;
  dir.CreateFile("file");
  dir.CreateDir("sub");
  dir.CreateSymlink("link", "file");
  ASSERT_THAT(mkfifo(dir.Path("fifo").c_str(), 0600), SyscallSucceeds());
  std::map<std::string, Entry> found;
  for (const Entry& e : ListAll(Open(dir.path(), O_RDONLY | O_DIRECTORY))) {
    EXPECT_TRUE(found.emplace(e.name, e).second) << e.name << " twice";
  }
  EXPECT_EQ(found.size(), 6u);
  const std::map<std::string, int> types = {{".", DT_DIR},   {"..", DT_DIR},   {"file", DT_REG},
                                            {"sub", DT_DIR}, {"link", DT_LNK}, {"fifo", DT_FIFO}};
  for (const auto& [name, type] : types) {
    ASSERT_TRUE(found.contains(name)) << name;
    EXPECT_TRUE(found[name].type == type || found[name].type == DT_UNKNOWN) << name;
    struct stat st;
    ASSERT_THAT(lstat(dir.Path(name).c_str(), &st), SyscallSucceeds());
    if (name != "..") {
      EXPECT_EQ(found[name].ino, st.st_ino) << name;
    }
  }
}

TEST(Getdents, ManyEntriesComeInManyCalls) {
  TempDir dir;
  std::multiset<std::string> want = {".", ".."};
  for (int i = 0; i < 300; ++i) {
    const std::string name = "entry" + std::to_string(i);
    dir.CreateFile(name);
    want.insert(name);
  }
  EXPECT_EQ(Names(ListAll(Open(dir.path(), O_RDONLY), 200)), want);
  EXPECT_EQ(Names(ListAll(Open(dir.path(), O_RDONLY), 65536)), want);
}

TEST(Getdents, RewindingShowsNewEntries) {
  TempDir dir;
  FileDescriptor fd = Open(dir.path(), O_RDONLY);
  EXPECT_EQ(ListAll(fd).size(), 2u);
  dir.CreateFile("new");
  ASSERT_THAT(lseek(fd.get(), 0, SEEK_SET), SyscallSucceedsWithValue(0));
  EXPECT_EQ(ListAll(fd).size(), 3u);
}

TEST(Getdents, OffsetsLeadBackToTheirPlace) {
  TempDir dir;
  for (int i = 0; i < 20; ++i) dir.CreateFile("f" + std::to_string(i));
  FileDescriptor fd = Open(dir.path(), O_RDONLY);
  const std::vector<Entry> all = ListAll(fd);
  ASSERT_EQ(all.size(), 22u);
  for (size_t i : {size_t{0}, size_t{5}, size_t{20}}) {
    ASSERT_THAT(lseek(fd.get(), all[i].next, SEEK_SET), SyscallSucceedsWithValue(all[i].next));
    const std::vector<Entry> rest = ListAll(fd);
    ASSERT_EQ(rest.size(), all.size() - i - 1);
    EXPECT_EQ(rest[0].name, all[i + 1].name);
  }
}

TEST(Getdents, RemovingWhatWasReadDoesNotHideTheRest) {
  TempDir dir;
  for (int i = 0; i < 100; ++i) dir.CreateFile("f" + std::to_string(i));
  FileDescriptor fd = Open(dir.path(), O_RDONLY);
  int removed = 0;
  for (;;) {
    const std::vector<Entry> some = Getdents(fd, 256);
    if (some.empty()) break;
    for (const Entry& e : some) {
      if (e.name == "." || e.name == "..") continue;
      EXPECT_THAT(unlink(dir.Path(e.name).c_str()), SyscallSucceeds());
      ++removed;
    }
  }
  EXPECT_EQ(removed, 100);
}

TEST(Getdents, BadArguments) {
  TempFile file;
  FileDescriptor fd = file.Open(), dir = Open(file.dir().path(), O_RDONLY), path = Open("/", O_PATH);
  char buf[512];
  EXPECT_THAT(syscall(SYS_getdents64, fd.get(), buf, sizeof(buf)), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(syscall(SYS_getdents64, -1, buf, sizeof(buf)), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(syscall(SYS_getdents64, path.get(), buf, sizeof(buf)), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(syscall(SYS_getdents64, dir.get(), buf, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_getdents64, dir.get(), BadPointer(), 512), SyscallFailsWithErrno(EFAULT));
}

TEST(Getdents, OldFormHasTheTypeAtTheEnd) {
  TempDir dir;
  dir.CreateFile("file");
  FileDescriptor fd = Open(dir.path(), O_RDONLY);
  char buf[1024];
  const long n = syscall(SYS_getdents, fd.get(), buf, sizeof(buf));
  ASSERT_THAT(n, SyscallSucceedsWithValue(testing::Gt(0)));
  bool seen = false;
  for (long pos = 0; pos < n;) {
    // struct linux_dirent: d_ino and d_off of 8 bytes, d_reclen of 2, the name, the type in the last byte.
    uint16_t reclen;
    memcpy(&reclen, buf + pos + 16, sizeof(reclen));
    if (strcmp(buf + pos + 18, "file") == 0) {
      seen = true;
      EXPECT_TRUE(buf[pos + reclen - 1] == DT_REG || buf[pos + reclen - 1] == DT_UNKNOWN);
    }
    pos += reclen;
  }
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace moat::test
