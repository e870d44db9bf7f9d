// execve(2) of scripts: how the #! line is split, nested and limited.
#include <algorithm>

#include "tests/util/fd.h"
#include "tests/util/process.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

// Prints argv, one per line, to descriptor 1.
MOAT_TEST_ROLE(Args) {
  for (int i = 0; i < argc; ++i) dprintf(1, "%s\n", argv[i]);
  return 0;
}

MOAT_TEST_ROLE(ReadFd) {
  // The interpreter of a script executed through a descriptor gets /dev/fd/N and can read the script there.
  const std::string text = Slurp(argv[argc - 1]);
  return text.substr(0, 2) == "#!" ? 0 : 1;
}

class ScriptTest : public testing::Test {
 protected:
  // A program whose path is short: this one.
  ScriptTest() : interpreter_(dir_.CreateFile("i", Slurp("/proc/self/exe"), 0755)) {}

  std::string Script(const std::string& name, const std::string& text) {
    return dir_.CreateFile(name, text, 0755);
  }

  // What the interpreter saw as argv when `path` was executed with argv {"name", "a", "b"}.
  std::string ArgsOf(const std::string& path) {
    int fds[2];
    EXPECT_THAT(pipe2(fds, O_CLOEXEC), SyscallSucceeds());
    const pid_t pid = ForkAndRun([&]() -> int {
      dup2(fds[1], 1);
      ExecRole("Args", {"name", "a", "b"}, {}, path);
      return errno;
    });
    close(fds[1]);
    std::string text;
    char buffer[4096];
    ssize_t got;
    while ((got = read(fds[0], buffer, sizeof(buffer))) > 0) text.append(buffer, got);
    close(fds[0]);
    EXPECT_THAT(WaitForChild(pid), ExitedWith(0));
    return text;
  }

  int ErrnoOf(const std::string& path) {
    EXPECT_EQ(ExecRole("Args", {"name"}, {}, path), -1);
    return errno;
  }

  TempDir dir_;
  const std::string interpreter_;
};

TEST_F(ScriptTest, InterpreterGetsTheScriptsPathInsteadOfItsName) {
  const std::string path = Script("s", "#!" + interpreter_ + "\nbody\n");
  EXPECT_EQ(ArgsOf(path), interpreter_ + "\n" + path + "\na\nb\n");
}

TEST_F(ScriptTest, RestOfTheLineIsOneArgument) {
  const std::string path = Script("s", "#!" + interpreter_ + " -x  two words\n");
  EXPECT_EQ(ArgsOf(path), interpreter_ + "\n-x  two words\n" + path + "\na\nb\n");
}

TEST_F(ScriptTest, BlanksAroundInterpreterAndArgumentAreDropped) {
  const std::string path = Script("s", "#! \t " + interpreter_ + " \t arg \t \n");
  EXPECT_EQ(ArgsOf(path), interpreter_ + "\narg\n" + path + "\na\nb\n");
}

TEST_F(ScriptTest, LastLineNeedsNoNewline) {
  const std::string path = Script("s", "#!" + interpreter_);
  EXPECT_EQ(ArgsOf(path), interpreter_ + "\n" + path + "\na\nb\n");
}

TEST_F(ScriptTest, ScriptsNest) {
  const std::string inner = Script("inner", "#!" + interpreter_ + " one\n");
  const std::string outer = Script("outer", "#!" + inner + " two\n");
  EXPECT_EQ(ArgsOf(outer), interpreter_ + "\none\n" + inner + "\ntwo\n" + outer + "\na\nb\n");
}

TEST_F(ScriptTest, NestingDeeperThanFourIsEloop) {
  std::string path = interpreter_;
  for (int i = 0; i < 4; ++i) path = Script("s" + std::to_string(i), "#!" + path + "\n");
  EXPECT_NE(ArgsOf(path), "");
  for (int i = 4; i < 6; ++i) path = Script("s" + std::to_string(i), "#!" + path + "\n");
  EXPECT_EQ(ErrnoOf(path), ELOOP);
}

TEST_F(ScriptTest, MissingInterpreterIsEnoent) {
  EXPECT_EQ(ErrnoOf(Script("s", "#!/nonexistent/interp\n")), ENOENT);
}

