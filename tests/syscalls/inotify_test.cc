// inotify(7).
#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

using testing::ElementsAre;

struct Event {
  int wd;
  uint32_t mask;
  uint32_t cookie;
  std::string name;
};

class Inotify : public testing::Test {
 protected:
  int Watch(const std::string& path, uint32_t mask) {
    return inotify_add_watch(fd_.get(), path.c_str(), mask);
  }
  // Everything queued so far.
  std::vector<Event> Read() {
    std::vector<Event> events;
    alignas(inotify_event) char buf[8192];
    ssize_t n;
    while ((n = read(fd_.get(), buf, sizeof(buf))) > 0) {
      for (ssize_t pos = 0; pos < n;) {
        const auto* e = reinterpret_cast<inotify_event*>(buf + pos);
        events.push_back({e->wd, e->mask, e->cookie, e->len ? std::string(e->name) : ""});
        pos += static_cast<ssize_t>(sizeof(*e) + e->len);
      }
    }
    EXPECT_EQ(errno, EAGAIN);
    return events;
  }
  // The same as text: "CREATE|ISDIR name".
  std::vector<std::string> ReadText() {
    static constexpr std::pair<uint32_t, const char*> kNames[] = {
        {IN_ACCESS, "ACCESS"},           {IN_MODIFY, "MODIFY"},
        {IN_ATTRIB, "ATTRIB"},           {IN_OPEN, "OPEN"},
        {IN_CLOSE_WRITE, "CLOSE_WRITE"}, {IN_CLOSE_NOWRITE, "CLOSE_NOWRITE"},
        {IN_CREATE, "CREATE"},           {IN_DELETE, "DELETE"},
        {IN_MOVED_FROM, "MOVED_FROM"},   {IN_MOVED_TO, "MOVED_TO"},
        {IN_DELETE_SELF, "DELETE_SELF"}, {IN_MOVE_SELF, "MOVE_SELF"},
        {IN_IGNORED, "IGNORED"},         {IN_ISDIR, "ISDIR"},
        {IN_Q_OVERFLOW, "OVERFLOW"}};
    std::vector<std::string> out;
    for (const Event& event : Read()) {
      std::string text;
      for (const auto& [bit, name] : kNames) {
        if (event.mask & bit) text += (text.empty() ? "" : "|") + std::string(name);
      }
      out.push_back(event.name.empty() ? text : text + " " + event.name);
    }
    return out;
  }

  TempDir dir_;
  FileDescriptor fd_{inotify_init1(IN_NONBLOCK | IN_CLOEXEC)};
};

TEST_F(Inotify, EmptyQueueWouldBlock) {
  char buf[512];
  EXPECT_THAT(read(fd_.get(), buf, sizeof(buf)), SyscallFailsWithErrno(EAGAIN));
  pollfd pfd = {fd_.get(), POLLIN, 0};
  EXPECT_THAT(poll(&pfd, 1, 0), SyscallSucceedsWithValue(0));
}

TEST_F(Inotify, DirectoryReportsCreationAndDeletion) {
  ASSERT_THAT(Watch(dir_.path(), IN_CREATE | IN_DELETE), SyscallSucceeds());
  dir_.CreateFile("file");
  dir_.CreateDir("sub");
  dir_.CreateSymlink("link", "x");
  ASSERT_THAT(link(dir_.Path("file").c_str(), dir_.Path("hard").c_str()), SyscallSucceeds());
  ASSERT_THAT(unlink(dir_.Path("file").c_str()), SyscallSucceeds());
  ASSERT_THAT(rmdir(dir_.Path("sub").c_str()), SyscallSucceeds());
  EXPECT_THAT(ReadText(), ElementsAre("CREATE file", "CREATE|ISDIR sub", "CREATE link", "CREATE hard",
                                      "DELETE file", "DELETE|ISDIR sub"));
}

TEST_F(Inotify, OpenReadWriteCloseOfAFile) {
  const std::string path = dir_.CreateFile("file", "data");
  ASSERT_THAT(Watch(path, IN_ALL_EVENTS), SyscallSucceeds());
  {
    FileDescriptor fd = Open(path, O_RDWR);
    char buf[4];
    ASSERT_THAT(read(fd.get(), buf, 4), SyscallSucceedsWithValue(4));
    ASSERT_THAT(pwrite(fd.get(), "x", 1, 0), SyscallSucceedsWithValue(1));
  }
  EXPECT_THAT(ReadText(), ElementsAre("OPEN", "ACCESS", "MODIFY", "CLOSE_WRITE"));
  Open(path, O_RDONLY).Reset();
  EXPECT_THAT(ReadText(), ElementsAre("OPEN", "CLOSE_NOWRITE"));
}

