// Inside of base/fiber: armed timers by deadline, a binary heap that knows where each timer sits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

namespace moat {

// T has `int64_t deadline_ns` and `size_t heap_index`, which is kNotInHeap outside of the heap. Not thread safe.
template <class T>
class TimerHeap {
 public:
  static constexpr size_t kNotInHeap = ~size_t{0};

  bool empty() const { return heap_.empty(); }
  T& top() const { return *heap_[0]; }

  void Add(std::shared_ptr<T> timer) {
    timer->heap_index = heap_.size();
    heap_.push_back(std::move(timer));
    Up(heap_.size() - 1);
  }
  // Takes `timer` out; it must be inside.
  std::shared_ptr<T> Remove(T& timer) {
    size_t i = timer.heap_index;
    std::shared_ptr<T> removed = std::move(heap_[i]);
    removed->heap_index = kNotInHeap;
    std::shared_ptr<T> last = std::move(heap_.back());
    heap_.pop_back();
    if (i < heap_.size()) {
      Put(i, std::move(last));
      Down(i);
      Up(i);
    }
    return removed;
  }

 private:
  bool Before(size_t a, size_t b) const { return heap_[a]->deadline_ns < heap_[b]->deadline_ns; }
  void Put(size_t i, std::shared_ptr<T> timer) {
    timer->heap_index = i;
    heap_[i] = std::move(timer);
  }
  void Swap(size_t a, size_t b) {
    std::swap(heap_[a], heap_[b]);
    heap_[a]->heap_index = a;
    heap_[b]->heap_index = b;
  }
  void Up(size_t i) {
    for (; i > 0 && Before(i, (i - 1) / 2); i = (i - 1) / 2) Swap(i, (i - 1) / 2);
  }
  void Down(size_t i) {
    for (;;) {
      size_t least = i;
      for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < heap_.size(); ++child) {
        if (Before(child, least)) least = child;
      }
      if (least == i) return;
      Swap(i, least);
      i = least;
    }
  }
  std::vector<std::shared_ptr<T>> heap_;
};

}  // namespace moat
