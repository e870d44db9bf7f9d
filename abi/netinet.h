// Linux's Internet protocols: ip(7), ipv6(7), tcp(7), udp(7), icmp(7), and network interfaces (netdevice(7)).
// Addresses and ports are in network byte order.
#pragma once

#include <stdint.h>

#include "abi/socket.h"

namespace moat::abi {

inline constexpr int kIPPROTO_IP = 0;
inline constexpr int kIPPROTO_ICMP = 1;
inline constexpr int kIPPROTO_IGMP = 2;
inline constexpr int kIPPROTO_IPIP = 4;
inline constexpr int kIPPROTO_TCP = 6;
inline constexpr int kIPPROTO_EGP = 8;
inline constexpr int kIPPROTO_PUP = 12;
inline constexpr int kIPPROTO_UDP = 17;
inline constexpr int kIPPROTO_IDP = 22;
inline constexpr int kIPPROTO_TP = 29;
inline constexpr int kIPPROTO_DCCP = 33;
inline constexpr int kIPPROTO_IPV6 = 41;
inline constexpr int kIPPROTO_RSVP = 46;
inline constexpr int kIPPROTO_GRE = 47;
inline constexpr int kIPPROTO_ESP = 50;
inline constexpr int kIPPROTO_AH = 51;
inline constexpr int kIPPROTO_SCTP = 132;
inline constexpr int kIPPROTO_UDPLITE = 136;
inline constexpr int kIPPROTO_RAW = 255;
inline constexpr int kIPPROTO_MPTCP = 262;
inline constexpr int kIPPROTO_HOPOPTS = 0;
inline constexpr int kIPPROTO_ROUTING = 43;
inline constexpr int kIPPROTO_FRAGMENT = 44;
inline constexpr int kIPPROTO_ICMPV6 = 58;
inline constexpr int kIPPROTO_NONE = 59;
inline constexpr int kIPPROTO_DSTOPTS = 60;

inline constexpr int kIP_TOS = 1;
inline constexpr int kIP_TTL = 2;
inline constexpr int kIP_HDRINCL = 3;
inline constexpr int kIP_OPTIONS = 4;
inline constexpr int kIP_ROUTER_ALERT = 5;
inline constexpr int kIP_RECVOPTS = 6;
inline constexpr int kIP_RETOPTS = 7;
inline constexpr int kIP_PKTINFO = 8;
inline constexpr int kIP_PKTOPTIONS = 9;
inline constexpr int kIP_MTU_DISCOVER = 10;
inline constexpr int kIP_RECVERR = 11;
inline constexpr int kIP_RECVTTL = 12;
inline constexpr int kIP_RECVTOS = 13;
inline constexpr int kIP_MTU = 14;
inline constexpr int kIP_FREEBIND = 15;
inline constexpr int kIP_IPSEC_POLICY = 16;
inline constexpr int kIP_XFRM_POLICY = 17;
inline constexpr int kIP_PASSSEC = 18;
inline constexpr int kIP_TRANSPARENT = 19;
inline constexpr int kIP_ORIGDSTADDR = 20;
inline constexpr int kIP_RECVORIGDSTADDR = 20;
inline constexpr int kIP_MINTTL = 21;
inline constexpr int kIP_NODEFRAG = 22;
inline constexpr int kIP_CHECKSUM = 23;
inline constexpr int kIP_BIND_ADDRESS_NO_PORT = 24;
inline constexpr int kIP_RECVFRAGSIZE = 25;
inline constexpr int kIP_RECVERR_RFC4884 = 26;
inline constexpr int kIP_MULTICAST_IF = 32;
inline constexpr int kIP_MULTICAST_TTL = 33;
inline constexpr int kIP_MULTICAST_LOOP = 34;
inline constexpr int kIP_ADD_MEMBERSHIP = 35;
inline constexpr int kIP_DROP_MEMBERSHIP = 36;
inline constexpr int kIP_UNBLOCK_SOURCE = 37;
inline constexpr int kIP_BLOCK_SOURCE = 38;
inline constexpr int kIP_ADD_SOURCE_MEMBERSHIP = 39;
inline constexpr int kIP_DROP_SOURCE_MEMBERSHIP = 40;
inline constexpr int kIP_MSFILTER = 41;
inline constexpr int kIP_MULTICAST_ALL = 49;
inline constexpr int kIP_UNICAST_IF = 50;
inline constexpr int kIP_LOCAL_PORT_RANGE = 51;
inline constexpr int kIP_PMTUDISC_DONT = 0;
inline constexpr int kIP_PMTUDISC_WANT = 1;
inline constexpr int kIP_PMTUDISC_DO = 2;
inline constexpr int kIP_PMTUDISC_PROBE = 3;
inline constexpr int kIP_PMTUDISC_INTERFACE = 4;
inline constexpr int kIP_PMTUDISC_OMIT = 5;

inline constexpr int kIPV6_ADDRFORM = 1;
inline constexpr int kIPV6_2292PKTINFO = 2;
inline constexpr int kIPV6_CHECKSUM = 7;
inline constexpr int kIPV6_NEXTHOP = 9;
inline constexpr int kIPV6_FLOWINFO = 11;
inline constexpr int kIPV6_UNICAST_HOPS = 16;
inline constexpr int kIPV6_MULTICAST_IF = 17;
inline constexpr int kIPV6_MULTICAST_HOPS = 18;
inline constexpr int kIPV6_MULTICAST_LOOP = 19;
inline constexpr int kIPV6_ADD_MEMBERSHIP = 20;
inline constexpr int kIPV6_DROP_MEMBERSHIP = 21;
inline constexpr int kIPV6_ROUTER_ALERT = 22;
inline constexpr int kIPV6_MTU_DISCOVER = 23;
inline constexpr int kIPV6_JOIN_GROUP = 20;
inline constexpr int kIPV6_LEAVE_GROUP = 21;
inline constexpr int kIPV6_MTU = 24;
inline constexpr int kIPV6_RECVERR = 25;
inline constexpr int kIPV6_V6ONLY = 26;
inline constexpr int kIPV6_JOIN_ANYCAST = 27;
inline constexpr int kIPV6_LEAVE_ANYCAST = 28;
inline constexpr int kIPV6_MULTICAST_ALL = 29;
inline constexpr int kIPV6_HDRINCL = 36;
inline constexpr int kIPV6_RECVPKTINFO = 49;
inline constexpr int kIPV6_PKTINFO = 50;
inline constexpr int kIPV6_RECVHOPLIMIT = 51;
inline constexpr int kIPV6_HOPLIMIT = 52;
inline constexpr int kIPV6_RECVTCLASS = 66;
inline constexpr int kIPV6_TCLASS = 67;
inline constexpr int kIPV6_AUTOFLOWLABEL = 70;
inline constexpr int kIPV6_ADDR_PREFERENCES = 72;
inline constexpr int kIPV6_MINHOPCOUNT = 73;
inline constexpr int kIPV6_ORIGDSTADDR = 74;
inline constexpr int kIPV6_RECVORIGDSTADDR = 74;
inline constexpr int kIPV6_TRANSPARENT = 75;
inline constexpr int kIPV6_FREEBIND = 78;
inline constexpr int kIPV6_DONTFRAG = 62;
inline constexpr int kIPV6_UNICAST_IF = 76;
inline constexpr int kIPV6_RECVHOPOPTS = 53;
inline constexpr int kIPV6_HOPOPTS = 54;
inline constexpr int kIPV6_RTHDR = 57;
inline constexpr int kIPV6_RECVRTHDR = 56;
inline constexpr int kIPV6_RTHDRDSTOPTS = 55;
inline constexpr int kIPV6_RECVDSTOPTS = 58;
inline constexpr int kIPV6_DSTOPTS = 59;
inline constexpr int kIPV6_RECVPATHMTU = 60;
inline constexpr int kIPV6_PATHMTU = 61;

inline constexpr int kTCP_NODELAY = 1;
inline constexpr int kTCP_MAXSEG = 2;
inline constexpr int kTCP_CORK = 3;
inline constexpr int kTCP_KEEPIDLE = 4;
inline constexpr int kTCP_KEEPINTVL = 5;
inline constexpr int kTCP_KEEPCNT = 6;
inline constexpr int kTCP_SYNCNT = 7;
inline constexpr int kTCP_LINGER2 = 8;
inline constexpr int kTCP_DEFER_ACCEPT = 9;
inline constexpr int kTCP_WINDOW_CLAMP = 10;
inline constexpr int kTCP_INFO = 11;
inline constexpr int kTCP_QUICKACK = 12;
inline constexpr int kTCP_CONGESTION = 13;
inline constexpr int kTCP_MD5SIG = 14;
inline constexpr int kTCP_THIN_LINEAR_TIMEOUTS = 16;
inline constexpr int kTCP_THIN_DUPACK = 17;
inline constexpr int kTCP_USER_TIMEOUT = 18;
inline constexpr int kTCP_REPAIR = 19;
inline constexpr int kTCP_REPAIR_QUEUE = 20;
inline constexpr int kTCP_QUEUE_SEQ = 21;
inline constexpr int kTCP_REPAIR_OPTIONS = 22;
inline constexpr int kTCP_FASTOPEN = 23;
inline constexpr int kTCP_TIMESTAMP = 24;
inline constexpr int kTCP_NOTSENT_LOWAT = 25;
inline constexpr int kTCP_CC_INFO = 26;
inline constexpr int kTCP_SAVE_SYN = 27;
inline constexpr int kTCP_SAVED_SYN = 28;
inline constexpr int kTCP_REPAIR_WINDOW = 29;
inline constexpr int kTCP_FASTOPEN_CONNECT = 30;
inline constexpr int kTCP_ULP = 31;
inline constexpr int kTCP_MD5SIG_EXT = 32;
inline constexpr int kTCP_FASTOPEN_KEY = 33;
inline constexpr int kTCP_FASTOPEN_NO_COOKIE = 34;
inline constexpr int kTCP_ZEROCOPY_RECEIVE = 35;
inline constexpr int kTCP_INQ = 36;
inline constexpr int kTCP_CM_INQ = 36;
inline constexpr int kTCP_TX_DELAY = 37;
inline constexpr int kTCP_ESTABLISHED = 1;
inline constexpr int kTCP_SYN_SENT = 2;
inline constexpr int kTCP_SYN_RECV = 3;
inline constexpr int kTCP_FIN_WAIT1 = 4;
inline constexpr int kTCP_FIN_WAIT2 = 5;
inline constexpr int kTCP_TIME_WAIT = 6;
inline constexpr int kTCP_CLOSE = 7;
inline constexpr int kTCP_CLOSE_WAIT = 8;
inline constexpr int kTCP_LAST_ACK = 9;
inline constexpr int kTCP_LISTEN = 10;
inline constexpr int kTCP_CLOSING = 11;
inline constexpr int kTCP_NEW_SYN_RECV = 12;
inline constexpr int kUDP_CORK = 1;
inline constexpr int kUDP_ENCAP = 100;
inline constexpr int kUDP_NO_CHECK6_TX = 101;
inline constexpr int kUDP_NO_CHECK6_RX = 102;
inline constexpr int kUDP_SEGMENT = 103;
inline constexpr int kUDP_GRO = 104;

inline constexpr uint8_t kICMP_ECHOREPLY = 0;
inline constexpr uint8_t kICMP_DEST_UNREACH = 3;
inline constexpr uint8_t kICMP_SOURCE_QUENCH = 4;
inline constexpr uint8_t kICMP_REDIRECT = 5;
inline constexpr uint8_t kICMP_ECHO = 8;
inline constexpr uint8_t kICMP_TIME_EXCEEDED = 11;
inline constexpr uint8_t kICMP_PARAMETERPROB = 12;
inline constexpr uint8_t kICMP_TIMESTAMP = 13;
inline constexpr uint8_t kICMP_TIMESTAMPREPLY = 14;
inline constexpr uint8_t kICMP_NET_UNREACH = 0;
inline constexpr uint8_t kICMP_HOST_UNREACH = 1;
inline constexpr uint8_t kICMP_PROT_UNREACH = 2;
inline constexpr uint8_t kICMP_PORT_UNREACH = 3;
inline constexpr uint8_t kICMP_FRAG_NEEDED = 4;
inline constexpr int kICMP_FILTER = 1;
inline constexpr int kICMPV6_FILTER = 1;
inline constexpr uint8_t kICMPV6_DEST_UNREACH = 1;
inline constexpr uint8_t kICMPV6_PKT_TOOBIG = 2;
inline constexpr uint8_t kICMPV6_TIME_EXCEED = 3;
inline constexpr uint8_t kICMPV6_PARAMPROB = 4;
inline constexpr uint8_t kICMPV6_ECHO_REQUEST = 128;
inline constexpr uint8_t kICMPV6_ECHO_REPLY = 129;

inline constexpr uint32_t kINADDR_ANY = 0x0;
inline constexpr uint32_t kINADDR_BROADCAST = 0xffffffff;
inline constexpr uint32_t kINADDR_NONE = 0xffffffff;
inline constexpr uint32_t kINADDR_LOOPBACK = 0x7f000001;

struct InAddr {
  uint32_t s_addr;
};

#pragma push_macro("s6_addr")
#undef s6_addr
struct In6Addr {
  union {
    uint8_t s6_addr[16];
    // Where libc's macro s6_addr leads.
    union {
      uint8_t __u6_addr8[16];
      uint32_t __u6_addr32[4];
    } __in6_u;
  };
};
#pragma pop_macro("s6_addr")

struct SockaddrIn {
  uint16_t sin_family;
  uint16_t sin_port;
  InAddr sin_addr;
  uint8_t sin_zero[8];
};
static_assert(sizeof(SockaddrIn) == 16);

struct SockaddrIn6 {
  uint16_t sin6_family;
  uint16_t sin6_port;
  uint32_t sin6_flowinfo;
  In6Addr sin6_addr;
  uint32_t sin6_scope_id;
};
static_assert(sizeof(SockaddrIn6) == 28);
// Length of a sockaddr_in6 before RFC 2553 added the scope; connect(2) accepts it.
inline constexpr uint32_t kSIN6_LEN_RFC2133 = 24;

struct IpMreq {
  InAddr imr_multiaddr;
  InAddr imr_interface;
};

struct IpMreqn {
  InAddr imr_multiaddr;
  InAddr imr_address;
  int32_t imr_ifindex;
};

struct InPktinfo {
  int32_t ipi_ifindex;
  InAddr ipi_spec_dst;
  InAddr ipi_addr;
};

struct Ipv6Mreq {
  In6Addr ipv6mr_multiaddr;
  int32_t ipv6mr_ifindex;
};

struct In6Pktinfo {
  In6Addr ipi6_addr;
  int32_t ipi6_ifindex;
};

struct SockExtendedErr {
  uint32_t ee_errno;
  uint8_t ee_origin;
  uint8_t ee_type;
  uint8_t ee_code;
  uint8_t ee_pad;
  uint32_t ee_info;
  uint32_t ee_data;
};
inline constexpr uint8_t kSO_EE_ORIGIN_NONE = 0;
inline constexpr uint8_t kSO_EE_ORIGIN_LOCAL = 1;
inline constexpr uint8_t kSO_EE_ORIGIN_ICMP = 2;
inline constexpr uint8_t kSO_EE_ORIGIN_ICMP6 = 3;

// getsockopt(TCP_INFO). A kernel copies as much as the caller has room for.
struct TcpInfo {
  uint8_t tcpi_state;
  uint8_t tcpi_ca_state;
  uint8_t tcpi_retransmits;
  uint8_t tcpi_probes;
  uint8_t tcpi_backoff;
  uint8_t tcpi_options;
  uint8_t tcpi_snd_wscale : 4, tcpi_rcv_wscale : 4;
  uint8_t tcpi_delivery_rate_app_limited : 1, tcpi_fastopen_client_fail : 2;
  uint32_t tcpi_rto;
  uint32_t tcpi_ato;
  uint32_t tcpi_snd_mss;
  uint32_t tcpi_rcv_mss;
  uint32_t tcpi_unacked;
  uint32_t tcpi_sacked;
  uint32_t tcpi_lost;
  uint32_t tcpi_retrans;
  uint32_t tcpi_fackets;
  uint32_t tcpi_last_data_sent;
  uint32_t tcpi_last_ack_sent;
  uint32_t tcpi_last_data_recv;
  uint32_t tcpi_last_ack_recv;
  uint32_t tcpi_pmtu;
  uint32_t tcpi_rcv_ssthresh;
  uint32_t tcpi_rtt;
  uint32_t tcpi_rttvar;
  uint32_t tcpi_snd_ssthresh;
  uint32_t tcpi_snd_cwnd;
  uint32_t tcpi_advmss;
  uint32_t tcpi_reordering;
  uint32_t tcpi_rcv_rtt;
  uint32_t tcpi_rcv_space;
  uint32_t tcpi_total_retrans;
  uint64_t tcpi_pacing_rate;
  uint64_t tcpi_max_pacing_rate;
  uint64_t tcpi_bytes_acked;
  uint64_t tcpi_bytes_received;
  uint32_t tcpi_segs_out;
  uint32_t tcpi_segs_in;
  uint32_t tcpi_notsent_bytes;
  uint32_t tcpi_min_rtt;
  uint32_t tcpi_data_segs_in;
  uint32_t tcpi_data_segs_out;
  uint64_t tcpi_delivery_rate;
  uint64_t tcpi_busy_time;
  uint64_t tcpi_rwnd_limited;
  uint64_t tcpi_sndbuf_limited;
  uint32_t tcpi_delivered;
  uint32_t tcpi_delivered_ce;
  uint64_t tcpi_bytes_sent;
  uint64_t tcpi_bytes_retrans;
  uint32_t tcpi_dsack_dups;
  uint32_t tcpi_reord_seen;
  uint32_t tcpi_rcv_ooopack;
  uint32_t tcpi_snd_wnd;
  uint32_t tcpi_rcv_wnd;
  uint32_t tcpi_rehash;
  uint16_t tcpi_total_rto;
  uint16_t tcpi_total_rto_recoveries;
  uint32_t tcpi_total_rto_time;
};
static_assert(sizeof(TcpInfo) == 248);

// Interfaces.
inline constexpr uint64_t kIFNAMSIZ = 16;
inline constexpr uint32_t kIFF_UP = 0x1;
inline constexpr uint32_t kIFF_BROADCAST = 0x2;
inline constexpr uint32_t kIFF_DEBUG = 0x4;
inline constexpr uint32_t kIFF_LOOPBACK = 0x8;
inline constexpr uint32_t kIFF_POINTOPOINT = 0x10;
inline constexpr uint32_t kIFF_NOTRAILERS = 0x20;
inline constexpr uint32_t kIFF_RUNNING = 0x40;
inline constexpr uint32_t kIFF_NOARP = 0x80;
inline constexpr uint32_t kIFF_PROMISC = 0x100;
inline constexpr uint32_t kIFF_ALLMULTI = 0x200;
inline constexpr uint32_t kIFF_MASTER = 0x400;
inline constexpr uint32_t kIFF_SLAVE = 0x800;
inline constexpr uint32_t kIFF_MULTICAST = 0x1000;
inline constexpr uint32_t kIFF_PORTSEL = 0x2000;
inline constexpr uint32_t kIFF_AUTOMEDIA = 0x4000;
inline constexpr uint32_t kIFF_DYNAMIC = 0x8000;
inline constexpr uint32_t kIFF_LOWER_UP = 0x10000;
inline constexpr uint32_t kIFF_DORMANT = 0x20000;
inline constexpr uint32_t kIFF_ECHO = 0x40000;
inline constexpr uint16_t kARPHRD_ETHER = 1;
inline constexpr uint16_t kARPHRD_LOOPBACK = 772;
inline constexpr uint16_t kARPHRD_PPP = 512;
inline constexpr uint16_t kARPHRD_TUNNEL = 768;
inline constexpr uint16_t kARPHRD_NONE = 65534;
inline constexpr uint16_t kARPHRD_VOID = 65535;
inline constexpr int kETH_P_IP = 0x800;
inline constexpr int kETH_P_ARP = 0x806;
inline constexpr int kETH_P_IPV6 = 0x86dd;
inline constexpr int kETH_P_ALL = 0x3;
inline constexpr int kETH_P_LOOP = 0x60;
inline constexpr int kETH_P_8021Q = 0x8100;
inline constexpr int kETH_ALEN = 6;
inline constexpr int kETH_HLEN = 14;
inline constexpr int kETH_DATA_LEN = 1500;
inline constexpr int kETH_FRAME_LEN = 1514;

// ifr_ifru is a union of what the SIOC*IF* requests carry.
struct Ifreq {
  char ifr_name[16];
  union {
    Sockaddr ifr_addr;
    Sockaddr ifr_dstaddr;
    Sockaddr ifr_broadaddr;
    Sockaddr ifr_netmask;
    Sockaddr ifr_hwaddr;
    int16_t ifr_flags;
    int32_t ifr_ifindex;
    int32_t ifr_metric;
    int32_t ifr_mtu;
    int32_t ifr_qlen;
    char ifr_slave[16];
    char ifr_newname[16];
    uint64_t ifr_data;
    uint8_t ifr_map_[24];
  };
};
static_assert(sizeof(Ifreq) == 40);

// SIOCGIFCONF: ifc_len bytes at the address ifc_buf.
struct Ifconf {
  int32_t ifc_len;
  int32_t pad_;
  uint64_t ifc_buf;
};

struct SockaddrLl {
  uint16_t sll_family;
  uint16_t sll_protocol;
  int32_t sll_ifindex;
  uint16_t sll_hatype;
  uint8_t sll_pkttype;
  uint8_t sll_halen;
  uint8_t sll_addr[8];
};
static_assert(sizeof(SockaddrLl) == 20);

}  // namespace moat::abi
