// The system call table: one row a call, in families; dispatch, strace and docs/SYSCALLS.md come from it.
//
// A handler is a function of the task and typed arguments:
//   ErrorOr<uint64_t> SysRead(Task& t, int fd, UserAddr buf, uint64_t count);
// listed in its family's file:
//   constexpr SyscallRow kRows[] = { CALL(read, SysRead, "fd out:2 u64") };
//   const SyscallFamily kFileIo = {"read and write", kRows};
#pragma once

#include <cstdint>
#include <span>
#include <type_traits>

#include "abi/syscall_nr.h"
#include "base/kern/user_memory.h"
#include "base/util/error.h"

namespace moat {

class Task;

enum class Support : uint8_t {
  kFull,     // everything that Linux documents
  kPartial,  // `note` says what is missing
  kRefused,  // always an error, as a Linux without the feature or the privilege gives; `note` says which and why
};

struct SyscallRow {
  int nr;
  const char* name;
  ErrorOr<uint64_t> (*call)(Task&, const uint64_t* args);
  int arity;
  // How strace shows the arguments: one word each.
  //   fd dirfd path str int uint u64 hex oct ptr sig pid sigset timespec buf:N out:N (length in argument N, out after the
  //   call) iov:N fdset flags:SET (named set of strace_flags.cc)
  const char* format;
  Support support;
  const char* note;
  Errno error{0};  // of a refused call
};

struct SyscallFamily {
  const char* title;
  std::span<const SyscallRow> rows;
};

// Turns registers into a handler's typed arguments.
template <auto F>
struct SyscallAdapter;
template <class R, class... A, ErrorOr<R> (*F)(Task&, A...)>
struct SyscallAdapter<F> {
  static constexpr int kArity = sizeof...(A);
  static_assert(kArity <= 6);
  static ErrorOr<uint64_t> Call(Task& t, const uint64_t* args) { return Do(t, args, std::index_sequence_for<A...>{}); }

 private:
  template <size_t... I>
  static ErrorOr<uint64_t> Do(Task& t, const uint64_t* args, std::index_sequence<I...>) {
    if constexpr (std::is_void_v<R>) {
      ErrorOr<void> r = F(t, static_cast<A>(args[I])...);
      if (!r.ok()) return r.error();
      return uint64_t{0};
    } else {
      ErrorOr<R> r = F(t, static_cast<A>(args[I])...);
      if (!r.ok()) return r.error();
      return static_cast<uint64_t>(*r);
    }
  }
};

#define CALL(name, handler, format)                                                                              \
  ::moat::SyscallRow {                                                                                           \
    ::moat::abi::kNr_##name, #name, &::moat::SyscallAdapter<&handler>::Call, ::moat::SyscallAdapter<&handler>::kArity, \
        format, ::moat::Support::kFull, ""                                                                       \
  }
#define CALL_PARTIAL(name, handler, format, note)                                                                \
  ::moat::SyscallRow {                                                                                           \
    ::moat::abi::kNr_##name, #name, &::moat::SyscallAdapter<&handler>::Call, ::moat::SyscallAdapter<&handler>::kArity, \
        format, ::moat::Support::kPartial, note                                                                  \
  }

// A call that always fails with `error`.
template <uint16_t E>
ErrorOr<uint64_t> RefusedCall(Task&, const uint64_t*) { return Errno{E}; }
#define CALL_REFUSED(name, error, note)                                                                   \
  ::moat::SyscallRow {                                                                                    \
    ::moat::abi::kNr_##name, #name, &::moat::RefusedCall<static_cast<uint16_t>(error)>, 6,                \
        "hex hex hex hex hex hex", ::moat::Support::kRefused, note,                                       \
        ::moat::Errno{static_cast<uint16_t>(error)}                                                      \
  }

// Every family, in the order of docs/SYSCALLS.md.
std::span<const SyscallFamily* const> AllFamilies();
// The row of number `nr`, or null: ENOSYS.
const SyscallRow* FindSyscall(int64_t nr);

// Runs one call: the cross-cutting work (strace, unknown numbers) is here. `nr` and `args` as trapped.
ErrorOr<uint64_t> DispatchSyscall(Task& t, int64_t nr, const uint64_t* args);

}  // namespace moat
