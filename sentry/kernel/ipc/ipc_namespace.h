// Inter-process communication of the sandbox: System V shared memory, semaphores, message queues (sysvipc(7)) and POSIX
// message queues (mq_overview(7)).
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace moat {

class SemaphoreSets;
class MessageQueues;
class SharedSegments;
class MqueueFs;

class IpcNamespace {
 public:
  IpcNamespace();
  ~IpcNamespace();

  SharedSegments& shm() { return *shm_; }
  SemaphoreSets& sem() { return *sem_; }
  MessageQueues& msg() { return *msg_; }
  MqueueFs& mq() { return *mq_; }

  // The lines of /proc/sysvipc/NAME ("shm", "sem", "msg") below the header line; "" for other names.
  std::string FormatProc(std::string_view name) const;

 private:
  std::unique_ptr<SharedSegments> shm_;
  std::unique_ptr<SemaphoreSets> sem_;
  std::unique_ptr<MessageQueues> msg_;
  std::unique_ptr<MqueueFs> mq_;
};

}  // namespace moat
