// For unit tests: a caller with fixed credentials.
#pragma once

#include "fs/vfs/test_tree.h"
#include "sentry/net/socket.h"

namespace moat {

class TestCaller final : public SocketCaller {
 public:
  explicit TestCaller(TestTree& tree) : tree_(tree) {}
  const Credentials& creds() const override { return *tree_.who; }
  int pid() const override { return 42; }
  WalkContext walk() const override { return tree_.context(); }
  uint32_t umask() const override { return 022; }
  uint64_t descriptor_limit() const override { return limit; }
  uint64_t limit = 1024;

 private:
  TestTree& tree_;
};

// Sends and receives text; the errno as "errno N".
inline ErrorOr<size_t> SendText(Socket& socket, const SocketCaller& caller, std::string_view text, SendInfo info = {}) {
  BufferSource source(std::as_bytes(std::span(text)));
  return socket.TrySend(&caller, source, info);
}
inline std::string ReceiveText(Socket& socket, size_t room = 100, ReceiveInfo* info = nullptr) {
  ReceiveInfo mine;
  std::string text(room, '\0');
  BufferSink sink(std::as_writable_bytes(std::span(text)));
  ErrorOr<size_t> n = socket.TryReceive(sink, info ? *info : mine);
  if (!n.ok()) return "errno " + std::to_string(static_cast<int>(n.error()));
  text.resize(std::min(*n, room));
  return text;
}

}  // namespace moat
