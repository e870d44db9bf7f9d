// Clang's thread-safety attributes under our names (no-ops elsewhere). See the clang manual, "Thread Safety Analysis".
#pragma once

#if defined(__clang__)
#define MOAT_ATTRIBUTE(x) __attribute__((x))
#else
#define MOAT_ATTRIBUTE(x)
#endif

#define MOAT_CAPABILITY(x) MOAT_ATTRIBUTE(capability(x))
#define MOAT_SCOPED_CAPABILITY MOAT_ATTRIBUTE(scoped_lockable)
#define MOAT_GUARDED_BY(x) MOAT_ATTRIBUTE(guarded_by(x))
#define MOAT_PT_GUARDED_BY(x) MOAT_ATTRIBUTE(pt_guarded_by(x))
#define MOAT_REQUIRES(...) MOAT_ATTRIBUTE(requires_capability(__VA_ARGS__))
#define MOAT_REQUIRES_SHARED(...) MOAT_ATTRIBUTE(requires_shared_capability(__VA_ARGS__))
#define MOAT_EXCLUDES(...) MOAT_ATTRIBUTE(locks_excluded(__VA_ARGS__))
#define MOAT_ACQUIRE(...) MOAT_ATTRIBUTE(acquire_capability(__VA_ARGS__))
#define MOAT_RELEASE(...) MOAT_ATTRIBUTE(release_capability(__VA_ARGS__))
#define MOAT_TRY_ACQUIRE(...) MOAT_ATTRIBUTE(try_acquire_capability(__VA_ARGS__))
#define MOAT_ACQUIRED_BEFORE(...) MOAT_ATTRIBUTE(acquired_before(__VA_ARGS__))
#define MOAT_RETURN_CAPABILITY(x) MOAT_ATTRIBUTE(lock_returned(x))
#define MOAT_NO_THREAD_SAFETY_ANALYSIS MOAT_ATTRIBUTE(no_thread_safety_analysis)
