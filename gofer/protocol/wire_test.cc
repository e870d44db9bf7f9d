#include "gofer/protocol/wire.h"

#include <gtest/gtest.h>

#include <string>

namespace moat::gofer {
namespace {

TEST(Wire, RequestSurvivesTheTrip) {
  Writer w;
  w.Put(WalkRequest{7, 2, kWalkHandles});
  w.PutString("usr");
  w.PutString("lib");
  auto bytes = w.FinishRequest(42, Op::kWalk);
  Reader r(bytes);
  auto header = ReadRequestHeader(r, bytes.size());
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(header->id, 42u);
  EXPECT_EQ(header->op, static_cast<uint16_t>(Op::kWalk));
  auto body = r.Get<WalkRequest>();
  ASSERT_TRUE(body.ok());
  EXPECT_EQ(body->dir, 7u);
  EXPECT_EQ(*r.GetString(kMaxName), "usr");
  EXPECT_EQ(*r.GetString(kMaxName), "lib");
  EXPECT_TRUE(r.End().ok());
  EXPECT_EQ(r.GetString(kMaxName).error(), kEPROTO);
}

TEST(Wire, ErrorReplyDropsItsBody) {
  Writer w;
  w.Put(NodeReply{});
  auto bytes = w.FinishReply(9, kENOENT, 0);
  EXPECT_EQ(bytes.size(), sizeof(ReplyHeader));
  Reader r(bytes);
  auto header = ReadReplyHeader(r, bytes.size());
  ASSERT_TRUE(header.ok());
  EXPECT_EQ(Errno{header->error}, kENOENT);
}

TEST(Wire, HeadersThatLieAreRefused) {
  Writer w;
  w.Put(uint64_t{1});
  auto bytes = w.FinishRequest(1, Op::kGetAttr);
  Reader shorter(bytes);
  EXPECT_EQ(ReadRequestHeader(shorter, bytes.size() - 1).error(), kEPROTO);
  Reader empty(bytes.first(3));
  EXPECT_EQ(ReadRequestHeader(empty, 3).error(), kEPROTO);
  auto no_id = w.FinishRequest(0, Op::kGetAttr);
  Reader r0(no_id);
  EXPECT_EQ(ReadRequestHeader(r0, no_id.size()).error(), kEPROTO);
  auto bad_op = w.FinishRequest(1, static_cast<Op>(kOpCount));
  Reader r1(bad_op);
  EXPECT_EQ(ReadRequestHeader(r1, bad_op.size()).error(), kEPROTO);
}

TEST(Wire, StringLongerThanItsMessageIsRefused) {
  Writer w;
  w.Put(uint16_t{500});
  w.PutBytes("abc", 3);
  auto bytes = w.FinishRequest(1, Op::kWalk);
  Reader r(bytes);
  ASSERT_TRUE(ReadRequestHeader(r, bytes.size()).ok());
  EXPECT_EQ(r.GetString(1000).error(), kEPROTO);
}

TEST(Wire, NamesAreSingleComponents) {
  for (std::string_view good : {"a", "...", ".x", "with space", "\xff"}) EXPECT_TRUE(CheckName(good).ok()) << good;
  EXPECT_TRUE(CheckName(std::string(255, 'x')).ok());
  EXPECT_EQ(CheckName(std::string(256, 'x')).error(), kENAMETOOLONG);
  using namespace std::string_view_literals;
  for (std::string_view bad : {""sv, "."sv, ".."sv, "/"sv, "a/b"sv, "../x"sv, "a\0b"sv, "a/"sv}) {
    EXPECT_EQ(CheckName(bad).error(), kEINVAL) << bad;
  }
}

}  // namespace
}  // namespace moat::gofer
