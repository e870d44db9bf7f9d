// Matchers for the result of a system call made through libc: a negative result means failure with `errno`,
// which the matcher reads before anything else can change it.
//
//   EXPECT_THAT(close(fd), SyscallSucceeds());
//   EXPECT_THAT(read(fd, buf, 4), SyscallSucceedsWithValue(4));
//   EXPECT_THAT(open("", O_RDONLY), SyscallFailsWithErrno(ENOENT));
#pragma once

#include <errno.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <string.h>

#include <ostream>
#include <string>

namespace moat::test {

// "ENOENT (No such file or directory)".
inline std::string ErrnoText(int error) {
  const char* name = strerrorname_np(error);
  return std::string(name ? name : "errno " + std::to_string(error)) + " (" + strerror(error) + ")";
}

namespace internal {

// True for -1 and for MAP_FAILED.
template <typename T>
bool IsFailure(const T& result) {
  return static_cast<long>(result) == -1;
}
template <typename T>
bool IsFailure(T* const& result) {
  return reinterpret_cast<long>(result) == -1;
}

class SucceedsMatcher {
 public:
  template <typename T>
  bool MatchAndExplain(const T& result, testing::MatchResultListener* listener) const {
    const int error = errno;
    if (!IsFailure(result)) return true;
    *listener << "which failed with " << ErrnoText(error);
    return false;
  }
  void DescribeTo(std::ostream* os) const { *os << "succeeds"; }
  void DescribeNegationTo(std::ostream* os) const { *os << "fails"; }
};

template <typename Inner>
class SucceedsWithValueMatcher {
 public:
  explicit SucceedsWithValueMatcher(Inner inner) : inner_(std::move(inner)) {}
  template <typename T>
  bool MatchAndExplain(const T& result, testing::MatchResultListener* listener) const {
    const int error = errno;
    if (IsFailure(result)) {
      *listener << "which failed with " << ErrnoText(error);
      return false;
    }
    return testing::MatcherCast<long>(inner_).MatchAndExplain(static_cast<long>(result), listener);
  }
  void DescribeTo(std::ostream* os) const {
    *os << "succeeds with a value that ";
    testing::MatcherCast<long>(inner_).DescribeTo(os);
  }
  void DescribeNegationTo(std::ostream* os) const {
    *os << "fails, or returns a value that ";
    testing::MatcherCast<long>(inner_).DescribeNegationTo(os);
  }

 private:
  Inner inner_;
};

template <typename Inner>
class FailsMatcher {
 public:
  explicit FailsMatcher(Inner inner) : inner_(std::move(inner)) {}
  template <typename T>
  bool MatchAndExplain(const T& result, testing::MatchResultListener* listener) const {
    const int error = errno;
    if (!IsFailure(result)) {
      *listener << "which succeeded";
      return false;
    }
    *listener << "which failed with " << ErrnoText(error);
    return testing::MatcherCast<int>(inner_).Matches(error);
  }
  void DescribeTo(std::ostream* os) const {
    *os << "fails with an errno that ";
    testing::MatcherCast<int>(inner_).DescribeTo(os);
  }
  void DescribeNegationTo(std::ostream* os) const {
    *os << "succeeds, or fails with an errno that ";
    testing::MatcherCast<int>(inner_).DescribeNegationTo(os);
  }

 private:
  Inner inner_;
};

}  // namespace internal

// The call did not return -1 (or MAP_FAILED).
inline auto SyscallSucceeds() { return testing::MakePolymorphicMatcher(internal::SucceedsMatcher()); }

// The call succeeded and its result matches `inner`: a value or a matcher of long.
template <typename Inner>
auto SyscallSucceedsWithValue(Inner inner) {
  return testing::MakePolymorphicMatcher(internal::SucceedsWithValueMatcher<Inner>(std::move(inner)));
}

// The call returned -1 (or MAP_FAILED) and errno matches `error`: a number or a matcher such as AnyOf(EPERM,
// EACCES).
template <typename Inner>
auto SyscallFailsWithErrno(Inner error) {
  return testing::MakePolymorphicMatcher(internal::FailsMatcher<Inner>(std::move(error)));
}

}  // namespace moat::test
