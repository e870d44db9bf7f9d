// The sandbox's network interfaces: loopback only, as netdevice(7) and rtnetlink(7) show it.
#pragma once

#include <cstdint>

#include "abi/netinet.h"
#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

struct LoopbackInterface {
  static constexpr int kIndex = 1;
  static constexpr const char* kName = "lo";
  static constexpr int kMtu = 65536;
  static constexpr int kQueueLength = 1000;
  static constexpr uint32_t kFlags = abi::kIFF_UP | abi::kIFF_LOOPBACK | abi::kIFF_RUNNING;
  static constexpr int kPrefix4 = 8, kPrefix6 = 128;
};

// The SIOC*IF* requests, which any socket takes. kENOTTY: not one of them; kENODEV, kEADDRNOTAVAIL; kEPERM for changes.
ErrorOr<uint64_t> InterfaceIoctl(uint32_t command, uint64_t arg, UserMemory& memory);

}  // namespace moat
