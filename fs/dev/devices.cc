#include "fs/dev/devices.h"

#include <algorithm>
#include <array>

#include "abi/ioctl.h"
#include "abi/tty.h"
#include "base/host/process.h"
#include "fs/vfs/special.h"

namespace moat {

namespace {

constexpr uint32_t kNull = 3, kZero = 5, kFull = 7, kRandom = 8, kUrandom = 9;  // minors of MEM_MAJOR
// One read of a device that never ends gives at most this much, so that it ends.
constexpr size_t kMaxRead = 32 << 20;

// Positions mean nothing: every lseek succeeds and leads to 0 (null_lseek).
class DeviceFile : public FileDescription {
 public:
  DeviceFile(const Path& path, uint32_t flags) : FileDescription(path, flags) {}
  bool pollable() const override { return true; }
  ErrorOr<int64_t> SeekFrom(int64_t, int) override { return int64_t{0}; }

  ErrorOr<size_t> TryRead(IoSink& dst, int64_t*, IoFlags) override { return size_t{0}; }
  // Swallows everything unseen: even an unreadable buffer is fine.
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t*, IoFlags) override { return src.remaining(); }
};

class ZeroFile : public DeviceFile {
 public:
  using DeviceFile::DeviceFile;
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t*, IoFlags) override {
    return dst.PutZeros(std::min(dst.remaining(), kMaxRead));
  }
  ErrorOr<HostBacking> Map(uint64_t offset, uint64_t, bool) override { return HostBacking{-1, offset}; }
};

class FullFile final : public DeviceFile {
 public:
  using DeviceFile::DeviceFile;
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t*, IoFlags) override {
    return dst.PutZeros(std::min(dst.remaining(), kMaxRead));
  }
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t*, IoFlags) override { return kENOSPC; }
};

class RandomFile final : public DeviceFile {
 public:
  using DeviceFile::DeviceFile;
  ErrorOr<size_t> TryRead(IoSink& dst, int64_t*, IoFlags) override {
    std::array<std::byte, 1024> chunk;
    size_t done = 0;
    while (dst.remaining() > 0 && done < kMaxRead) {
      size_t n = std::min(dst.remaining(), chunk.size());
      TRY(host::Getrandom(chunk.data(), n));
      ErrorOr<size_t> put = dst.Put(std::span(chunk).first(n));
      if (!put.ok()) return done ? ErrorOr<size_t>(done) : put;
      done += *put;
      if (*put < n) break;
    }
    return done;
  }
  // The host's generator needs no entropy of a guest's: the bytes are looked at (EFAULT) and dropped.
  ErrorOr<size_t> TryWrite(IoSource& src, int64_t*, IoFlags) override {
    std::array<std::byte, 1024> chunk;
    size_t done = 0;
    while (src.remaining() > 0) {
      ErrorOr<size_t> n = src.Get(chunk);
      if (!n.ok()) return done ? ErrorOr<size_t>(done) : n;
      if (*n == 0) break;
      done += *n;
    }
    return done;
  }
  ErrorOr<uint64_t> Ioctl(uint32_t command, uint64_t arg, UserMemory& memory) override {
    constexpr int kPoolBits = 256;
    switch (command) {
      case abi::kRNDGETENTCNT:
        TRY(memory.Write<int>(arg, kPoolBits));
        return uint64_t{0};
      case abi::kRNDADDTOENTCNT: case abi::kRNDADDENTROPY: case abi::kRNDZAPENTCNT: case abi::kRNDCLEARPOOL:
      case abi::kRNDRESEEDCRNG:
        return kEPERM;
      default: return kEINVAL;
    }
  }
};

template <class T>
void Register(uint32_t minor, uint32_t count = 1) {
  RegisterCharDevice(abi::kMEM_MAJOR, minor, count, [](const Path& path, uint32_t flags) -> ErrorOr<Ref<FileDescription>> {
    return Ref<FileDescription>(MakeRef<T>(path, flags));
  });
}

}  // namespace

void RegisterMemoryDevices() {
  Register<DeviceFile>(kNull);
  Register<ZeroFile>(kZero);
  Register<FullFile>(kFull);
  Register<RandomFile>(kRandom, kUrandom - kRandom + 1);
}

}  // namespace moat
