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

// For a function that may interrupt a sanitizer's runtime and so must not call it.
#if defined(MOAT_ASAN) || defined(MOAT_TSAN)
#define MOAT_UNINSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define MOAT_UNINSTRUMENTED
#endif
