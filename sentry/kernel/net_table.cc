#include "sentry/kernel/net_table.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "abi/netinet.h"
#include "abi/socket.h"
#include "abi/stat.h"
#include "fs/vfs/fd_table.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/net/socket.h"
#include "sentry/syscalls/socket_io.h"

namespace moat {

namespace {

constexpr uint8_t kEstablished = 1, kClosed = 7;  // TCP_ESTABLISHED, TCP_CLOSE

// Every socket once, by inode number.
std::map<uint64_t, Ref<Socket>> AllSockets(Kernel& kernel) {
  std::vector<Ref<FdTable>> tables;
  {
    MutexLock lock(kernel.tasks_lock);
    kernel.ForEachTask([&](Task& t) {
      if (t.fds_ref() && std::find(tables.begin(), tables.end(), t.fds_ref()) == tables.end()) tables.push_back(t.fds_ref());
    });
  }
  std::map<uint64_t, Ref<Socket>> sockets;
  for (const Ref<FdTable>& table : tables) {
    for (int fd = table->NextFd(0); fd >= 0; fd = table->NextFd(fd + 1)) {
      ErrorOr<Ref<FileDescription>> file = table->Get(fd);
      if (!file.ok() || (*file)->inode().type() != abi::kS_IFSOCK) continue;
      Ref<Socket> socket = RefCast<Socket>(*file);
      ErrorOr<Attr> attr = (*file)->inode().GetAttr();
      if (socket && attr.ok()) sockets.emplace(attr->ino, std::move(socket));
    }
  }
  return sockets;
}

// An option's first byte; 0 if there is none.
uint8_t OptionByte(const SocketCaller& caller, Socket& socket, int level, int name) {
  ErrorOr<std::string> value = socket.GetOption(caller, level, name, sizeof(int));
  return value.ok() && !value->empty() ? static_cast<uint8_t>((*value)[0]) : 0;
}

// "0100007F:1F90": words as the machine reads them, the port as people do.
std::string HexName(int family, const ErrorOr<SocketAddress>& name) {
  char text[64];
  if (family == abi::kAF_INET) {
    abi::SockaddrIn a = name.ok() ? name->As<abi::SockaddrIn>() : abi::SockaddrIn{};
    uint32_t word = 0;
    memcpy(&word, &a.sin_addr, sizeof word);
    snprintf(text, sizeof text, "%08X:%04X", word, __builtin_bswap16(a.sin_port));
  } else {
    abi::SockaddrIn6 a = name.ok() ? name->As<abi::SockaddrIn6>() : abi::SockaddrIn6{};
    uint32_t words[4] = {};
    memcpy(words, &a.sin6_addr, sizeof words);
    snprintf(text, sizeof text, "%08X%08X%08X%08X:%04X", words[0], words[1], words[2], words[3], __builtin_bswap16(a.sin6_port));
  }
  return text;
}

std::string InetTable(Kernel& kernel, const SocketCaller& caller, int family, int type) {
  std::string out;
  int line = 0;
  for (auto& [ino, socket] : AllSockets(kernel)) {
    if (socket->family() != family || socket->type() != type) continue;
    ErrorOr<SocketAddress> local = socket->LocalName(), remote = socket->PeerName();
    std::string local_text = HexName(family, local);
    bool tcp = type == abi::kSOCK_STREAM;
    bool bound = !local_text.ends_with(":0000");
    uint8_t state = tcp ? OptionByte(caller, *socket, abi::kSOL_TCP, abi::kTCP_INFO) : remote.ok() ? kEstablished : kClosed;
    if (!bound || (tcp && state == kClosed)) continue;  // not hashed
    ErrorOr<Attr> attr = socket->inode().GetAttr();
    char text[320];
    int n = snprintf(text, sizeof text, tcp ? "%4d: %s %s %02X %08X:%08X %02X:%08X %08X %5u %8d %llu 1 0000000000000000 100 0 0 10 0"
                                            : "%5d: %s %s %02X %08X:%08X %02X:%08X %08X %5u %8d %llu 2 0000000000000000 0",
                     line++, local_text.c_str(), HexName(family, remote).c_str(), state, 0, 0, 0, 0, 0,
                     attr.ok() ? attr->uid : 0, 0, static_cast<unsigned long long>(ino));
    constexpr size_t kTcpWidth = 149, kUdpWidth = 127;  // lines of IPv4 are padded to a fixed length
    std::string row(text, static_cast<size_t>(n));
    if (family == abi::kAF_INET) row.resize(std::max(row.size(), tcp ? kTcpWidth : kUdpWidth), ' ');
    out += row + "\n";
  }
  return out;
}

std::string UnixTable(Kernel& kernel, const SocketCaller& caller) {
  constexpr uint32_t kAccepting = 0x10000;  // __SO_ACCEPTCON
  std::string out;
  for (auto& [ino, socket] : AllSockets(kernel)) {
    if (socket->family() != abi::kAF_UNIX) continue;
    bool listening = OptionByte(caller, *socket, abi::kSOL_SOCKET, abi::kSO_ACCEPTCONN) != 0;
    constexpr int kUnconnected = 1, kConnected = 3;  // SS_*
    int state = socket->PeerName().ok() ? kConnected : kUnconnected;
    char text[128];
    snprintf(text, sizeof text, "%016x: %08X %08X %08X %04X %02X %5llu", 0, 2, 0, listening ? kAccepting : 0, socket->type(), state,
             static_cast<unsigned long long>(ino));
    out += text;
    ErrorOr<SocketAddress> name = socket->LocalName();
    constexpr size_t kPathAt = sizeof(uint16_t);
    if (name.ok() && name->length > kPathAt) {
      std::string path(reinterpret_cast<const char*>(name->bytes.data()) + kPathAt, name->length - kPathAt);
      if (path[0] == '\0') path[0] = '@';  // an abstract name, NULs within shown alike
      else path.resize(strlen(path.c_str()));
      std::replace(path.begin(), path.end(), '\0', '@');
      out += " " + path;
    }
    out += "\n";
  }
  return out;
}

}  // namespace

std::string FormatNetTable(Kernel& kernel, std::string_view name) {
  Task* t = Task::Current();
  if (!t) return {};
  TaskSocketCaller caller(*t);
  if (name == "unix") return UnixTable(kernel, caller);
  if (name == "tcp") return InetTable(kernel, caller, abi::kAF_INET, abi::kSOCK_STREAM);
  if (name == "tcp6") return InetTable(kernel, caller, abi::kAF_INET6, abi::kSOCK_STREAM);
  if (name == "udp") return InetTable(kernel, caller, abi::kAF_INET, abi::kSOCK_DGRAM);
  if (name == "udp6") return InetTable(kernel, caller, abi::kAF_INET6, abi::kSOCK_DGRAM);
  return {};
}

}  // namespace moat
