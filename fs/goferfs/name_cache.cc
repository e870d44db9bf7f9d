#include "fs/goferfs/name_cache.h"

#include "fs/goferfs/gofer_inode.h"

namespace moat {

NameCache::NameCache(size_t limit) : limit_(limit) {}
NameCache::~NameCache() = default;

std::string NameCache::Key(uint64_t dir, std::string_view name) {
  std::string key(reinterpret_cast<const char*>(&dir), sizeof dir);
  key += name;
  return key;
}

// Entries are dropped after the lock: they may hold the last reference to an inode.
void NameCache::Put(uint64_t dir, std::string_view name, KnownName known) {
  std::list<Entry> dropped;
  std::list<Entry> made;
  made.push_back({Key(dir, name), std::move(known)});
  MutexLock lock(mu_);
  if (auto it = index_.find(made.front().key); it != index_.end()) {
    auto old = it->second;
    index_.erase(it);
    dropped.splice(dropped.end(), entries_, old);
  } else if (entries_.size() >= limit_) {
    index_.erase(entries_.front().key);
    dropped.splice(dropped.end(), entries_, entries_.begin());
  }
  entries_.splice(entries_.end(), made);
  auto last = std::prev(entries_.end());
  index_.emplace(last->key, last);
}

std::optional<KnownName> NameCache::Find(uint64_t dir, std::string_view name) {
  std::string key = Key(dir, name);
  MutexLock lock(mu_);
  auto it = index_.find(key);
  if (it == index_.end()) return std::nullopt;
  return it->second->known;
}

void NameCache::Erase(uint64_t dir, std::string_view name) {
  std::string key = Key(dir, name);
  std::list<Entry> dropped;
  MutexLock lock(mu_);
  auto it = index_.find(key);
  if (it == index_.end()) return;
  auto entry = it->second;
  index_.erase(it);
  dropped.splice(dropped.end(), entries_, entry);
}

void NameCache::Clear() {
  std::list<Entry> dropped;
  MutexLock lock(mu_);
  index_.clear();
  dropped.swap(entries_);
}

}  // namespace moat
