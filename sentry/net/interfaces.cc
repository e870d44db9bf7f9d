#include "sentry/net/interfaces.h"

#include <algorithm>
#include <cstring>

#include "abi/ioctl.h"

namespace moat {

namespace {

abi::Sockaddr Ipv4(uint32_t host_order) {
  abi::SockaddrIn in{};
  in.sin_family = abi::kAF_INET;
  in.sin_addr.s_addr = __builtin_bswap32(host_order);
  abi::Sockaddr out;
  memcpy(&out, &in, sizeof out);
  return out;
}

void SetName(abi::Ifreq& r) {
  memset(r.ifr_name, 0, sizeof r.ifr_name);
  strncpy(r.ifr_name, LoopbackInterface::kName, sizeof r.ifr_name - 1);
}

// SIOCGIFCONF: as many interfaces as fit; without a buffer how much they need.
ErrorOr<uint64_t> ListInterfaces(uint64_t arg, UserMemory& memory) {
  abi::Ifconf conf = TRY(memory.Read<abi::Ifconf>(arg));
  abi::Ifreq lo{};
  SetName(lo);
  lo.ifr_addr = Ipv4(abi::kINADDR_LOOPBACK);
  if (!conf.ifc_buf) {
    conf.ifc_len = sizeof lo;
  } else if (conf.ifc_len >= static_cast<int>(sizeof lo)) {
    TRY(memory.Write(conf.ifc_buf, lo));
    conf.ifc_len = sizeof lo;
  } else {
    conf.ifc_len = 0;
  }
  TRY(memory.Write(arg, conf));
  return uint64_t{0};
}

ErrorOr<void> Answer(uint32_t command, abi::Ifreq& r) {
  switch (command) {
    case abi::kSIOCGIFFLAGS: r.ifr_flags = static_cast<int16_t>(LoopbackInterface::kFlags); return {};
    case abi::kSIOCGIFADDR: r.ifr_addr = Ipv4(abi::kINADDR_LOOPBACK); return {};
    case abi::kSIOCGIFDSTADDR: r.ifr_addr = Ipv4(abi::kINADDR_LOOPBACK); return {};
    case abi::kSIOCGIFBRDADDR: r.ifr_addr = Ipv4(0); return {};
    case abi::kSIOCGIFNETMASK: r.ifr_addr = Ipv4(~uint32_t{0} << (32 - LoopbackInterface::kPrefix4)); return {};
    case abi::kSIOCGIFMETRIC: r.ifr_metric = 0; return {};
    case abi::kSIOCGIFMTU: r.ifr_mtu = LoopbackInterface::kMtu; return {};
    case abi::kSIOCGIFINDEX: r.ifr_ifindex = LoopbackInterface::kIndex; return {};
    case abi::kSIOCGIFTXQLEN: r.ifr_qlen = LoopbackInterface::kQueueLength; return {};
    case abi::kSIOCGIFHWADDR:
      memset(&r.ifr_hwaddr, 0, sizeof r.ifr_hwaddr);
      r.ifr_hwaddr.sa_family = abi::kARPHRD_LOOPBACK;
      return {};
    case abi::kSIOCGIFMAP: memset(r.ifr_map_, 0, sizeof r.ifr_map_); return {};
    default: return kENOTTY;
  }
}

bool Changes(uint32_t command) {
  switch (command) {
    case abi::kSIOCSIFFLAGS: case abi::kSIOCSIFADDR: case abi::kSIOCSIFDSTADDR: case abi::kSIOCSIFBRDADDR:
    case abi::kSIOCSIFNETMASK: case abi::kSIOCSIFMETRIC: case abi::kSIOCSIFMTU: case abi::kSIOCSIFNAME:
    case abi::kSIOCSIFHWADDR: case abi::kSIOCSIFTXQLEN: case abi::kSIOCADDMULTI: case abi::kSIOCDELMULTI:
    case abi::kSIOCADDRT: case abi::kSIOCDELRT: case abi::kSIOCSARP: case abi::kSIOCDARP:
      return true;
    default: return false;
  }
}

}  // namespace

ErrorOr<uint64_t> InterfaceIoctl(uint32_t command, uint64_t arg, UserMemory& memory) {
  if (command == abi::kSIOCGIFCONF) return ListInterfaces(arg, memory);
  if (Changes(command)) return kEPERM;  // the sandbox's network is not the guest's to change
  abi::Ifreq r{};
  if (command == abi::kSIOCGIFNAME) {
    r = TRY(memory.Read<abi::Ifreq>(arg));
    if (r.ifr_ifindex != LoopbackInterface::kIndex) return kENODEV;
    SetName(r);
    TRY(memory.Write(arg, r));
    return uint64_t{0};
  }
  ErrorOr<void> known = Answer(command, r);
  if (!known.ok()) return known.error();
  r = TRY(memory.Read<abi::Ifreq>(arg));
  r.ifr_name[sizeof r.ifr_name - 1] = '\0';
  if (strcmp(r.ifr_name, LoopbackInterface::kName) != 0) return kENODEV;
  TRY(Answer(command, r));
  TRY(memory.Write(arg, r));
  return uint64_t{0};
}

}  // namespace moat
