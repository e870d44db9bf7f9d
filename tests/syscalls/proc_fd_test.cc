// /proc/self/fd, /proc/self/fdinfo and the other links of proc(5) that lead to files.
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <set>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

std::string FdPath(int fd) { return "/proc/self/fd/" + std::to_string(fd); }
std::string Readlink(const std::string& path) {
  char buf[PATH_MAX];
  const ssize_t n = readlink(path.c_str(), buf, sizeof(buf));
  EXPECT_THAT(n, SyscallSucceeds()) << path;
  return n < 0 ? "" : std::string(buf, static_cast<size_t>(n));
}
ino_t Inode(const FileDescriptor& fd) {
  struct stat st = {};
  EXPECT_THAT(fstat(fd.get(), &st), SyscallSucceeds());
  return st.st_ino;
}
std::set<int> ListFds() {
  std::set<int> fds;
  DIR* dir = opendir("/proc/self/fd");
  EXPECT_NE(dir, nullptr);
  while (dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') fds.insert(atoi(entry->d_name));
  }
  fds.erase(dirfd(dir));
  closedir(dir);
  return fds;
}
// The value of "key:" in /proc/self/fdinfo/FD.
std::string Info(const FileDescriptor& fd, const std::string& key) {
  const std::string text = "\n" + ReadFile("/proc/self/fdinfo/" + std::to_string(fd.get()));
  const size_t at = text.find("\n" + key + ":\t");
  if (at == std::string::npos) return "";
  const size_t from = at + key.size() + 3;
  return text.substr(from, text.find('\n', from) - from);
}

TEST(ProcFd, ListsExactlyTheOpenDescriptors) {
  const std::set<int> before = ListFds();
  FileDescriptor fd = Open("/dev/null", O_RDONLY);
  std::set<int> with = before;
  with.insert(fd.get());
  EXPECT_EQ(ListFds(), with);
  fd.Reset();
  EXPECT_EQ(ListFds(), before);
}

TEST(ProcFd, LinksNameTheFile) {
  TempFile file;
  FileDescriptor fd = file.Open(), null = Open("/dev/null", O_RDONLY), dir = Open(file.dir().path(), O_PATH);
  EXPECT_EQ(Readlink(FdPath(fd.get())), file.path());
  EXPECT_EQ(Readlink(FdPath(null.get())), "/dev/null");
  EXPECT_EQ(Readlink(FdPath(dir.get())), file.dir().path());
}

TEST(ProcFd, LinksFollowRenamesAndMarkDeletion) {
  TempFile file;
  FileDescriptor fd = file.Open();
  const std::string moved = file.dir().Path("moved");
  ASSERT_THAT(rename(file.path().c_str(), moved.c_str()), SyscallSucceeds());
  EXPECT_EQ(Readlink(FdPath(fd.get())), moved);
  ASSERT_THAT(unlink(moved.c_str()), SyscallSucceeds());
  EXPECT_EQ(Readlink(FdPath(fd.get())), moved + " (deleted)");
}