TEST_F(ScriptTest, InterpreterWithoutExecutePermissionIsEacces) {
  EXPECT_EQ(ErrnoOf(Script("s", "#!" + dir_.CreateFile("plain", "x", 0644) + "\n")), EACCES);
  EXPECT_EQ(ErrnoOf(Script("t", "#!" + dir_.path() + "\n")), EACCES);
}

TEST_F(ScriptTest, EmptyInterpreterIsEnoexec) {
  EXPECT_EQ(ErrnoOf(Script("s", "#!\n")), ENOEXEC);
  EXPECT_EQ(ErrnoOf(Script("t", "#!   \n")), ENOEXEC);
}

TEST_F(ScriptTest, InterpreterOfUnknownFormatIsEnoexec) {
  EXPECT_EQ(ErrnoOf(Script("s", "#!" + Script("text", "just text\n") + "\n")), ENOEXEC);
}

TEST_F(ScriptTest, PathCutOffByTheLineLimitIsEnoexec) {
  EXPECT_EQ(ErrnoOf(Script("s", "#!/" + std::string(300, 'a') + "\n")), ENOEXEC);
}

TEST_F(ScriptTest, LongArgumentIsCutAtTheLineLimit) {
  const std::string path = Script("s", "#!" + interpreter_ + " " + std::string(400, 'z') + "\n");
  const std::string text = ArgsOf(path);
  // The second line; a random directory name in the others may have the letter, too.
  const size_t count = text.find('\n', text.find('\n') + 1) - text.find('\n') - 1;
  constexpr size_t kLineLimit = 255;  // of the 256 bytes that the kernel looks at, the last ends the string
  EXPECT_EQ(count, kLineLimit - strlen("#! ") - interpreter_.size());
}

TEST_F(ScriptTest, RelativeInterpreterIsTakenFromTheWorkingDirectory) {
  const std::string path = Script("s", "#!i\n");
  EXPECT_THAT(RunInChild([&] {
                ASSERT_THAT(chdir(dir_.path().c_str()), SyscallSucceeds());
                EXPECT_EQ(ArgsOf("./s"), "i\n./s\na\nb\n");
              }),
              ExitedWith(0));
  EXPECT_EQ(ErrnoOf(path), ENOENT);
}

TEST_F(ScriptTest, ByDescriptorNamesTheScriptDevFd) {
  const std::string path = Script("s", "#!" + interpreter_ + "\n");
  FileDescriptor fd = Open(path, O_RDONLY);
  const char* argv[] = {"x", nullptr};
  const char* envp[] = {"MOAT_TEST_ROLE=ReadFd", nullptr};
  EXPECT_THAT(RunInChild([&]() -> int {
                syscall(SYS_execveat, fd.get(), "", argv, envp, AT_EMPTY_PATH);
                return 127;
              }),
              ExitedWith(0));
}

TEST_F(ScriptTest, ByCloseOnExecDescriptorIsEnoent) {
  const std::string path = Script("s", "#!" + interpreter_ + "\n");
  FileDescriptor fd = Open(path, O_RDONLY | O_CLOEXEC);
  const char* argv[] = {"x", nullptr};
  EXPECT_THAT(syscall(SYS_execveat, fd.get(), "", argv, argv + 1, AT_EMPTY_PATH),
              SyscallFailsWithErrno(ENOENT));
}

TEST_F(ScriptTest, CommIsTheScriptsName) {
  const std::string path =
      Script("my-script", "#!/bin/sh\nread -r name < /proc/self/comm; echo \"$name\"; cat /proc/$$/comm\n");
  if (access("/bin/sh", X_OK) != 0) GTEST_SKIP() << "needs /bin/sh";
  int fds[2];
  ASSERT_THAT(pipe2(fds, O_CLOEXEC), SyscallSucceeds());
  const pid_t pid = ForkAndRun([&]() -> int {
    dup2(fds[1], 1);
    execl(path.c_str(), path.c_str(), nullptr);
    return 127;
  });
  close(fds[1]);
  char text[64] = {};
  EXPECT_GT(read(fds[0], text, sizeof(text) - 1), 0);
  EXPECT_EQ(std::string(text).substr(0, 10), "my-script\n");
  close(fds[0]);
  EXPECT_TRUE(WIFEXITED(WaitForChild(pid)));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
