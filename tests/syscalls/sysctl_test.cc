// /proc/sys: values that root may write, and what they do. Tests put back what they found: natively they are the machine's.
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"

namespace moat::test {
namespace {

std::string PathOf(const std::string& name) { return "/proc/sys/" + name; }
std::string Get(const std::string& name) { return ReadFile(PathOf(name)); }
// write(2)'s result.
long Set(const std::string& name, const std::string& value) {
  FileDescriptor fd = Open(PathOf(name), O_WRONLY);
  return write(fd.get(), value.data(), value.size());
}

// Remembers a value and puts it back.
class ScopedSysctl {
 public:
  explicit ScopedSysctl(std::string name) : name_(std::move(name)), old_(Get(name_)) {}
  ~ScopedSysctl() { EXPECT_THAT(Set(name_, old_), SyscallSucceeds()); }
  ScopedSysctl(const ScopedSysctl&) = delete;

 private:
  const std::string name_, old_;
};

#define SKIP_UNLESS_WRITABLE(name) \
  if (access(PathOf(name).c_str(), W_OK) != 0) GTEST_SKIP() << "may not write " << name

TEST(Sysctl, IsRootsToWrite) {
  SKIP_IF_NOT_ROOT();
  EXPECT_THAT(RunAsUser([] {
                EXPECT_THAT(open("/proc/sys/vm/swappiness", O_WRONLY), SyscallFailsWithErrno(EACCES));
                EXPECT_THAT(open("/proc/sys/vm/swappiness", O_RDONLY), SyscallSucceeds());
              }),
              ExitedWith(0));
}

TEST(Sysctl, TakesNumbersInRange) {
  SKIP_UNLESS_WRITABLE("vm/swappiness");
  ScopedSysctl keep("vm/swappiness");
  EXPECT_THAT(Set("vm/swappiness", "61\n"), SyscallSucceedsWithValue(3));
  EXPECT_EQ(Get("vm/swappiness"), "61\n");
  EXPECT_THAT(Set("vm/swappiness", " 0x3c"), SyscallSucceedsWithValue(5));
  EXPECT_EQ(Get("vm/swappiness"), "60\n");
  EXPECT_THAT(Set("vm/swappiness", "-1"), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Set("vm/swappiness", "100000"), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Set("vm/swappiness", "many"), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Set("vm/swappiness", "5x"), SyscallFailsWithErrno(EINVAL));
  EXPECT_EQ(Get("vm/swappiness"), "60\n");
}

TEST(Sysctl, OvercommitPolicyIsOneOfThree) {
  SKIP_UNLESS_WRITABLE("vm/overcommit_memory");
  ScopedSysctl keep("vm/overcommit_memory");
  EXPECT_THAT(Set("vm/overcommit_memory", "1"), SyscallSucceeds());
  EXPECT_EQ(Get("vm/overcommit_memory"), "1\n");
  EXPECT_THAT(Set("vm/overcommit_memory", "3"), SyscallFailsWithErrno(EINVAL));
}

TEST(Sysctl, PipeMaxSizeBoundsUsers) {
  SKIP_IF_NOT_ROOT();
  SKIP_UNLESS_WRITABLE("fs/pipe-max-size");
  ScopedSysctl keep("fs/pipe-max-size");
  ASSERT_THAT(Set("fs/pipe-max-size", "500000"), SyscallSucceeds());
  EXPECT_EQ(Get("fs/pipe-max-size"), "524288\n");
  EXPECT_THAT(RunAsUser([] {
                Pipe pipe;
                EXPECT_THAT(fcntl(pipe.reader.get(), F_SETPIPE_SZ, 1 << 20), SyscallFailsWithErrno(EPERM));
                EXPECT_THAT(fcntl(pipe.reader.get(), F_SETPIPE_SZ, 1 << 19), SyscallSucceedsWithValue(1 << 19));
              }),
              ExitedWith(0));
  Pipe pipe;
  if (prctl(PR_CAPBSET_READ, CAP_SYS_RESOURCE) == 1) {
    EXPECT_THAT(fcntl(pipe.reader.get(), F_SETPIPE_SZ, 1 << 20), SyscallSucceedsWithValue(1 << 20));
  }
  EXPECT_THAT(Set("fs/pipe-max-size", "-1"), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Set("fs/pipe-max-size", "0"), SyscallSucceeds());
  EXPECT_EQ(Get("fs/pipe-max-size"), "4096\n");
}

// A socket that the system bound: its port, host byte order.
int AutomaticPort() {
  FileDescriptor fd(socket(AF_INET, SOCK_DGRAM, 0));
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  EXPECT_THAT(bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), SyscallSucceeds());
  socklen_t length = sizeof address;
  EXPECT_THAT(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length), SyscallSucceeds());
  return ntohs(address.sin_port);
}

