// Linux's native asynchronous I/O: io_submit(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint16_t kIOCB_CMD_PREAD = 0;
inline constexpr uint16_t kIOCB_CMD_PWRITE = 1;
inline constexpr uint16_t kIOCB_CMD_FSYNC = 2;
inline constexpr uint16_t kIOCB_CMD_FDSYNC = 3;
inline constexpr uint16_t kIOCB_CMD_POLL = 5;
inline constexpr uint16_t kIOCB_CMD_NOOP = 6;
inline constexpr uint16_t kIOCB_CMD_PREADV = 7;
inline constexpr uint16_t kIOCB_CMD_PWRITEV = 8;
inline constexpr uint32_t kIOCB_FLAG_RESFD = 1;
inline constexpr uint32_t kIOCB_FLAG_IOPRIO = 2;

struct Iocb {
  uint64_t aio_data;
  uint32_t aio_key;
  int32_t aio_rw_flags;
  uint16_t aio_lio_opcode;
  int16_t aio_reqprio;
  uint32_t aio_fildes;
  uint64_t aio_buf;
  uint64_t aio_nbytes;
  int64_t aio_offset;
  uint64_t aio_reserved2;
  uint32_t aio_flags;
  uint32_t aio_resfd;
};
static_assert(sizeof(Iocb) == 64);

struct IoEvent {
  uint64_t data;
  uint64_t obj;
  int64_t res;
  int64_t res2;
};
static_assert(sizeof(IoEvent) == 32);

// The head of the ring that io_setup(2) maps; its address is the context id.
inline constexpr uint32_t kAIO_RING_MAGIC = 0xa10a10a1;
struct AioRing {
  uint32_t id;
  uint32_t nr;
  uint32_t head;
  uint32_t tail;
  uint32_t magic;
  uint32_t compat_features;
  uint32_t incompat_features;
  uint32_t header_length;
};

}  // namespace moat::abi
