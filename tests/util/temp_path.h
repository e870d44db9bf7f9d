// Temporary directories and files below $TMPDIR (or /tmp).
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <string_view>

#include "tests/util/fd.h"
#include "tests/util/matchers.h"

namespace moat::test {

// $TMPDIR, or /tmp; no slash at the end.
inline std::string TempRoot() {
  const char* dir = getenv("TMPDIR");
  return dir && *dir ? dir : "/tmp";
}

// Removes `path` and everything below it; errors are ignored.
inline void RemoveTree(const std::string& path) {
  auto open_up = [](const char* entry, const struct stat*, int type, struct FTW*) {
    if (type == FTW_D || type == FTW_DNR) chmod(entry, 0700);
    return 0;
  };
  auto remove_one = [](const char* entry, const struct stat*, int, struct FTW*) {
    remove(entry);
    return 0;
  };
  nftw(path.c_str(), +open_up, 16, FTW_PHYS);
  nftw(path.c_str(), +remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// A fresh directory of the given mode (whatever the umask), removed with its contents at destruction. A
// forked child that leaves by _exit does not remove it.
class TempDir {
 public:
  explicit TempDir(mode_t mode = 0700) : path_(TempRoot() + "/moat.XXXXXX") {
    EXPECT_NE(mkdtemp(path_.data()), nullptr) << "mkdtemp " << path_ << ": " << ErrnoText(errno);
    EXPECT_THAT(chmod(path_.c_str(), mode), SyscallSucceeds());
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() { RemoveTree(path_); }

  // Absolute, without a slash at the end.
  const std::string& path() const { return path_; }
  // The absolute path of `name` in it.
  std::string Path(std::string_view name) const { return path_ + "/" + std::string(name); }
  // Creates `name` in it with `data` and returns its path.
  std::string CreateFile(std::string_view name, std::string_view data = "", mode_t mode = 0644) const {
    std::string file = Path(name);
    WriteFile(file, data, mode);
    EXPECT_THAT(chmod(file.c_str(), mode), SyscallSucceeds());
    return file;
  }
  // Makes the directory `name` in it and returns its path.
  std::string CreateDir(std::string_view name, mode_t mode = 0755) const {
    std::string dir = Path(name);
    EXPECT_THAT(mkdir(dir.c_str(), mode), SyscallSucceeds());
    EXPECT_THAT(chmod(dir.c_str(), mode), SyscallSucceeds());
    return dir;
  }
  // Makes the symbolic link `name` -> `target` and returns its path.
  std::string CreateSymlink(std::string_view name, const std::string& target) const {
    std::string link = Path(name);
    EXPECT_THAT(symlink(target.c_str(), link.c_str()), SyscallSucceeds());
    return link;
  }

 private:
  std::string path_;
};

// A regular file in a directory of its own, removed at destruction.
class TempFile {
 public:
  explicit TempFile(std::string_view data = "", mode_t mode = 0644)
      : path_(dir_.CreateFile("file", data, mode)) {}
  const std::string& path() const { return path_; }
  const TempDir& dir() const { return dir_; }
  // Opens it; records a test failure if that fails.
  FileDescriptor Open(int flags = O_RDWR) const { return test::Open(path_, flags | O_CLOEXEC); }

 private:
  TempDir dir_{0755};
  std::string path_;
};

}  // namespace moat::test
