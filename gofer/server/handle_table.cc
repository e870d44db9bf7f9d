#include "gofer/server/handle_table.h"

namespace moat::gofer {

namespace {
constexpr uint32_t kGenerations = 1u << 12;
}

ErrorOr<Handle> HandleTable::Insert(Ref<Node> node) {
  MutexLock lock(mu_);
  uint32_t index;
  if (!free_.empty()) {
    index = free_.back();
    free_.pop_back();
  } else {
    if (slots_.size() >= limit_ || slots_.size() >= (1u << kIndexBits)) return kENFILE;
    index = static_cast<uint32_t>(slots_.size());
    slots_.emplace_back();
  }
  slots_[index].node = std::move(node);
  return (slots_[index].generation << kIndexBits) | index;
}

ErrorOr<Ref<Node>> HandleTable::Get(Handle handle) const {
  uint32_t index = handle & ((1u << kIndexBits) - 1);
  MutexLock lock(mu_);
  if (index >= slots_.size() || !slots_[index].node || slots_[index].generation != handle >> kIndexBits) return kEBADF;
  return slots_[index].node;
}

void HandleTable::Close(Handle handle) {
  uint32_t index = handle & ((1u << kIndexBits) - 1);
  Ref<Node> dropped;  // its descriptor is closed after the lock
  MutexLock lock(mu_);
  if (index >= slots_.size() || !slots_[index].node || slots_[index].generation != handle >> kIndexBits) return;
  Slot& slot = slots_[index];
  std::swap(dropped, slot.node);
  slot.generation = slot.generation + 1 == kGenerations ? 1 : slot.generation + 1;
  free_.push_back(index);
}

uint32_t HandleTable::size() const {
  MutexLock lock(mu_);
  return static_cast<uint32_t>(slots_.size() - free_.size());
}

}  // namespace moat::gofer
