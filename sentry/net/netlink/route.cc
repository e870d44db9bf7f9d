#include "sentry/net/netlink/route.h"

#include <algorithm>
#include <cstring>

#include "abi/netlink.h"
#include "abi/socket.h"
#include "base/util/error.h"
#include "sentry/net/interfaces.h"

namespace moat {

namespace {

using Lo = LoopbackInterface;

// One netlink message that grows by attributes.
class Message {
 public:
  Message(uint16_t type, uint16_t flags, const abi::Nlmsghdr& to, uint32_t port) {
    abi::Nlmsghdr h{0, type, flags, to.nlmsg_seq, port};
    Add(&h, sizeof h);
  }
  template <class T>
  Message& Body(const T& value) {
    Add(&value, sizeof value);
    return *this;
  }
  Message& Attribute(uint16_t type, const void* data, size_t size) {
    abi::Rtattr a{static_cast<uint16_t>(sizeof a + size), type};
    Add(&a, sizeof a);
    Add(data, size);
    return *this;
  }
  template <class T>
  Message& Attribute(uint16_t type, const T& value) { return Attribute(type, &value, sizeof value); }
  Message& Attribute(uint16_t type, const char* text) { return Attribute(type, text, strlen(text) + 1); }
  std::string Take() {
    uint32_t length = static_cast<uint32_t>(bytes_.size());
    memcpy(bytes_.data(), &length, sizeof length);
    return std::move(bytes_);
  }

 private:
  void Add(const void* data, size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize(abi::NlmsgAlign(static_cast<uint32_t>(bytes_.size())));
  }
  std::string bytes_;
};

struct Request {
  abi::Nlmsghdr header;
  std::string_view body;
  uint32_t port;

