// Linux's sysinfo(2) and syslog(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

// loads are fixed-point numbers with SI_LOAD_SHIFT bits of fraction.
inline constexpr int kSI_LOAD_SHIFT = 16;
struct Sysinfo {
  int64_t uptime;
  uint64_t loads[3];
  uint64_t totalram;
  uint64_t freeram;
  uint64_t sharedram;
  uint64_t bufferram;
  uint64_t totalswap;
  uint64_t freeswap;
  uint16_t procs;
  uint16_t pad_;
  uint32_t pad2_;
  uint64_t totalhigh;
  uint64_t freehigh;
  uint32_t mem_unit;
  uint32_t pad3_;
};
static_assert(sizeof(Sysinfo) == 112);

inline constexpr int kSYSLOG_ACTION_CLOSE = 0;
inline constexpr int kSYSLOG_ACTION_OPEN = 1;
inline constexpr int kSYSLOG_ACTION_READ = 2;
inline constexpr int kSYSLOG_ACTION_READ_ALL = 3;
inline constexpr int kSYSLOG_ACTION_READ_CLEAR = 4;
inline constexpr int kSYSLOG_ACTION_CLEAR = 5;
inline constexpr int kSYSLOG_ACTION_CONSOLE_OFF = 6;
inline constexpr int kSYSLOG_ACTION_CONSOLE_ON = 7;
inline constexpr int kSYSLOG_ACTION_CONSOLE_LEVEL = 8;
inline constexpr int kSYSLOG_ACTION_SIZE_UNREAD = 9;
inline constexpr int kSYSLOG_ACTION_SIZE_BUFFER = 10;

}  // namespace moat::abi
