// What the gofer holds open for one connection.
#pragma once

#include <cstdint>
#include <vector>

#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "base/util/unique_fd.h"
#include "gofer/protocol/messages.h"
#include "gofer/server/root.h"

namespace moat::gofer {

// A held directory, file or directory stream. Immutable apart from the stream's position; requests hold references, so a
// Close in another thread never closes a descriptor in use.
class Node final : public RefCounted {
 public:
  enum class Kind { kDirectory, kFile, kStream };
  Node(Kind kind, UniqueFd fd, const Root& root, const HideNode* hide, uint64_t dev)
      : kind_(kind), fd_(std::move(fd)), root_(root), hide_(hide), dev_(dev) {}

  Kind kind() const { return kind_; }
  int fd() const { return fd_.get(); }  // O_PATH; a stream's is O_RDONLY
  const Root& root() const { return root_; }
  const HideNode* hide() const { return hide_; }
  uint64_t dev() const { return dev_; }

  // Held while a stream is read: its descriptor has a position.
  Mutex stream_mu;

 private:
  const Kind kind_;
  const UniqueFd fd_;
  const Root& root_;
  const HideNode* const hide_;
  const uint64_t dev_;
};

// Handles carry a generation, so that one which was closed is not mistaken for its successor. Thread safe.
class HandleTable {
 public:
  explicit HandleTable(uint32_t limit) : limit_(limit) {}

  ErrorOr<Handle> Insert(Ref<Node> node);  // kENFILE when the connection holds its limit
  ErrorOr<Ref<Node>> Get(Handle handle) const;  // kEBADF
  void Close(Handle handle);  // unknown handles are ignored
  uint32_t limit() const { return limit_; }
  uint32_t size() const;

 private:
  static constexpr uint32_t kIndexBits = 20;
  struct Slot {
    Ref<Node> node;  // or null: free
    uint32_t generation = 1;
  };
  const uint32_t limit_;
  mutable Mutex mu_;
  std::vector<Slot> slots_ MOAT_GUARDED_BY(mu_);
  std::vector<uint32_t> free_ MOAT_GUARDED_BY(mu_);
};

}  // namespace moat::gofer
