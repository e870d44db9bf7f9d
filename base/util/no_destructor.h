// A function-local static whose destructor never runs (exit is by exit_group, threads may still use it).
#pragma once

#include <new>
#include <utility>

namespace moat {

template <class T>
class NoDestructor {
 public:
  template <class... Args>
  explicit NoDestructor(Args&&... args) { new (storage_) T(std::forward<Args>(args)...); }
  T& operator*() { return *std::launder(reinterpret_cast<T*>(storage_)); }
  T* operator->() { return &**this; }

 private:
  alignas(T) unsigned char storage_[sizeof(T)];
};

}  // namespace moat
