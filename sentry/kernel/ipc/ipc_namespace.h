// System V IPC of the sandbox: shared memory, semaphores, message queues (sysvipc(7)).
#pragma once

#include <memory>

namespace moat {

class SemaphoreSets;
class MessageQueues;
class SharedSegments;

class IpcNamespace {
 public:
  IpcNamespace();
  ~IpcNamespace();

  SharedSegments& shm() { return *shm_; }
  SemaphoreSets& sem() { return *sem_; }
  MessageQueues& msg() { return *msg_; }

 private:
  std::unique_ptr<SharedSegments> shm_;
  std::unique_ptr<SemaphoreSets> sem_;
  std::unique_ptr<MessageQueues> msg_;
};

}  // namespace moat
