#include "sentry/net/unix/message.h"

#include "abi/poll.h"
#include "sentry/net/memory.h"

namespace moat {

void Outbox::Uncharge(size_t bytes) {
  charged_.fetch_sub(bytes, std::memory_order_acq_rel);
  if (writable()) queue_.Wake(abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND);
}

ErrorOr<std::unique_ptr<UnixMessage>> UnixMessage::Create(IoSource& src, size_t size, Ref<Outbox> sender) {
  if (SocketMemory::full()) return kENOBUFS;
  std::unique_ptr<UnixMessage> m(new UnixMessage);
  if (size) {
    m->data_.reset(new std::byte[size]);
    size_t n = TRY(src.Get({m->data_.get(), size}));
    if (n < size) {
      src.Unget(n);
      return kEFAULT;
    }
  }
  m->size_ = size;
  m->charge_ = size + kOverhead;
  m->sender_ = std::move(sender);
  m->sender_->Charge(m->charge_);
  SocketMemory::Take(m->charge_);
  return m;
}

UnixMessage::~UnixMessage() {
  if (!sender_) return;
  SocketMemory::Give(charge_);
  sender_->Uncharge(charge_);
}

}  // namespace moat
