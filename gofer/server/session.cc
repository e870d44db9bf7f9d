#include "gofer/server/session.h"

#include "abi/fcntl.h"
#include "base/host/directory.h"
#include "base/host/file.h"

namespace moat::gofer {

ErrorOr<UniqueFd> MakeEmptyFile(const Reopener& reopener) {
  UniqueFd memfd = TRY(host::MemfdCreate("empty", abi::kMFD_CLOEXEC | abi::kMFD_ALLOW_SEALING));
  TRY(host::FcntlAddSeals(memfd.get(), abi::kF_SEAL_SEAL | abi::kF_SEAL_SHRINK | abi::kF_SEAL_GROW | abi::kF_SEAL_WRITE));
  return reopener.Reopen(memfd.get(), abi::kO_RDONLY);
}

ErrorOr<Session::Answer> Session::Execute(std::span<const std::byte> message, Writer& out) {
  Reader in(message);
  RequestHeader header = TRY(ReadRequestHeader(in, message.size()));
  Answer answer;
  answer.id = header.id;
  answer.silent = header.id == 0;
  answer.error = Dispatch(static_cast<Op>(header.op), in, out, answer.fd).error();
  if (answer.error != Errno{0}) answer.fd.Reset();
  return answer;
}

ErrorOr<void> Session::Dispatch(Op op, Reader& in, Writer& out, UniqueFd& fd) {
  switch (op) {
    case Op::kAttach: return Attach(in, out);
    case Op::kWalk: return Walk(in, out, fd);
    case Op::kWalkMany: return WalkMany(in, out);
    case Op::kOpen: return Open(in, out, fd);
    case Op::kCreate: return Create(in, out, fd);
    case Op::kMkdir: return Mkdir(in, out);
    case Op::kSymlink: return Symlink(in, out);
    case Op::kLink: return Link(in, out);
    case Op::kMknod: return Mknod(in, out);
    case Op::kUnlink: return Unlink(in, out, false);
    case Op::kRmdir: return Unlink(in, out, true);
    case Op::kRename: return Rename(in, out);
    case Op::kSetAttr: return SetAttr(in, out);
    case Op::kGetAttr: return GetAttr(in, out);
    case Op::kGetAttrBatch: return GetAttrBatch(in, out);
    case Op::kReadLink: return ReadLink(in, out);
    case Op::kReadDir: return ReadDir(in, out);
    case Op::kGetXattr: return GetXattr(in, out);
    case Op::kSetXattr: return SetXattr(in);
    case Op::kListXattr: return ListXattr(in, out);
    case Op::kRemoveXattr: return RemoveXattr(in);
    case Op::kStatFs: return StatFs(in, out);
    case Op::kSync: return Sync(in);
    case Op::kClose: return Close(in);
    case Op::kCreateUnnamed: return CreateUnnamed(in, out, fd);
  }
  return kEPROTO;
}

ErrorOr<Ref<Node>> Session::GetDirectory(Handle handle) const {
  Ref<Node> node = TRY(handles_.Get(handle));
  if (node->kind() != Node::Kind::kDirectory) return kENOTDIR;
  return node;
}

ErrorOr<Ref<Node>> Session::GetChangeable(Handle handle, std::string_view name) const {
  TRY(CheckName(name));
  Ref<Node> node = TRY(GetDirectory(handle));
  if (node->root().read_only) return kEROFS;
  // Neither what is hidden nor a directory above it is moved or replaced: the hidden paths would lead elsewhere.
  if (node->hide() && node->hide()->Child(name)) return kEACCES;
  return node;
}

ErrorOr<Session::Place> Session::Resolve(const Target& target, std::string_view name) const {
  Place place;
  place.base = TRY(handles_.Get(target.handle));
  if (name.empty()) {
    place.found.attr = TRY(StatFd(place.base->fd()));
    place.found.hide = place.base->hide();
  } else {
    if (place.base->kind() != Node::Kind::kDirectory) return kENOTDIR;
    place.found = TRY(LookupChild(place.root(), place.base->fd(), place.base->dev(), place.base->hide(), name));
    place.by_name = true;
  }
  if (target.ino != 0 && (place.found.attr.ino != target.ino || place.found.attr.dev != target.dev)) return kESTALE;
  return place;
}

ErrorOr<Session::Place> Session::ReadTarget(Reader& in, const Target& target) const {
  std::string_view name = TRY(in.GetString(kMaxName));
  return Resolve(target, name);
}

ErrorOr<Session::Place> Session::ReadChangeable(Reader& in, const Target& target) const {
  Place place = TRY(ReadTarget(in, target));
  if (place.root().read_only) return kEROFS;
  if (place.found.hidden) return kEACCES;
  return place;
}

ErrorOr<Handle> Session::Keep(UniqueFd fd, const Root& root, const HideNode* hide, const WireAttr& attr) {
  auto kind = abi::IsDir(attr.mode) ? Node::Kind::kDirectory : Node::Kind::kFile;
  return handles_.Insert(MakeRef<Node>(kind, std::move(fd), root, hide, attr.dev));
}

ErrorOr<void> Session::PutNode(Writer& out, UniqueFd path_fd, const Root& root, const WireAttr& attr, bool keep) {
  NodeReply reply{};
  reply.attr = attr;
  if (keep) reply.handle = TRY(Keep(std::move(path_fd), root, nullptr, attr));
  out.Put(reply);
  return {};
}

}  // namespace moat::gofer
