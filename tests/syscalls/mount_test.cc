// mount(2) and umount2(2) in a mount namespace of the test's own: tmpfs, bind mounts, read-only, shadowing.
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

// Each body runs in a child that has unshared its mounts, so that nothing is left behind.
class Mount : public testing::Test {
 protected:
  void SetUp() override { SKIP_IF_NOT_ROOT(); }
  template <typename Fn>
  void Isolated(Fn fn) {
    EXPECT_THAT(RunInChild([&] {
                  ASSERT_THAT(unshare(CLONE_NEWNS), SyscallSucceeds());
                  ASSERT_THAT(mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), SyscallSucceeds());
                  fn();
                }),
                ExitedWith(0));
  }
  int Tmpfs(const std::string& where, unsigned long flags = 0, const char* options = "") {
    return mount("tmpfs", where.c_str(), "tmpfs", flags, options);
  }
  int Bind(const std::string& from, const std::string& to, unsigned long flags = 0) {
    return mount(from.c_str(), to.c_str(), nullptr, MS_BIND | flags, nullptr);
  }
  bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

  TempDir dir_{0755};
  std::string point_ = dir_.CreateDir("point");
};

TEST_F(Mount, TmpfsShadowsTheDirectoryUntilUnmounted) {
  dir_.CreateFile("point/below", "below");
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    EXPECT_FALSE(Exists(point_ + "/below"));
    EXPECT_TRUE(WriteFile(point_ + "/above", "above"));
    struct statfs fs;
    ASSERT_THAT(statfs(point_.c_str(), &fs), SyscallSucceeds());
    EXPECT_EQ(fs.f_type, 0x01021994);
    ASSERT_THAT(umount2(point_.c_str(), 0), SyscallSucceeds());
    EXPECT_FALSE(Exists(point_ + "/above"));
    EXPECT_EQ(ReadFile(point_ + "/below"), "below");
  });
  EXPECT_FALSE(Exists(point_ + "/above"));
}

TEST_F(Mount, AnotherNamespaceDoesNotSeeIt) {
  Pipe ready, hold;
  ScopedChild child([&] {
    hold.writer.Reset();
    Isolated([&] {
      ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
      WriteFile(point_ + "/inside", "");
      WriteAll(ready.writer.get(), "x");
      ReadAll(hold.reader.get());
    });
  });
  EXPECT_EQ(ReadAll(ready.reader.get(), 1), "x");
  EXPECT_FALSE(Exists(point_ + "/inside"));
  hold.writer.Reset();
  EXPECT_THAT(child.Wait(), ExitedWith(0));
}

TEST_F(Mount, CloneStartsTheChildInACopy) {
  // Whatever the host does with new mounts: below a private mount they stay where they are made.
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    ASSERT_THAT(mkdir((point_ + "/sub").c_str(), 0755), SyscallSucceeds());
    ASSERT_THAT(chdir(point_.c_str()), SyscallSucceeds());
    const pid_t pid = static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0));
    if (pid == 0) {
      // Its own mounts, and its current directory in the copy.
      bool good = Tmpfs("sub") == 0 && WriteFile("sub/inside", "x") && Exists(point_ + "/sub/inside");
      good = good && umount2(point_.c_str(), MNT_DETACH) == 0 && !Exists(point_ + "/sub");
      _exit(good ? 0 : 1);
    }
    ASSERT_GT(pid, 0) << ErrnoText(errno);
    int status = -1;
    EXPECT_THAT(waitpid(pid, &status, 0), SyscallSucceedsWithValue(pid));
    EXPECT_EQ(status, 0);
    EXPECT_TRUE(Exists(point_ + "/sub"));
    EXPECT_FALSE(Exists(point_ + "/sub/inside"));
  });
}

