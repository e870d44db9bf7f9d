// Linux's restartable sequences: rseq(2).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kRSEQ_CPU_ID_UNINITIALIZED = -1;
inline constexpr int kRSEQ_CPU_ID_REGISTRATION_FAILED = -2;
inline constexpr uint32_t kRSEQ_FLAG_UNREGISTER = 1;
inline constexpr uint32_t kRSEQ_CS_FLAG_NO_RESTART_ON_PREEMPT = 0x1;
inline constexpr uint32_t kRSEQ_CS_FLAG_NO_RESTART_ON_SIGNAL = 0x2;
inline constexpr uint32_t kRSEQ_CS_FLAG_NO_RESTART_ON_MIGRATE = 0x4;
// The signature that glibc registers and puts before abort handlers.
inline constexpr uint32_t kRSEQ_SIG = 0x53053053;

struct alignas(32) RseqCs {
  uint32_t version;
  uint32_t flags;
  uint64_t start_ip;
  uint64_t post_commit_offset;
  uint64_t abort_ip;
};
static_assert(sizeof(RseqCs) == 32);

struct alignas(32) Rseq {
  uint32_t cpu_id_start;
  uint32_t cpu_id;
  uint64_t rseq_cs;
  uint32_t flags;
  uint32_t node_id;
  uint32_t mm_cid;
};
static_assert(sizeof(Rseq) == 32);

// Bytes of Rseq before the fields that Linux 6.3 added; rseq(2) takes this or more.
inline constexpr uint32_t kORIG_RSEQ_SIZE = 32;
// AT_RSEQ_FEATURE_SIZE of a kernel with node_id and mm_cid.
inline constexpr uint32_t kRSEQ_FEATURE_SIZE = 28;

}  // namespace moat::abi
