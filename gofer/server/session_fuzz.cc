// Feeds messages of any shape to a session over a small tree. The input is a sequence of (16-bit length, bytes), each the
// part of a message behind its header plus one byte for the operation; handles that were given out are put in place of
// small numbers, so that the fuzzer gets past the first check.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "abi/fcntl.h"
#include "base/host/file.h"
#include "gofer/server/session.h"

namespace moat::gofer {
namespace {

struct Tree {
  std::string path;
  std::unique_ptr<Service> service;

  Tree() {
    char name[] = "/tmp/gofer_fuzz.XXXXXX";
    path = mkdtemp(name);
    Refill();
    service = std::make_unique<Service>(Service{std::move(*Reopener::Create()), {}, UniqueFd(), false});
    service->empty_file = std::move(*MakeEmptyFile(service->reopener));
    for (bool read_only : {false, true}) {
      auto root = std::make_unique<Root>();
      std::string top = path + "/root";
      root->fd = std::move(*host::Openat(abi::kAT_FDCWD, top.c_str(), abi::kO_PATH | abi::kO_CLOEXEC));
      root->read_only = read_only;
      if (!root->hide.Add("d/hidden").ok() || !root->Prepare().ok()) abort();
      service->roots.push_back(std::move(root));
    }
  }
  void Refill() {
    std::filesystem::create_directories(path + "/root/d/hidden");
    std::ofstream(path + "/root/d/f") << "file";
    std::ofstream(path + "/secret") << "secret";
    std::error_code ignored;
    std::filesystem::create_symlink("../secret", path + "/root/l", ignored);
  }
};

Tree& TheTree() {
  static Tree tree;
  return tree;
}

// The reply's handle, if it is one of the operations that return one first.
Handle HandleIn(Op op, const Writer&, std::span<const std::byte> body) {
  Handle handle = 0;
  if ((op == Op::kAttach || op == Op::kOpen || op == Op::kMkdir || op == Op::kReadDir || op == Op::kUnlink) &&
      body.size() >= sizeof handle) {
    memcpy(&handle, body.data(), sizeof handle);
  }
  return handle;
}

}  // namespace
}  // namespace moat::gofer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace moat::gofer;
  Tree& tree = TheTree();
  Session session(*tree.service, 64);
  std::vector<Handle> handles;
  Writer out;
  auto send = [&](Op op, std::span<const std::byte> body) {
    Writer request;
    request.PutBytes(body.data(), body.size());
    out.Clear();
    auto answer = session.Execute(request.FinishRequest(1, op), out);
    if (!answer.ok()) return;
    auto reply = out.FinishReply(1, answer->error, answer->fd.valid());
    Reader reader(reply);
    auto header = ReadReplyHeader(reader, reply.size());
    if (!header.ok() || reply.size() > kMaxMessage) abort();  // our own replies are well formed
    if (Handle h = HandleIn(op, out, reader.rest()); h != 0) handles.push_back(h);
    if (answer->fd.valid()) {
      auto st = moat::host::Fstat(answer->fd.get());
      if (!st.ok() || !moat::abi::IsReg(st->st_mode)) abort();  // only regular files leave the gofer
    }
  };
  for (uint32_t root : {0u, 1u}) {
    AttachRequest attach{kProtocolVersion, root};
    send(Op::kAttach, std::as_bytes(std::span(&attach, 1)));
  }
  while (size >= 3) {
    size_t n = std::min<size_t>((data[0] | data[1] << 8) % 300, size - 3);
    Op op = static_cast<Op>(1 + data[2] % (kOpCount - 1));
    std::vector<std::byte> body(reinterpret_cast<const std::byte*>(data + 3), reinterpret_cast<const std::byte*>(data + 3 + n));
    if (body.size() >= sizeof(Handle)) {
      Handle index;
      memcpy(&index, body.data(), sizeof index);
      if (index < handles.size()) memcpy(body.data(), &handles[index], sizeof index);
    }
    send(op, body);
    data += 3 + n;
    size -= 3 + n;
  }
  std::ifstream secret(tree.path + "/secret");
  std::string text;
  secret >> text;
  if (text != "secret") abort();  // nothing outside the root is changed
  tree.Refill();
  return 0;
}
