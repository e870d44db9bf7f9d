#include "sentry/kernel/ipc/ipc_namespace.h"

#include "fs/mqueue/mqueue.h"
#include "sentry/kernel/ipc/message_queue.h"
#include "sentry/kernel/ipc/semaphore.h"
#include "sentry/kernel/ipc/shared_memory.h"

namespace moat {

IpcNamespace::IpcNamespace()
    : shm_(std::make_unique<SharedSegments>()),
      sem_(std::make_unique<SemaphoreSets>()),
      msg_(std::make_unique<MessageQueues>()),
      mq_(std::make_unique<MqueueFs>()) {}
IpcNamespace::~IpcNamespace() = default;

std::string IpcNamespace::FormatProc(std::string_view name) const {
  if (name == "shm") return shm_->Format();
  if (name == "sem") return sem_->Format();
  if (name == "msg") return msg_->Format();
  return {};
}

}  // namespace moat
