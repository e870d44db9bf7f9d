#include <gtest/gtest.h>
#include <string.h>

#include <set>
#include <string>

#include "abi/dirent.h"
#include "abi/errno.h"
#include "abi/signal.h"
#include "abi/stat.h"
#include "abi/syscall_nr.h"
#include "abi/wait.h"

namespace moat {
namespace {

TEST(Errno, EveryNumberHasItsName) {
  EXPECT_STREQ(ErrnoName(kEPERM), "EPERM");
  EXPECT_STREQ(ErrnoName(kEWOULDBLOCK), "EAGAIN");
  EXPECT_STREQ(ErrnoName(kENOTSUP), "EOPNOTSUPP");
  EXPECT_STREQ(ErrnoName(kEHWPOISON), "EHWPOISON");
  EXPECT_STREQ(ErrnoName(kERESTARTSYS), "ERESTARTSYS");
  std::set<std::string> names;
  for (uint16_t number = 1; number <= 133; ++number) {
    if (number == 41 || number == 58) continue;  // Linux skips these two.
    names.insert(ErrnoName(Errno{number}));
  }
  EXPECT_EQ(names.size(), 131u);
  EXPECT_EQ(names.count("EUNKNOWN"), 0u);
}

TEST(Errno, NumbersThatLinuxSkipsHaveNoName) {
  EXPECT_STREQ(ErrnoName(Errno{0}), "EUNKNOWN");
  EXPECT_STREQ(ErrnoName(Errno{41}), "EUNKNOWN");
  EXPECT_STREQ(ErrnoName(Errno{4095}), "EUNKNOWN");
}

TEST(Dev, EncodingInterleavesMajorAndMinor) {
  EXPECT_EQ(abi::MakeDev(1, 3), 0x103u);
  EXPECT_EQ(abi::MakeDev(136, 5), 0x8805u);
  EXPECT_EQ(abi::MakeDev(1, 0x12345), 0x12300145u);
}

TEST(Dev, MajorAndMinorComeBack) {
  for (uint32_t major : {0u, 1u, 0xfffu, 0x1000u, 0x12345u}) {
    for (uint32_t minor : {0u, 5u, 0xffu, 0x100u, 0xfffffu}) {
      const uint64_t dev = abi::MakeDev(major, minor);
      EXPECT_EQ(abi::DevMajor(dev), major);
      EXPECT_EQ(abi::DevMinor(dev), minor);
    }
  }
}

TEST(Signal, MaskHasOneBitASignal) {
  EXPECT_EQ(abi::SigMask(abi::kSIGHUP), 1u);
  EXPECT_EQ(abi::SigMask(abi::kSIGRTMAX), uint64_t{1} << 63);
  EXPECT_EQ(abi::kUNBLOCKABLE_SIGNALS, 0x40100u);
}

// gtest has included libc's <signal.h> and its macros by now: a member's plain name must reach the same
// bytes.
TEST(Signal, MembersThatLibcMakesMacrosKeepTheKernelsPlaces) {
  abi::SigInfo info{};
  info.si_pid = 42;
  info.si_status = 7;
  int32_t words[sizeof(info) / 4];
  memcpy(words, &info, sizeof(info));
  EXPECT_EQ(words[4], 42);
  EXPECT_EQ(words[6], 7);
  abi::Sigaction action{};
  action.sa_handler = 0x1234;
  uint64_t handler = 0;
  memcpy(&handler, &action, sizeof(handler));
  EXPECT_EQ(handler, 0x1234u);
}

TEST(Stat, TimesHaveBothNames) {
  abi::Stat stat{};
  stat.st_atim.tv_sec = 9;
  stat.st_atim.tv_nsec = 8;
  EXPECT_EQ(stat.st_atime, 9);
}

TEST(Wait, StatusesRoundTrip) {
  EXPECT_EQ(abi::WaitExitStatus(abi::WaitStatusExited(0x1ff)), 0xff);
  EXPECT_TRUE(abi::WaitIfExited(abi::WaitStatusExited(0)));
  EXPECT_TRUE(abi::WaitIfSignaled(abi::WaitStatusSignaled(abi::kSIGKILL, false)));
  EXPECT_FALSE(abi::WaitIfSignaled(abi::WaitStatusStopped(abi::kSIGSTOP)));
  EXPECT_TRUE(abi::WaitCoreDump(abi::WaitStatusSignaled(abi::kSIGSEGV, true)));
  EXPECT_EQ(abi::WaitStopSig(abi::WaitStatusStopped(abi::kSIGTRAP)), abi::kSIGTRAP);
  EXPECT_EQ(abi::WaitPtraceEvent(abi::WaitStatusStopped(abi::kSIGTRAP | (6 << 8))), 6);
}

TEST(Dirent, RecordsAreMultiplesOfEightWithRoomForTheNul) {
  EXPECT_EQ(abi::Dirent64RecordSize(1), 24u);
  EXPECT_EQ(abi::Dirent64RecordSize(4), 24u);
  EXPECT_EQ(abi::Dirent64RecordSize(5), 32u);
  EXPECT_EQ(abi::DirentRecordSize(4), 24u);
  EXPECT_EQ(abi::DirentRecordSize(5), 32u);
}

TEST(SyscallNr, TableIsInOrderWithoutRepeats) {
  const int numbers[] = {
#define MOAT_SYSCALL(nr, name) nr,
#include "abi/syscall_nr.inc"
#undef MOAT_SYSCALL
  };
  int previous = -1;
  for (int nr : numbers) {
    EXPECT_GT(nr, previous);
    previous = nr;
  }
  EXPECT_EQ(previous + 1, abi::kNrSyscalls);
  EXPECT_EQ(abi::kNr_mseal, 462);
}

}  // namespace
}  // namespace moat