TEST_F(Inotify, DirectoryReportsWhatHappensToItsFiles) {
  dir_.CreateFile("file", "data");
  ASSERT_THAT(Watch(dir_.path(), IN_MODIFY | IN_ATTRIB), SyscallSucceeds());
  ASSERT_THAT(truncate(dir_.Path("file").c_str(), 2), SyscallSucceeds());
  ASSERT_THAT(chmod(dir_.Path("file").c_str(), 0600), SyscallSucceeds());
  EXPECT_THAT(ReadText(), ElementsAre("MODIFY file", "ATTRIB file"));
}

TEST_F(Inotify, RenameIsAPairWithOneCookie) {
  dir_.CreateFile("a");
  ASSERT_THAT(Watch(dir_.path(), IN_MOVE), SyscallSucceeds());
  ASSERT_THAT(rename(dir_.Path("a").c_str(), dir_.Path("b").c_str()), SyscallSucceeds());
  const std::vector<Event> events = Read();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].mask, static_cast<uint32_t>(IN_MOVED_FROM));
  EXPECT_EQ(events[0].name, "a");
  EXPECT_EQ(events[1].mask, static_cast<uint32_t>(IN_MOVED_TO));
  EXPECT_EQ(events[1].name, "b");
  EXPECT_NE(events[0].cookie, 0u);
  EXPECT_EQ(events[0].cookie, events[1].cookie);
}

TEST_F(Inotify, WatchFollowsAMovedFile) {
  const std::string path = dir_.CreateFile("a");
  ASSERT_THAT(Watch(path, IN_MOVE_SELF | IN_MODIFY), SyscallSucceeds());
  ASSERT_THAT(rename(path.c_str(), dir_.Path("b").c_str()), SyscallSucceeds());
  ASSERT_THAT(truncate(dir_.Path("b").c_str(), 5), SyscallSucceeds());
  EXPECT_THAT(ReadText(), ElementsAre("MOVE_SELF", "MODIFY"));
}

TEST_F(Inotify, DeletionEndsTheWatch) {
  const std::string path = dir_.CreateFile("a");
  ASSERT_THAT(Watch(path, IN_DELETE_SELF), SyscallSucceeds());
  ASSERT_THAT(unlink(path.c_str()), SyscallSucceeds());
  EXPECT_THAT(ReadText(), ElementsAre("DELETE_SELF", "IGNORED"));
}

TEST_F(Inotify, DeletionWaitsForTheLastDescriptor) {
  const std::string path = dir_.CreateFile("a");
  FileDescriptor open_file = Open(path, O_RDONLY);
  ASSERT_THAT(Watch(path, IN_DELETE_SELF | IN_ATTRIB), SyscallSucceeds());
  ASSERT_THAT(unlink(path.c_str()), SyscallSucceeds());
  // The link count changed; the file itself lives until it is closed.
  EXPECT_THAT(ReadText(), ElementsAre("ATTRIB"));
  open_file.Reset();
  EXPECT_THAT(ReadText(), ElementsAre("DELETE_SELF", "IGNORED"));
}

TEST_F(Inotify, RemovingAWatchReportsIgnored) {
  const int wd = Watch(dir_.path(), IN_CREATE);
  ASSERT_THAT(wd, SyscallSucceeds());
  ASSERT_THAT(inotify_rm_watch(fd_.get(), wd), SyscallSucceeds());
  dir_.CreateFile("unseen");
  EXPECT_THAT(ReadText(), ElementsAre("IGNORED"));
  EXPECT_THAT(inotify_rm_watch(fd_.get(), wd), SyscallFailsWithErrno(EINVAL));
}

