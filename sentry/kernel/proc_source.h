// What /proc sees of this kernel's tasks.
#pragma once

#include "fs/proc/source.h"
#include "sentry/kernel/load_average.h"

namespace moat {

class Kernel;
class Task;

class KernelProcSource final : public ProcSource {
 public:
  explicit KernelProcSource(Kernel& kernel) : kernel_(kernel) {}

  ErrorOr<TaskKey> CurrentThread() override;
  ErrorOr<TaskKey> CurrentProcess() override;
  ErrorOr<TaskKey> FindTask(int tid) override;
  bool Alive(TaskKey key) override;
  std::vector<TaskKey> Processes(int from, size_t limit) override;
  ErrorOr<std::vector<TaskKey>> Threads(TaskKey process) override;
  ErrorOr<int> ProcessOf(TaskKey task) override;

  ErrorOr<Owner> OwnerOf(TaskKey key) override;
  ErrorOr<TaskInfo> Info(TaskKey key) override;
  ErrorOr<MemoryInfo> Memory(TaskKey key, bool with_resident) override;
  ErrorOr<std::vector<MappingInfo>> Mappings(TaskKey key) override;
  ErrorOr<uint64_t> ResidentIn(TaskKey key, uint64_t start, uint64_t end) override;
  ErrorOr<void> Residency(TaskKey key, uint64_t start, std::span<uint8_t> out) override;
  ErrorOr<std::vector<uint64_t>> Auxv(TaskKey key) override;
  ErrorOr<size_t> ReadMemory(TaskKey key, UserAddr addr, std::span<std::byte> out) override;
  ErrorOr<size_t> WriteMemory(TaskKey key, UserAddr addr, std::span<const std::byte> in) override;

  ErrorOr<Ref<FdTable>> Fds(TaskKey key) override;
  ErrorOr<Path> Root(TaskKey key) override;
  ErrorOr<Path> Cwd(TaskKey key) override;
  ErrorOr<Path> Exe(TaskKey key) override;
  ErrorOr<Ref<MountNamespace>> Mounts(TaskKey key) override;
  Path CurrentRoot() override;

  ErrorOr<void> MayInspect(TaskKey key) override;
  bool CurrentHasCapability(int capability) override;

  ErrorOr<void> SetComm(TaskKey key, std::string_view comm) override;
  ErrorOr<void> SetOomScoreAdj(TaskKey key, int value) override;
  ErrorOr<void> SetTimerSlack(TaskKey key, uint64_t ns) override;

  SystemInfo System() override;
  std::array<uint64_t, 3> loads() { return load_average_.Read(); }  // hundredths
  std::string Hostname() override;
  std::string Domainname() override;
  void SetHostname(std::string_view name) override;
  void SetDomainname(std::string_view name) override;
  std::string IpcTable(std::string_view which) override;
  std::string NetTable(std::string_view which) override;

 private:
  Ref<Task> Find(TaskKey key);  // or null
  Kernel& kernel_;
  LoadAverage load_average_{kernel_};
};

}  // namespace moat
