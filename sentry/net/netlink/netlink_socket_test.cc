#include "sentry/net/netlink/netlink_socket.h"

#include <gtest/gtest.h>

#include "abi/ioctl.h"
#include "abi/netlink.h"
#include "base/kern/fake_user_memory.h"
#include "sentry/net/test_caller.h"

namespace moat {
namespace {

class NetlinkSocketTest : public testing::Test {
 protected:
  struct Ask {
    abi::Nlmsghdr header{sizeof(Ask), 0, 0, 7, 0};
    abi::Ifinfomsg body{};
  };
  std::string Send(uint16_t type, uint16_t flags, int index = 0) {
    Ask ask;
    ask.header.nlmsg_type = type;
    ask.header.nlmsg_flags = static_cast<uint16_t>(flags | abi::kNLM_F_REQUEST);
    ask.body.ifi_index = index;
    std::string_view bytes(reinterpret_cast<const char*>(&ask), sizeof ask);
    EXPECT_TRUE(SendText(*socket_, caller_, bytes).ok());
    return ReceiveText(*socket_, 4096);
  }
  static abi::Nlmsghdr Header(const std::string& answer) {
    abi::Nlmsghdr h{};
    if (answer.size() >= sizeof h) memcpy(&h, answer.data(), sizeof h);
    return h;
  }
  static int ErrorOf(const std::string& answer) {
    abi::Nlmsgerr e{};
    EXPECT_EQ(Header(answer).nlmsg_type, abi::kNLMSG_ERROR);
    if (answer.size() >= sizeof(abi::Nlmsghdr) + sizeof e) memcpy(&e, &answer[sizeof(abi::Nlmsghdr)], sizeof e);
    return e.error;
  }
  TestTree tree_;
  TestCaller caller_{tree_};
  Ref<NetlinkSocket> socket_ = *NetlinkSocket::Create(caller_, abi::kSOCK_RAW, abi::kNETLINK_ROUTE, 0);
};

TEST_F(NetlinkSocketTest, DumpOfLinksHasLoopbackAndAnEnd) {
  std::string links = Send(abi::kRTM_GETLINK, abi::kNLM_F_DUMP);
  EXPECT_EQ(Header(links).nlmsg_type, abi::kRTM_NEWLINK);
  EXPECT_EQ(Header(links).nlmsg_seq, 7u);
  EXPECT_EQ(Header(links).nlmsg_pid, 42u);
  EXPECT_EQ(Header(links).nlmsg_len, links.size());
  EXPECT_NE(links.find(std::string("lo\0", 3)), std::string::npos);
  EXPECT_EQ(Header(ReceiveText(*socket_, 4096)).nlmsg_type, abi::kNLMSG_DONE);
  EXPECT_EQ(ReceiveText(*socket_), "errno 11");
}

TEST_F(NetlinkSocketTest, DumpOfAddressesHasBothVersions) {
  std::string addresses = Send(abi::kRTM_GETADDR, abi::kNLM_F_DUMP);
  uint32_t first = Header(addresses).nlmsg_len;
  ASSERT_LT(first, addresses.size());
  EXPECT_EQ(addresses[sizeof(abi::Nlmsghdr)], abi::kAF_INET);
  EXPECT_EQ(addresses[first + sizeof(abi::Nlmsghdr)], abi::kAF_INET6);
}

TEST_F(NetlinkSocketTest, ErrorsAreAnswers) {
  EXPECT_EQ(Header(Send(abi::kRTM_GETLINK, 0, 1)).nlmsg_type, abi::kRTM_NEWLINK);
  EXPECT_EQ(ErrorOf(Send(abi::kRTM_GETLINK, 0, 2)), -static_cast<int>(kENODEV));
  EXPECT_EQ(ErrorOf(Send(abi::kRTM_NEWLINK, 0, 1)), -static_cast<int>(kEOPNOTSUPP));
  tree_.who = &tree_.user;
  EXPECT_EQ(ErrorOf(Send(abi::kRTM_NEWLINK, 0, 1)), -static_cast<int>(kEPERM));
}

TEST_F(NetlinkSocketTest, PortsAreUnique) {
  Ref<NetlinkSocket> other = *NetlinkSocket::Create(caller_, abi::kSOCK_DGRAM, abi::kNETLINK_ROUTE, 0);
  SocketAddress any = SocketAddress::From(abi::SockaddrNl{abi::kAF_NETLINK, 0, 0, 0});
  ASSERT_TRUE(socket_->Bind(caller_, any).ok());
  ASSERT_TRUE(other->Bind(caller_, any).ok());
  EXPECT_EQ(socket_->LocalName()->As<abi::SockaddrNl>().nl_pid, 42u);
  EXPECT_NE(other->LocalName()->As<abi::SockaddrNl>().nl_pid, 42u);
  EXPECT_EQ(NetlinkSocket::Create(caller_, abi::kSOCK_STREAM, 0, 0).error(), kESOCKTNOSUPPORT);
  EXPECT_EQ(NetlinkSocket::Create(caller_, abi::kSOCK_RAW, abi::kNETLINK_AUDIT, 0).error(), kEPROTONOSUPPORT);
}

TEST_F(NetlinkSocketTest, InterfaceRequestsKnowLoopback) {
  FakeUserMemory memory(0x1000, 4096);
  abi::Ifreq r{};
  strcpy(r.ifr_name, "lo");
  ASSERT_TRUE(memory.Write(0x1000, r).ok());
  ASSERT_TRUE(socket_->Ioctl(abi::kSIOCGIFINDEX, 0x1000, memory).ok());
  EXPECT_EQ(memory.Read<abi::Ifreq>(0x1000)->ifr_ifindex, 1);
  strcpy(r.ifr_name, "eth0");
  ASSERT_TRUE(memory.Write(0x1000, r).ok());
  EXPECT_EQ(socket_->Ioctl(abi::kSIOCGIFINDEX, 0x1000, memory).error(), kENODEV);
  EXPECT_EQ(socket_->Ioctl(abi::kSIOCSIFADDR, 0x1000, memory).error(), kEPERM);
}

}  // namespace
}  // namespace moat
