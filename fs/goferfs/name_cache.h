// Answers that came before they were asked for: what a walk ahead or a listing said about names, and names that do not
// exist. Bounded, least recently put out first.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/sync/mutex.h"
#include "base/util/ref.h"
#include "gofer/protocol/messages.h"

namespace moat {

class GoferInode;

struct KnownName {
  Ref<GoferInode> inode;  // or null
  bool negative = false;  // it does not exist; otherwise, without inode, `attr` is what it is
  gofer::WireAttr attr{};
  int64_t time_ns = 0;    // CLOCK_MONOTONIC, when the gofer said so
};

class NameCache {
 public:
  explicit NameCache(size_t limit);
  ~NameCache();

  void Put(uint64_t dir, std::string_view name, KnownName known);
  std::optional<KnownName> Find(uint64_t dir, std::string_view name);
  void Erase(uint64_t dir, std::string_view name);
  void Clear();

 private:
  struct Entry {
    std::string key;
    KnownName known;
  };
  static std::string Key(uint64_t dir, std::string_view name);

  const size_t limit_;
  Mutex mu_;
  std::list<Entry> entries_ MOAT_GUARDED_BY(mu_);  // oldest first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> index_ MOAT_GUARDED_BY(mu_);  // keys are the entries'
};

}  // namespace moat
