// Ownership of file descriptors, and reads and writes of whole buffers.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>
#include <utility>

#include "tests/util/matchers.h"

namespace moat::test {

// Owns one descriptor (or none: -1) and closes it at destruction.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    if (this != &other) Reset(std::exchange(other.fd_, -1));
    return *this;
  }
  ~FileDescriptor() { Reset(); }

  // The number, or -1. The object keeps owning it.
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  // Gives the descriptor up to the caller.
  int Release() { return std::exchange(fd_, -1); }
  // Closes what is held and takes `fd`. errno is kept.
  void Reset(int fd = -1) {
    const int saved = errno;
    if (fd_ >= 0) close(fd_);
    errno = saved;
    fd_ = fd;
  }

 private:
  int fd_ = -1;
};

// open(2) that records a test failure when it fails; the result is then invalid.
inline FileDescriptor Open(const std::string& path, int flags, mode_t mode = 0644) {
  const int fd = open(path.c_str(), flags, mode);
  EXPECT_THAT(fd, SyscallSucceeds()) << "open " << path;
  return FileDescriptor(fd);
}

// The two ends of a pipe.
struct Pipe {
  explicit Pipe(int flags = 0) {
    int fds[2] = {-1, -1};
    EXPECT_THAT(pipe2(fds, flags), SyscallSucceeds());
    reader.Reset(fds[0]);
    writer.Reset(fds[1]);
  }
  FileDescriptor reader;
  FileDescriptor writer;
};

// Writes all of `data`; records a test failure and returns false if it cannot.
inline bool WriteAll(int fd, std::string_view data) {
  while (!data.empty()) {
    const ssize_t n = write(fd, data.data(), data.size());
    if (n < 0 && errno == EINTR) continue;
    EXPECT_THAT(n, SyscallSucceeds());
    if (n < 0) return false;
    data.remove_prefix(static_cast<size_t>(n));
  }
  return true;
}

// Reads until end of file (or `limit` bytes); records a test failure on an error and returns what came
// before.
inline std::string ReadAll(int fd, size_t limit = ~size_t{0}) {
  std::string out;
  char buf[4096];
  while (out.size() < limit) {
    const size_t want = std::min(sizeof(buf), limit - out.size());
    const ssize_t n = read(fd, buf, want);
    if (n < 0 && errno == EINTR) continue;
    EXPECT_THAT(n, SyscallSucceeds());
    if (n <= 0) break;
    out.append(buf, static_cast<size_t>(n));
  }
  return out;
}

// The contents of the file at `path`; records a test failure if it cannot be read.
inline std::string ReadFile(const std::string& path) {
  FileDescriptor fd = Open(path, O_RDONLY | O_CLOEXEC);
  return fd.valid() ? ReadAll(fd.get()) : std::string();
}

// Creates or replaces the file at `path`.
inline bool WriteFile(const std::string& path, std::string_view data, mode_t mode = 0644) {
  FileDescriptor fd = Open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  return fd.valid() && WriteAll(fd.get(), data);
}

// True if a descriptor with this number is open in this process.
inline bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

}  // namespace moat::test
