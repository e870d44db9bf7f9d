// Intrusive reference counting. A RefCounted starts with one reference, owned by whoever made it: MakeRef adopts it.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace moat {

class RefCounted {
 public:
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void AddRef() const { refs_.fetch_add(1, std::memory_order_relaxed); }
  void Release() const {
    if (refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) Dispose();
  }
  // Takes a reference unless the last one is already gone. For caches that hold objects weakly: the caller holds the
  // lock under which the destructor unlinks the object from the cache.
  bool TryAddRef() const {
    uint32_t n = refs_.load(std::memory_order_relaxed);
    while (n != 0) {
      if (refs_.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) return true;
    }
    return false;
  }
  // Drops a reference; true if it was the last: then the caller must delete the object. For owners that take long chains
  // apart in a loop instead of by recursion.
  bool DropRef() const { return refs_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  uint32_t ref_count() const { return refs_.load(std::memory_order_relaxed); }

 protected:
  RefCounted() = default;
  virtual ~RefCounted() = default;
  // The last reference is gone. Overridden where others must let go of an object that is still whole; ends in `delete this`.
  virtual void Dispose() const { delete this; }

 private:
  mutable std::atomic<uint32_t> refs_{1};
};

struct AdoptRef {};

// An owning reference. Null only where the declaration says "or null".
template <class T>
class Ref {
 public:
  Ref() = default;
  Ref(std::nullptr_t) {}                                // NOLINT
  Ref(T* p, AdoptRef) : p_(p) {}
  explicit Ref(T* p) : p_(p) { if (p_) p_->AddRef(); }  // a further reference to a borrowed object
  Ref(const Ref& o) : Ref(o.p_) {}
  Ref(Ref&& o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  template <class U>
    requires std::is_convertible_v<U*, T*>
  Ref(Ref<U> o) : p_(o.Leak()) {}  // NOLINT
  ~Ref() { if (p_) p_->Release(); }
  Ref& operator=(Ref o) noexcept { std::swap(p_, o.p_); return *this; }

  T* get() const { return p_; }
  T* operator->() const { return p_; }
  T& operator*() const { return *p_; }
  explicit operator bool() const { return p_ != nullptr; }
  // Gives the reference to the caller.
  [[nodiscard]] T* Leak() { return std::exchange(p_, nullptr); }

  template <class U> bool operator==(const Ref<U>& o) const { return p_ == o.get(); }
  bool operator==(const T* o) const { return p_ == o; }
  bool operator==(std::nullptr_t) const { return p_ == nullptr; }

 private:
  T* p_ = nullptr;
};

template <class T, class... Args>
Ref<T> MakeRef(Args&&... args) {
  return Ref<T>(new T(std::forward<Args>(args)...), AdoptRef{});
}

// Downcast of a reference; null if the object is of another type.
template <class T, class U>
Ref<T> RefCast(const Ref<U>& u) { return Ref<T>(dynamic_cast<T*>(u.get())); }

}  // namespace moat
