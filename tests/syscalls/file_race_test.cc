// What several threads or processes do to files at once: results that must hold whoever comes first.
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>

#include "tests/util/fd.h"
#include "tests/util/fork.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"
#include "tests/util/thread.h"

namespace moat::test {
namespace {

constexpr int kThreads = 3;
constexpr int kRounds = 300;

// Runs `fn(i)` on kThreads threads and waits for all.
template <typename Fn>
void OnThreads(Fn fn) {
  std::vector<std::unique_ptr<ScopedThread>> threads;
  for (int i = 0; i < kThreads; ++i) threads.push_back(std::make_unique<ScopedThread>([&, i] { fn(i); }));
}

TEST(FileRace, ExclusiveCreationHasOneWinner) {
  TempDir dir;
  std::atomic<int> winners{0};
  OnThreads([&](int) {
    for (int i = 0; i < kRounds; ++i) {
      FileDescriptor fd(open(dir.Path(std::to_string(i)).c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600));
      if (fd.valid()) {
        ++winners;
      } else {
        EXPECT_EQ(errno, EEXIST);
      }
    }
  });
  EXPECT_EQ(winners, kRounds);
}

TEST(FileRace, MkdirAndRmdirHaveOneWinnerEach) {
  TempDir dir;
  std::atomic<int> made{0}, removed{0};
  OnThreads([&](int) {
    for (int i = 0; i < kRounds; ++i) made += mkdir(dir.Path(std::to_string(i)).c_str(), 0700) == 0;
  });
  OnThreads([&](int) {
    for (int i = 0; i < kRounds; ++i) removed += rmdir(dir.Path(std::to_string(i)).c_str()) == 0;
  });
  EXPECT_EQ(made, kRounds);
  EXPECT_EQ(removed, kRounds);
}

TEST(FileRace, UnlinkHasOneWinner) {
  TempDir dir;
  for (int i = 0; i < kRounds; ++i) dir.CreateFile(std::to_string(i));
  std::atomic<int> winners{0};
  OnThreads([&](int) {
    for (int i = 0; i < kRounds; ++i) winners += unlink(dir.Path(std::to_string(i)).c_str()) == 0;
  });
  EXPECT_EQ(winners, kRounds);
}

TEST(FileRace, RenameOverAFileNeverLeavesAGap) {
  TempDir dir;
  const std::string target = dir.CreateFile("target", "value");
  std::atomic<bool> stop{false};
  ScopedThread writer([&] {
    for (int i = 0; i < kRounds; ++i) {
      const std::string temp = dir.CreateFile("temp", "value");
      EXPECT_THAT(rename(temp.c_str(), target.c_str()), SyscallSucceeds());
    }
    stop = true;
  });
  while (!stop) ASSERT_EQ(ReadFile(target), "value");
}

TEST(FileRace, ExchangeKeepsBothNamesAllTheTime) {
  TempDir dir;
  const std::string a = dir.CreateFile("a", "1"), b = dir.CreateFile("b", "2");
  std::atomic<bool> stop{false};
  ScopedThread swapper([&] {
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_THAT(renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE), SyscallSucceeds());
    }
    stop = true;
  });
  while (!stop) {
    ASSERT_THAT(access(a.c_str(), F_OK), SyscallSucceeds());
    ASSERT_THAT(access(b.c_str(), F_OK), SyscallSucceeds());
  }
}

TEST(FileRace, OpposingDirectoryRenamesNeverMakeALoop) {
  TempDir dir;
  dir.CreateDir("a");
  dir.CreateDir("b");
  const std::string a = dir.Path("a"), b = dir.Path("b"), a_in_b = dir.Path("b/a"), b_in_a = dir.Path("a/b");
  OnThreads([&](int who) {
    const auto& [from, to] = who % 2 ? std::tie(a, a_in_b) : std::tie(b, b_in_a);
    for (int i = 0; i < kRounds; ++i) {
      if (rename(from.c_str(), to.c_str()) == 0) {
        // May fail if the other moved the parent meanwhile; then it is there, one level deeper.
        (void)rename(to.c_str(), from.c_str());
      }
    }
  });
  // Both directories can still be reached from the top.
  int found = 0;
  for (const std::string& path : {a, b, a_in_b, b_in_a}) found += access(path.c_str(), F_OK) == 0;
  EXPECT_EQ(found, 2);
}

