// Linux's reboot(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint32_t kLINUX_REBOOT_MAGIC1 = 0xfee1dead;
inline constexpr uint32_t kLINUX_REBOOT_MAGIC2 = 0x28121969;
inline constexpr uint32_t kLINUX_REBOOT_MAGIC2A = 0x5121996;
inline constexpr uint32_t kLINUX_REBOOT_MAGIC2B = 0x16041998;
inline constexpr uint32_t kLINUX_REBOOT_MAGIC2C = 0x20112000;
inline constexpr uint32_t kLINUX_REBOOT_CMD_RESTART = 0x1234567;
inline constexpr uint32_t kLINUX_REBOOT_CMD_HALT = 0xcdef0123;
inline constexpr uint32_t kLINUX_REBOOT_CMD_CAD_ON = 0x89abcdef;
inline constexpr uint32_t kLINUX_REBOOT_CMD_CAD_OFF = 0x0;
inline constexpr uint32_t kLINUX_REBOOT_CMD_POWER_OFF = 0x4321fedc;
inline constexpr uint32_t kLINUX_REBOOT_CMD_RESTART2 = 0xa1b2c3d4;
inline constexpr uint32_t kLINUX_REBOOT_CMD_SW_SUSPEND = 0xd000fce2;
inline constexpr uint32_t kLINUX_REBOOT_CMD_KEXEC = 0x45584543;

}  // namespace moat::abi
