#include "fs/epoll/epoll.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "abi/fcntl.h"
#include "abi/poll.h"
#include "fs/vfs/anon.h"

namespace moat {

namespace {

// Bits of an item's mask that are no events.
constexpr uint32_t kPrivateBits = abi::kEPOLLWAKEUP | abi::kEPOLLONESHOT | abi::kEPOLLET | abi::kEPOLLEXCLUSIVE;
constexpr uint32_t kAlways = abi::kEPOLLERR | abi::kEPOLLHUP;
constexpr uint32_t kExclusiveBits = abi::kEPOLLIN | abi::kEPOLLOUT | kAlways | abi::kEPOLLWAKEUP | abi::kEPOLLET |
                                    abi::kEPOLLEXCLUSIVE;

std::atomic<int> g_watches{0};

bool TakeWatch() {
  if (g_watches.fetch_add(1, std::memory_order_relaxed) < Epoll::kMaxWatches) return true;
  g_watches.fetch_sub(1, std::memory_order_relaxed);
  return false;
}

}  // namespace

// What items need of their epoll; outlives it in them.
struct Epoll::Core final : RefCounted {
  explicit Core(Epoll* e);
  ~Core() override;
  void Ready(Item& item);  // puts it on the list and wakes; from Waiter::OnWake too
  void PutBack(Item& item, bool front);
  // The first of the ready list, taken off it; null if it is empty. `file`: null if it is gone.
  Ref<Item> TakeReady(Ref<FileDescription>* file, abi::EpollEvent* event);
  Ref<Item> Find(const Key& key);

  Epoll* owner;  // FileObserver::lock(); null once the epoll is closed
  WaitQueue sleepers;  // epoll_wait
  WaitQueue queue;     // poll, and epolls that watch this one
  Mutex mu;
  std::map<Key, Ref<Item>> items MOAT_GUARDED_BY(mu);
  // Through Item::ready_node; a linked item is in `items`.
  struct ReadyList;
  std::unique_ptr<ReadyList> ready MOAT_GUARDED_BY(mu);
  size_t ready_count MOAT_GUARDED_BY(mu) = 0;
};

struct Epoll::Item final : RefCounted, Waiter, FileObserver {
  Item(Ref<Core> c, FileDescription& f, int number, const abi::EpollEvent& e)
      : Waiter(~0u, (e.events & abi::kEPOLLEXCLUSIVE) != 0),
        core(std::move(c)),
        fd(number),
        nested(dynamic_cast<Epoll*>(&f)),
        queue(f.wait_queue()),
        file(&f),
        events(e.events | kAlways),
        data(e.data) {}
  ~Item() override { g_watches.fetch_sub(1, std::memory_order_relaxed); }

  bool OnWake(EventMask woken) override {
    if (!(events.load(std::memory_order_acquire) & ~kPrivateBits & woken)) return false;
    bool somebody = !core->sleepers.empty();
    core->Ready(*this);
    return somebody;
  }
  void FileGone() override MOAT_NO_THREAD_SAFETY_ANALYSIS {
    Ref<Item> self(this);
    Unhook();
  }
  // Undoes everything that Add did. Idempotent.
  void Unhook() MOAT_REQUIRES(FileObserver::lock());

