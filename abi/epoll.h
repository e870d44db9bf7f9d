// Linux's numbers of epoll(7) and eventfd(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint32_t kEPOLLIN = 0x1;
inline constexpr uint32_t kEPOLLPRI = 0x2;
inline constexpr uint32_t kEPOLLOUT = 0x4;
inline constexpr uint32_t kEPOLLERR = 0x8;
inline constexpr uint32_t kEPOLLHUP = 0x10;
inline constexpr uint32_t kEPOLLNVAL = 0x20;
inline constexpr uint32_t kEPOLLRDNORM = 0x40;
inline constexpr uint32_t kEPOLLRDBAND = 0x80;
inline constexpr uint32_t kEPOLLWRNORM = 0x100;
inline constexpr uint32_t kEPOLLWRBAND = 0x200;
inline constexpr uint32_t kEPOLLMSG = 0x400;
inline constexpr uint32_t kEPOLLRDHUP = 0x2000;
inline constexpr uint32_t kEPOLLEXCLUSIVE = 0x10000000;
inline constexpr uint32_t kEPOLLWAKEUP = 0x20000000;
inline constexpr uint32_t kEPOLLONESHOT = 0x40000000;
inline constexpr uint32_t kEPOLLET = 0x80000000;
inline constexpr int kEPOLL_CTL_ADD = 1;
inline constexpr int kEPOLL_CTL_DEL = 2;
inline constexpr int kEPOLL_CTL_MOD = 3;
inline constexpr uint32_t kEPOLL_CLOEXEC = 02000000;
// Depth of epolls watching epolls, and the watchers of one file, that the kernel allows.
inline constexpr int kEP_MAX_NESTS = 4;

struct __attribute__((packed)) EpollEvent {
  uint32_t events;
  uint64_t data;
};
static_assert(sizeof(EpollEvent) == 12);
inline constexpr int kEP_MAX_EVENTS = 0x7fffffff / static_cast<int>(sizeof(EpollEvent));

// eventfd(2).
inline constexpr uint32_t kEFD_SEMAPHORE = 01;
inline constexpr uint32_t kEFD_NONBLOCK = 04000;
inline constexpr uint32_t kEFD_CLOEXEC = 02000000;

}  // namespace moat::abi
