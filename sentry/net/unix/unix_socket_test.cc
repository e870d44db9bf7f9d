#include "sentry/net/unix/unix_socket.h"

#include <gtest/gtest.h>

#include "abi/poll.h"
#include "fs/pipe/pipe_file.h"
#include "sentry/net/memory.h"
#include "sentry/net/test_caller.h"
#include "sentry/net/unix/names.h"

namespace moat {
namespace {

constexpr EventMask kIn = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kOut = abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND;

class UnixSocketTest : public testing::Test {
 protected:
  Ref<UnixSocket> Make(int type) { return *UnixSocket::Create(caller_, type, 0, 0); }
  UnixSocket::Ends Pair(int type) { return *UnixSocket::CreatePair(caller_, type, 0, 0); }
  Ref<UnixSocket> Listener(const std::string& name, int backlog = 5) {
    Ref<UnixSocket> s = Make(abi::kSOCK_STREAM);
    EXPECT_TRUE(s->Bind(caller_, MakeUnixAddress(name)).ok());
    EXPECT_TRUE(s->Listen(caller_, backlog).ok());
    return s;
  }
  Errno Connect(Socket& s, const std::string& name) { return s.Connect(caller_, MakeUnixAddress(name), true).error(); }
  static SendInfo With(std::vector<Ref<FileDescription>> files) {
    SendInfo info;
    info.files = std::move(files);
    return info;
  }
  TestTree tree_;
  TestCaller caller_{tree_};
};

TEST_F(UnixSocketTest, StreamsJoinMessagesAndSplitThem) {
  auto [a, b] = Pair(abi::kSOCK_STREAM);
  EXPECT_EQ(ReceiveText(*b), "errno 11");
  ASSERT_TRUE(SendText(*a, caller_, "hello ").ok());
  ASSERT_TRUE(SendText(*a, caller_, "world").ok());
  EXPECT_EQ(ReceiveText(*b, 3), "hel");
  EXPECT_EQ(ReceiveText(*b), "lo world");
}

TEST_F(UnixSocketTest, SeqpacketKeepsMessagesApartAndSaysWhatWasCut) {
  auto [a, b] = Pair(abi::kSOCK_SEQPACKET);
  ASSERT_TRUE(SendText(*a, caller_, "one").ok());
  ASSERT_TRUE(SendText(*a, caller_, "three").ok());
  EXPECT_EQ(ReceiveText(*b), "one");
  ReceiveInfo info;
  EXPECT_EQ(ReceiveText(*b, 2, &info), "th");
  EXPECT_EQ(info.out_flags, abi::kMSG_TRUNC);
  EXPECT_EQ(ReceiveText(*b), "errno 11");
}

TEST_F(UnixSocketTest, AFullStreamTakesPartAndIsWritableAgainWhenThreeQuartersAreRead) {
  size_t before = SocketMemory::used();
  auto [a, b] = Pair(abi::kSOCK_STREAM);
  std::string big(1 << 20, 'x');
  ErrorOr<size_t> sent = SendText(*a, caller_, big);
  ASSERT_TRUE(sent.ok());
  EXPECT_LT(*sent, big.size());
  EXPECT_EQ(SendText(*a, caller_, "y").error(), kEAGAIN);
  EXPECT_EQ(a->Readiness() & kOut, 0u);
  EXPECT_GT(SocketMemory::used(), before + *sent);
  EXPECT_EQ(ReceiveText(*b, big.size()).size(), *sent);
  EXPECT_EQ(SocketMemory::used(), before);
  EXPECT_EQ(a->Readiness() & kOut, kOut);
}

TEST_F(UnixSocketTest, ClosingIsEofThenEpipeAndResetsIfDataWasLeft) {
  auto [a, b] = Pair(abi::kSOCK_STREAM);
  ASSERT_TRUE(SendText(*a, caller_, "last").ok());
  a = nullptr;
  EXPECT_EQ(b->Readiness(), kIn | kOut | abi::kPOLLHUP | abi::kPOLLRDHUP);
  EXPECT_EQ(ReceiveText(*b), "last");
  EXPECT_EQ(ReceiveText(*b), "");
  EXPECT_EQ(SendText(*b, caller_, "x").error(), kEPIPE);

  auto [c, d] = Pair(abi::kSOCK_STREAM);
  ASSERT_TRUE(SendText(*c, caller_, "unread").ok());
  d = nullptr;
  EXPECT_EQ(ReceiveText(*c), "errno 104");
  EXPECT_EQ(ReceiveText(*c), "");
}

TEST_F(UnixSocketTest, ConnectsByPathAndByAbstractName) {
  for (std::string name : {std::string("/sock"), std::string("\0abs", 4)}) {
    Ref<UnixSocket> listener = Listener(name);
    Ref<UnixSocket> client = Make(abi::kSOCK_STREAM);
    ASSERT_EQ(Connect(*client, name), Errno{0});
    ASSERT_TRUE(SendText(*client, caller_, "early").ok());
    Ref<Socket> server = *listener->TryAccept(caller_);
    EXPECT_EQ(ReceiveText(*server), "early");
    EXPECT_EQ(server->LocalName()->length, MakeUnixAddress(name).length);
    EXPECT_EQ(client->PeerName()->length, MakeUnixAddress(name).length);
    EXPECT_EQ(listener->TryAccept(caller_).error(), kEAGAIN);
    EXPECT_EQ(Connect(*client, name), kEISCONN);
    EXPECT_EQ(Make(abi::kSOCK_STREAM)->Bind(caller_, MakeUnixAddress(name)).error(), kEADDRINUSE);
    Ref<UnixSocket> dgram = Make(abi::kSOCK_DGRAM);
    EXPECT_EQ(Connect(*dgram, name), kEPROTOTYPE);
    listener = nullptr;
    EXPECT_EQ(Connect(*Make(abi::kSOCK_STREAM), name), kECONNREFUSED);
  }
  EXPECT_EQ(tree_.Stat("/sock").mode, 0140755u);
}

TEST_F(UnixSocketTest, AFullBacklogMakesClientsWaitAndWakesThem) {
  Ref<UnixSocket> listener = Listener("/s", 0);
  Ref<UnixSocket> first = Make(abi::kSOCK_STREAM), second = Make(abi::kSOCK_STREAM);
  ASSERT_EQ(Connect(*first, "/s"), Errno{0});
  struct Count final : Waiter {
    Count() : Waiter(abi::kPOLLOUT) {}
    bool OnWake(EventMask) override { return ++n; }
    int n = 0;
  } count;
  second->wait_queue()->Add(count);
  EXPECT_EQ(Connect(*second, "/s"), kEAGAIN);
  EXPECT_EQ(count.n, 0);
  ASSERT_TRUE(listener->TryAccept(caller_).ok());
  EXPECT_EQ(count.n, 1);
  second->wait_queue()->Remove(count);
  EXPECT_EQ(Connect(*second, "/s"), Errno{0});
  // Closing the listener resets who was not accepted.
  listener = nullptr;
  EXPECT_EQ(ReceiveText(*second), "errno 104");
}

TEST_F(UnixSocketTest, DatagramsFindTheirWayAndTheirSenderIsKnown) {
  Ref<UnixSocket> a = Make(abi::kSOCK_DGRAM), b = Make(abi::kSOCK_DGRAM);
  ASSERT_TRUE(a->Bind(caller_, MakeUnixAddress("/a")).ok());
  ASSERT_TRUE(b->Bind(caller_, MakeUnixAddress("/b")).ok());
  SocketAddress to = MakeUnixAddress("/b");
  SendInfo send;
  send.to = &to;
  ASSERT_TRUE(SendText(*a, caller_, "hi", send).ok());
  ReceiveInfo info;
  EXPECT_EQ(ReceiveText(*b, 100, &info), "hi");
  EXPECT_EQ(info.from.length, 2u + 3u);
  int sent = 0;
  while (SendText(*a, caller_, "x", send).ok()) ++sent;
  EXPECT_EQ(sent, 11) << "max_dgram_qlen and one";
  Ref<UnixSocket> c = Make(abi::kSOCK_DGRAM);
  ASSERT_EQ(Connect(*c, "/b"), Errno{0});
  EXPECT_EQ(c->Readiness() & kOut, 0u);
  EXPECT_EQ(ReceiveText(*b), "x");
  EXPECT_EQ(c->Readiness() & kOut, kOut);
  b = nullptr;
  EXPECT_EQ(SendText(*c, caller_, "x").error(), kECONNREFUSED);
  EXPECT_EQ(SendText(*c, caller_, "x").error(), kENOTCONN);
}

TEST_F(UnixSocketTest, DescriptorsTravelAndAreDroppedWithTheirMessage) {
  auto [a, b] = Pair(abi::kSOCK_STREAM);
  PipeEnds pipe = MakePipe(0, 0, 0);
  ASSERT_TRUE(SendText(*a, caller_, "x", With({pipe.write})).ok());
  ReceiveInfo info;
  EXPECT_EQ(ReceiveText(*b, 10, &info), "x");
  ASSERT_EQ(info.files.size(), 1u);
  EXPECT_EQ(info.files[0], pipe.write);
  ASSERT_TRUE(SendText(*a, caller_, "y", With(std::move(info.files))).ok());
  pipe.write = nullptr;
  EXPECT_EQ(pipe.read->Readiness() & abi::kPOLLHUP, 0u);
  a = b = nullptr;
  EXPECT_EQ(pipe.read->Readiness() & abi::kPOLLHUP, abi::kPOLLHUP);
}

TEST_F(UnixSocketTest, FilesInFlightAreLimited) {
  auto [a, b] = Pair(abi::kSOCK_DGRAM);
  PipeEnds pipe = MakePipe(0, 0, 0);
  tree_.who = &tree_.user;
  caller_.limit = 2;
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(SendText(*a, caller_, "x", With({pipe.write})).ok());
  EXPECT_EQ(SendText(*a, caller_, "x", With({pipe.write})).error(), kETOOMANYREFS);
  EXPECT_EQ(ReceiveText(*b), "x");
  EXPECT_TRUE(SendText(*a, caller_, "x", With({pipe.write})).ok());
}

TEST_F(UnixSocketTest, ACircleOfSocketsInFlightIsCollected) {
  PipeEnds pipe = MakePipe(0, 0, 0);
  {
    auto [a, b] = Pair(abi::kSOCK_STREAM);
    auto [c, d] = Pair(abi::kSOCK_STREAM);
    // b lies in d's queue and d in b's; the pipe too. Nobody else has them.
    ASSERT_TRUE(SendText(*a, caller_, "x", With({d, pipe.write})).ok());
    ASSERT_TRUE(SendText(*c, caller_, "x", With({b})).ok());
    pipe.write = nullptr;
    b = d = nullptr;
    EXPECT_EQ(pipe.read->Readiness() & abi::kPOLLHUP, 0u);
  }
  EXPECT_EQ(pipe.read->Readiness() & abi::kPOLLHUP, abi::kPOLLHUP);
}

TEST_F(UnixSocketTest, WhatAReceiverCanStillGetIsNotCollected) {
  auto [a, b] = Pair(abi::kSOCK_STREAM);
  auto [c, d] = Pair(abi::kSOCK_STREAM);
  // d carries itself, but lies in b's queue too, which is open.
  ASSERT_TRUE(SendText(*c, caller_, "x", With({d})).ok());
  ASSERT_TRUE(SendText(*a, caller_, "x", With({d})).ok());
  d = nullptr;
  Pair(abi::kSOCK_STREAM);  // closing these looks for circles
  ReceiveInfo info;
  EXPECT_EQ(ReceiveText(*b, 10, &info), "x");
  ASSERT_EQ(info.files.size(), 1u);
  Ref<Socket> again = RefCast<Socket>(info.files[0]);
  EXPECT_EQ(ReceiveText(*again), "x");
}

TEST_F(UnixSocketTest, ALongChainOfQueuesClosesWithoutRecursion) {
  tree_.creds.effective = kAllCapabilities;
  Ref<UnixSocket> last = Pair(abi::kSOCK_DGRAM).a;
  for (int i = 0; i < 20000; ++i) {
    auto [a, b] = Pair(abi::kSOCK_DGRAM);
    ASSERT_TRUE(SendText(*a, caller_, "", With({last})).ok());
    last = b;
  }
}

TEST_F(UnixSocketTest, CredentialsComeOnRequest) {
  auto [a, b] = Pair(abi::kSOCK_STREAM);
  int on = 1;
  ASSERT_TRUE(b->SetOption(caller_, abi::kSOL_SOCKET, abi::kSO_PASSCRED, std::as_bytes(std::span(&on, 1))).ok());
  ASSERT_TRUE(SendText(*a, caller_, "x").ok());
  SendInfo named;
  named.has_credentials = true;
  named.credentials = {7, 8, 9};
  ASSERT_TRUE(SendText(*a, caller_, "y", named).ok());
  ReceiveInfo info;
  EXPECT_EQ(ReceiveText(*b, 10, &info), "x") << "bytes of two senders do not come together";
  EXPECT_EQ(info.credentials.pid, 42);
  EXPECT_EQ(ReceiveText(*b, 10, &info), "y");
  EXPECT_EQ(info.credentials.gid, 9u);
}

TEST_F(UnixSocketTest, ShutdownOfOneDirection) {
  auto [a, b] = Pair(abi::kSOCK_STREAM);
  ASSERT_TRUE(a->Shutdown(abi::kSHUT_WR).ok());
  EXPECT_EQ(ReceiveText(*b), "");
  EXPECT_EQ(b->Readiness(), kIn | kOut | abi::kPOLLRDHUP);
  EXPECT_EQ(SendText(*a, caller_, "x").error(), kEPIPE);
  ASSERT_TRUE(SendText(*b, caller_, "back").ok());
  EXPECT_EQ(ReceiveText(*a), "back");
  EXPECT_EQ(a->Shutdown(3).error(), kEINVAL);
}

}  // namespace
}  // namespace moat
