// The processes that the platform makes, seen from outside.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "abi/clone.h"
#include "abi/mman.h"
#include "abi/prctl.h"
#include "abi/signal.h"
#include "abi/time.h"
#include "abi/wait.h"
#include "base/fiber/executor.h"
#include "base/host/file.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "platform/platform.h"

namespace moat {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  return std::string((std::istreambuf_iterator<char>(in)), {});
}

std::vector<int> ChildrenOf(int parent) {
  std::vector<int> pids;
  std::error_code ignored;
  for (auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    int pid = atoi(entry.path().filename().c_str());
    std::string text = pid > 0 ? ReadAll(entry.path() / "stat") : "";
    size_t name_end = text.rfind(')');
    char state;
    int of = 0;
    if (name_end != std::string::npos && sscanf(text.c_str() + name_end, ") %c %d", &state, &of) == 2 && of == parent) {
      pids.push_back(pid);
    }
  }
  return pids;
}

bool IsAlive(int pid) {
  std::string status = ReadAll("/proc/" + std::to_string(pid) + "/status");
  return !status.empty() && status.find("State:\tZ") == std::string::npos;
}

// Makes the platform and two address spaces, one a fork of the other; 0 if all went well.
int PlaySentry() {
  auto platform = NewPtracePlatform();
  if (!platform.ok()) return 1;
  if (!host::Prctl(abi::kPR_SET_DUMPABLE, 0).ok()) return 2;
  static AddressSpace::Forked first, second;
  auto made = (*platform)->NewAddressSpace();
  if (!made.ok()) return 3;
  first = std::move(*made);
  if (!first.space->Map(0x10000000, 4096, abi::kPROT_READ | abi::kPROT_WRITE, 0, {}).ok()) return 4;
  int value = 7;
  if (!first.space->CopyOut(0x10000000, std::as_bytes(std::span(&value, 1))).ok()) return 5;
  auto forked = first.space->Fork(*first.thread);
  if (!forked.ok()) return 6;
  second = std::move(*forked);
  value = 0;
  if (!second.space->CopyIn(0x10000000, std::as_writable_bytes(std::span(&value, 1))).ok() || value != 7) return 7;
  (void)platform->release();
  return 0;
}

// Runs PlaySentry in a child with `flags`, and `while_alive` on it before it is killed.
void WithSentry(uint64_t flags, bool as_nobody, const std::function<void(int pid)>& while_alive) {
  host::PipeEnds pipe = std::move(*host::Pipe2(0));
  auto pid = host::Fork(flags);
  ASSERT_TRUE(pid.ok()) << static_cast<int>(pid.error());
  if (*pid == 0) {
    int result = as_nobody && !host::Setresuid(65534, 65534, 65534).ok() ? 100 : PlaySentry();
    (void)host::Write(pipe.write.get(), &result, sizeof result);
    for (;;) (void)host::ClockNanosleep(abi::kCLOCK_MONOTONIC, 0, {100, 0});
  }
  int result = -1;
  ASSERT_TRUE(host::Read(pipe.read.get(), &result, sizeof result).ok());
  EXPECT_EQ(result, 0);
  while_alive(*pid);
  (void)host::Kill(*pid, abi::kSIGKILL);
  int status;
  (void)host::Wait4(*pid, &status, abi::kWALL);
}

TEST(Topology, StubsDieWithTheSentry) {
  std::vector<int> stubs;
  WithSentry(0, false, [&](int pid) { stubs = ChildrenOf(pid); });
  EXPECT_EQ(stubs.size(), 3u);  // the zygote and two address spaces: all are the sentry's own children
  for (int i = 0; i < 100; ++i) {
    bool any = false;
    for (int pid : stubs) any |= IsAlive(pid);
    if (!any) return;
    (void)host::ClockNanosleep(abi::kCLOCK_MONOTONIC, 0, {0, 10'000'000});
  }
  ADD_FAILURE() << "stubs outlived their tracer";
}

TEST(Topology, WorksAsAnUnprivilegedInitOfAPidNamespace) {
  if (host::Geteuid() != 0) GTEST_SKIP() << "needs root";
  WithSentry(abi::kCLONE_NEWPID, true, [&](int pid) { EXPECT_EQ(ChildrenOf(pid).size(), 3u); });
}

TEST(Topology, StubsHoldNothingButTheirSocketAndPages) {
  WithSentry(0, false, [&](int pid) {
    for (int stub : ChildrenOf(pid)) {
      const std::string proc = "/proc/" + std::to_string(stub);
      int fds = 0;
      for (auto& entry : std::filesystem::directory_iterator(proc + "/fd")) {
        EXPECT_EQ(entry.path().filename(), "0");
        ++fds;
      }
      EXPECT_EQ(fds, 1);
      std::string status = ReadAll(proc + "/status");
      EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos);
      EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos);
      EXPECT_NE(status.find("TracerPid:\t" + std::to_string(pid)), std::string::npos);
      EXPECT_NE(ReadAll(proc + "/limits").find("Max core file size        1                    1"), std::string::npos);
      std::string maps = ReadAll(proc + "/maps");
      EXPECT_EQ(maps.find("[vdso]"), std::string::npos) << maps;
      EXPECT_EQ(maps.find("[stack]"), std::string::npos) << maps;
      EXPECT_EQ(maps.find(" rwx"), std::string::npos) << maps;
      long lines = std::count(maps.begin(), maps.end(), '\n');
      EXPECT_LE(lines, 4) << maps;  // text, scratch, the guest's page, the host's vsyscall page
    }
  });
}

}  // namespace
}  // namespace moat