TEST(FileRace, DescriptorNumbersAreGivenOutOnce) {
  std::atomic<int> owner[4096] = {};
  OnThreads([&](int who) {
    for (int i = 0; i < kRounds; ++i) {
      const int fd = open("/dev/null", O_RDONLY);
      ASSERT_THAT(fd, SyscallSucceedsWithValue(testing::Lt(4096)));
      int expected = 0;
      EXPECT_TRUE(owner[fd].compare_exchange_strong(expected, who + 1))
          << fd << " is also held by " << expected;
      owner[fd] = 0;
      close(fd);
    }
  });
}

TEST(FileRace, Dup2NeverLeavesTheTargetClosed) {
  FileDescriptor a = Open("/dev/null", O_RDWR), b = Open("/dev/zero", O_RDWR);
  FileDescriptor target(dup(a.get()));
  std::atomic<bool> stop{false};
  ScopedThread replacer([&] {
    for (int i = 0; i < kRounds * 5; ++i) {
      EXPECT_THAT(dup2(i % 2 ? a.get() : b.get(), target.get()), SyscallSucceeds());
    }
    stop = true;
  });
  while (!stop) ASSERT_THAT(write(target.get(), "x", 1), SyscallSucceedsWithValue(1));
}

TEST(FileRace, LinkCountsAddUp) {
  TempFile file;
  OnThreads([&](int who) {
    for (int i = 0; i < kRounds; ++i) {
      const std::string name = file.dir().Path("link" + std::to_string(who) + "." + std::to_string(i));
      ASSERT_THAT(link(file.path().c_str(), name.c_str()), SyscallSucceeds());
      if (i % 2) {
        ASSERT_THAT(unlink(name.c_str()), SyscallSucceeds());
      }
    }
  });
  struct stat st;
  ASSERT_THAT(stat(file.path().c_str(), &st), SyscallSucceeds());
  EXPECT_EQ(st.st_nlink, 1u + kThreads * kRounds / 2);
}

TEST(FileRace, SharedMappingIncrementsAcrossProcesses) {
  TempFile file(std::string(4096, '\0'));
  FileDescriptor fd = file.Open();
  Mapping map(4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get());
  auto* counter = reinterpret_cast<std::atomic<int>*>(map.data());
  std::vector<std::unique_ptr<ScopedChild>> children;
  for (int i = 0; i < kThreads; ++i) {
    children.push_back(std::make_unique<ScopedChild>([&] {
      for (int j = 0; j < 10000; ++j) ++*counter;
    }));
  }
  for (auto& child : children) EXPECT_THAT(child->Wait(), ExitedWith(0));
  EXPECT_EQ(*counter, kThreads * 10000);
}

TEST(FileRace, TruncateAndReadSeeOnlyWholeStates) {
  TempFile file(std::string(4096, 'x'));
  std::atomic<bool> stop{false};
  ScopedThread cutter([&] {
    FileDescriptor fd = file.Open();
    for (int i = 0; i < kRounds; ++i) {
      EXPECT_THAT(ftruncate(fd.get(), 100), SyscallSucceeds());
      EXPECT_THAT(ftruncate(fd.get(), 4096), SyscallSucceeds());
    }
    stop = true;
  });
  FileDescriptor fd = file.Open(O_RDONLY);
  char buf[4096];
  while (!stop) {
    const ssize_t n = pread(fd.get(), buf, sizeof(buf), 0);
    ASSERT_THAT(n, SyscallSucceedsWithValue(testing::AllOf(testing::Ge(100), testing::Le(4096))));
    for (int i = 0; i < 100; ++i) ASSERT_EQ(buf[i], 'x');
  }
}

}  // namespace
}  // namespace moat::test