TEST_F(Mount, CloneNeedsPrivilegeForACopy) {
  EXPECT_THAT(RunAsUser([] {
                EXPECT_THAT(syscall(SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, 0, 0), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

TEST_F(Mount, PivotRootTurnsAMountIntoTheRoot) {
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    ASSERT_THAT(mkdir((point_ + "/old").c_str(), 0755), SyscallSucceeds());
    WriteFile(point_ + "/mark", "new root");
    ASSERT_THAT(chdir(point_.c_str()), SyscallSucceeds());
    ASSERT_THAT(syscall(SYS_pivot_root, ".", "old"), SyscallSucceeds());
    EXPECT_EQ(ReadFile("/mark"), "new root");
    EXPECT_TRUE(Exists("/old/proc"));
    EXPECT_TRUE(Exists("mark")) << "the current directory stayed";
    ASSERT_THAT(chdir("/"), SyscallSucceeds());
    ASSERT_THAT(umount2("/old", MNT_DETACH), SyscallSucceeds());
    EXPECT_FALSE(Exists("/old/proc"));
    EXPECT_FALSE(Exists("/../old/proc"));
  });
}

TEST_F(Mount, PivotRootOntoItselfAndDetachIsAsGood) {
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    WriteFile(point_ + "/mark", "new root");
    ASSERT_THAT(chdir(point_.c_str()), SyscallSucceeds());
    ASSERT_THAT(syscall(SYS_pivot_root, ".", "."), SyscallSucceeds());
    ASSERT_THAT(umount2(".", MNT_DETACH), SyscallSucceeds());
    ASSERT_THAT(chdir("/"), SyscallSucceeds());
    EXPECT_EQ(ReadFile("/mark"), "new root");
    EXPECT_FALSE(Exists("/proc"));
  });
}

TEST_F(Mount, PivotRootWantsAMountAndAPlaceBelowIt) {
  Isolated([&] {
    // On the mount that is the root already, as /etc is.
    EXPECT_THAT(syscall(SYS_pivot_root, "/etc", "/etc"), SyscallFailsWithErrno(EBUSY));
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    EXPECT_THAT(syscall(SYS_pivot_root, point_.c_str(), "/etc"), SyscallFailsWithErrno(EBUSY));
    const std::string other = dir_.CreateDir("other");
    ASSERT_THAT(Tmpfs(other), SyscallSucceeds());
    EXPECT_THAT(syscall(SYS_pivot_root, point_.c_str(), other.c_str()), SyscallFailsWithErrno(EINVAL));
    EXPECT_THAT(syscall(SYS_pivot_root, "/", "/"), SyscallFailsWithErrno(EBUSY));
    WriteFile(point_ + "/file", "");
    EXPECT_THAT(syscall(SYS_pivot_root, point_.c_str(), (point_ + "/file").c_str()), SyscallFailsWithErrno(ENOTDIR));
    EXPECT_THAT(syscall(SYS_pivot_root, (point_ + "/none").c_str(), point_.c_str()), SyscallFailsWithErrno(ENOENT));
  });
  EXPECT_THAT(RunAsUser([] { EXPECT_THAT(syscall(SYS_pivot_root, "/", "/"), SyscallFailsWithErrno(EPERM)); }),
              ExitedWith(0));
}

TEST_F(Mount, ProcCanBeMountedAnywhere) {
  Isolated([&] {
    ASSERT_THAT(mount("proc", point_.c_str(), "proc", MS_NOSUID | MS_NODEV, nullptr), SyscallSucceeds());
    EXPECT_TRUE(Exists(point_ + "/self/status"));
    struct statfs fs;
    ASSERT_THAT(statfs(point_.c_str(), &fs), SyscallSucceeds());
    EXPECT_EQ(fs.f_type, 0x9fa0);
    ASSERT_THAT(umount2(point_.c_str(), 0), SyscallSucceeds());
  });
}

TEST_F(Mount, TmpfsOptionsSetModeAndSize) {
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_, 0, "mode=0710,uid=12,gid=34,size=1m"), SyscallSucceeds());
    struct stat st;
    ASSERT_THAT(stat(point_.c_str(), &st), SyscallSucceeds());
    EXPECT_EQ(st.st_mode & 07777, 0710u);
    EXPECT_EQ(st.st_uid, 12u);
    EXPECT_EQ(st.st_gid, 34u);
    FileDescriptor fd = Open(point_ + "/big", O_CREAT | O_RDWR);
    const std::string data(1 << 19, 'x');
    EXPECT_TRUE(WriteAll(fd.get(), data));
    EXPECT_TRUE(WriteAll(fd.get(), data));
    EXPECT_THAT(write(fd.get(), data.data(), data.size()), SyscallFailsWithErrno(ENOSPC));
    EXPECT_THAT(Tmpfs(point_, 0, "nonsense=1"), SyscallFailsWithErrno(EINVAL));
  });
}

TEST_F(Mount, DotDotLeavesTheMount) {
  dir_.CreateFile("beside", "beside");
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    ASSERT_THAT(chdir(point_.c_str()), SyscallSucceeds());
    EXPECT_EQ(ReadFile("../beside"), "beside");
    char buf[256];
    ASSERT_NE(getcwd(buf, sizeof(buf)), nullptr);
    EXPECT_EQ(std::string(buf), point_);
  });
}

