#include <gtest/gtest.h>

#include "abi/ioctl.h"
#include "abi/poll.h"
#include "sentry/net/inet/tcp_socket.h"
#include "sentry/net/inet/udp_socket.h"
#include "sentry/net/memory.h"
#include "sentry/net/test_caller.h"

namespace moat {
namespace {

constexpr EventMask kIn = abi::kPOLLIN | abi::kPOLLRDNORM;
constexpr EventMask kOut = abi::kPOLLOUT | abi::kPOLLWRNORM;

class InetSocketTest : public testing::Test {
 protected:
  static SocketAddress V4(const char* dotted, uint16_t port) {
    unsigned a, b, c, d;
    sscanf(dotted, "%u.%u.%u.%u", &a, &b, &c, &d);
    return MakeInetAddress(abi::kAF_INET, {IpAddress::V4(__builtin_bswap32(a << 24 | b << 16 | c << 8 | d)), port});
  }
  static SocketAddress V6Loopback(uint16_t port) { return MakeInetAddress(abi::kAF_INET6, {IpAddress::Loopback(false), port}); }
  static SocketAddress V6Any(uint16_t port) { return MakeInetAddress(abi::kAF_INET6, {IpAddress(), port}); }
  static uint16_t Port(Socket& s) { return ParseInetAddress(s.family(), *s.LocalName())->port; }
  Ref<TcpSocket> Tcp(int family = abi::kAF_INET) { return TcpSocket::Create(caller_, family, 0); }
  Ref<UdpSocket> Udp(int family = abi::kAF_INET) { return UdpSocket::Create(caller_, family, 0); }
  Ref<TcpSocket> Listener(const SocketAddress& at, int backlog = 5) {
    Ref<TcpSocket> s = Tcp(at.family());
    EXPECT_TRUE(s->Bind(caller_, at).ok());
    EXPECT_TRUE(s->Listen(caller_, backlog).ok());
    return s;
  }
  Errno Connect(Socket& s, const SocketAddress& to) { return s.Connect(caller_, to, false).error(); }
  Errno Set(Socket& s, int level, int name, int value) {
    return s.SetOption(caller_, level, name, std::as_bytes(std::span(&value, 1))).error();
  }
  struct Connection {
    Ref<Socket> client, server;
  };
  Connection Connected() {
    Ref<TcpSocket> listener = Listener(V4("127.0.0.1", 0));
    Ref<TcpSocket> client = Tcp();
    EXPECT_EQ(Connect(*client, V4("127.0.0.1", Port(*listener))), Errno{0});
    return {client, *listener->TryAccept(caller_)};
  }
  TestTree tree_;
  TestCaller caller_{tree_};
};

TEST_F(InetSocketTest, TcpCarriesBytesAndNamesAgree) {
  Ref<TcpSocket> listener = Listener(V4("0.0.0.0", 0));
  uint16_t port = Port(*listener);
  EXPECT_GE(port, 32768);
  EXPECT_LE(port, 60999);
  Ref<TcpSocket> client = Tcp();
  ASSERT_EQ(Connect(*client, V4("127.0.0.5", port)), Errno{0});
  Ref<Socket> server = *listener->TryAccept(caller_);
  ASSERT_TRUE(SendText(*client, caller_, "ping").ok());
  EXPECT_EQ(ReceiveText(*server), "ping");
  EXPECT_EQ(ReceiveText(*server), "errno 11");
  auto same = [](const SocketAddress& a, const SocketAddress& b) { return a.length == b.length && a.bytes == b.bytes; };
  EXPECT_TRUE(same(*server->PeerName(), *client->LocalName()));
  EXPECT_TRUE(same(*server->LocalName(), *client->PeerName()));
  EXPECT_TRUE(same(*server->LocalName(), V4("127.0.0.5", port)));
  EXPECT_EQ(Connect(*client, V4("127.0.0.1", port)), kEISCONN);
}

TEST_F(InetSocketTest, NobodyThereRefusesAndOtherMachinesAreOutOfReach) {
  Ref<TcpSocket> client = Tcp();
  EXPECT_EQ(Connect(*client, V4("127.0.0.1", 1)), kECONNREFUSED);
  EXPECT_EQ(Connect(*client, V4("10.0.0.1", 80)), kENETUNREACH);
  EXPECT_EQ(client->Bind(caller_, V4("10.0.0.1", 0)).error(), kEADDRNOTAVAIL);
  EXPECT_EQ(Connect(*client, V6Loopback(1)), kEAFNOSUPPORT);
  EXPECT_EQ(SendText(*client, caller_, "x").error(), kEPIPE);
  EXPECT_EQ(ReceiveText(*client), "errno 107");
}

TEST_F(InetSocketTest, NonblockingConnectTellsLater) {
  Ref<TcpSocket> listener = Listener(V4("127.0.0.1", 0));
  SocketAddress to = V4("127.0.0.1", Port(*listener));
  Ref<TcpSocket> client = Tcp();
  EXPECT_EQ(client->Connect(caller_, to, true).error(), kEINPROGRESS);
  EXPECT_EQ(client->Readiness(), kOut);
  EXPECT_TRUE(client->Connect(caller_, to, true).ok()) << "once";
  EXPECT_EQ(client->Connect(caller_, to, true).error(), kEISCONN);
  listener = nullptr;
  Ref<TcpSocket> refused = Tcp();
  EXPECT_EQ(refused->Connect(caller_, to, true).error(), kEINPROGRESS);
  EXPECT_EQ(refused->Readiness(), kIn | kOut | abi::kPOLLERR | abi::kPOLLHUP | abi::kPOLLRDHUP);
  EXPECT_EQ(*refused->GetOption(caller_, abi::kSOL_SOCKET, abi::kSO_ERROR, 4), OptionInt(111));
  EXPECT_EQ(*refused->GetOption(caller_, abi::kSOL_SOCKET, abi::kSO_ERROR, 4), OptionInt(0));
}

TEST_F(InetSocketTest, AFullBacklogLetsConnectsWait) {
  Ref<TcpSocket> listener = Listener(V4("127.0.0.1", 0), 0);
  SocketAddress to = V4("127.0.0.1", Port(*listener));
  Ref<TcpSocket> first = Tcp(), second = Tcp(), third = Tcp();
  EXPECT_EQ(Connect(*first, to), Errno{0});
  EXPECT_EQ(Connect(*second, to), kEINPROGRESS);
  EXPECT_EQ(second->FinishConnect().error(), kEAGAIN);
  EXPECT_EQ(second->Connect(caller_, to, true).error(), kEALREADY);
  EXPECT_EQ(second->Readiness(), 0u);
  EXPECT_EQ(Connect(*third, to), kEINPROGRESS);
  ASSERT_TRUE(listener->TryAccept(caller_).ok());
  EXPECT_TRUE(second->FinishConnect().ok());
  listener = nullptr;
  EXPECT_EQ(third->FinishConnect().error(), kECONNREFUSED);
  EXPECT_EQ(ReceiveText(*second), "errno 104");
}

TEST_F(InetSocketTest, HalfCloseEndsOneDirection) {
  auto [client, server] = Connected();
  ASSERT_TRUE(SendText(*client, caller_, "bye").ok());
  ASSERT_TRUE(client->Shutdown(abi::kSHUT_WR).ok());
  EXPECT_EQ(ReceiveText(*server), "bye");
  EXPECT_EQ(ReceiveText(*server), "");
  EXPECT_EQ(server->Readiness(), kIn | kOut | abi::kPOLLRDHUP);
  ASSERT_TRUE(SendText(*server, caller_, "still").ok());
  EXPECT_EQ(ReceiveText(*client), "still");
  EXPECT_EQ(SendText(*client, caller_, "x").error(), kEPIPE);
}

TEST_F(InetSocketTest, ClosingWithUnreadDataOrLingerZeroResets) {
  auto [client, server] = Connected();
  ASSERT_TRUE(SendText(*client, caller_, "unread").ok());
  server = nullptr;
  EXPECT_EQ(ReceiveText(*client), "errno 104");
  EXPECT_EQ(ReceiveText(*client), "");
  EXPECT_EQ(SendText(*client, caller_, "x").error(), kEPIPE);

  auto [c, s] = Connected();
  abi::Linger linger{1, 0};
  ASSERT_TRUE(c->SetOption(caller_, abi::kSOL_SOCKET, abi::kSO_LINGER, std::as_bytes(std::span(&linger, 1))).ok());
  c = nullptr;
  EXPECT_EQ(ReceiveText(*s), "errno 104");
}

TEST_F(InetSocketTest, TheFirstSendToAClosedEndIsTakenTheNextIsEpipe) {
  auto [client, server] = Connected();
  server = nullptr;
  EXPECT_EQ(ReceiveText(*client), "");
  EXPECT_TRUE(SendText(*client, caller_, "x").ok());
  EXPECT_EQ(SendText(*client, caller_, "x").error(), kEPIPE);
  EXPECT_EQ(ReceiveText(*client), "");
}

TEST_F(InetSocketTest, AFullConnectionPushesBack) {
  size_t before = SocketMemory::used();
  auto [client, server] = Connected();
  std::string big(4 << 20, 'x');
  ErrorOr<size_t> sent = SendText(*client, caller_, big);
  ASSERT_TRUE(sent.ok());
  EXPECT_LT(*sent, big.size());
  EXPECT_EQ(SendText(*client, caller_, "y").error(), kEAGAIN);
  EXPECT_EQ(client->Readiness() & kOut, 0u);
  EXPECT_EQ(SocketMemory::used(), before + *sent);
  EXPECT_EQ(ReceiveText(*server, big.size()).size(), *sent);
  EXPECT_EQ(client->Readiness() & kOut, kOut);
  ASSERT_TRUE(SendText(*client, caller_, "unread").ok());
  server = nullptr;
  EXPECT_EQ(SocketMemory::used(), before);
}

TEST_F(InetSocketTest, UrgentDataComesBesideTheStream) {
  auto [client, server] = Connected();
  ASSERT_TRUE(SendText(*client, caller_, "ab").ok());
  SendInfo urgent;
  urgent.flags = abi::kMSG_OOB;
  EXPECT_EQ(*SendText(*client, caller_, "c!", urgent), 2u);
  ASSERT_TRUE(SendText(*client, caller_, "de").ok());
  EXPECT_EQ(server->Readiness() & abi::kPOLLPRI, abi::kPOLLPRI);
  EXPECT_EQ(ReceiveText(*server), "abc") << "a read stops at the mark";
  ReceiveInfo info;
  info.flags = abi::kMSG_OOB;
  EXPECT_EQ(ReceiveText(*server, 1, &info), "!");
  EXPECT_EQ(ReceiveText(*server, 1, &info), "errno 22");
  EXPECT_EQ(ReceiveText(*server), "de");
}

TEST_F(InetSocketTest, PortsAreSharedOnlyByConsent) {
  Ref<TcpSocket> listener = Listener(V4("127.0.0.1", 0));
  uint16_t port = Port(*listener);
  EXPECT_EQ(Tcp()->Bind(caller_, V4("127.0.0.1", port)).error(), kEADDRINUSE);
  EXPECT_EQ(Tcp()->Bind(caller_, V4("0.0.0.0", port)).error(), kEADDRINUSE);
  EXPECT_EQ(Tcp(abi::kAF_INET6)->Bind(caller_, V6Any(port)).error(), kEADDRINUSE);
  EXPECT_TRUE(Tcp()->Bind(caller_, V4("127.0.0.2", port)).ok());
  EXPECT_TRUE(Tcp(abi::kAF_INET6)->Bind(caller_, V6Loopback(port)).ok());
  Ref<TcpSocket> a = Tcp(), b = Tcp();
  for (auto& s : {a, b}) {
    EXPECT_EQ(Set(*s, abi::kSOL_SOCKET, abi::kSO_REUSEADDR, 1), Errno{0});
    EXPECT_EQ(s->Bind(caller_, V4("127.0.0.1", port)).error(), kEADDRINUSE) << "a listener is not shared";
    EXPECT_TRUE(s->Bind(caller_, V4("127.0.0.3", port)).ok());
  }
  EXPECT_TRUE(a->Listen(caller_, 1).ok());
  EXPECT_EQ(b->Listen(caller_, 1).error(), kEADDRINUSE);
}

TEST_F(InetSocketTest, WhoClosesFirstKeepsThePortForAWhile) {
  for (int reuse : {0, 1}) {
    Ref<TcpSocket> listener = Listener(V4("127.0.0.1", 0));
    Set(*listener, abi::kSOL_SOCKET, abi::kSO_REUSEADDR, reuse);  // after the bind
    uint16_t port = Port(*listener);
    Ref<TcpSocket> client = Tcp();
    ASSERT_EQ(Connect(*client, V4("127.0.0.1", port)), Errno{0});
    Ref<Socket> server = *listener->TryAccept(caller_);
    server = nullptr;
    client = nullptr;
    listener = nullptr;
    Ref<TcpSocket> again = Tcp();
    Set(*again, abi::kSOL_SOCKET, abi::kSO_REUSEADDR, reuse);
    EXPECT_EQ(again->Bind(caller_, V4("127.0.0.1", port)).error(), reuse ? Errno{0} : kEADDRINUSE);
  }
}

TEST_F(InetSocketTest, ADualStackListenerTakesBothVersions) {
  Ref<TcpSocket> listener = Listener(V6Any(0));
  uint16_t port = Port(*listener);
  Ref<TcpSocket> four = Tcp(), six = Tcp(abi::kAF_INET6);
  EXPECT_EQ(Connect(*four, V4("127.0.0.1", port)), Errno{0});
  EXPECT_EQ(Connect(*six, V6Loopback(port)), Errno{0});
  InetName peer = *ParseInetAddress(abi::kAF_INET6, *(*listener->TryAccept(caller_))->PeerName());
  EXPECT_TRUE(peer.address == IpAddress::Loopback(true)) << "shown as ::ffff:127.0.0.1";
  EXPECT_TRUE(listener->TryAccept(caller_).ok());
  Ref<TcpSocket> only6 = Tcp(abi::kAF_INET6);
  EXPECT_EQ(Set(*only6, abi::kSOL_IPV6, abi::kIPV6_V6ONLY, 1), Errno{0});
  ASSERT_TRUE(only6->Bind(caller_, V6Any(0)).ok());
  ASSERT_TRUE(only6->Listen(caller_, 1).ok());
  EXPECT_EQ(Connect(*Tcp(), V4("127.0.0.1", Port(*only6))), kECONNREFUSED);
  EXPECT_TRUE(Tcp()->Bind(caller_, V4("0.0.0.0", Port(*only6))).ok());
}

TEST_F(InetSocketTest, PrivilegedPortsNeedTheCapability) {
  tree_.who = &tree_.user;
  EXPECT_EQ(Tcp()->Bind(caller_, V4("127.0.0.1", 80)).error(), kEACCES);
  tree_.who = &tree_.creds;
  EXPECT_TRUE(Tcp()->Bind(caller_, V4("127.0.0.1", 80)).ok());
}

TEST_F(InetSocketTest, UdpKeepsMessagesAndTellsTheSender) {
  Ref<UdpSocket> a = Udp(), b = Udp();
  ASSERT_TRUE(b->Bind(caller_, V4("0.0.0.0", 0)).ok());
  SocketAddress to = V4("127.0.0.1", Port(*b));
  SendInfo send;
  send.to = &to;
  ASSERT_TRUE(SendText(*a, caller_, "one", send).ok());
  ASSERT_TRUE(SendText(*a, caller_, "", send).ok());
  ReceiveInfo info;
  EXPECT_EQ(ReceiveText(*b, 2, &info), "on");
  EXPECT_EQ(info.out_flags, abi::kMSG_TRUNC);
  EXPECT_EQ(ParseInetAddress(abi::kAF_INET, info.from)->port, Port(*a));
  EXPECT_EQ(ReceiveText(*b), "");
  EXPECT_EQ(ReceiveText(*b), "errno 11");
  EXPECT_EQ(SendText(*a, caller_, std::string(65508, 'x'), send).error(), kEMSGSIZE);
  EXPECT_EQ(SendText(*a, caller_, "x").error(), kEDESTADDRREQ);
}

TEST_F(InetSocketTest, UdpDropsWhatDoesNotFitAndStrangersOfAConnectedSocket) {
  Ref<UdpSocket> a = Udp(), b = Udp(), stranger = Udp();
  ASSERT_TRUE(a->Bind(caller_, V4("127.0.0.1", 0)).ok());
  ASSERT_TRUE(b->Bind(caller_, V4("127.0.0.1", 0)).ok());
  SocketAddress to_a = V4("127.0.0.1", Port(*a));
  ASSERT_EQ(Connect(*a, V4("127.0.0.1", Port(*b))), Errno{0});
  SendInfo send;
  send.to = &to_a;
  ASSERT_TRUE(SendText(*stranger, caller_, "no", send).ok());
  EXPECT_EQ(ReceiveText(*a), "errno 11");
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(SendText(*b, caller_, std::string(50000, 'x'), send).ok());
  int got = 0;
  while (ReceiveText(*a) != "errno 11") ++got;
  EXPECT_EQ(got, 4);
}

TEST_F(InetSocketTest, UdpToAClosedPortIsRefusedOnceToConnectedSenders) {
  Ref<UdpSocket> a = Udp();
  ASSERT_EQ(Connect(*a, V4("127.0.0.1", 9)), Errno{0});
  EXPECT_TRUE(SendText(*a, caller_, "x").ok());
  EXPECT_EQ(a->Readiness() & abi::kPOLLERR, abi::kPOLLERR);
  EXPECT_EQ(ReceiveText(*a), "errno 111");
  EXPECT_EQ(ReceiveText(*a), "errno 11");
}

TEST_F(InetSocketTest, OptionsAreCheckedAndRemembered) {
  Ref<TcpSocket> s = Tcp();
  EXPECT_EQ(Set(*s, abi::kSOL_TCP, abi::kTCP_NODELAY, 7), Errno{0});
  EXPECT_EQ(*s->GetOption(caller_, abi::kSOL_TCP, abi::kTCP_NODELAY, 4), OptionInt(1));
  EXPECT_EQ(Set(*s, abi::kSOL_TCP, abi::kTCP_KEEPCNT, 128), kEINVAL);
  EXPECT_EQ(Set(*s, abi::kSOL_TCP, 9999, 1), kENOPROTOOPT);
  EXPECT_EQ(Set(*s, abi::kSOL_UDP, abi::kUDP_CORK, 1), kENOPROTOOPT);
  EXPECT_EQ(Set(*s, abi::kSOL_SOCKET, abi::kSO_SNDBUF, 10000), Errno{0});
  EXPECT_EQ(*s->GetOption(caller_, abi::kSOL_SOCKET, abi::kSO_SNDBUF, 4), OptionInt(20000));
  EXPECT_EQ(*s->GetOption(caller_, abi::kSOL_SOCKET, abi::kSO_TYPE, 4), OptionInt(abi::kSOCK_STREAM));
  EXPECT_EQ(CreateInetSocket(caller_, abi::kAF_INET, abi::kSOCK_RAW, 1, 0).error(), kEPERM);
  EXPECT_EQ(CreateInetSocket(caller_, abi::kAF_INET, abi::kSOCK_STREAM, abi::kIPPROTO_UDP, 0).error(), kEPROTONOSUPPORT);
}

}  // namespace
}  // namespace moat
