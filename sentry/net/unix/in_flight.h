// Open files on their way through AF_UNIX sockets (SCM_RIGHTS): who sent how many, and sockets that only keep each other.
//
// A socket that lies in the queue of a socket that lies in its own queue is held by nobody who could receive it. As in
// Linux such circles are looked for when a socket is closed: a socket whose every reference is in flight, and which no
// queue outside of such sockets leads to, is garbage; what its queue carries is dropped.
//
// Lock order: the in-flight lock > sockets' short locks.
#pragma once

#include <cstdint>
#include <vector>

#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"

namespace moat {

class FilesInFlight {
 public:
  FilesInFlight() = default;
  // Sends `files` in the name of user `uid`, who may have `limit` in flight (unless `privileged`). kETOOMANYREFS (also when the sandbox has
  // too many); then
  // `files` is unchanged.
  static ErrorOr<FilesInFlight> Send(std::vector<Ref<FileDescription>>& files, uint32_t uid, uint64_t limit,
                                     bool privileged);
  FilesInFlight(FilesInFlight&& o) noexcept { *this = std::move(o); }
  FilesInFlight& operator=(FilesInFlight&& o) noexcept;
  // Drops what was never received.
  ~FilesInFlight();

  bool empty() const { return files_.empty(); }
  // Out of flight, to the receiver.
  std::vector<Ref<FileDescription>> Land();
  // MSG_PEEK: further references.
  std::vector<Ref<FileDescription>> Copy() const;

 private:
  friend class InFlightCollector;
  std::vector<Ref<FileDescription>> files_;
  uint32_t uid_ = 0;
};

// Closes files; sockets one after the other instead of one inside the other, however long a chain of queues is.
void DropFiles(std::vector<Ref<FileDescription>> files);

// Looks for circles. Cheap if no socket is in flight.
void CollectInFlightGarbage();

}  // namespace moat
