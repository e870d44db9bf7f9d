// splice(2), tee(2), vmsplice(2), sendfile(2), copy_file_range(2).
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <climits>

#include "tests/util/fd.h"
#include "tests/util/matchers.h"
#include "tests/util/memory.h"
#include "tests/util/temp_path.h"

namespace moat::test {
namespace {

off_t Offset(const FileDescriptor& fd) { return lseek(fd.get(), 0, SEEK_CUR); }

TEST(Splice, FileToPipeAndBack) {
  TempFile in("0123456789"), out;
  FileDescriptor src = in.Open(), dst = out.Open();
  Pipe pipe;
  EXPECT_THAT(splice(src.get(), nullptr, pipe.writer.get(), nullptr, 6, 0), SyscallSucceedsWithValue(6));
  EXPECT_EQ(Offset(src), 6);
  EXPECT_THAT(splice(pipe.reader.get(), nullptr, dst.get(), nullptr, 100, 0), SyscallSucceedsWithValue(6));
  EXPECT_EQ(ReadFile(out.path()), "012345");
  EXPECT_EQ(Offset(dst), 6);
}

TEST(Splice, ExplicitOffsetsMoveInsteadOfTheFiles) {
  TempFile in("0123456789"), out("..........");
  FileDescriptor src = in.Open(), dst = out.Open();
  Pipe pipe;
  off_t from = 4, to = 2;
  EXPECT_THAT(splice(src.get(), &from, pipe.writer.get(), nullptr, 3, 0), SyscallSucceedsWithValue(3));
  EXPECT_EQ(from, 7);
  EXPECT_EQ(Offset(src), 0);
  EXPECT_THAT(splice(pipe.reader.get(), nullptr, dst.get(), &to, 3, 0), SyscallSucceedsWithValue(3));
  EXPECT_EQ(to, 5);
  EXPECT_EQ(Offset(dst), 0);
  EXPECT_EQ(ReadFile(out.path()), "..456.....");
}

TEST(Splice, PipeToPipeMovesTheBytes) {
  Pipe a, b;
  EXPECT_TRUE(WriteAll(a.writer.get(), "hello"));
  EXPECT_THAT(splice(a.reader.get(), nullptr, b.writer.get(), nullptr, 3, 0), SyscallSucceedsWithValue(3));
  EXPECT_EQ(ReadAll(b.reader.get(), 3), "hel");
  EXPECT_EQ(ReadAll(a.reader.get(), 2), "lo");
}

TEST(Splice, EndOfFileAndOfPipeGiveZero) {
  TempFile empty;
  FileDescriptor src = empty.Open();
  Pipe pipe;
  EXPECT_THAT(splice(src.get(), nullptr, pipe.writer.get(), nullptr, 5, 0), SyscallSucceedsWithValue(0));
  pipe.writer.Reset();
  EXPECT_THAT(splice(pipe.reader.get(), nullptr, src.get(), nullptr, 5, 0), SyscallSucceedsWithValue(0));
  EXPECT_THAT(splice(pipe.reader.get(), nullptr, src.get(), nullptr, 0, 0), SyscallSucceedsWithValue(0));
}

TEST(Splice, NonblockFlagDoesNotWait) {
  Pipe pipe;
  TempFile out;
  FileDescriptor dst = out.Open();
  EXPECT_THAT(splice(pipe.reader.get(), nullptr, dst.get(), nullptr, 5, SPLICE_F_NONBLOCK),
              SyscallFailsWithErrno(EAGAIN));
}

TEST(Splice, BadArguments) {
  TempFile in("data"), out;
  FileDescriptor src = in.Open(), dst = out.Open(), append = out.Open(O_WRONLY | O_APPEND);
  Pipe pipe;
  off_t off = 0;
  EXPECT_THAT(splice(src.get(), nullptr, dst.get(), nullptr, 5, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(splice(pipe.reader.get(), &off, dst.get(), nullptr, 5, 0), SyscallFailsWithErrno(ESPIPE));
  EXPECT_THAT(splice(pipe.reader.get(), nullptr, pipe.writer.get(), nullptr, 5, 0),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(splice(-1, nullptr, pipe.writer.get(), nullptr, 5, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(splice(pipe.writer.get(), nullptr, dst.get(), nullptr, 5, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(splice(src.get(), nullptr, pipe.writer.get(), nullptr, 5, 0x100),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_TRUE(WriteAll(pipe.writer.get(), "x"));
  EXPECT_THAT(splice(pipe.reader.get(), nullptr, append.get(), nullptr, 5, 0), SyscallFailsWithErrno(EINVAL));
}

TEST(Tee, CopiesWithoutConsuming) {
  Pipe a, b;
  EXPECT_TRUE(WriteAll(a.writer.get(), "hello"));
  EXPECT_THAT(tee(a.reader.get(), b.writer.get(), 4, 0), SyscallSucceedsWithValue(4));
  EXPECT_EQ(ReadAll(b.reader.get(), 4), "hell");
  EXPECT_EQ(ReadAll(a.reader.get(), 5), "hello");
}

TEST(Tee, NeedsTwoDifferentPipes) {
  Pipe pipe;
  TempFile file;
  FileDescriptor fd = file.Open();
  EXPECT_THAT(tee(pipe.reader.get(), pipe.writer.get(), 4, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(tee(fd.get(), pipe.writer.get(), 4, 0), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(tee(-1, pipe.writer.get(), 4, 0), SyscallFailsWithErrno(EBADF));
}

TEST(Tee, EmptyPipeWithoutWriterGivesZero) {
  Pipe a, b;
  EXPECT_THAT(tee(a.reader.get(), b.writer.get(), 4, SPLICE_F_NONBLOCK), SyscallFailsWithErrno(EAGAIN));
  a.writer.Reset();
  EXPECT_THAT(tee(a.reader.get(), b.writer.get(), 4, 0), SyscallSucceedsWithValue(0));
}

TEST(Vmsplice, MovesMemoryIntoAPipeAndOut) {
  Pipe pipe;
  char text[] = "memory";
  iovec iov = {text, 6};
  EXPECT_THAT(vmsplice(pipe.writer.get(), &iov, 1, 0), SyscallSucceedsWithValue(6));
  char back[6];
  iovec out = {back, 6};
  EXPECT_THAT(vmsplice(pipe.reader.get(), &out, 1, 0), SyscallSucceedsWithValue(6));
  EXPECT_EQ(std::string(back, 6), "memory");
  TempFile file;
  FileDescriptor fd = file.Open();
  EXPECT_THAT(vmsplice(fd.get(), &iov, 1, 0), SyscallFailsWithErrno(EBADF));
}

TEST(Sendfile, CopiesBetweenFiles) {
  TempFile in("0123456789"), out;
  FileDescriptor src = in.Open(O_RDONLY), dst = out.Open();
  EXPECT_THAT(sendfile(dst.get(), src.get(), nullptr, 4), SyscallSucceedsWithValue(4));
  EXPECT_THAT(sendfile(dst.get(), src.get(), nullptr, 100), SyscallSucceedsWithValue(6));
  EXPECT_THAT(sendfile(dst.get(), src.get(), nullptr, 100), SyscallSucceedsWithValue(0));
  EXPECT_EQ(ReadFile(out.path()), "0123456789");
}

TEST(Sendfile, OffsetArgumentLeavesTheFileOffset) {
  TempFile in("0123456789"), out;
  FileDescriptor src = in.Open(O_RDONLY), dst = out.Open();
  off_t off = 7;
  EXPECT_THAT(sendfile(dst.get(), src.get(), &off, 100), SyscallSucceedsWithValue(3));
  EXPECT_EQ(off, 10);
  EXPECT_EQ(Offset(src), 0);
  off = -1;
  EXPECT_THAT(sendfile(dst.get(), src.get(), &off, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sendfile(dst.get(), src.get(), BadPointer<off_t>(), 1), SyscallFailsWithErrno(EFAULT));
}

TEST(Sendfile, ToSocketsAndPipes) {
  TempFile in("0123456789");
  FileDescriptor src = in.Open(O_RDONLY);
  int fds[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), SyscallSucceeds());
  FileDescriptor a(fds[0]), b(fds[1]);
  EXPECT_THAT(sendfile(a.get(), src.get(), nullptr, 5), SyscallSucceedsWithValue(5));
  EXPECT_EQ(ReadAll(b.get(), 5), "01234");
  Pipe pipe;
  EXPECT_THAT(sendfile(pipe.writer.get(), src.get(), nullptr, 5), SyscallSucceedsWithValue(5));
  EXPECT_EQ(ReadAll(pipe.reader.get(), 5), "56789");
}

TEST(Sendfile, BadArguments) {
  TempFile in("data"), out;
  FileDescriptor src = in.Open(O_RDONLY), dst = out.Open(), append = out.Open(O_RDWR | O_APPEND);
  int fds[2];
  ASSERT_THAT(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), SyscallSucceeds());
  FileDescriptor a(fds[0]), b(fds[1]);
  EXPECT_THAT(sendfile(dst.get(), -1, nullptr, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(sendfile(-1, src.get(), nullptr, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(sendfile(src.get(), src.get(), nullptr, 1), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(sendfile(append.get(), src.get(), nullptr, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(sendfile(dst.get(), a.get(), nullptr, 1), SyscallFailsWithErrno(EINVAL));
}

TEST(CopyFileRange, CopiesWithOffsets) {
  TempFile in("0123456789"), out("..........");
  FileDescriptor src = in.Open(), dst = out.Open();
  off_t from = 2, to = 5;
  EXPECT_THAT(copy_file_range(src.get(), &from, dst.get(), &to, 3, 0), SyscallSucceedsWithValue(3));
  EXPECT_EQ(from, 5);
  EXPECT_EQ(to, 8);
  EXPECT_EQ(ReadFile(out.path()), ".....234..");
  EXPECT_THAT(copy_file_range(src.get(), nullptr, dst.get(), nullptr, 2, 0), SyscallSucceedsWithValue(2));
  EXPECT_EQ(Offset(src), 2);
  EXPECT_EQ(Offset(dst), 2);
}

TEST(CopyFileRange, StopsAtTheEndOfTheSource) {
  TempFile in("0123456789"), out;
  FileDescriptor src = in.Open(), dst = out.Open();
  EXPECT_THAT(copy_file_range(src.get(), nullptr, dst.get(), nullptr, 1000, 0), SyscallSucceedsWithValue(10));
  EXPECT_THAT(copy_file_range(src.get(), nullptr, dst.get(), nullptr, 1000, 0), SyscallSucceedsWithValue(0));
  EXPECT_EQ(ReadFile(out.path()), "0123456789");
}

TEST(CopyFileRange, OverlappingRangesOfOneFileAreInvalid) {
  TempFile file("0123456789");
  FileDescriptor fd = file.Open(), other = file.Open();
  off_t from = 0, to = 3;
  EXPECT_THAT(copy_file_range(fd.get(), &from, other.get(), &to, 5, 0), SyscallFailsWithErrno(EINVAL));
  to = 5;
  EXPECT_THAT(copy_file_range(fd.get(), &from, other.get(), &to, 5, 0), SyscallSucceedsWithValue(5));
  EXPECT_EQ(ReadFile(file.path()), "0123401234");
}

TEST(CopyFileRange, BadArguments) {
  TempFile in("data"), out;
  FileDescriptor src = in.Open(O_RDONLY), dst = out.Open(), append = out.Open(O_RDWR | O_APPEND);
  FileDescriptor dir = Open(in.dir().path(), O_RDONLY);
  Pipe pipe;
  EXPECT_THAT(copy_file_range(src.get(), nullptr, dst.get(), nullptr, 1, 1), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(copy_file_range(src.get(), nullptr, src.get(), nullptr, 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(copy_file_range(src.get(), nullptr, append.get(), nullptr, 1, 0), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(copy_file_range(dir.get(), nullptr, dst.get(), nullptr, 1, 0), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(copy_file_range(pipe.reader.get(), nullptr, dst.get(), nullptr, 1, 0),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(copy_file_range(-1, nullptr, dst.get(), nullptr, 1, 0), SyscallFailsWithErrno(EBADF));
}

}  // namespace
}  // namespace moat::test
