// Files: descriptors, paths, directories.
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/micro/harness.h"

namespace moat::bench {
namespace {

constexpr size_t kBlock = 4096;
alignas(kBlock) char buffer[64 * 1024];

// A fresh file or directory name below --dir.
std::string Scratch(const char* what) { return settings().dir + "/moat-bench-" + what + "-" + std::to_string(getpid()); }

int OpenOrFail(const std::string& path, int flags) {
  int fd = open(path.c_str(), flags, 0600);
  Check(fd >= 0, path.c_str());
  return fd;
}

// A file of 1 MiB without a name.
int ScratchFile() {
  std::string path = Scratch("file");
  int fd = OpenOrFail(path, O_RDWR | O_CREAT | O_TRUNC);
  unlink(path.c_str());
  for (int i = 0; i < 16; ++i) Check(write(fd, buffer, sizeof buffer) == sizeof buffer, "write");
  return fd;
}

void ReadZero(Round& r) {
  int fd = OpenOrFail("/dev/zero", O_RDONLY);
  while (r.Next()) Check(read(fd, buffer, 1) == 1, "read");
  close(fd);
}
void WriteNull(Round& r) {
  int fd = OpenOrFail("/dev/null", O_WRONLY);
  while (r.Next()) Check(write(fd, buffer, 1) == 1, "write");
  close(fd);
}
void Pread(Round& r, int fd, size_t size) {
  ssize_t n = static_cast<ssize_t>(size);
  while (r.Next()) Check(pread(fd, buffer, size, 0) == n, "pread");
  close(fd);
}
void Pread4k(Round& r) { Pread(r, ScratchFile(), kBlock); }
void Pread64k(Round& r) { Pread(r, ScratchFile(), sizeof buffer); }
void PreadProgram4k(Round& r) { Pread(r, OpenOrFail(settings().program, O_RDONLY), kBlock); }
void Pwrite4k(Round& r) {
  int fd = ScratchFile();
  while (r.Next()) Check(pwrite(fd, buffer, kBlock, 0) == static_cast<ssize_t>(kBlock), "pwrite");
  close(fd);
}
void DupClose(Round& r) {
  while (r.Next()) close(dup(0));
}

void OpenClose(Round& r) {
  const char* path = settings().program.c_str();
  while (r.Next()) {
    int fd = open(path, O_RDONLY);
    Check(fd >= 0, "open");
    close(fd);
  }
}
void Stat(Round& r) {
  struct stat st;
  while (r.Next()) Check(stat(settings().program.c_str(), &st) == 0, "stat");
}
void StatEnoent(Round& r) {
  struct stat st;
  while (r.Next()) Check(stat("/usr/lib/no/such-file", &st) != 0, "stat");
}
void CreatUnlink(Round& r) {
  std::string path = Scratch("creat");
  while (r.Next()) {
    int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600);
    Check(fd >= 0, "creat");
    close(fd);
    Check(unlink(path.c_str()) == 0, "unlink");
  }
}

// One pass over a directory of 1000 files.
void Getdents1000(Round& r) {
  constexpr int kFiles = 1000;
  std::string dir = Scratch("dir");
  Check(mkdir(dir.c_str(), 0700) == 0, "mkdir");
  int fd = OpenOrFail(dir, O_RDONLY | O_DIRECTORY);
  for (int i = 0; i < kFiles; ++i) {
    int file = openat(fd, ("file" + std::to_string(i)).c_str(), O_CREAT | O_WRONLY, 0600);
    Check(file >= 0, "openat");
    close(file);
  }
  while (r.Next()) {
    Check(lseek(fd, 0, SEEK_SET) == 0, "lseek");
    while (syscall(SYS_getdents64, fd, buffer, 32 * 1024) > 0) {
    }
  }
  for (int i = 0; i < kFiles; ++i) unlinkat(fd, ("file" + std::to_string(i)).c_str(), 0);
  close(fd);
  rmdir(dir.c_str());
}

void Poll1(Round& r) {
  int fd = eventfd(1, 0);
  Check(fd >= 0, "eventfd");
  pollfd p = {fd, POLLIN, 0};
  while (r.Next()) Check(poll(&p, 1, -1) == 1, "poll");
  close(fd);
}
void Epoll1(Round& r) {
  int fd = eventfd(1, 0), ep = epoll_create1(0);
  epoll_event e = {};
  e.events = EPOLLIN;
  Check(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) == 0, "epoll_ctl");
  while (r.Next()) Check(epoll_wait(ep, &e, 1, -1) == 1, "epoll_wait");
  close(ep);
  close(fd);
}

const Registration kRegistered{
    {"read_zero_1", ReadZero},         {"write_null_1", WriteNull},   {"pread_4k", Pread4k},
    {"pread_64k", Pread64k},           {"pwrite_4k", Pwrite4k},       {"pread_4k_host_file", PreadProgram4k},
    {"dup_close", DupClose},           {"open_close", OpenClose},     {"stat", Stat},
    {"stat_enoent", StatEnoent},       {"creat_unlink", CreatUnlink}, {"getdents_1000", Getdents1000},
    {"poll_1", Poll1},                 {"epoll_1", Epoll1},
};

}  // namespace
}  // namespace moat::bench
