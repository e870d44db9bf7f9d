#include "runtime/sandbox/memory_guard.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <thread>

#include "abi/signal.h"
#include "base/host/process.h"
#include "base/host/time.h"
#include "runtime/util/failure.h"
#include "runtime/util/files.h"

namespace moat {
namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int64_t kSoonest = 10 * kNsPerMs;
constexpr int64_t kLatest = kNsPerSecond;
constexpr int64_t kBytesPerNsPerCpu = 4;    // more than a CPU can touch
constexpr int kRestPerWork = 4;             // looking takes at most a fifth of the time
constexpr int64_t kKilledGrace = 5 * kNsPerSecond;  // a killed process gives its memory back within this
constexpr int64_t kStrangersFor = kNsPerSecond;
constexpr int64_t kBeyondPatience = 2 * kNsPerSecond;

// What the kernel keeps of a process and of each thread besides page tables, about.
constexpr uint64_t kBytesPerProcess = 64 << 10;
constexpr uint64_t kBytesPerThread = 32 << 10;

std::string ProcFile(int pid, const char* name) { return "/proc/" + std::to_string(pid) + "/" + name; }

// The numbers behind "\nNAME:", or none.
std::string_view Field(std::string_view text, std::string_view name) {
  const std::string key = "\n" + std::string(name) + ":";
  const size_t at = text.find(key);
  if (at == text.npos) return {};
  text.remove_prefix(at + key.size());
  text = text.substr(0, text.find('\n'));
  return text.substr(std::min(text.find_first_not_of(" \t"), text.size()));
}

uint64_t Number(std::string_view text) {
  uint64_t n = 0;
  std::from_chars(text.data(), text.data() + text.size(), n);
  return n;
}

uint64_t KibField(std::string_view text, std::string_view name) { return Number(Field(text, name)) << 10; }

ProcessMemory Look(int pid) {
  ErrorOr<std::string> status = ReadFile(ProcFile(pid, "status"));
  return status.ok() ? ParseStatus(pid, *status) : ProcessMemory{.pid = pid, .ended = true};
}

std::string InMiB(uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

ProcessMemory ParseStatus(int pid, std::string_view status) {
  ProcessMemory m{.pid = pid};
  m.parent = static_cast<int>(Number(Field(status, "PPid")));
  const std::string_view pids = Field(status, "NSpid");
  m.inner_pid = static_cast<int>(Number(pids.substr(pids.find_last_of('\t') + 1)));
  m.private_bytes = KibField(status, "RssAnon");
  m.other_bytes = KibField(status, "VmSwap") + KibField(status, "VmPTE") + kBytesPerProcess +
                  kBytesPerThread * Number(Field(status, "Threads"));
  m.mapped_bytes = KibField(status, "RssShmem");
  const std::string_view state = Field(status, "State");
  m.ended = state.starts_with('Z') || state.starts_with('X');
  return m;
}

uint64_t SpareMemory() {
  const std::string info = "\n" + Must(ReadFile("/proc/meminfo"), "/proc/meminfo");
  const uint64_t total = KibField(info, "MemTotal");
  uint64_t available = KibField(info, "MemAvailable");
  // Files of the control group that a container sees as its own, version 2 and 1; "max" is no number.
  for (const char* path : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    if (const uint64_t limit = Number(ReadFile(path).value_or(""))) available = std::min(available, limit);
  }
  constexpr uint64_t kLeast = 64 << 20;
  const uint64_t reserve = std::min(total / 16, available / 4);
  return std::max(available - reserve, kLeast);
}

std::vector<ProcessMemory> MemoryGuard::ListStubs() {
  // All of them are children of the sentry's first thread.
  const std::string path = ProcFile(sentry_pid_, "task/") + std::to_string(sentry_pid_) + "/children";
  const ErrorOr<std::string> children = ReadFile(path);
  if (!children.ok()) return ScanForStubs();
  std::vector<ProcessMemory> stubs;
  const char* at = children->data();
  const char* const end = at + children->size();
  for (int pid = 0; at < end;) {
    const std::from_chars_result parsed = std::from_chars(at, end, pid);
    if (parsed.ec != std::errc()) break;
    at = std::min(parsed.ptr + 1, end);
    stubs.push_back(Look(pid));
  }
  return stubs;
}

// For kernels without CONFIG_PROC_CHILDREN. Other processes are looked at once a second.
std::vector<ProcessMemory> MemoryGuard::ScanForStubs() {
  const int64_t now = host::NowMonotonicNs();
  if (now >= strangers_until_) {
    strangers_.clear();
    strangers_until_ = now + kStrangersFor;
  }
  std::vector<ProcessMemory> stubs;
  std::error_code error;
  for (std::filesystem::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const int pid = static_cast<int>(Number(it->path().filename().native()));
    if (pid == 0 || strangers_.contains(pid)) continue;
    const ProcessMemory m = Look(pid);
    if (m.parent == sentry_pid_) {
      stubs.push_back(m);
    } else {
      strangers_.insert(pid);
    }
  }
  return stubs;
}

uint64_t MemoryGuard::CountSharedOnce(std::vector<ProcessMemory>& stubs, uint64_t total) const {
  std::ranges::sort(stubs, std::greater(), &ProcessMemory::private_bytes);
  for (ProcessMemory& stub : stubs) {
    if (total <= limit_) break;
    const ErrorOr<std::string> rollup = ReadFile(ProcFile(stub.pid, "smaps_rollup"));
    if (!rollup.ok() || Field(*rollup, "Pss_Anon").empty()) continue;
    const uint64_t share = std::min(KibField(*rollup, "Pss_Anon"), stub.private_bytes);
    total -= stub.private_bytes - share;
    stub.private_bytes = share;
  }
  return total;
}

void MemoryGuard::KillLargest(const std::vector<ProcessMemory>& stubs, uint64_t total) {
  // The stub that came first makes all others: without it there are no more guests. After a wrap numbers start at 300 again, so
  // it keeps the lowest.
  const auto zygote = std::ranges::min_element(stubs, {}, &ProcessMemory::inner_pid);
  const ProcessMemory* largest = nullptr;
  for (const ProcessMemory& stub : stubs) {
    if (stub.inner_pid == zygote->inner_pid) continue;
    if (!largest || stub.weight() > largest->weight()) largest = &stub;
  }
  const int64_t now = host::NowMonotonicNs();
  if (!largest) {
    if (beyond_since_ == 0) beyond_since_ = now;
    if (now - beyond_since_ < kBeyondPatience) return;
    throw Failure("the sandbox's kernel holds " + InMiB(total) + ", more than the sandbox's limit of " + InMiB(limit_));
  }
  beyond_since_ = 0;
  // The pid may be somebody else's by now: the descriptor holds who it was when we look again.
  const ErrorOr<UniqueFd> victim = host::PidfdOpen(largest->pid, 0);
  if (!victim.ok() || Look(largest->pid).parent != sentry_pid_) return;
  if (!host::PidfdSendSignal(victim->get(), abi::kSIGKILL).ok()) return;
  killed_[largest->pid] = now + kKilledGrace;
  PrintLine("out of memory: the sandbox uses " + InMiB(total) + " of " + InMiB(limit_) +
            ": killed its largest process, " + InMiB(largest->weight()));
}

MemoryGuard::Result MemoryGuard::Check() {
  if (limit_ == 0) return {kLatest, 0, false};
  const int64_t began = host::NowMonotonicNs();
  std::erase_if(killed_, [&](const auto& entry) { return entry.second < began; });
  std::vector<ProcessMemory> stubs = ListStubs();
  // What is on its way out counts no more.
  std::erase_if(stubs, [&](const ProcessMemory& m) { return m.ended || killed_.contains(m.pid); });
  uint64_t guests = 0;
  for (const ProcessMemory& stub : stubs) guests += stub.total();
  const uint64_t kernel = Look(sentry_pid_).total() + file_bytes_;
  uint64_t total = guests + kernel;
  if (total > limit_) total = CountSharedOnce(stubs, total);
  guests = total - kernel;
  if (total > limit_) {
    KillLargest(stubs, total);
  } else {
    beyond_since_ = 0;
  }
  const uint64_t left = limit_ - std::min(total, limit_);
  static const int64_t cpus = std::max<int64_t>(std::thread::hardware_concurrency(), 1);  // reads a file
  const auto until_full = static_cast<int64_t>(left / static_cast<uint64_t>(kBytesPerNsPerCpu * cpus));
  const int64_t rest = kRestPerWork * (host::NowMonotonicNs() - began);
  return {std::max(rest, std::clamp(until_full, kSoonest, kLatest)), guests, left < limit_ / 8};
}

}  // namespace moat
