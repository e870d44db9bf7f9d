// ErrorOr<T>: a value or a Linux errno. TRY unwraps it or returns the error to the caller.
//
//   ErrorOr<size_t> Copy() {
//     Ref<File> file = TRY(fds.Get(fd));
//     if (n < 0) return kEINVAL;
//     return file->Read(n);
//   }
#pragma once

#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

#include "abi/errno.h"

namespace moat {

template <class T>
class [[nodiscard]] ErrorOr : public tl::expected<T, Errno> {
  using Base = tl::expected<T, Errno>;

 public:
  using Base::Base;
  ErrorOr(Errno error) : Base(tl::unexpect, error) {}  // NOLINT: implicit so that `return kEINVAL;` works
  ErrorOr(Base&& base) : Base(std::move(base)) {}      // NOLINT

  bool ok() const { return Base::has_value(); }
  // The errno; Errno{0} if there is a value.
  Errno error() const { return ok() ? Errno{0} : Base::error(); }
};

// What TRY hands out: the value moved, or nothing for ErrorOr<void>.
template <class T>
T TakeValue(ErrorOr<T>&& r) {
  if constexpr (!std::is_void_v<T>) return std::move(*r);
}

// The number a system call returns for `error`: -errno.
constexpr long ToSyscallReturn(Errno error) { return -static_cast<long>(error); }

}  // namespace moat

#define TRY(expr)                                              \
  ({                                                           \
    auto try_result_ = (expr);                                 \
    if (!try_result_.ok()) [[unlikely]]                        \
      return try_result_.error();                              \
    ::moat::TakeValue(std::move(try_result_));                 \
  })
