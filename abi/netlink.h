// Linux's netlink(7) and rtnetlink(7).
#pragma once

#include <stdint.h>

namespace moat::abi {

inline constexpr int kNETLINK_ROUTE = 0;
inline constexpr int kNETLINK_USERSOCK = 2;
inline constexpr int kNETLINK_FIREWALL = 3;
inline constexpr int kNETLINK_SOCK_DIAG = 4;
inline constexpr int kNETLINK_NFLOG = 5;
inline constexpr int kNETLINK_XFRM = 6;
inline constexpr int kNETLINK_SELINUX = 7;
inline constexpr int kNETLINK_AUDIT = 9;
inline constexpr int kNETLINK_NETFILTER = 12;
inline constexpr int kNETLINK_KOBJECT_UEVENT = 15;
inline constexpr int kNETLINK_GENERIC = 16;
inline constexpr int kNETLINK_CRYPTO = 21;
inline constexpr int kMAX_LINKS = 32;
inline constexpr uint16_t kNLM_F_REQUEST = 0x1;
inline constexpr uint16_t kNLM_F_MULTI = 0x2;
inline constexpr uint16_t kNLM_F_ACK = 0x4;
inline constexpr uint16_t kNLM_F_ECHO = 0x8;
inline constexpr uint16_t kNLM_F_DUMP_INTR = 0x10;
inline constexpr uint16_t kNLM_F_DUMP_FILTERED = 0x20;
inline constexpr uint16_t kNLM_F_ROOT = 0x100;
inline constexpr uint16_t kNLM_F_MATCH = 0x200;
inline constexpr uint16_t kNLM_F_ATOMIC = 0x400;
inline constexpr uint16_t kNLM_F_DUMP = 0x300;
inline constexpr uint16_t kNLM_F_REPLACE = 0x100;
inline constexpr uint16_t kNLM_F_EXCL = 0x200;
inline constexpr uint16_t kNLM_F_CREATE = 0x400;
inline constexpr uint16_t kNLM_F_APPEND = 0x800;
inline constexpr uint16_t kNLM_F_CAPPED = 0x100;
inline constexpr uint16_t kNLM_F_ACK_TLVS = 0x200;
inline constexpr uint16_t kNLMSG_NOOP = 1;
inline constexpr uint16_t kNLMSG_ERROR = 2;
inline constexpr uint16_t kNLMSG_DONE = 3;
inline constexpr uint16_t kNLMSG_OVERRUN = 4;
inline constexpr uint16_t kNLMSG_MIN_TYPE = 16;
inline constexpr uint32_t kNLMSG_ALIGNTO = 4;
inline constexpr uint32_t kRTA_ALIGNTO = 4;
inline constexpr int kNETLINK_ADD_MEMBERSHIP = 1;
inline constexpr int kNETLINK_DROP_MEMBERSHIP = 2;
inline constexpr int kNETLINK_PKTINFO = 3;
inline constexpr int kNETLINK_BROADCAST_ERROR = 4;
inline constexpr int kNETLINK_NO_ENOBUFS = 5;
inline constexpr int kNETLINK_LISTEN_ALL_NSID = 8;
inline constexpr int kNETLINK_LIST_MEMBERSHIPS = 9;
inline constexpr int kNETLINK_CAP_ACK = 10;
inline constexpr int kNETLINK_EXT_ACK = 11;
inline constexpr int kNETLINK_GET_STRICT_CHK = 12;

constexpr uint32_t NlmsgAlign(uint32_t length) { return (length + 3) & ~3u; }
constexpr uint32_t RtaAlign(uint32_t length) { return (length + 3) & ~3u; }

struct SockaddrNl {
  uint16_t nl_family;
  uint16_t nl_pad;
  uint32_t nl_pid;
  uint32_t nl_groups;
};
static_assert(sizeof(SockaddrNl) == 12);

struct Nlmsghdr {
  uint32_t nlmsg_len;
  uint16_t nlmsg_type;
  uint16_t nlmsg_flags;
  uint32_t nlmsg_seq;
  uint32_t nlmsg_pid;
};
static_assert(sizeof(Nlmsghdr) == 16);
inline constexpr uint32_t kNLMSG_HDRLEN = 16;

struct Nlmsgerr {
  int32_t error;
  Nlmsghdr msg;
};

struct NlPktinfo {
  uint32_t group;
};

struct Nlattr {
  uint16_t nla_len;
  uint16_t nla_type;
};

struct Rtattr {
  uint16_t rta_len;
  uint16_t rta_type;
};

struct Rtgenmsg {
  uint8_t rtgen_family;
};

struct Ifinfomsg {
  uint8_t ifi_family;
  uint8_t pad_;
  uint16_t ifi_type;
  int32_t ifi_index;
  uint32_t ifi_flags;
  uint32_t ifi_change;
};
static_assert(sizeof(Ifinfomsg) == 16);

struct Ifaddrmsg {
  uint8_t ifa_family;
  uint8_t ifa_prefixlen;
  uint8_t ifa_flags;
  uint8_t ifa_scope;
  uint32_t ifa_index;
};
static_assert(sizeof(Ifaddrmsg) == 8);

struct IfaCacheinfo {
  uint32_t ifa_prefered;
  uint32_t ifa_valid;
  uint32_t cstamp;
  uint32_t tstamp;
};

struct Rtmsg {
  uint8_t rtm_family;
  uint8_t rtm_dst_len;
  uint8_t rtm_src_len;
  uint8_t rtm_tos;
  uint8_t rtm_table;
  uint8_t rtm_protocol;
  uint8_t rtm_scope;
  uint8_t rtm_type;
  uint32_t rtm_flags;
};
static_assert(sizeof(Rtmsg) == 12);

struct Ndmsg {
  uint8_t ndm_family;
  uint8_t pad1_;
  uint16_t pad2_;
  int32_t ndm_ifindex;
  uint16_t ndm_state;
  uint8_t ndm_flags;
  uint8_t ndm_type;
};

// IFLA_STATS64.
struct RtnlLinkStats64 {
  uint64_t rx_packets;
  uint64_t tx_packets;
  uint64_t rx_bytes;
  uint64_t tx_bytes;
  uint64_t rx_errors;
  uint64_t tx_errors;
  uint64_t rx_dropped;
  uint64_t tx_dropped;
  uint64_t multicast;
  uint64_t collisions;
  uint64_t rx_length_errors;
  uint64_t rx_over_errors;
  uint64_t rx_crc_errors;
  uint64_t rx_frame_errors;
  uint64_t rx_fifo_errors;
  uint64_t rx_missed_errors;
  uint64_t tx_aborted_errors;
  uint64_t tx_carrier_errors;
  uint64_t tx_fifo_errors;
  uint64_t tx_heartbeat_errors;
  uint64_t tx_window_errors;
  uint64_t rx_compressed;
  uint64_t tx_compressed;
  uint64_t rx_nohandler;
};

inline constexpr uint16_t kRTM_NEWLINK = 16;
inline constexpr uint16_t kRTM_DELLINK = 17;
inline constexpr uint16_t kRTM_GETLINK = 18;
inline constexpr uint16_t kRTM_SETLINK = 19;
inline constexpr uint16_t kRTM_NEWADDR = 20;
inline constexpr uint16_t kRTM_DELADDR = 21;
inline constexpr uint16_t kRTM_GETADDR = 22;
inline constexpr uint16_t kRTM_NEWROUTE = 24;
inline constexpr uint16_t kRTM_DELROUTE = 25;
inline constexpr uint16_t kRTM_GETROUTE = 26;
inline constexpr uint16_t kRTM_NEWNEIGH = 28;
inline constexpr uint16_t kRTM_DELNEIGH = 29;
inline constexpr uint16_t kRTM_GETNEIGH = 30;
inline constexpr uint16_t kRTM_NEWRULE = 32;
inline constexpr uint16_t kRTM_DELRULE = 33;
inline constexpr uint16_t kRTM_GETRULE = 34;
inline constexpr uint16_t kRTM_NEWQDISC = 36;
inline constexpr uint16_t kRTM_DELQDISC = 37;
inline constexpr uint16_t kRTM_GETQDISC = 38;
inline constexpr uint16_t kRTM_BASE = 16;
inline constexpr uint32_t kRTMGRP_LINK = 0x1;
inline constexpr uint32_t kRTMGRP_NOTIFY = 0x2;
inline constexpr uint32_t kRTMGRP_NEIGH = 0x4;
inline constexpr uint32_t kRTMGRP_IPV4_IFADDR = 0x10;
inline constexpr uint32_t kRTMGRP_IPV4_ROUTE = 0x40;
inline constexpr uint32_t kRTMGRP_IPV6_IFADDR = 0x100;
inline constexpr uint32_t kRTMGRP_IPV6_ROUTE = 0x400;
inline constexpr uint32_t kRTNLGRP_LINK = 1;
inline constexpr uint32_t kRTNLGRP_NEIGH = 3;
inline constexpr uint32_t kRTNLGRP_IPV4_IFADDR = 5;
inline constexpr uint32_t kRTNLGRP_IPV4_ROUTE = 7;
inline constexpr uint32_t kRTNLGRP_IPV6_IFADDR = 9;
inline constexpr uint32_t kRTNLGRP_IPV6_ROUTE = 11;
inline constexpr uint16_t kIFLA_UNSPEC = 0;
inline constexpr uint16_t kIFLA_ADDRESS = 1;
inline constexpr uint16_t kIFLA_BROADCAST = 2;
inline constexpr uint16_t kIFLA_IFNAME = 3;
inline constexpr uint16_t kIFLA_MTU = 4;
inline constexpr uint16_t kIFLA_LINK = 5;
inline constexpr uint16_t kIFLA_QDISC = 6;
inline constexpr uint16_t kIFLA_STATS = 7;
inline constexpr uint16_t kIFLA_MASTER = 10;
inline constexpr uint16_t kIFLA_TXQLEN = 13;
inline constexpr uint16_t kIFLA_MAP = 14;
inline constexpr uint16_t kIFLA_OPERSTATE = 16;
inline constexpr uint16_t kIFLA_LINKMODE = 17;
inline constexpr uint16_t kIFLA_LINKINFO = 18;
inline constexpr uint16_t kIFLA_NET_NS_PID = 19;
inline constexpr uint16_t kIFLA_IFALIAS = 20;
inline constexpr uint16_t kIFLA_NUM_VF = 21;
inline constexpr uint16_t kIFLA_STATS64 = 23;
inline constexpr uint16_t kIFLA_AF_SPEC = 26;
inline constexpr uint16_t kIFLA_GROUP = 27;
inline constexpr uint16_t kIFLA_NET_NS_FD = 28;
inline constexpr uint16_t kIFLA_EXT_MASK = 29;
inline constexpr uint16_t kIFLA_PROMISCUITY = 30;
inline constexpr uint16_t kIFLA_NUM_TX_QUEUES = 31;
inline constexpr uint16_t kIFLA_NUM_RX_QUEUES = 32;
inline constexpr uint16_t kIFLA_CARRIER = 33;
inline constexpr uint16_t kIFLA_CARRIER_CHANGES = 35;
inline constexpr uint16_t kIFLA_GSO_MAX_SEGS = 40;
inline constexpr uint16_t kIFLA_GSO_MAX_SIZE = 41;
inline constexpr uint16_t kIFLA_MIN_MTU = 50;
inline constexpr uint16_t kIFLA_MAX_MTU = 51;
inline constexpr uint16_t kIFLA_INFO_KIND = 1;
inline constexpr uint16_t kIFLA_INFO_DATA = 2;
inline constexpr uint16_t kIFA_UNSPEC = 0;
inline constexpr uint16_t kIFA_ADDRESS = 1;
inline constexpr uint16_t kIFA_LOCAL = 2;
inline constexpr uint16_t kIFA_LABEL = 3;
inline constexpr uint16_t kIFA_BROADCAST = 4;
inline constexpr uint16_t kIFA_ANYCAST = 5;
inline constexpr uint16_t kIFA_CACHEINFO = 6;
inline constexpr uint16_t kIFA_MULTICAST = 7;
inline constexpr uint16_t kIFA_FLAGS = 8;
inline constexpr uint32_t kIFA_F_SECONDARY = 0x1;
inline constexpr uint32_t kIFA_F_NODAD = 0x2;
inline constexpr uint32_t kIFA_F_DEPRECATED = 0x20;
inline constexpr uint32_t kIFA_F_TENTATIVE = 0x40;
inline constexpr uint32_t kIFA_F_PERMANENT = 0x80;
inline constexpr uint32_t kIFA_F_NOPREFIXROUTE = 0x200;
inline constexpr uint16_t kRTA_UNSPEC = 0;
inline constexpr uint16_t kRTA_DST = 1;
inline constexpr uint16_t kRTA_SRC = 2;
inline constexpr uint16_t kRTA_IIF = 3;
inline constexpr uint16_t kRTA_OIF = 4;
inline constexpr uint16_t kRTA_GATEWAY = 5;
inline constexpr uint16_t kRTA_PRIORITY = 6;
inline constexpr uint16_t kRTA_PREFSRC = 7;
inline constexpr uint16_t kRTA_METRICS = 8;
inline constexpr uint16_t kRTA_MULTIPATH = 9;
inline constexpr uint16_t kRTA_FLOW = 11;
inline constexpr uint16_t kRTA_CACHEINFO = 12;
inline constexpr uint16_t kRTA_TABLE = 15;
inline constexpr uint16_t kRTA_MARK = 16;
inline constexpr uint16_t kRTA_PREF = 20;
inline constexpr uint8_t kRTN_UNSPEC = 0;
inline constexpr uint8_t kRTN_UNICAST = 1;
inline constexpr uint8_t kRTN_LOCAL = 2;
inline constexpr uint8_t kRTN_BROADCAST = 3;
inline constexpr uint8_t kRTN_ANYCAST = 4;
inline constexpr uint8_t kRTN_MULTICAST = 5;
inline constexpr uint8_t kRTN_BLACKHOLE = 6;
inline constexpr uint8_t kRTN_UNREACHABLE = 7;
inline constexpr uint8_t kRTPROT_UNSPEC = 0;
inline constexpr uint8_t kRTPROT_REDIRECT = 1;
inline constexpr uint8_t kRTPROT_KERNEL = 2;
inline constexpr uint8_t kRTPROT_BOOT = 3;
inline constexpr uint8_t kRTPROT_STATIC = 4;
inline constexpr uint8_t kRT_SCOPE_UNIVERSE = 0;
inline constexpr uint8_t kRT_SCOPE_SITE = 200;
inline constexpr uint8_t kRT_SCOPE_LINK = 253;
inline constexpr uint8_t kRT_SCOPE_HOST = 254;
inline constexpr uint8_t kRT_SCOPE_NOWHERE = 255;
inline constexpr uint8_t kRT_TABLE_UNSPEC = 0;
inline constexpr uint8_t kRT_TABLE_DEFAULT = 253;
inline constexpr uint8_t kRT_TABLE_MAIN = 254;
inline constexpr uint8_t kRT_TABLE_LOCAL = 255;
inline constexpr uint32_t kRTM_F_NOTIFY = 0x100;
inline constexpr uint32_t kRTM_F_CLONED = 0x200;
inline constexpr uint32_t kRTM_F_PREFIX = 0x800;
inline constexpr uint32_t kRTM_F_LOOKUP_TABLE = 0x1000;
inline constexpr uint8_t kIF_OPER_UNKNOWN = 0;
inline constexpr uint8_t kIF_OPER_NOTPRESENT = 1;
inline constexpr uint8_t kIF_OPER_DOWN = 2;
inline constexpr uint8_t kIF_OPER_LOWERLAYERDOWN = 3;
inline constexpr uint8_t kIF_OPER_TESTING = 4;
inline constexpr uint8_t kIF_OPER_DORMANT = 5;
inline constexpr uint8_t kIF_OPER_UP = 6;

// NETLINK_SOCK_DIAG.
inline constexpr uint16_t kSOCK_DIAG_BY_FAMILY = 20;
struct UnixDiagReq {
  uint8_t sdiag_family;
  uint8_t sdiag_protocol;
  uint16_t pad;
  uint32_t udiag_states;
  uint32_t udiag_ino;
  uint32_t udiag_show;
  uint32_t udiag_cookie[2];
};

struct UnixDiagMsg {
  uint8_t udiag_family;
  uint8_t udiag_type;
  uint8_t udiag_state;
  uint8_t pad;
  uint32_t udiag_ino;
  uint32_t udiag_cookie[2];
};

}  // namespace moat::abi
