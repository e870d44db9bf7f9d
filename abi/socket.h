// Linux's sockets: socket(2), socket(7), unix(7), sendmsg(2).
#pragma once

#include <stdint.h>

#include "abi/uio.h"

namespace moat::abi {

inline constexpr int kAF_UNSPEC = 0;
inline constexpr int kAF_UNIX = 1;
inline constexpr int kAF_LOCAL = 1;
inline constexpr int kAF_INET = 2;
inline constexpr int kAF_AX25 = 3;
inline constexpr int kAF_IPX = 4;
inline constexpr int kAF_APPLETALK = 5;
inline constexpr int kAF_NETROM = 6;
inline constexpr int kAF_BRIDGE = 7;
inline constexpr int kAF_X25 = 9;
inline constexpr int kAF_INET6 = 10;
inline constexpr int kAF_KEY = 15;
inline constexpr int kAF_NETLINK = 16;
inline constexpr int kAF_ROUTE = 16;
inline constexpr int kAF_PACKET = 17;
inline constexpr int kAF_CAN = 29;
inline constexpr int kAF_TIPC = 30;
inline constexpr int kAF_BLUETOOTH = 31;
inline constexpr int kAF_ALG = 38;
inline constexpr int kAF_VSOCK = 40;
inline constexpr int kAF_KCM = 41;
inline constexpr int kAF_QIPCRTR = 42;
inline constexpr int kAF_SMC = 43;
inline constexpr int kAF_XDP = 44;
inline constexpr int kAF_MCTP = 45;
inline constexpr int kAF_MAX = 46;
inline constexpr int kSOCK_STREAM = 1;
inline constexpr int kSOCK_DGRAM = 2;
inline constexpr int kSOCK_RAW = 3;
inline constexpr int kSOCK_RDM = 4;
inline constexpr int kSOCK_SEQPACKET = 5;
inline constexpr int kSOCK_PACKET = 10;
inline constexpr int kSOCK_TYPE_MASK = 0xf;
inline constexpr int kSOCK_CLOEXEC = 02000000;
inline constexpr int kSOCK_NONBLOCK = 04000;
inline constexpr int kSHUT_RD = 0;
inline constexpr int kSHUT_WR = 1;
inline constexpr int kSHUT_RDWR = 2;
inline constexpr int kSOMAXCONN = 4096;

inline constexpr int kSOL_IP = 0;
inline constexpr int kSOL_SOCKET = 1;
inline constexpr int kSOL_ICMP = 1;
inline constexpr int kSOL_TCP = 6;
inline constexpr int kSOL_UDP = 17;
inline constexpr int kSOL_IPV6 = 41;
inline constexpr int kSOL_ICMPV6 = 58;
inline constexpr int kSOL_RAW = 255;
inline constexpr int kSOL_PACKET = 263;
inline constexpr int kSOL_NETLINK = 270;
inline constexpr int kSOL_TLS = 282;
inline constexpr int kSOL_XDP = 283;
inline constexpr int kSOL_MPTCP = 284;
inline constexpr int kSO_DEBUG = 1;
inline constexpr int kSO_REUSEADDR = 2;
inline constexpr int kSO_TYPE = 3;
inline constexpr int kSO_ERROR = 4;
inline constexpr int kSO_DONTROUTE = 5;
inline constexpr int kSO_BROADCAST = 6;
inline constexpr int kSO_SNDBUF = 7;
inline constexpr int kSO_RCVBUF = 8;
inline constexpr int kSO_SNDBUFFORCE = 32;
inline constexpr int kSO_RCVBUFFORCE = 33;
inline constexpr int kSO_KEEPALIVE = 9;
inline constexpr int kSO_OOBINLINE = 10;
inline constexpr int kSO_NO_CHECK = 11;
inline constexpr int kSO_PRIORITY = 12;
inline constexpr int kSO_LINGER = 13;
inline constexpr int kSO_BSDCOMPAT = 14;
inline constexpr int kSO_REUSEPORT = 15;
inline constexpr int kSO_PASSCRED = 16;
inline constexpr int kSO_PEERCRED = 17;
inline constexpr int kSO_RCVLOWAT = 18;
inline constexpr int kSO_SNDLOWAT = 19;
inline constexpr int kSO_RCVTIMEO = 20;
inline constexpr int kSO_SNDTIMEO = 21;
inline constexpr int kSO_RCVTIMEO_OLD = 20;
inline constexpr int kSO_SNDTIMEO_OLD = 21;
inline constexpr int kSO_BINDTODEVICE = 25;
inline constexpr int kSO_ATTACH_FILTER = 26;
inline constexpr int kSO_DETACH_FILTER = 27;
inline constexpr int kSO_DETACH_BPF = 27;
inline constexpr int kSO_GET_FILTER = 26;
inline constexpr int kSO_PEERNAME = 28;
inline constexpr int kSO_TIMESTAMP = 29;
inline constexpr int kSO_TIMESTAMP_OLD = 29;
inline constexpr int kSO_ACCEPTCONN = 30;
inline constexpr int kSO_PEERSEC = 31;
inline constexpr int kSO_PASSSEC = 34;
inline constexpr int kSO_TIMESTAMPNS = 35;
inline constexpr int kSO_TIMESTAMPNS_OLD = 35;
inline constexpr int kSO_MARK = 36;
inline constexpr int kSO_TIMESTAMPING = 37;
inline constexpr int kSO_TIMESTAMPING_OLD = 37;
inline constexpr int kSO_PROTOCOL = 38;
inline constexpr int kSO_DOMAIN = 39;
inline constexpr int kSO_RXQ_OVFL = 40;
inline constexpr int kSO_WIFI_STATUS = 41;
inline constexpr int kSO_PEEK_OFF = 42;
inline constexpr int kSO_NOFCS = 43;
inline constexpr int kSO_LOCK_FILTER = 44;
inline constexpr int kSO_SELECT_ERR_QUEUE = 45;
inline constexpr int kSO_BUSY_POLL = 46;
inline constexpr int kSO_MAX_PACING_RATE = 47;
inline constexpr int kSO_BPF_EXTENSIONS = 48;
inline constexpr int kSO_INCOMING_CPU = 49;
inline constexpr int kSO_ATTACH_BPF = 50;
inline constexpr int kSO_ATTACH_REUSEPORT_CBPF = 51;
inline constexpr int kSO_ATTACH_REUSEPORT_EBPF = 52;
inline constexpr int kSO_CNX_ADVICE = 53;
inline constexpr int kSO_MEMINFO = 55;
inline constexpr int kSO_INCOMING_NAPI_ID = 56;
inline constexpr int kSO_COOKIE = 57;
inline constexpr int kSO_PEERGROUPS = 59;
inline constexpr int kSO_ZEROCOPY = 60;
inline constexpr int kSO_TXTIME = 61;
inline constexpr int kSO_BINDTOIFINDEX = 62;
inline constexpr int kSO_TIMESTAMP_NEW = 63;
inline constexpr int kSO_TIMESTAMPNS_NEW = 64;
inline constexpr int kSO_TIMESTAMPING_NEW = 65;
inline constexpr int kSO_RCVTIMEO_NEW = 66;
inline constexpr int kSO_SNDTIMEO_NEW = 67;
inline constexpr int kSO_DETACH_REUSEPORT_BPF = 68;
inline constexpr int kSO_PREFER_BUSY_POLL = 69;
inline constexpr int kSO_BUSY_POLL_BUDGET = 70;
inline constexpr int kSO_NETNS_COOKIE = 71;
inline constexpr int kSO_BUF_LOCK = 72;
inline constexpr int kSO_RESERVE_MEM = 73;
inline constexpr int kSO_TXREHASH = 74;
inline constexpr int kSO_RCVMARK = 75;
inline constexpr int kSO_PASSPIDFD = 76;
inline constexpr int kSO_PEERPIDFD = 77;
inline constexpr int kSOCK_SNDBUF_LOCK = 1;
inline constexpr int kSOCK_RCVBUF_LOCK = 2;

inline constexpr uint32_t kMSG_OOB = 0x1;
inline constexpr uint32_t kMSG_PEEK = 0x2;
inline constexpr uint32_t kMSG_DONTROUTE = 0x4;
inline constexpr uint32_t kMSG_TRYHARD = 0x4;
inline constexpr uint32_t kMSG_CTRUNC = 0x8;
inline constexpr uint32_t kMSG_PROXY = 0x10;
inline constexpr uint32_t kMSG_TRUNC = 0x20;
inline constexpr uint32_t kMSG_DONTWAIT = 0x40;
inline constexpr uint32_t kMSG_EOR = 0x80;
inline constexpr uint32_t kMSG_WAITALL = 0x100;
inline constexpr uint32_t kMSG_FIN = 0x200;
inline constexpr uint32_t kMSG_SYN = 0x400;
inline constexpr uint32_t kMSG_CONFIRM = 0x800;
inline constexpr uint32_t kMSG_RST = 0x1000;
inline constexpr uint32_t kMSG_ERRQUEUE = 0x2000;
inline constexpr uint32_t kMSG_NOSIGNAL = 0x4000;
inline constexpr uint32_t kMSG_MORE = 0x8000;
inline constexpr uint32_t kMSG_WAITFORONE = 0x10000;
inline constexpr uint32_t kMSG_BATCH = 0x40000;
inline constexpr uint32_t kMSG_ZEROCOPY = 0x4000000;
inline constexpr uint32_t kMSG_FASTOPEN = 0x20000000;
inline constexpr uint32_t kMSG_CMSG_CLOEXEC = 0x40000000;
inline constexpr int kSCM_RIGHTS = 1;
inline constexpr int kSCM_CREDENTIALS = 2;
inline constexpr int kSCM_SECURITY = 3;
inline constexpr int kSCM_PIDFD = 4;
inline constexpr int kSCM_TIMESTAMP = 29;
inline constexpr int kSCM_TIMESTAMPNS = 35;
inline constexpr int kSCM_TIMESTAMPING = 37;
// Most descriptors that one SCM_RIGHTS message carries.
inline constexpr int kSCM_MAX_FD = 253;

struct Sockaddr {
  uint16_t sa_family;
  char sa_data[14];
};

struct alignas(8) SockaddrStorage {
  uint16_t ss_family;
  uint8_t data_[126];
};
static_assert(sizeof(SockaddrStorage) == 128);

inline constexpr uint64_t kUNIX_PATH_MAX = 108;
struct SockaddrUn {
  uint16_t sun_family;
  char sun_path[108];
};
static_assert(sizeof(SockaddrUn) == 110);

struct Ucred {
  int32_t pid;
  uint32_t uid;
  uint32_t gid;
};

struct Linger {
  int32_t l_onoff;
  int32_t l_linger;
};

// The kernel's struct user_msghdr; pointers are addresses, msg_iov of msg_iovlen Iovecs.
struct Msghdr {
  uint64_t msg_name;
  int32_t msg_namelen;
  int32_t pad0_;
  uint64_t msg_iov;
  uint64_t msg_iovlen;
  uint64_t msg_control;
  uint64_t msg_controllen;
  uint32_t msg_flags;
  uint32_t pad1_;
};
using UserMsghdr = Msghdr;
static_assert(sizeof(Msghdr) == 56);

struct Mmsghdr {
  Msghdr msg_hdr;
  uint32_t msg_len;
  uint32_t pad_;
};
static_assert(sizeof(Mmsghdr) == 64);

struct Cmsghdr {
  uint64_t cmsg_len;
  int32_t cmsg_level;
  int32_t cmsg_type;
};
static_assert(sizeof(Cmsghdr) == 16);

// cmsg(3): CMSG_ALIGN, CMSG_LEN and CMSG_SPACE. `length` is below 2^63.
constexpr uint64_t CmsgAlign(uint64_t length) { return (length + 7) & ~uint64_t{7}; }
constexpr uint64_t CmsgLen(uint64_t length) { return sizeof(Cmsghdr) + length; }
constexpr uint64_t CmsgSpace(uint64_t length) { return sizeof(Cmsghdr) + CmsgAlign(length); }

}  // namespace moat::abi
