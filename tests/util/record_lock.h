// fcntl(2)'s record locks.
#pragma once

#include <fcntl.h>

namespace moat::test {

// `type` F_RDLCK, F_WRLCK or F_UNLCK; `length` 0: to the end of the file.
inline struct flock RecordLock(short type, off_t start, off_t length, short whence = SEEK_SET) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = whence;
  lock.l_start = start;
  lock.l_len = length;
  return lock;
}

}  // namespace moat::test
