// sync(2), syncfs(2), fsync(2), fdatasync(2), sync_file_range(2), posix_fadvise(2), readahead(2).
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/util/fd.h"
#include "tests/util/matchers.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

TEST(Fsync, WorksOnFilesAndDirectoriesWhateverTheAccessMode) {
  TempFile file("data");
  for (int mode : {O_RDONLY, O_WRONLY, O_RDWR}) {
    FileDescriptor fd = file.Open(mode);
    EXPECT_THAT(fsync(fd.get()), SyscallSucceeds());
    EXPECT_THAT(fdatasync(fd.get()), SyscallSucceeds());
  }
  FileDescriptor dir = Open(file.dir().path(), O_RDONLY);
  EXPECT_THAT(fsync(dir.get()), SyscallSucceeds());
}

TEST(Fsync, NeedsAFileThatCanBeStored) {
  Pipe pipe;
  EXPECT_THAT(fsync(pipe.writer.get()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fdatasync(pipe.writer.get()), SyscallFailsWithErrno(EINVAL));
  FileDescriptor sock(socket(AF_UNIX, SOCK_STREAM, 0));
  EXPECT_THAT(fsync(sock.get()), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(fsync(-1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(fdatasync(-1), SyscallFailsWithErrno(EBADF));
}

TEST(Syncfs, TakesAnyDescriptorOfTheFileSystem) {
  TempFile file;
  FileDescriptor fd = file.Open(O_RDONLY), path = file.Open(O_PATH);
  EXPECT_THAT(syncfs(fd.get()), SyscallSucceeds());
  EXPECT_THAT(syncfs(path.get()), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(syncfs(-1), SyscallFailsWithErrno(EBADF));
}

TEST(SyncFileRange, ChecksItsArguments) {
  TempFile file("data");
  FileDescriptor fd = file.Open();
  constexpr unsigned kAll = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  EXPECT_THAT(sync_file_range(fd.get(), 0, 0, kAll), SyscallSucceeds());
  EXPECT_THAT(sync_file_range(fd.get(), 0, 4, 0), SyscallSucceeds());
  EXPECT_THAT(sync_file_range(fd.get(), -1, 4, kAll), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sync_file_range(fd.get(), 0, -1, kAll), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sync_file_range(fd.get(), 0, 4, 0x100), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sync_file_range(-1, 0, 4, kAll), SyscallFailsWithErrno(EBADF));
  Pipe pipe;
  EXPECT_THAT(sync_file_range(pipe.writer.get(), 0, 4, kAll), SyscallFailsWithErrno(ESPIPE));
}

TEST(Fadvise, AcceptsKnownAdviceOnFiles) {
  TempFile file("data");
  FileDescriptor fd = file.Open();
  for (int advice : {POSIX_FADV_NORMAL, POSIX_FADV_RANDOM, POSIX_FADV_SEQUENTIAL, POSIX_FADV_WILLNEED,
                     POSIX_FADV_DONTNEED, POSIX_FADV_NOREUSE}) {
    EXPECT_THAT(syscall(SYS_fadvise64, fd.get(), 0, 0, advice), SyscallSucceeds()) << advice;
  }
  EXPECT_THAT(syscall(SYS_fadvise64, fd.get(), 0, 0, 99), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_fadvise64, fd.get(), 0L, -1L, POSIX_FADV_NORMAL), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(syscall(SYS_fadvise64, -1, 0, 0, POSIX_FADV_NORMAL), SyscallFailsWithErrno(EBADF));
  Pipe pipe;
  EXPECT_THAT(syscall(SYS_fadvise64, pipe.reader.get(), 0, 0, POSIX_FADV_NORMAL),
              SyscallFailsWithErrno(ESPIPE));
}

TEST(Readahead, NeedsAReadableRegularFile) {
  TempFile file("data");
  FileDescriptor fd = file.Open(O_RDONLY), writer = file.Open(O_WRONLY);
  EXPECT_THAT(readahead(fd.get(), 0, 100), SyscallSucceeds());
  EXPECT_THAT(readahead(writer.get(), 0, 100), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(readahead(-1, 0, 100), SyscallFailsWithErrno(EBADF));
  Pipe pipe;
  EXPECT_THAT(readahead(pipe.reader.get(), 0, 100), SyscallFailsWithErrno(EINVAL));
}

TEST(Sync, WritesOfOneDescriptorAreSeenByAll) {
  TempFile file;
  FileDescriptor writer = file.Open(O_WRONLY | O_SYNC), reader = file.Open(O_RDONLY);
  EXPECT_TRUE(WriteAll(writer.get(), "synchronous"));
  EXPECT_EQ(ReadAll(reader.get()), "synchronous");
  EXPECT_EQ(fcntl(writer.get(), F_GETFL) & O_SYNC, O_SYNC);
}

}  // namespace
}  // namespace moat::test
