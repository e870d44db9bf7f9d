// The start of a program: auxiliary vector, stack contents and alignment, registers' initial state.
#include <elf.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cstdint>

#include "tests/util/process.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

// Exits with the low byte of the auxiliary vector's entry argv[1].
MOAT_TEST_ROLE(Aux) { return static_cast<int>(getauxval(atoi(argv[1])) & 0xff); }

MOAT_TEST_ROLE(ExecFn) { return strcmp(reinterpret_cast<const char*>(getauxval(AT_EXECFN)), argv[1]) != 0; }

MOAT_TEST_ROLE(PrintRandom) {
  return write(1, reinterpret_cast<const void*>(getauxval(AT_RANDOM)), 16) == 16 ? 0 : 1;
}

MOAT_TEST_ROLE(StackLayout) {
  // argv, NULL, envp, NULL, auxv stand directly behind one another, argc below argv[0] at a 16-byte boundary.
  const auto* words = reinterpret_cast<uint64_t*>(argv) - 1;
  if (words[0] != static_cast<uint64_t>(argc)) return 1;
  if (reinterpret_cast<uintptr_t>(words) % 16 != 0) return 2;
  if (argv + argc + 1 != envp) return 3;
  char** env = envp;
  while (*env) ++env;
  for (auto* aux = reinterpret_cast<Elf64_auxv_t*>(env + 1); aux->a_type != AT_NULL; ++aux) {
    if (aux->a_type == AT_PAGESZ) return aux->a_un.a_val == 4096 ? 0 : 4;
  }
  return 5;
}

MOAT_TEST_ROLE(StringsAdjoin) {
  // The strings follow each other without gaps: argv's, then envp's.
  const char* expected = argv[0];
  for (int i = 0; i < argc; ++i) {
    if (argv[i] != expected) return 1;
    expected += strlen(argv[i]) + 1;
  }
  for (char** env = envp; *env; ++env) {
    if (*env != expected) return 2;
    expected += strlen(*env) + 1;
  }
  return 0;
}

TEST(AuxvTest, PageSizeAndClockTick) {
  EXPECT_EQ(getauxval(AT_PAGESZ), 4096u);
  EXPECT_EQ(getauxval(AT_CLKTCK), 100u);
}

TEST(AuxvTest, IdentitiesMatchTheProcess) {
  EXPECT_EQ(getauxval(AT_UID), getuid());
  EXPECT_EQ(getauxval(AT_EUID), geteuid());
  EXPECT_EQ(getauxval(AT_GID), getgid());
  EXPECT_EQ(getauxval(AT_EGID), getegid());
}

TEST(AuxvTest, PlainProgramIsNotSecure) { EXPECT_EQ(getauxval(AT_SECURE), 0u); }

TEST(AuxvTest, ProgramHeadersAreInMemory) {
  const auto* headers = reinterpret_cast<const Elf64_Phdr*>(getauxval(AT_PHDR));
  const size_t count = getauxval(AT_PHNUM);
  ASSERT_NE(headers, nullptr);
  EXPECT_EQ(getauxval(AT_PHENT), sizeof(Elf64_Phdr));
  int loads = 0;
  for (size_t i = 0; i < count; ++i) loads += headers[i].p_type == PT_LOAD;
  EXPECT_GE(loads, 1);
}

TEST(AuxvTest, EntryIsExecutableCode) {
  const uintptr_t entry = getauxval(AT_ENTRY);
  const std::string maps = Slurp("/proc/self/maps");
  bool found = false;
  size_t line = 0;
  while (line < maps.size()) {
    unsigned long from, to;
    char perms[5];
    if (sscanf(maps.c_str() + line, "%lx-%lx %4s", &from, &to, perms) == 3 && from <= entry && entry < to) {
      found = perms[2] == 'x';
    }
    line = maps.find('\n', line) + 1;
  }
  EXPECT_TRUE(found);
}

TEST(AuxvTest, ExecFnIsThePathAsGiven) {
  EXPECT_THAT(RunRole("ExecFn", {"x", "/proc/self/exe"}), ExitedWith(0));
  TempDir dir;
  const std::string path = dir.CreateSymlink("link", "/proc/self/exe");
  EXPECT_THAT(RunRole("ExecFn", {"x", path}, {}, path), ExitedWith(0));
}

TEST(AuxvTest, RandomBytesDifferFromRunToRun) {
  std::string seen[2];
  for (std::string& bytes : seen) {
    int fds[2];
    ASSERT_THAT(pipe(fds), SyscallSucceeds());
    EXPECT_THAT(RunInChild([&]() -> int {
                  dup2(fds[1], 1);
                  return ExecRole("PrintRandom", {"x"});
                }),
                ExitedWith(0));
    char buffer[16];
    ASSERT_EQ(read(fds[0], buffer, 16), 16);
    bytes.assign(buffer, 16);
    close(fds[0]);
    close(fds[1]);
  }
  EXPECT_NE(seen[0], seen[1]);
}

TEST(AuxvTest, ProcShowsTheSameVector) {
  const std::string bytes = Slurp("/proc/self/auxv");
  ASSERT_EQ(bytes.size() % sizeof(Elf64_auxv_t), 0u);
  const auto* entries = reinterpret_cast<const Elf64_auxv_t*>(bytes.data());
  const size_t count = bytes.size() / sizeof(Elf64_auxv_t);
  ASSERT_GT(count, 5u);
  for (size_t i = 0; i < count && entries[i].a_type != AT_NULL; ++i) {
    if (entries[i].a_type == AT_HWCAP) continue;  // glibc reports its own idea of it
    EXPECT_EQ(entries[i].a_un.a_val, getauxval(entries[i].a_type)) << "type " << entries[i].a_type;
  }
}

TEST(AuxvTest, StackHoldsArgumentsEnvironmentAndVectorInOrder) {
  EXPECT_THAT(RunRole("StackLayout", {"x"}), ExitedWith(0));
  EXPECT_THAT(RunRole("StackLayout", {"x", "y", "z"}, {"A=1", "B=2"}), ExitedWith(0));
}

TEST(AuxvTest, ArgumentStringsAdjoinEachOther) {
  EXPECT_THAT(RunRole("StringsAdjoin", {"x", "", "long argument"}, {"A=1", "B="}), ExitedWith(0));
}

TEST(AuxvTest, PlatformNamesTheMachine) {
  ASSERT_NE(getauxval(AT_PLATFORM), 0u);
  EXPECT_STREQ(reinterpret_cast<const char*>(getauxval(AT_PLATFORM)), "x86_64");
}

TEST(AuxvTest, SetUserIdProgramIsSecure) {
  SKIP_IF_NOT_ROOT();
  TempDir dir(0755);
  const std::string path = dir.CreateFile("prog", Slurp("/proc/self/exe"), 0755);
  ASSERT_THAT(chown(path.c_str(), 1234, 1234), SyscallSucceeds());
  ASSERT_THAT(chmod(path.c_str(), 04755), SyscallSucceeds());
  EXPECT_THAT(
      RunAsUser([&] {
        EXPECT_THAT(RunRole("Aux", {"x", std::to_string(AT_SECURE)}, {}, path), ExitedWith(1));
        EXPECT_THAT(RunRole("Aux", {"x", std::to_string(AT_EUID)}, {}, path), ExitedWith(1234 & 0xff));
      }),
      ExitedWith(0));
}

}  // namespace
}  // namespace moat::test

MOAT_TEST_MAIN_WITH_ROLES()