TEST(Sysctl, LocalPortsComeFromTheirRange) {
  SKIP_UNLESS_WRITABLE("net/ipv4/ip_local_port_range");
  ScopedSysctl keep("net/ipv4/ip_local_port_range");
  ASSERT_THAT(Set("net/ipv4/ip_local_port_range", "41000 41999"), SyscallSucceeds());
  EXPECT_EQ(Get("net/ipv4/ip_local_port_range"), "41000\t41999\n");
  for (int i = 0; i < 20; ++i) {
    const int port = AutomaticPort();
    EXPECT_GE(port, 41000);
    EXPECT_LE(port, 41999);
  }
  EXPECT_THAT(Set("net/ipv4/ip_local_port_range", "5000 4000"), SyscallFailsWithErrno(EINVAL));
}

TEST(Sysctl, LowPortsMayBeEveryones) {
  SKIP_IF_NOT_ROOT();
  SKIP_UNLESS_WRITABLE("net/ipv4/ip_unprivileged_port_start");
  auto bind_to_81 = [] {
    FileDescriptor fd(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(81);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address);
  };
  ScopedSysctl keep("net/ipv4/ip_unprivileged_port_start");
  ASSERT_THAT(Set("net/ipv4/ip_unprivileged_port_start", "1024"), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(bind_to_81(), SyscallFailsWithErrno(EACCES)); }), ExitedWith(0));
  ASSERT_THAT(Set("net/ipv4/ip_unprivileged_port_start", "80"), SyscallSucceeds());
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(bind_to_81(), SyscallSucceeds()); }), ExitedWith(0));
}

TEST(Sysctl, SocketBuffersHaveABound) {
  SKIP_UNLESS_WRITABLE("net/core/rmem_max");
  ScopedSysctl keep("net/core/rmem_max");
  ASSERT_THAT(Set("net/core/rmem_max", "10000"), SyscallSucceeds());
  FileDescriptor fd(socket(AF_UNIX, SOCK_STREAM, 0));
  int size = 100000;
  socklen_t length = sizeof size;
  ASSERT_THAT(setsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size), SyscallSucceeds());
  ASSERT_THAT(getsockopt(fd.get(), SOL_SOCKET, SO_RCVBUF, &size, &length), SyscallSucceeds());
  EXPECT_EQ(size, 20000);
}

TEST(Sysctl, SeveralNumbersMayBeWrittenInPart) {
  SKIP_UNLESS_WRITABLE("kernel/printk");
  ScopedSysctl keep("kernel/printk");
  ASSERT_THAT(Set("kernel/printk", "5 4 1 7"), SyscallSucceeds());
  EXPECT_EQ(Get("kernel/printk"), "5\t4\t1\t7\n");
  ASSERT_THAT(Set("kernel/printk", "6\t5\n"), SyscallSucceeds());
  EXPECT_EQ(Get("kernel/printk"), "6\t5\t1\t7\n");
  EXPECT_THAT(Set("kernel/printk", "4 x"), SyscallFailsWithErrno(EINVAL));
}

TEST(Sysctl, MapCountMayBeRaised) {
  SKIP_UNLESS_WRITABLE("vm/max_map_count");
  ScopedSysctl keep("vm/max_map_count");
  ASSERT_THAT(Set("vm/max_map_count", "262144"), SyscallSucceeds());
  EXPECT_EQ(Get("vm/max_map_count"), "262144\n");
}

TEST(Sysctl, HostnameIsUnames) {
  SKIP_UNLESS_WRITABLE("kernel/hostname");
  (void)unshare(CLONE_NEWUTS);  // natively it is not the machine's then
  ScopedSysctl keep("kernel/hostname");
  ASSERT_THAT(Set("kernel/hostname", "elsewhere\n"), SyscallSucceeds());
  char name[65] = {};
  ASSERT_THAT(gethostname(name, sizeof name), SyscallSucceeds());
  EXPECT_STREQ(name, "elsewhere");
}

}  // namespace
}  // namespace moat::test
