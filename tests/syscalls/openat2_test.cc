// openat2(2): strict arguments, extensible struct, RESOLVE_* flags.
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

int Openat2(int dirfd, const std::string& path, uint64_t flags, uint64_t resolve = 0, uint64_t mode = 0) {
  open_how how = {};
  how.flags = flags;
  how.mode = mode;
  how.resolve = resolve;
  return static_cast<int>(syscall(SYS_openat2, dirfd, path.c_str(), &how, sizeof(how)));
}

// A small tree: root/file, root/sub/file, links that stay below root and links that leave it.
class Openat2 : public testing::Test {
 protected:
  Openat2() {
    dir_.CreateDir("root");
    dir_.CreateFile("outside", "outside");
    dir_.CreateFile("root/file", "inside");
    dir_.CreateDir("root/sub");
    dir_.CreateFile("root/sub/file", "deeper");
    dir_.CreateSymlink("root/link", "sub/file");
    dir_.CreateSymlink("root/sub/up", "../file");
    dir_.CreateSymlink("root/escape", "../outside");
    dir_.CreateSymlink("root/absolute", dir_.Path("outside"));
    dir_.CreateSymlink("root/slashfile", "/file");
    root_ = Open(dir_.Path("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
  }

  // The text of the file found, or the errno's name.
  std::string Find(const std::string& path, uint64_t resolve) {
    FileDescriptor fd(Openat2Call(path, resolve));
    return fd.valid() ? ReadAll(fd.get()) : strerrorname_np(errno);
  }
  int Openat2Call(const std::string& path, uint64_t resolve, uint64_t flags = O_RDONLY) {
    return test::Openat2(root_.get(), path, flags, resolve);
  }

  TempDir dir_;
  FileDescriptor root_;
};

TEST_F(Openat2, WithoutResolveFlagsActsAsOpenat) {
  EXPECT_EQ(Find("file", 0), "inside");
  EXPECT_EQ(Find("link", 0), "deeper");
  EXPECT_EQ(Find("escape", 0), "outside");
  EXPECT_EQ(Find("absolute", 0), "outside");
}

TEST_F(Openat2, BeneathKeepsTheWalkBelowTheDirectory) {
  EXPECT_EQ(Find("file", RESOLVE_BENEATH), "inside");
  EXPECT_EQ(Find("link", RESOLVE_BENEATH), "deeper");
  EXPECT_EQ(Find("sub/../file", RESOLVE_BENEATH), "inside");
  EXPECT_EQ(Find("sub/up", RESOLVE_BENEATH), "inside");
}

TEST_F(Openat2, BeneathRefusesToLeave) {
  EXPECT_EQ(Find("../outside", RESOLVE_BENEATH), "EXDEV");
  EXPECT_EQ(Find("..", RESOLVE_BENEATH), "EXDEV");
  EXPECT_EQ(Find("sub/../../root/file", RESOLVE_BENEATH), "EXDEV");
  EXPECT_EQ(Find("escape", RESOLVE_BENEATH), "EXDEV");
  EXPECT_EQ(Find("absolute", RESOLVE_BENEATH), "EXDEV");
  EXPECT_EQ(Find("slashfile", RESOLVE_BENEATH), "EXDEV");
  EXPECT_EQ(Find(dir_.Path("root/file"), RESOLVE_BENEATH), "EXDEV");
  EXPECT_EQ(Find("/", RESOLVE_BENEATH), "EXDEV");
}

TEST_F(Openat2, InRootTreatsTheDirectoryAsTheRoot) {
  EXPECT_EQ(Find("/file", RESOLVE_IN_ROOT), "inside");
  EXPECT_EQ(Find("slashfile", RESOLVE_IN_ROOT), "inside");
  EXPECT_EQ(Find("../../../file", RESOLVE_IN_ROOT), "inside");
  EXPECT_EQ(Find("sub/../../../sub/file", RESOLVE_IN_ROOT), "deeper");
  EXPECT_EQ(Find("escape", RESOLVE_IN_ROOT), "ENOENT");
  EXPECT_EQ(Find("absolute", RESOLVE_IN_ROOT), "ENOENT");
}

TEST_F(Openat2, BeneathAndInRootTogetherAreInvalid) {
  EXPECT_EQ(Find("file", RESOLVE_BENEATH | RESOLVE_IN_ROOT), "EINVAL");
}

TEST_F(Openat2, NoSymlinksRefusesEverySymlink) {
  dir_.CreateSymlink("root/dirlink", "sub");
  EXPECT_EQ(Find("sub/file", RESOLVE_NO_SYMLINKS), "deeper");
  EXPECT_EQ(Find("link", RESOLVE_NO_SYMLINKS), "ELOOP");
  EXPECT_EQ(Find("dirlink/file", RESOLVE_NO_SYMLINKS), "ELOOP");
}

TEST_F(Openat2, NoSymlinksStillOpensALinkItself) {
  FileDescriptor fd(Openat2Call("link", RESOLVE_NO_SYMLINKS, O_PATH | O_NOFOLLOW));
  EXPECT_TRUE(fd.valid()) << ErrnoText(errno);
}

TEST_F(Openat2, NoMagiclinksRefusesDescriptorLinksOnly) {
  FileDescriptor file = Open(dir_.Path("root/file"), O_RDONLY);
  const std::string magic = "/proc/self/fd/" + std::to_string(file.get());
  EXPECT_TRUE(FileDescriptor(test::Openat2(AT_FDCWD, magic, O_RDONLY)).valid());
  EXPECT_THAT(test::Openat2(AT_FDCWD, magic, O_RDONLY, RESOLVE_NO_MAGICLINKS), SyscallFailsWithErrno(ELOOP));
  EXPECT_EQ(Find("link", RESOLVE_NO_MAGICLINKS), "deeper");
}

TEST_F(Openat2, BeneathRefusesMagiclinks) {
  FileDescriptor proc = Open("/proc/self", O_PATH | O_DIRECTORY);
  EXPECT_THAT(test::Openat2(proc.get(), "cwd", O_PATH, RESOLVE_BENEATH), SyscallFailsWithErrno(EXDEV));
  EXPECT_THAT(test::Openat2(proc.get(), "root", O_PATH, RESOLVE_IN_ROOT), SyscallFailsWithErrno(EXDEV));
}

TEST_F(Openat2, NoXdevStaysOnOneMount) {
  EXPECT_EQ(Find("sub/file", RESOLVE_NO_XDEV), "deeper");
  FileDescriptor slash = Open("/", O_PATH | O_DIRECTORY);
  EXPECT_THAT(test::Openat2(slash.get(), "proc/self/stat", O_RDONLY, RESOLVE_NO_XDEV),
              SyscallFailsWithErrno(EXDEV));
  FileDescriptor proc = Open("/proc", O_PATH | O_DIRECTORY);
  EXPECT_THAT(test::Openat2(proc.get(), "..", O_PATH, RESOLVE_NO_XDEV), SyscallFailsWithErrno(EXDEV));
  EXPECT_TRUE(FileDescriptor(test::Openat2(proc.get(), "self/stat", O_RDONLY, RESOLVE_NO_XDEV)).valid());
}

TEST_F(Openat2, CachedEitherFindsOrAsksToTryAgain) {
  Find("sub/file", 0);
  const std::string found = Find("sub/file", RESOLVE_CACHED);
  EXPECT_TRUE(found == "deeper" || found == "EAGAIN") << found;
  EXPECT_THAT(Openat2Call("file", RESOLVE_CACHED, O_RDWR | O_TRUNC), SyscallFailsWithErrno(EAGAIN));
  EXPECT_THAT(test::Openat2(root_.get(), "new", O_CREAT | O_RDWR, RESOLVE_CACHED, 0600),
              SyscallFailsWithErrno(EAGAIN));
}

TEST_F(Openat2, UnknownResolveAndOpenFlagsAreInvalid) {
  EXPECT_EQ(Find("file", 1u << 20), "EINVAL");
  EXPECT_EQ(Find("file", uint64_t{1} << 40), "EINVAL");
  EXPECT_THAT(Openat2Call("file", 0, uint64_t{1} << 40), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Openat2Call("file", 0, 1u << 30), SyscallFailsWithErrno(EINVAL));
}

TEST_F(Openat2, ModeWithoutCreationIsInvalid) {
  EXPECT_THAT(test::Openat2(root_.get(), "file", O_RDONLY, 0, 0600), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(test::Openat2(root_.get(), "new", O_CREAT | O_RDWR, 0, 0600 | S_IFREG),
              SyscallFailsWithErrno(EINVAL));
  FileDescriptor fd(test::Openat2(root_.get(), "new", O_CREAT | O_RDWR, 0, 0600));
  EXPECT_TRUE(fd.valid());
}

TEST_F(Openat2, PathFlagAcceptsFewOthers) {
  EXPECT_THAT(Openat2Call("file", 0, O_PATH | O_RDWR), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Openat2Call("file", 0, O_PATH | O_APPEND), SyscallFailsWithErrno(EINVAL));
  FileDescriptor fd(Openat2Call("sub", 0, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  EXPECT_TRUE(fd.valid());
}

TEST_F(Openat2, StructMayBeLongerIfTheRestIsZero) {
  struct {
    open_how how = {};
    uint64_t extra = 0;
  } big;
  FileDescriptor fd(static_cast<int>(syscall(SYS_openat2, root_.get(), "file", &big, sizeof(big))));
  EXPECT_TRUE(fd.valid());
  big.extra = 1;
  EXPECT_THAT(syscall(SYS_openat2, root_.get(), "file", &big, sizeof(big)), SyscallFailsWithErrno(E2BIG));
}

TEST_F(Openat2, StructSizeAndPointerAreChecked) {
  open_how how = {};
  EXPECT_THAT(syscall(SYS_openat2, root_.get(), "file", &how, sizeof(how) - 1),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_openat2, root_.get(), "file", &how, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_openat2, root_.get(), "file", BadPointer(), sizeof(how)),
              SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(syscall(SYS_openat2, root_.get(), BadPointer(), &how, sizeof(how)),
              SyscallFailsWithErrno(EFAULT));
}

}  // namespace
}  // namespace moat::test