  const Ref<Core> core;
  const int fd;
  Epoll* const nested;     // the file, if it is an epoll; used under FileObserver::lock() while hooked
  WaitQueue* const queue;  // the file's, or null
  bool hooked = false;     // on the file's list and queue; FileObserver::lock()
  // core->mu:
  FileDescription* file;  // null once it is gone or the item was removed
  std::atomic<uint32_t> events;  // written under core->mu
  uint64_t data;
  ListNode ready_node;
};

struct Epoll::Core::ReadyList : IntrusiveList<Item, &Item::ready_node> {};

Epoll::Core::Core(Epoll* e) : owner(e), ready(std::make_unique<ReadyList>()) {}
Epoll::Core::~Core() = default;

void Epoll::Item::Unhook() {
  if (hooked) {
    hooked = false;
    FileDescription::StopObserving(*this);
    if (queue) queue->Remove(*this);
  }
  Ref<Item> dropped;
  MutexLock lock(core->mu);
  if (!file) return;
  auto it = core->items.find(Key{file, fd});
  file = nullptr;
  if (it != core->items.end() && it->second == this) {
    dropped = std::move(it->second);
    core->items.erase(it);
  }
  if (ready_node.linked()) {
    ready_node.Unlink();
    --core->ready_count;
  }
}

void Epoll::Core::Ready(Item& item) {
  {
    MutexLock lock(mu);
    if (!item.file) return;
    if (!item.ready_node.linked()) {
      ready->PushBack(item);
      ++ready_count;
    }
  }
  sleepers.Wake(abi::kPOLLIN, 1);
  queue.Wake(abi::kPOLLIN | abi::kPOLLRDNORM);
}

void Epoll::Core::PutBack(Item& item, bool front) {
  MutexLock lock(mu);
  if (!item.file || item.ready_node.linked()) return;
  if (front) {
    ready->PushFront(item);
  } else {
    ready->PushBack(item);
  }
  ++ready_count;
}

Ref<Epoll::Item> Epoll::Core::TakeReady(Ref<FileDescription>* file, abi::EpollEvent* event) {
  MutexLock lock(mu);
  Item* item = ready->PopFront();
  if (!item) return nullptr;
  --ready_count;
  // A file on its way out waits in FileGone for the lock of the lists before it is taken apart.
  if (item->file && item->file->TryAddRef()) *file = Ref<FileDescription>(item->file, AdoptRef{});
  *event = {item->events.load(std::memory_order_relaxed), item->data};
  return Ref<Item>(item);
}

Ref<Epoll::Item> Epoll::Core::Find(const Key& key) {
  MutexLock lock(mu);
  auto it = items.find(key);
  return it == items.end() ? Ref<Item>() : it->second;
}

Ref<Epoll> Epoll::Create() {
  return Ref<Epoll>(new Epoll(MakeAnonPath("anon_inode:[eventpoll]", 0)), AdoptRef{});
}

Epoll::Epoll(const Path& path) : FileDescription(path, abi::kO_RDWR), core_(MakeRef<Core>(this)) {}

Epoll::~Epoll() {
  MutexLock lock(FileObserver::lock());
  core_->owner = nullptr;
  for (;;) {
    Ref<Item> item;
    {
      MutexLock core_lock(core_->mu);
      if (core_->items.empty()) return;
      item = core_->items.begin()->second;
    }
    item->Unhook();
  }
}

WaitQueue& Epoll::sleepers() { return core_->sleepers; }
WaitQueue* Epoll::wait_queue() { return &core_->queue; }

size_t Epoll::item_count() const {
  MutexLock lock(core_->mu);
  return core_->items.size();
}

bool Epoll::MaybeReady() const {
  MutexLock lock(core_->mu);
  return core_->ready_count > 0;
}

// --- Chains of epolls. ---

ErrorOr<int> Epoll::DepthBelow(const Epoll& target, int limit) {
  if (this == &target) return kELOOP;
  if (limit <= 0) return 0;
  std::vector<Epoll*> below;
  {
    MutexLock lock(core_->mu);
    for (auto& [key, item] : core_->items) {
      if (item->nested) below.push_back(item->nested);
    }
  }
  int depth = 0;
  for (Epoll* e : below) depth = std::max(depth, 1 + TRY(e->DepthBelow(target, limit - 1)));
  return depth;
}

int Epoll::DepthAbove(int limit) {
  if (limit <= 0) return 0;
  int depth = 0;
  for (FileObserver& o : observers()) {
    if (Epoll* above = static_cast<Item&>(o).core->owner) depth = std::max(depth, 1 + above->DepthAbove(limit - 1));
  }
  return depth;
}

// --- epoll_ctl. ---

void Epoll::CheckNow(FileDescription& file, Item& item) {
  if (file.Readiness() & item.events.load(std::memory_order_acquire) & ~kPrivateBits) item.core->Ready(item);
}

ErrorOr<void> Epoll::Add(FileDescription& file, int fd, const abi::EpollEvent& event) {
  if (!file.pollable()) return kEPERM;
  if (&file == this) return kEINVAL;
  Epoll* nested = dynamic_cast<Epoll*>(&file);
  if ((event.events & abi::kEPOLLEXCLUSIVE) && (nested || (event.events & ~kExclusiveBits))) return kEINVAL;
  if (!TakeWatch()) return kENOSPC;
  Ref<Item> item = MakeRef<Item>(core_, file, fd, event);
  {
    MutexLock lock(FileObserver::lock());
    if (nested) {
      constexpr int kEnough = abi::kEP_MAX_NESTS + 1;
      int depth = TRY(nested->DepthBelow(*this, kEnough)) + 1 + DepthAbove(kEnough);
      if (depth > abi::kEP_MAX_NESTS) return kELOOP;
    }
    {
      MutexLock core_lock(core_->mu);
      if (!core_->items.emplace(Key{&file, fd}, item).second) return kEEXIST;
    }
    file.Observe(*item);
    if (item->queue) item->queue->Add(*item);
    item->hooked = true;
  }
  CheckNow(file, *item);
  return {};
}

ErrorOr<void> Epoll::Modify(FileDescription& file, int fd, const abi::EpollEvent& event) {
  if (!file.pollable()) return kEPERM;
  if (&file == this || (event.events & abi::kEPOLLEXCLUSIVE)) return kEINVAL;
  Ref<Item> item = core_->Find({&file, fd});
  if (!item) return kENOENT;
  {
    MutexLock lock(core_->mu);
    if (item->events.load(std::memory_order_relaxed) & abi::kEPOLLEXCLUSIVE) return kEINVAL;
    item->events.store(event.events | kAlways, std::memory_order_release);
    item->data = event.data;
  }
  CheckNow(file, *item);
  return {};
}

ErrorOr<void> Epoll::Remove(FileDescription& file, int fd) {
  if (!file.pollable()) return kEPERM;
  if (&file == this) return kEINVAL;
  Ref<Item> item = core_->Find({&file, fd});
  if (!item) return kENOENT;
  MutexLock lock(FileObserver::lock());
  item->Unhook();
  return {};
}

// --- epoll_wait. ---

size_t Epoll::Collect(std::span<abi::EpollEvent> out) {
  size_t done = 0, looks;
  {
    MutexLock lock(core_->mu);
    looks = core_->ready_count;
  }
  bool put_back = false;
  // Each item once: those put back stand behind the ones that were ready at the start.
  for (; looks > 0 && done < out.size(); --looks) {
    Ref<FileDescription> file;
    abi::EpollEvent event;
    // Off the list before the look: what happens after the look puts it on again.
    Ref<Item> item = core_->TakeReady(&file, &event);
    if (!item) break;
    if (!file) continue;
    uint32_t ready = file->Readiness() & event.events & ~kPrivateBits;
    if (!ready) continue;
    out[done++] = {ready, event.data};
    if (event.events & abi::kEPOLLONESHOT) {
      MutexLock lock(core_->mu);
      uint32_t now = item->events.load(std::memory_order_relaxed);
      if (now == event.events) item->events.store(now & kPrivateBits, std::memory_order_release);
    } else if (!(event.events & abi::kEPOLLET)) {
      core_->PutBack(*item, false);
      put_back = true;
    }
  }
  // Another sleeper may take what is still ready, as it could not see it while it was off the list.
  if (put_back) core_->sleepers.Wake(abi::kPOLLIN, 1);
  return done;
}

EventMask Epoll::Readiness() {
  size_t looks;
  {
    MutexLock lock(core_->mu);
    looks = core_->ready_count;
  }
  for (; looks > 0; --looks) {
    Ref<FileDescription> file;
    abi::EpollEvent event;
    Ref<Item> item = core_->TakeReady(&file, &event);
    if (!item) break;
    if (!file || !(file->Readiness() & event.events & ~kPrivateBits)) continue;
    core_->PutBack(*item, true);
    return abi::kPOLLIN | abi::kPOLLRDNORM;
  }
  return 0;
}

std::string Epoll::FdInfo() {
  struct Line {
    Ref<FileDescription> file;
    int fd;
    uint32_t events;
    uint64_t data;
  };
  std::vector<Line> lines;
  {
    MutexLock lock(core_->mu);
    for (auto& [key, item] : core_->items) {
      if (!item->file || !item->file->TryAddRef()) continue;
      lines.push_back({Ref<FileDescription>(item->file, AdoptRef{}), item->fd, item->events.load(std::memory_order_relaxed),
                       item->data});
    }
  }
  std::string out;
  for (Line& l : lines) {
    Attr attr = l.file->inode().GetAttr().value_or(Attr{});
    char line[160];
    snprintf(line, sizeof line, "tfd: %8d events: %8x data: %16llx  pos:%lli ino:%llx sdev:%llx\n", l.fd, l.events,
             static_cast<unsigned long long>(l.data), static_cast<long long>(l.file->position()),
             static_cast<unsigned long long>(attr.ino), static_cast<unsigned long long>(attr.dev));
    out += line;
  }
  return out;
}

}  // namespace moat