TEST_F(Mount, BindShowsTheSameTree) {
  dir_.CreateDir("source");
  dir_.CreateFile("source/file", "data");
  Isolated([&] {
    ASSERT_THAT(Bind(dir_.Path("source"), point_), SyscallSucceeds());
    EXPECT_EQ(ReadFile(point_ + "/file"), "data");
    EXPECT_TRUE(WriteFile(point_ + "/new", "through the mount"));
    EXPECT_EQ(ReadFile(dir_.Path("source/new")), "through the mount");
    // The same file system, but another mount.
    EXPECT_THAT(rename((point_ + "/new").c_str(), dir_.Path("source/x").c_str()),
                SyscallFailsWithErrno(EXDEV));
    EXPECT_THAT(link((point_ + "/new").c_str(), dir_.Path("x").c_str()), SyscallFailsWithErrno(EXDEV));
  });
}

TEST_F(Mount, BindOfAFile) {
  const std::string a = dir_.CreateFile("a", "a"), b = dir_.CreateFile("b", "b");
  Isolated([&] {
    ASSERT_THAT(Bind(a, b), SyscallSucceeds());
    EXPECT_EQ(ReadFile(b), "a");
    EXPECT_THAT(unlink(b.c_str()), SyscallFailsWithErrno(EBUSY));
    EXPECT_THAT(Bind(a, point_), SyscallFailsWithErrno(ENOTDIR));
    EXPECT_THAT(Bind(point_, b), SyscallFailsWithErrno(ENOTDIR));
    ASSERT_THAT(umount2(b.c_str(), 0), SyscallSucceeds());
    EXPECT_EQ(ReadFile(b), "b");
  });
}

TEST_F(Mount, RecursiveBindTakesSubmountsAlong) {
  dir_.CreateDir("source");
  dir_.CreateDir("source/sub");
  dir_.CreateDir("plain");
  Isolated([&] {
    ASSERT_THAT(Tmpfs(dir_.Path("source/sub")), SyscallSucceeds());
    WriteFile(dir_.Path("source/sub/file"), "");
    ASSERT_THAT(Bind(dir_.Path("source"), dir_.Path("plain")), SyscallSucceeds());
    EXPECT_FALSE(Exists(dir_.Path("plain/sub/file")));
    ASSERT_THAT(Bind(dir_.Path("source"), point_, MS_REC), SyscallSucceeds());
    EXPECT_TRUE(Exists(point_ + "/sub/file"));
  });
}

TEST_F(Mount, ReadOnlyMountsRefuseEveryChange) {
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    const std::string file = point_ + "/file", fresh = point_ + "/fresh";
    WriteFile(file, "data");
    ASSERT_THAT(mount(nullptr, point_.c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr), SyscallSucceeds());
    EXPECT_EQ(ReadFile(file), "data");
    EXPECT_THAT(open(file.c_str(), O_RDWR), SyscallFailsWithErrno(EROFS));
    EXPECT_THAT(open(fresh.c_str(), O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(EROFS));
    EXPECT_THAT(mkdir(fresh.c_str(), 0700), SyscallFailsWithErrno(EROFS));
    EXPECT_THAT(mkdir(file.c_str(), 0700), SyscallFailsWithErrno(EEXIST));
    EXPECT_THAT(unlink(file.c_str()), SyscallFailsWithErrno(EROFS));
    EXPECT_THAT(rename(file.c_str(), fresh.c_str()), SyscallFailsWithErrno(EROFS));
    EXPECT_THAT(chmod(file.c_str(), 0600), SyscallFailsWithErrno(EROFS));
    EXPECT_THAT(truncate(file.c_str(), 0), SyscallFailsWithErrno(EROFS));
    EXPECT_THAT(utimensat(AT_FDCWD, file.c_str(), nullptr, 0), SyscallFailsWithErrno(EROFS));
    EXPECT_THAT(access(file.c_str(), W_OK), SyscallFailsWithErrno(EROFS));
    struct statvfs vfs;
    ASSERT_THAT(statvfs(point_.c_str(), &vfs), SyscallSucceeds());
    EXPECT_NE(vfs.f_flag & ST_RDONLY, 0u);
  });
}