TEST(ProcFd, FilesWithoutAPathHaveSyntheticNames) {
  Pipe pipe;
  EXPECT_EQ(Readlink(FdPath(pipe.reader.get())), "pipe:[" + std::to_string(Inode(pipe.reader)) + "]");
  FileDescriptor socket_fd(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_EQ(Readlink(FdPath(socket_fd.get())), "socket:[" + std::to_string(Inode(socket_fd)) + "]");
}

TEST(ProcFd, LinkModesShowTheAccessMode) {
  TempFile file;
  FileDescriptor r = file.Open(O_RDONLY), w = file.Open(O_WRONLY), rw = file.Open(O_RDWR);
  struct stat st;
  ASSERT_THAT(lstat(FdPath(r.get()).c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_mode, S_IFLNK | 0500u);
  ASSERT_THAT(lstat(FdPath(w.get()).c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_mode, S_IFLNK | 0300u);
  ASSERT_THAT(lstat(FdPath(rw.get()).c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_mode, S_IFLNK | 0700u);
}

TEST(ProcFd, OpeningALinkMakesANewDescription) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open(O_RDONLY);
  ReadAll(fd.get(), 4);
  FileDescriptor again = Open(FdPath(fd.get()), O_RDWR);
  EXPECT_EQ(ReadAll(again.get(), 2), "01");
  EXPECT_EQ(ReadAll(fd.get(), 2), "45");
  EXPECT_TRUE(WriteAll(again.get(), "w"));
}

TEST(ProcFd, DeletedFilesCanBeReopened) {
  TempFile file("still here");
  FileDescriptor fd = file.Open(O_RDONLY);
  ASSERT_THAT(unlink(file.path().c_str()), SyscallSucceeds());
  FileDescriptor again = Open(FdPath(fd.get()), O_RDONLY);
  EXPECT_EQ(ReadAll(again.get()), "still here");
}

TEST(ProcFd, PathDescriptorsCanBeReopenedForReading) {
  TempFile file("data");
  FileDescriptor path = file.Open(O_PATH);
  EXPECT_EQ(ReadFile(FdPath(path.get())), "data");
}

TEST(ProcFd, DirectoryLinksCanBeWalkedThrough) {
  TempDir dir;
  dir.CreateFile("file", "inside");
  FileDescriptor fd = Open(dir.path(), O_PATH);
  EXPECT_EQ(ReadFile(FdPath(fd.get()) + "/file"), "inside");
  struct stat st;
  EXPECT_THAT(stat((FdPath(fd.get()) + "/..").c_str(), &st), SyscallSucceeds());
}

TEST(ProcFd, SocketsCannotBeReopened) {
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_THAT(open(FdPath(fd.get()).c_str(), O_RDWR), SyscallFailsWithErrno(ENXIO));
}

TEST(ProcFd, NumbersAreParsedStrictly) {
  struct stat st;
  EXPECT_THAT(lstat("/proc/self/fd/00", &st), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(lstat("/proc/self/fd/+1", &st), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(lstat("/proc/self/fd/1x", &st), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(lstat("/proc/self/fd/987654", &st), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(lstat("/proc/self/fd/99999999999999999999", &st), SyscallFailsWithErrno(ENOENT));
}

TEST(ProcFd, NothingCanBeCreatedOrRemoved) {
  EXPECT_THAT(open("/proc/self/fd/x", O_CREAT | O_RDWR, 0600),
              SyscallFailsWithErrno(testing::AnyOf(ENOENT, EACCES)));
  EXPECT_THAT(unlink("/proc/self/fd/0"), SyscallFailsWithErrno(testing::AnyOf(EPERM, EACCES)));
  EXPECT_THAT(mkdir("/proc/self/x", 0700), SyscallFailsWithErrno(testing::AnyOf(ENOENT, EACCES)));
}

TEST(ProcFd, OfAnotherProcessShowsItsDescriptors) {
  TempFile file;
  Pipe ready, hold;
  ScopedChild child([&] {
    hold.writer.Reset();
    FileDescriptor fd = file.Open();
    dup2(fd.get(), 200);
    WriteAll(ready.writer.get(), "x");
    ReadAll(hold.reader.get());
  });
  ReadAll(ready.reader.get(), 1);
  EXPECT_EQ(Readlink("/proc/" + std::to_string(child.pid()) + "/fd/200"), file.path());
  hold.writer.Reset();
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST(ProcFd, DevFdIsTheSameDirectory) {
  Pipe pipe;
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  FileDescriptor again = Open("/dev/fd/" + std::to_string(pipe.reader.get()), O_RDONLY);
  EXPECT_EQ(ReadAll(again.get(), 1), "x");
}

TEST(ProcFdinfo, ShowsOffsetAndFlags) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open(O_RDWR | O_APPEND);
  ReadAll(fd.get(), 7);
  EXPECT_EQ(Info(fd, "pos"), "7");
  const long flags = strtol(Info(fd, "flags").c_str(), nullptr, 8);
  EXPECT_EQ(flags & O_ACCMODE, O_RDWR);
  EXPECT_EQ(flags & (O_APPEND | O_CLOEXEC), O_APPEND | O_CLOEXEC);
  EXPECT_EQ(Info(fd, "ino"), std::to_string(Inode(fd)));
}

TEST(ProcTask, SelfAndThreadSelfLinks) {
  EXPECT_EQ(Readlink("/proc/self"), std::to_string(getpid()));
  EXPECT_EQ(Readlink("/proc/thread-self"), std::to_string(getpid()) + "/task/" + std::to_string(getpid()));
  ScopedThread thread([] {
    EXPECT_EQ(Readlink("/proc/thread-self"), std::to_string(getpid()) + "/task/" + std::to_string(gettid()));
  });
}

TEST(ProcTask, CwdRootAndExeLinks) {
  TempDir dir;
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(dir.path().c_str()), SyscallSucceeds());
                EXPECT_EQ(Readlink("/proc/self/cwd"), dir.path());
                EXPECT_EQ(Readlink("/proc/self/root"), "/");
              }),
              ExitedWith(0));
  const std::string exe = Readlink("/proc/self/exe");
  EXPECT_EQ(exe[0], '/');
  struct stat by_link, by_name;
  ASSERT_THAT(stat("/proc/self/exe", &by_link), SyscallSucceeds());
  ASSERT_THAT(stat(exe.c_str(), &by_name), SyscallSucceeds());
  EXPECT_EQ(by_link.st_ino, by_name.st_ino);
}

TEST(ProcTask, CwdOfARemovedDirectoryIsMarked) {
  TempDir dir;
  const std::string sub = dir.CreateDir("sub");
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(sub.c_str()), SyscallSucceeds());
                ASSERT_THAT(rmdir(sub.c_str()), SyscallSucceeds());
                EXPECT_EQ(Readlink("/proc/self/cwd"), sub + " (deleted)");
              }),
              ExitedWith(0));
}

TEST(ProcTask, OtherUsersLinksAreClosed) {
  SKIP_IF_NOT_ROOT();
  const std::string base = "/proc/" + std::to_string(getpid());
  EXPECT_THAT(
      RunAsUser([&] {
        char buf[64];
        EXPECT_THAT(readlink((base + "/exe").c_str(), buf, sizeof(buf)), SyscallFailsWithErrno(EACCES));
        EXPECT_THAT(readlink((base + "/cwd").c_str(), buf, sizeof(buf)), SyscallFailsWithErrno(EACCES));
        EXPECT_THAT(open((base + "/fd").c_str(), O_RDONLY | O_DIRECTORY), SyscallFailsWithErrno(EACCES));
        EXPECT_THAT(open((base + "/environ").c_str(), O_RDONLY), SyscallFailsWithErrno(EACCES));
        EXPECT_NE(ReadFile(base + "/stat"), "");
      }),
      ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
