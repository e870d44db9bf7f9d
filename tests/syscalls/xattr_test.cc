// Extended attributes of the "user" namespace (xattr(7)). Skipped where the file system has none.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

class Xattr : public testing::Test {
 protected:
  void SetUp() override {
    if (setxattr(path(), "user.probe", "", 0, 0) != 0 && errno == EOPNOTSUPP) {
      GTEST_SKIP() << "no user attributes here";
    }
    removexattr(path(), "user.probe");
  }
  const char* path() const { return file_.path().c_str(); }

  // The value of `name`, or the errno's name.
  std::string Get(const char* name) {
    char buf[256];
    const ssize_t n = getxattr(path(), name, buf, sizeof(buf));
    return n < 0 ? strerrorname_np(errno) : std::string(buf, static_cast<size_t>(n));
  }
  std::set<std::string> List() {
    char buf[1024];
    const ssize_t n = listxattr(path(), buf, sizeof(buf));
    EXPECT_THAT(n, SyscallSucceeds());
    std::set<std::string> names;
    for (ssize_t pos = 0; pos < n;) {
      std::string name = buf + pos;
      pos += static_cast<ssize_t>(name.size()) + 1;
      if (name.starts_with("user.")) names.insert(name);
    }
    return names;
  }

  TempFile file_;
};

TEST_F(Xattr, SetGetListRemove) {
  ASSERT_THAT(setxattr(path(), "user.a", "one", 3, 0), SyscallSucceeds());
  ASSERT_THAT(setxattr(path(), "user.b", "two", 3, 0), SyscallSucceeds());
  EXPECT_EQ(Get("user.a"), "one");
  EXPECT_EQ(List(), (std::set<std::string>{"user.a", "user.b"}));
  ASSERT_THAT(setxattr(path(), "user.a", "longer value", 12, 0), SyscallSucceeds());
  EXPECT_EQ(Get("user.a"), "longer value");
  ASSERT_THAT(removexattr(path(), "user.a"), SyscallSucceeds());
  EXPECT_EQ(Get("user.a"), "ENODATA");
  EXPECT_EQ(List(), (std::set<std::string>{"user.b"}));
  EXPECT_THAT(removexattr(path(), "user.a"), SyscallFailsWithErrno(ENODATA));
}

TEST_F(Xattr, ValuesAreBytesAndMayBeEmpty) {
  ASSERT_THAT(setxattr(path(), "user.a", "x\0y", 3, 0), SyscallSucceeds());
  EXPECT_EQ(Get("user.a"), std::string("x\0y", 3));
  ASSERT_THAT(setxattr(path(), "user.e", nullptr, 0, 0), SyscallSucceeds());
  EXPECT_EQ(Get("user.e"), "");
}