TEST_F(Mount, ReadOnlyBindLeavesTheSourceWritable) {
  const std::string source = dir_.CreateDir("source");
  Isolated([&] {
    ASSERT_THAT(Bind(source, point_), SyscallSucceeds());
    ASSERT_THAT(mount(nullptr, point_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr),
                SyscallSucceeds());
    EXPECT_THAT(open((point_ + "/x").c_str(), O_CREAT | O_RDWR, 0600), SyscallFailsWithErrno(EROFS));
    EXPECT_TRUE(WriteFile(source + "/x", "x"));
    EXPECT_EQ(ReadFile(point_ + "/x"), "x");
  });
}

TEST_F(Mount, NoexecAndNodevAreHonoured) {
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_, MS_NOEXEC | MS_NODEV), SyscallSucceeds());
    WriteFile(point_ + "/script", "#!/bin/sh\n", 0755);
    const std::string script = point_ + "/script";
    char* const argv[] = {const_cast<char*>("x"), nullptr};
    EXPECT_THAT(execve(script.c_str(), argv, argv), SyscallFailsWithErrno(EACCES));
    FileDescriptor fd = Open(script, O_RDONLY);
    EXPECT_THAT(mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd.get(), 0),
                SyscallFailsWithErrno(EPERM));
  });
}

TEST_F(Mount, BusyMountsStayUnlessDetached) {
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    WriteFile(point_ + "/file", "held");
    FileDescriptor fd = Open(point_ + "/file", O_RDONLY);
    EXPECT_THAT(umount2(point_.c_str(), 0), SyscallFailsWithErrno(EBUSY));
    EXPECT_THAT(umount2(point_.c_str(), MNT_DETACH), SyscallSucceeds());
    EXPECT_FALSE(Exists(point_ + "/file"));
    EXPECT_EQ(ReadAll(fd.get()), "held");
  });
}

TEST_F(Mount, MountPointsCannotBeRemovedOrRenamed) {
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    EXPECT_THAT(rmdir(point_.c_str()), SyscallFailsWithErrno(EBUSY));
    EXPECT_THAT(rename(point_.c_str(), dir_.Path("x").c_str()), SyscallFailsWithErrno(EBUSY));
  });
}

TEST_F(Mount, MoveTakesTheMountElsewhere) {
  const std::string target = dir_.CreateDir("target");
  Isolated([&] {
    ASSERT_THAT(Tmpfs(point_), SyscallSucceeds());
    WriteFile(point_ + "/file", "");
    ASSERT_THAT(mount(point_.c_str(), target.c_str(), nullptr, MS_MOVE, nullptr), SyscallSucceeds());
    EXPECT_TRUE(Exists(target + "/file"));
    EXPECT_FALSE(Exists(point_ + "/file"));
  });
}

TEST_F(Mount, AppearsInMountinfo) {
  Isolated([&] {
    ASSERT_THAT(mount("a label", point_.c_str(), "tmpfs", MS_NOSUID, ""), SyscallSucceeds());
    const std::string info = ReadFile("/proc/self/mountinfo");
    const size_t at = info.find(" " + point_ + " ");
    ASSERT_NE(at, std::string::npos);
    const std::string line = info.substr(at, info.find('\n', at) - at);
    EXPECT_NE(line.find("nosuid"), std::string::npos) << line;
    EXPECT_NE(line.find(" - tmpfs a\\040label "), std::string::npos) << line;
  });
}

TEST_F(Mount, BadArguments) {
  Isolated([&] {
    EXPECT_THAT(mount("x", point_.c_str(), "no-such-fs", 0, nullptr), SyscallFailsWithErrno(ENODEV));
    EXPECT_THAT(Tmpfs(dir_.Path("none")), SyscallFailsWithErrno(ENOENT));
    EXPECT_THAT(Tmpfs(dir_.CreateFile("file")), SyscallFailsWithErrno(ENOTDIR));
    EXPECT_THAT(Bind(dir_.Path("none"), point_), SyscallFailsWithErrno(ENOENT));
    EXPECT_THAT(umount2(point_.c_str(), 0), SyscallFailsWithErrno(EINVAL));
    EXPECT_THAT(umount2(point_.c_str(), 0x100), SyscallFailsWithErrno(EINVAL));
    EXPECT_THAT(umount2(dir_.Path("none").c_str(), 0), SyscallFailsWithErrno(ENOENT));
    EXPECT_THAT(mount("x", BadPointer<char>(), "tmpfs", 0, nullptr), SyscallFailsWithErrno(EFAULT));
  });
}

TEST_F(Mount, NeedsPrivilege) {
  EXPECT_THAT(RunAsUser([&] {
                EXPECT_THAT(Tmpfs(point_), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(umount2("/proc", 0), SyscallFailsWithErrno(EPERM));
              }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
