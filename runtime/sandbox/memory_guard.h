// The memory limit of a sandbox, as its host processes use memory: needs no cgroup, and so no privilege, and leaves nothing behind.
//
// Guest memory is the stubs' own. Every look adds up what the kernel says of the sentry and its stubs; the sentry adds what no
// process shows (memfds). Beyond the limit the largest stub is killed, which for the guest is what Linux's OOM killer does. The
// closer the limit, the sooner the next look: between two looks a guest can take what the CPUs can touch in that time, no more.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace moat {

// What /proc/PID/status says, bytes.
struct ProcessMemory {
  int pid = 0;
  int parent = 0;
  int inner_pid = 0;           // in the innermost pid namespace
  uint64_t private_bytes = 0;  // anonymous memory, shared copies of a fork included
  uint64_t other_bytes = 0;    // swap, page tables, kernel stacks
  uint64_t mapped_bytes = 0;   // memfds that it maps: the sentry counts them, but here is who made them grow
  bool ended = false;          // a zombie

  uint64_t total() const { return private_bytes + other_bytes; }
  uint64_t weight() const { return total() + mapped_bytes; }
};
ProcessMemory ParseStatus(int pid, std::string_view status);

// What the host can spare: what is available to us less a reserve, and no more than a control group around us allows.
uint64_t SpareMemory();

class MemoryGuard {
 public:
  // `limit` 0: none.
  MemoryGuard(int sentry_pid, uint64_t limit) : sentry_pid_(sentry_pid), limit_(limit) {}

  struct Result {
    int64_t next_ns;       // when to look again
    uint64_t guest_bytes;  // of the stubs
    bool tight;            // little is left
  };
  // Measures, and kills the largest stub if it is too much. Throws Failure if it is the sentry that grows.
  Result Check();
  // What the sentry holds in files that no process shows.
  void SetFileBytes(uint64_t bytes) { file_bytes_ = bytes; }

 private:
  std::vector<ProcessMemory> ListStubs();
  std::vector<ProcessMemory> ScanForStubs();
  // Memory that several stubs share after a fork is counted in each of them: takes the largest ones' share instead until
  // `total` fits the limit. Returns what it comes to.
  uint64_t CountSharedOnce(std::vector<ProcessMemory>& stubs, uint64_t total) const;
  void KillLargest(const std::vector<ProcessMemory>& stubs, uint64_t total);

  const int sentry_pid_;
  const uint64_t limit_;
  uint64_t file_bytes_ = 0;
  std::map<int, int64_t> killed_;  // pid, until when it is taken for gone
  std::set<int> strangers_;        // pids of other processes, for a while
  int64_t strangers_until_ = 0;
  int64_t beyond_since_ = 0;       // beyond the limit with nothing to kill; 0: not
};

}  // namespace moat
