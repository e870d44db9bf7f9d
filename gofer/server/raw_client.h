// A client for tests that sends exactly the bytes it is told, good or bad.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "abi/socket.h"
#include "base/host/fd_passing.h"
#include "base/host/file.h"
#include "base/host/socket.h"
#include "gofer/server/server.h"

namespace moat::gofer {

// A temporary directory, removed with everything in it.
class TempDir {
 public:
  TempDir() {
    char name[] = "/tmp/gofer_test.XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(*this / name) << text; }
  std::string Read(const std::string& name) const {
    std::ifstream in(*this / name);
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::string path_;
};

inline std::unique_ptr<Service> MakeService(const std::vector<std::pair<std::string, bool>>& roots,
                                            const std::vector<std::string>& hide = {}) {
  auto reopener = Reopener::Create();
  EXPECT_TRUE(reopener.ok());
  auto service = std::make_unique<Service>(Service{std::move(*reopener), {}, UniqueFd(), false});
  service->empty_file = std::move(*MakeEmptyFile(service->reopener));
  for (const auto& [path, read_only] : roots) {
    auto root = std::make_unique<Root>();
    root->fd = std::move(*host::Openat(abi::kAT_FDCWD, path.c_str(), abi::kO_PATH | abi::kO_DIRECTORY | abi::kO_CLOEXEC));
    root->read_only = read_only;
    for (const auto& h : hide) EXPECT_TRUE(root->hide.Add(h).ok());
    EXPECT_TRUE(root->Prepare().ok());
    service->roots.push_back(std::move(root));
  }
  return service;
}

// A server on threads of this process, with its client's end of the socket.
class RunningServer {
 public:
  explicit RunningServer(std::unique_ptr<Service> service, uint32_t max_handles = 1000, int threads = 4)
      : service_(std::move(service)) {
    auto pair = host::Socketpair(abi::kAF_UNIX, abi::kSOCK_SEQPACKET | abi::kSOCK_CLOEXEC, 0);
    client_ = std::move(pair->first);
    server_ = std::make_unique<Server>(*service_, std::move(pair->second), max_handles);
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { server_->Serve(); });
  }
  ~RunningServer() {
    client_.Reset();
    StopThreads();
  }
  // Hangs up; the client sees the end of the connection.
  void StopThreads() {
    server_->Stop();
    for (auto& t : threads_) t.join();
    threads_.clear();
  }
  int fd() const { return client_.get(); }
  UniqueFd TakeFd() { return std::move(client_); }
  const Session& session() const { return server_->session(); }

 private:
  std::unique_ptr<Service> service_;
  UniqueFd client_;
  std::unique_ptr<Server> server_;
  std::vector<std::thread> threads_;
};

struct RawReply {
  bool closed = false;  // the server hung up
  uint64_t id = 0;
  Errno error{0};
  std::vector<std::byte> body;
  std::vector<UniqueFd> fds;
  template <class T> T As() const {
    T value{};
    EXPECT_GE(body.size(), sizeof value);
    if (body.size() >= sizeof value) memcpy(&value, body.data(), sizeof value);
    return value;
  }
};

class RawClient {
 public:
  explicit RawClient(int fd) : fd_(fd) {}

  RawReply SendBytes(std::span<const std::byte> bytes) {
    if (!host::SendWithFds(fd_, bytes, {}).ok()) return RawReply{true};
    return Receive();
  }
  RawReply Receive() {
    std::vector<std::byte> buffer(kMaxMessage);
    auto got = host::RecvWithFds(fd_, buffer);
    if (!got.ok() || got->length == 0) return RawReply{true};
    Reader r(std::span(buffer).first(got->length));
    auto header = ReadReplyHeader(r, got->length);
    EXPECT_TRUE(header.ok());
    EXPECT_EQ(header->fd_count, got->fds.size());
    RawReply reply;
    reply.id = header->id;
    reply.error = Errno{header->error};
    reply.body.assign(r.rest().begin(), r.rest().end());
    reply.fds = std::move(got->fds);
    return reply;
  }
  RawReply Call(Op op, Writer& w) { return SendBytes(w.FinishRequest(++id_, op)); }

  Handle Attach(uint32_t root = 0) {
    Writer w;
    w.Put(AttachRequest{kProtocolVersion, root});
    return Call(Op::kAttach, w).As<AttachReply>().handle;
  }
  RawReply Walk(Handle dir, const std::vector<std::string>& names, uint16_t flags = 0) {
    Writer w;
    w.Put(WalkRequest{dir, static_cast<uint16_t>(names.size()), flags});
    for (const auto& n : names) w.PutString(n);
    return Call(Op::kWalk, w);
  }
  RawReply Open(Handle dir, const std::string& name, uint32_t open_flags, uint32_t flags = 0) {
    Writer w;
    w.Put(OpenRequest{{dir, 0, 0, 0}, open_flags, flags});
    w.PutString(name);
    return Call(Op::kOpen, w);
  }

 private:
  int fd_;
  uint64_t id_ = 0;
};

}  // namespace moat::gofer
