// Mappings for the length of a scope, and addresses that fault.
#pragma once

#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string_view>
#include <utility>

#include "tests/util/matchers.h"

namespace moat::test {

inline size_t PageSize() { return static_cast<size_t>(sysconf(_SC_PAGESIZE)); }

// Owns an mmap(2) mapping. A failed mmap leaves it invalid, with errno as mmap left it.
class Mapping {
 public:
  Mapping() = default;
  Mapping(size_t size, int prot, int flags, int fd = -1, off_t offset = 0, void* hint = nullptr)
      : size_(size) {
    void* addr = mmap(hint, size, prot, flags, fd, offset);
    addr_ = addr == MAP_FAILED ? nullptr : static_cast<char*>(addr);
  }
  Mapping(Mapping&& other) noexcept
      : addr_(std::exchange(other.addr_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    if (this == &other) return *this;
    Reset();
    addr_ = std::exchange(other.addr_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~Mapping() { Reset(); }

  bool valid() const { return addr_ != nullptr; }
  char* data() const { return addr_; }
  size_t size() const { return size_; }
  char& operator[](size_t i) const { return addr_[i]; }
  void Reset() {
    if (addr_) munmap(addr_, size_);
    addr_ = nullptr;
  }

 private:
  char* addr_ = nullptr;
  size_t size_ = 0;
};

// Private anonymous memory, readable and writable.
inline Mapping AnonymousMapping(size_t size) {
  Mapping mapping(size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  EXPECT_TRUE(mapping.valid());
  return mapping;
}

// One usable page that an inaccessible page follows: a buffer that ends at its end faults one byte later.
class GuardedPage {
 public:
  GuardedPage() : mapping_(AnonymousMapping(2 * PageSize())) {
    EXPECT_THAT(mprotect(mapping_.data() + PageSize(), PageSize(), PROT_NONE), SyscallSucceeds());
  }
  char* start() const { return mapping_.data(); }
  // The first address that faults.
  char* end() const { return mapping_.data() + PageSize(); }
  // The address of the last `n` usable bytes.
  char* Last(size_t n) const { return end() - n; }
  // Puts `data` at the very end and returns where it starts.
  char* PutLast(std::string_view data) const {
    memcpy(Last(data.size()), data.data(), data.size());
    return Last(data.size());
  }

 private:
  Mapping mapping_;
};

// An address that always faults, as a pointer to T.
template <typename T = void>
T* BadPointer() {
  static void* const page = mmap(nullptr, PageSize(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return static_cast<T*>(page);
}

}  // namespace moat::test
