// Linux's POSIX message queues: mq_overview(7).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr uint32_t kMQ_PRIO_MAX = 32768;
inline constexpr uint32_t kMQ_BYTES_MAX = 819200;
inline constexpr uint32_t kDFLT_QUEUESMAX = 256;
inline constexpr uint32_t kDFLT_MSG = 10;
inline constexpr uint32_t kDFLT_MSGMAX = 10;
inline constexpr uint32_t kHARD_MSGMAX = 65536;
inline constexpr uint32_t kDFLT_MSGSIZE = 8192;
inline constexpr uint32_t kDFLT_MSGSIZEMAX = 8192;
inline constexpr uint32_t kHARD_MSGSIZEMAX = 16 * 1024 * 1024;

struct MqAttr {
  int64_t mq_flags;
  int64_t mq_maxmsg;
  int64_t mq_msgsize;
  int64_t mq_curmsgs;
  int64_t reserved_[4];
};
static_assert(sizeof(MqAttr) == 64);

}  // namespace moat::abi