  bool dump() const { return (header.nlmsg_flags & abi::kNLM_F_DUMP) == abi::kNLM_F_DUMP; }
  uint8_t family() const { return body.empty() ? 0 : static_cast<uint8_t>(body[0]); }
  Message Answer(uint16_t type) const {
    return Message(type, dump() ? abi::kNLM_F_MULTI : uint16_t{0}, header, port);
  }
};

std::string ErrorMessage(const Request& r, Errno error) {
  abi::Nlmsgerr e{-static_cast<int32_t>(error), r.header};
  return Message(abi::kNLMSG_ERROR, 0, r.header, r.port).Body(e).Take();
}

std::string Link(const Request& r) {
  constexpr uint8_t kZeroAddress[abi::kETH_ALEN] = {};
  abi::Ifinfomsg info{};
  info.ifi_type = abi::kARPHRD_LOOPBACK;
  info.ifi_index = Lo::kIndex;
  info.ifi_flags = Lo::kFlags | abi::kIFF_LOWER_UP;
  return r.Answer(abi::kRTM_NEWLINK)
      .Body(info)
      .Attribute(abi::kIFLA_IFNAME, Lo::kName)
      .Attribute(abi::kIFLA_TXQLEN, uint32_t{Lo::kQueueLength})
      .Attribute(abi::kIFLA_OPERSTATE, abi::kIF_OPER_UNKNOWN)
      .Attribute(abi::kIFLA_LINKMODE, uint8_t{0})
      .Attribute(abi::kIFLA_MTU, uint32_t{Lo::kMtu})
      .Attribute(abi::kIFLA_GROUP, uint32_t{0})
      .Attribute(abi::kIFLA_PROMISCUITY, uint32_t{0})
      .Attribute(abi::kIFLA_NUM_TX_QUEUES, uint32_t{1})
      .Attribute(abi::kIFLA_NUM_RX_QUEUES, uint32_t{1})
      .Attribute(abi::kIFLA_CARRIER, uint8_t{1})
      .Attribute(abi::kIFLA_QDISC, "noqueue")
      .Attribute(abi::kIFLA_ADDRESS, kZeroAddress, sizeof kZeroAddress)
      .Attribute(abi::kIFLA_BROADCAST, kZeroAddress, sizeof kZeroAddress)
      .Take();
}

abi::Ifaddrmsg AddressHeader(uint8_t family, int prefix) {
  return {family, static_cast<uint8_t>(prefix), static_cast<uint8_t>(abi::kIFA_F_PERMANENT), abi::kRT_SCOPE_HOST,
          Lo::kIndex};
}

std::string Address4(const Request& r) {
  uint32_t address = __builtin_bswap32(abi::kINADDR_LOOPBACK);
  abi::IfaCacheinfo forever{~0u, ~0u, 0, 0};
  return r.Answer(abi::kRTM_NEWADDR)
      .Body(AddressHeader(abi::kAF_INET, Lo::kPrefix4))
      .Attribute(abi::kIFA_ADDRESS, address)
      .Attribute(abi::kIFA_LOCAL, address)
      .Attribute(abi::kIFA_LABEL, Lo::kName)
      .Attribute(abi::kIFA_FLAGS, abi::kIFA_F_PERMANENT)
      .Attribute(abi::kIFA_CACHEINFO, forever)
      .Take();
}

std::string Address6(const Request& r) {
  uint8_t address[16] = {};
  address[15] = 1;
  abi::IfaCacheinfo forever{~0u, ~0u, 0, 0};
  return r.Answer(abi::kRTM_NEWADDR)
      .Body(AddressHeader(abi::kAF_INET6, Lo::kPrefix6))
      .Attribute(abi::kIFA_ADDRESS, address, sizeof address)
      .Attribute(abi::kIFA_CACHEINFO, forever)
      .Attribute(abi::kIFA_FLAGS, abi::kIFA_F_PERMANENT | abi::kIFA_F_NOPREFIXROUTE)
      .Take();
}

// Does RTM_GETLINK for one interface mean loopback? kENODEV.
ErrorOr<void> CheckLink(const Request& r) {
  abi::Ifinfomsg info{};
  if (r.body.size() < sizeof info) return kEINVAL;
  memcpy(&info, r.body.data(), sizeof info);
  if (info.ifi_index == Lo::kIndex) return {};
  if (info.ifi_index) return kENODEV;
  std::string_view rest = r.body.substr(sizeof info);
  while (rest.size() >= sizeof(abi::Rtattr)) {
    abi::Rtattr a;
    memcpy(&a, rest.data(), sizeof a);
    if (a.rta_len < sizeof a || a.rta_len > rest.size()) return kEINVAL;
    std::string_view value = rest.substr(sizeof a, a.rta_len - sizeof a);
    if (a.rta_type == abi::kIFLA_IFNAME) return value.substr(0, value.find('\0')) == Lo::kName ? ErrorOr<void>() : kENODEV;
    rest.remove_prefix(std::min<size_t>(abi::RtaAlign(a.rta_len), rest.size()));
  }
  return kEINVAL;
}

std::string DumpAddresses(const Request& r) {
  std::string out;
  if (r.family() != abi::kAF_INET6) out += Address4(r);
  if (r.family() != abi::kAF_INET) out += Address6(r);
  return out;
}

// The messages of an answer; an error becomes NLMSG_ERROR.
ErrorOr<std::string> Do(const Request& r, bool privileged) {
  switch (r.header.nlmsg_type) {
    case abi::kRTM_GETLINK:
      if (!r.dump()) TRY(CheckLink(r));
      return Link(r);
    case abi::kRTM_GETADDR:
      if (!r.dump()) return kEOPNOTSUPP;
      return DumpAddresses(r);
    case abi::kRTM_GETROUTE:
      // The main table is empty: what is local needs no route there.
      return r.dump() ? ErrorOr<std::string>(std::string()) : kENETUNREACH;
    case abi::kRTM_GETNEIGH: case abi::kRTM_GETRULE: case abi::kRTM_GETQDISC:
      return r.dump() ? ErrorOr<std::string>(std::string()) : kENOENT;
    default:
      return privileged ? kEOPNOTSUPP : kEPERM;
  }
}

void AnswerOne(const Request& r, bool privileged, std::vector<std::string>& out) {
  ErrorOr<std::string> answer = Do(r, privileged);
  if (!answer.ok()) {
    out.push_back(ErrorMessage(r, answer.error()));
    return;
  }
  if (!answer->empty()) out.push_back(std::move(*answer));
  if (r.dump()) {
    out.push_back(Message(abi::kNLMSG_DONE, abi::kNLM_F_MULTI, r.header, r.port).Body(int32_t{0}).Take());
  } else if (r.header.nlmsg_flags & abi::kNLM_F_ACK) {
    out.push_back(ErrorMessage(r, Errno{0}));
  }
}

}  // namespace

std::vector<std::string> AnswerRoute(std::string_view request, uint32_t port, bool privileged) {
  std::vector<std::string> out;
  while (request.size() >= sizeof(abi::Nlmsghdr)) {
    Request r{};
    memcpy(&r.header, request.data(), sizeof r.header);
    uint32_t length = r.header.nlmsg_len;
    if (length < sizeof r.header || length > request.size()) break;
    r.body = request.substr(sizeof r.header, length - sizeof r.header);
    r.port = port;
    bool asks = (r.header.nlmsg_flags & abi::kNLM_F_REQUEST) && r.header.nlmsg_type >= abi::kNLMSG_MIN_TYPE;
    if (asks) {
      AnswerOne(r, privileged, out);
    } else if (r.header.nlmsg_flags & abi::kNLM_F_ACK) {
      out.push_back(ErrorMessage(r, Errno{0}));
    }
    request.remove_prefix(std::min<size_t>(abi::NlmsgAlign(length), request.size()));
  }
  return out;
}

}  // namespace moat