TEST_F(Inotify, WatchingTwiceUpdatesOneWatch) {
  const int wd = Watch(dir_.path(), IN_CREATE);
  EXPECT_THAT(Watch(dir_.path(), IN_DELETE), SyscallSucceedsWithValue(wd));
  dir_.CreateFile("a");
  EXPECT_THAT(ReadText(), ElementsAre());
  EXPECT_THAT(Watch(dir_.path(), IN_CREATE | IN_MASK_ADD), SyscallSucceedsWithValue(wd));
  dir_.CreateFile("b");
  ASSERT_THAT(unlink(dir_.Path("a").c_str()), SyscallSucceeds());
  EXPECT_THAT(ReadText(), ElementsAre("CREATE b", "DELETE a"));
  EXPECT_THAT(Watch(dir_.path(), IN_CREATE | IN_MASK_CREATE), SyscallFailsWithErrno(EEXIST));
}

TEST_F(Inotify, OneshotStopsAfterOneEvent) {
  ASSERT_THAT(Watch(dir_.path(), IN_CREATE | IN_ONESHOT), SyscallSucceeds());
  dir_.CreateFile("a");
  dir_.CreateFile("b");
  EXPECT_THAT(ReadText(), ElementsAre("CREATE a", "IGNORED"));
}

TEST_F(Inotify, EqualNeighboursMerge) {
  const std::string path = dir_.CreateFile("a");
  FileDescriptor file = Open(path, O_WRONLY);
  ASSERT_THAT(Watch(path, IN_MODIFY), SyscallSucceeds());
  for (int i = 0; i < 5; ++i) WriteAll(file.get(), "x");
  EXPECT_THAT(ReadText(), ElementsAre("MODIFY"));
}

TEST_F(Inotify, OnlydirAndDontFollow) {
  const std::string file = dir_.CreateFile("file");
  const std::string link = dir_.CreateSymlink("link", "file");
  EXPECT_THAT(Watch(file, IN_CREATE | IN_ONLYDIR), SyscallFailsWithErrno(ENOTDIR));
  const int target = Watch(link, IN_ATTRIB), itself = Watch(link, IN_ATTRIB | IN_DONT_FOLLOW);
  EXPECT_THAT(Watch(file, IN_ATTRIB), SyscallSucceedsWithValue(target));
  EXPECT_NE(target, itself);
}

TEST_F(Inotify, ReadNeedsRoomForTheFirstEvent) {
  ASSERT_THAT(Watch(dir_.path(), IN_CREATE), SyscallSucceeds());
  dir_.CreateFile("name");
  char small[sizeof(inotify_event)];
  EXPECT_THAT(read(fd_.get(), small, sizeof(small)), SyscallFailsWithErrno(EINVAL));
  int n = 0;
  ASSERT_THAT(ioctl(fd_.get(), FIONREAD, &n), SyscallSucceeds());
  EXPECT_EQ(n, 32);  // the name is padded to a multiple of the header
  EXPECT_THAT(ReadText(), ElementsAre("CREATE name"));
}

TEST_F(Inotify, BlockedReaderWakes) {
  FileDescriptor blocking(inotify_init());
  ASSERT_THAT(inotify_add_watch(blocking.get(), dir_.path().c_str(), IN_CREATE), SyscallSucceeds());
  ScopedThread reader([&] {
    char buf[512];
    EXPECT_THAT(read(blocking.get(), buf, sizeof(buf)), SyscallSucceedsWithValue(32));
  });
  reader.WaitUntilAsleep();
  dir_.CreateFile("x");
}

TEST_F(Inotify, BadArguments) {
  EXPECT_THAT(inotify_init1(1 << 20), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Watch(dir_.path(), 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(Watch(dir_.Path("none"), IN_CREATE), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(inotify_add_watch(fd_.get(), BadPointer<char>(), IN_CREATE), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(inotify_add_watch(-1, "/", IN_CREATE), SyscallFailsWithErrno(EBADF));
  Pipe pipe;
  EXPECT_THAT(inotify_add_watch(pipe.reader.get(), "/", IN_CREATE), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(inotify_rm_watch(fd_.get(), 999), SyscallFailsWithErrno(EINVAL));
}

TEST_F(Inotify, WatchNeedsReadPermission) {
  SKIP_IF_NOT_ROOT();
  ASSERT_THAT(chmod(dir_.path().c_str(), 0755), SyscallSucceeds());
  const std::string secret = dir_.CreateFile("secret", "", 0600);
  EXPECT_THAT(RunAsUser([&] { EXPECT_THAT(Watch(secret, IN_MODIFY), SyscallFailsWithErrno(EACCES)); }),
              ExitedWith(0));
}

}  // namespace
}  // namespace moat::test
