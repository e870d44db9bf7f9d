// Linux's numbers of poll(2) and select(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint32_t kPOLLIN = 0x1;
inline constexpr uint32_t kPOLLPRI = 0x2;
inline constexpr uint32_t kPOLLOUT = 0x4;
inline constexpr uint32_t kPOLLERR = 0x8;
inline constexpr uint32_t kPOLLHUP = 0x10;
inline constexpr uint32_t kPOLLNVAL = 0x20;
inline constexpr uint32_t kPOLLRDNORM = 0x40;
inline constexpr uint32_t kPOLLRDBAND = 0x80;
inline constexpr uint32_t kPOLLWRNORM = 0x100;
inline constexpr uint32_t kPOLLWRBAND = 0x200;
inline constexpr uint32_t kPOLLMSG = 0x400;
inline constexpr uint32_t kPOLLREMOVE = 0x1000;
inline constexpr uint32_t kPOLLRDHUP = 0x2000;

struct Pollfd {
  int32_t fd;
  int16_t events;
  int16_t revents;
};
static_assert(sizeof(Pollfd) == 8);

// libc's fd_set; the kernel itself takes longer ones.
inline constexpr int kFD_SETSIZE = 1024;

// The sixth argument of pselect6(2) points to one.
struct Sigset6 {
  uint64_t ss;
  uint64_t ss_len;
};

}  // namespace moat::abi