TEST_F(Xattr, CreateAndReplaceFlags) {
  EXPECT_THAT(setxattr(path(), "user.a", "x", 1, XATTR_REPLACE), SyscallFailsWithErrno(ENODATA));
  EXPECT_THAT(setxattr(path(), "user.a", "x", 1, XATTR_CREATE), SyscallSucceeds());
  EXPECT_THAT(setxattr(path(), "user.a", "y", 1, XATTR_CREATE), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(setxattr(path(), "user.a", "y", 1, XATTR_REPLACE), SyscallSucceeds());
  EXPECT_EQ(Get("user.a"), "y");
  EXPECT_THAT(setxattr(path(), "user.a", "y", 1, 4), SyscallFailsWithErrno(EINVAL));
}

TEST_F(Xattr, SizesCanBeAskedFor) {
  ASSERT_THAT(setxattr(path(), "user.abc", "12345", 5, 0), SyscallSucceeds());
  EXPECT_THAT(getxattr(path(), "user.abc", nullptr, 0), SyscallSucceedsWithValue(5));
  EXPECT_THAT(listxattr(path(), nullptr, 0), SyscallSucceedsWithValue(testing::Ge(9)));
  char buf[4];
  EXPECT_THAT(getxattr(path(), "user.abc", buf, 4), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(listxattr(path(), buf, 4), SyscallFailsWithErrno(ERANGE));
}

TEST_F(Xattr, NamesAreChecked) {
  EXPECT_THAT(setxattr(path(), "", "x", 1, 0), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(setxattr(path(), "plain", "x", 1, 0), SyscallFailsWithErrno(EOPNOTSUPP));
  EXPECT_THAT(setxattr(path(), "other.x", "x", 1, 0), SyscallFailsWithErrno(EOPNOTSUPP));
  const std::string longest = "user." + std::string(250, 'x'), longer = longest + "x";
  EXPECT_THAT(setxattr(path(), longer.c_str(), "x", 1, 0), SyscallFailsWithErrno(ERANGE));
  EXPECT_THAT(getxattr(path(), longest.c_str(), nullptr, 0), SyscallFailsWithErrno(ENODATA));
}

TEST_F(Xattr, ValuesHave64KibibytesAtMost) {
  const std::string big(65537, 'x');
  EXPECT_THAT(setxattr(path(), "user.a", big.data(), big.size(), 0), SyscallFailsWithErrno(E2BIG));
}

TEST_F(Xattr, ByDescriptorAndOnDirectories) {
  FileDescriptor fd = file_.Open(O_RDONLY), dir = Open(file_.dir().path(), O_RDONLY);
  EXPECT_THAT(fsetxattr(fd.get(), "user.a", "x", 1, 0), SyscallSucceeds());
  EXPECT_EQ(Get("user.a"), "x");
  EXPECT_THAT(fremovexattr(fd.get(), "user.a"), SyscallSucceeds());
  EXPECT_THAT(fsetxattr(dir.get(), "user.d", "x", 1, 0), SyscallSucceeds());
  EXPECT_THAT(fgetxattr(dir.get(), "user.d", nullptr, 0), SyscallSucceedsWithValue(1));
  FileDescriptor path_only = file_.Open(O_PATH);
  EXPECT_THAT(fgetxattr(path_only.get(), "user.a", nullptr, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fgetxattr(-1, "user.a", nullptr, 0), SyscallFailsWithErrno(EBADF));
}

TEST_F(Xattr, SymlinksAndFifosHaveNoUserAttributes) {
  const std::string link = file_.dir().CreateSymlink("link", "file");
  EXPECT_THAT(lsetxattr(link.c_str(), "user.a", "x", 1, 0), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(lgetxattr(link.c_str(), "user.a", nullptr, 0), SyscallFailsWithErrno(ENODATA));
  EXPECT_THAT(setxattr(link.c_str(), "user.a", "x", 1, 0), SyscallSucceeds());
  EXPECT_EQ(Get("user.a"), "x");
  const std::string fifo = file_.dir().Path("fifo");
  ASSERT_THAT(mkfifo(fifo.c_str(), 0600), SyscallSucceeds());
  EXPECT_THAT(setxattr(fifo.c_str(), "user.a", "x", 1, 0), SyscallFailsWithErrno(EPERM));
}

TEST_F(Xattr, FollowTheFilesPermissions) {
  SKIP_IF_NOT_ROOT();
  ASSERT_THAT(setxattr(path(), "user.a", "x", 1, 0), SyscallSucceeds());
  ASSERT_THAT(chmod(path(), 0604), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_EQ(Get("user.a"), "x");
                EXPECT_THAT(setxattr(path(), "user.a", "y", 1, 0), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(removexattr(path(), "user.a"), SyscallFailsWithErrno(EACCES));
              }),
              ExitedWith(0));
  ASSERT_THAT(chmod(path(), 0600), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] { EXPECT_EQ(Get("user.a"), "EACCES"); }), ExitedWith(0));
}

TEST_F(Xattr, BadPointers) {
  EXPECT_THAT(setxattr(path(), BadPointer<char>(), "x", 1, 0), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(setxattr(path(), "user.a", BadPointer(), 1, 0), SyscallFailsWithErrno(EFAULT));
  ASSERT_THAT(setxattr(path(), "user.a", "x", 1, 0), SyscallSucceeds());
  EXPECT_THAT(getxattr(path(), "user.a", BadPointer(), 1), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(listxattr(path(), BadPointer<char>(), 100), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(getxattr("/none", "user.a", nullptr, 0), SyscallFailsWithErrno(ENOENT));
}

}  // namespace
}  // namespace moat::test
