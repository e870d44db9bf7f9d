#include "fs/vfs/special.h"

#include <vector>

#include "abi/stat.h"
#include "base/sync/mutex.h"
#include "base/util/no_destructor.h"

namespace moat {

namespace {

struct DeviceRange {
  uint32_t major, minor, count;
  SpecialOpener open;
};

struct Registry {
  Mutex mu;
  std::vector<DeviceRange> devices MOAT_GUARDED_BY(mu);
  SpecialOpener fifo MOAT_GUARDED_BY(mu);
};

Registry& GetRegistry() {
  static NoDestructor<Registry> registry;
  return *registry;
}

}  // namespace

void RegisterCharDevice(uint32_t major, uint32_t minor, uint32_t count, SpecialOpener opener) {
  Registry& r = GetRegistry();
  MutexLock lock(r.mu);
  r.devices.push_back({major, minor, count, std::move(opener)});
}

void RegisterFifoOpener(SpecialOpener opener) {
  Registry& r = GetRegistry();
  MutexLock lock(r.mu);
  r.fifo = std::move(opener);
}

ErrorOr<Ref<FileDescription>> OpenCharDevice(uint64_t rdev, const Path& path, uint32_t flags) {
  SpecialOpener open;
  {
    Registry& r = GetRegistry();
    MutexLock lock(r.mu);
    for (const DeviceRange& d : r.devices) {
      uint32_t minor = abi::DevMinor(rdev);
      if (d.major == abi::DevMajor(rdev) && minor >= d.minor && minor - d.minor < d.count) open = d.open;
    }
  }
  if (!open) return kENXIO;
  return open(path, flags);
}

ErrorOr<Ref<FileDescription>> OpenFifo(const Path& path, uint32_t flags) {
  SpecialOpener open;
  {
    Registry& r = GetRegistry();
    MutexLock lock(r.mu);
    open = r.fifo;
  }
  if (!open) return kENXIO;
  return open(path, flags);
}

}  // namespace moat
