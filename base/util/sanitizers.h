// MOAT_ASAN and MOAT_TSAN: which sanitizer this build has. Clang and GCC tell it differently.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define MOAT_ASAN 1
#endif
#if defined(__SANITIZE_THREAD__)
#define MOAT_TSAN 1
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MOAT_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define MOAT_TSAN 1
#endif
#endif
