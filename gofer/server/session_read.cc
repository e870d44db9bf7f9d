// Requests that change nothing.
#include <algorithm>
#include <string>

#include "abi/fcntl.h"
#include "base/host/directory.h"
#include "base/host/file.h"
#include "gofer/server/session.h"

namespace moat::gofer {

namespace {
// What a client may ask for beside the access mode; O_TRUNC is a SetAttr, O_CREAT a Create.
constexpr uint32_t kOpenFlagsAllowed = abi::kO_ACCMODE | abi::kO_APPEND | abi::kO_DIRECT | abi::kO_DSYNC | abi::kO_SYNC |
                                       abi::kO_NOATIME;
constexpr size_t kDirentBuffer = 32 * 1024;
}  // namespace

ErrorOr<void> Session::Attach(Reader& in, Writer& out) {
  auto request = TRY(in.Get<AttachRequest>());
  TRY(in.End());
  if (request.version != kProtocolVersion) return kEPROTONOSUPPORT;
  if (request.root >= service_.roots.size()) return kENODEV;
  const Root& root = *service_.roots[request.root];
  AttachReply reply{};
  reply.attr = TRY(StatFd(root.fd.get()));
  if (root.read_only) reply.flags |= kAttachReadOnly;
  if (service_.unmapped_ids) reply.flags |= kAttachUnmappedIds;
  reply.max_handles = handles_.limit();
  reply.handle = TRY(Keep(TRY(host::FcntlDupfdCloexec(root.fd.get(), 0)), root, root.hide.root(), reply.attr));
  out.Put(reply);
  return {};
}

ErrorOr<void> Session::Walk(Reader& in, Writer& out, UniqueFd& fd) {
  TRY(WalkOne(in, out, fd));
  return in.End();
}

ErrorOr<void> Session::WalkMany(Reader& in, Writer& out) {
  auto request = TRY(in.Get<BatchRequest>());
  if (request.count > kMaxBatchTargets) return kEINVAL;
  size_t head_at = out.size();
  out.Put(request);
  constexpr size_t kLongestWalk = sizeof(WalkReply) + kMaxWalkNames * sizeof(WalkComponent) + kMaxTarget + 2;
  for (uint32_t i = 0; i < request.count; ++i) {
    if (out.size() + kLongestWalk > kMaxMessage) {
      out.Patch(head_at, BatchRequest{i, 0});
      return {};
    }
    UniqueFd none;
    TRY(WalkOne(in, out, none));
  }
  return in.End();
}

ErrorOr<void> Session::WalkOne(Reader& in, Writer& out, UniqueFd& fd) {
  auto request = TRY(in.Get<WalkRequest>());
  if (request.count == 0 || request.count > kMaxWalkNames) return kEINVAL;
  std::string_view names[kMaxWalkNames];
  for (uint16_t i = 0; i < request.count; ++i) names[i] = TRY(in.GetString(kMaxName));
  Ref<Node> base = TRY(GetDirectory(request.dir));
  WalkReply reply{};
  size_t reply_at = out.size();
  out.Put(reply);

  int dir_fd = base->fd();
  uint64_t dir_dev = base->dev();
  const HideNode* hide = base->hide();
  Ref<Node> kept;     // what dir_fd belongs to: a handle's node,
  UniqueFd transient;  // or nothing that outlives the walk
  std::string target;
  for (uint16_t i = 0; i < request.count; ++i) {
    bool last = i + 1 == request.count;
    auto child = LookupChild(base->root(), dir_fd, dir_dev, hide, names[i]);
    if (!child.ok()) {
      reply.stop = static_cast<uint16_t>(WalkStop::kError);
      reply.error = static_cast<uint16_t>(child.error());
      break;
    }
    WalkComponent component{};
    component.attr = child->attr;
    size_t component_at = out.size();
    out.Put(component);
    ++reply.count;
    if (child->type() == abi::kS_IFLNK) {
      reply.stop = static_cast<uint16_t>(WalkStop::kSymlink);
      target = TRY(host::ReadlinkatString(child->fd.get(), ""));
      break;
    }
    if (!child->is_dir()) {
      if (!last) {
        reply.stop = static_cast<uint16_t>(WalkStop::kNotDirectory);
      } else if ((request.flags & kWalkOpenLast) && child->is_regular()) {
        auto opened = child->hidden ? host::FcntlDupfdCloexec(service_.empty_file.get(), 0)
                                    : service_.reopener.Reopen(child->fd.get(), abi::kO_RDONLY);
        if (opened.ok()) fd = std::move(*opened);
        else reply.open_error = static_cast<uint16_t>(opened.error());
      }
      break;
    }
    if (child->hidden) {
      if (!last) reply.stop = static_cast<uint16_t>(WalkStop::kHidden);
      break;
    }
    dir_dev = child->attr.dev;
    hide = child->hide;
    if (request.flags & kWalkHandles) {
      auto node = MakeRef<Node>(Node::Kind::kDirectory, std::move(child->fd), base->root(), hide, dir_dev);
      dir_fd = node->fd();
      auto handle = handles_.Insert(node);
      if (handle.ok()) {
        component.handle = *handle;
        out.Patch(component_at, component);
      }
      kept = std::move(node);
    } else {
      dir_fd = child->fd.get();
      transient = std::move(child->fd);
    }
  }
  out.Patch(reply_at, reply);
  if (reply.stop == static_cast<uint16_t>(WalkStop::kSymlink)) out.PutString(target);
  return {};
}

ErrorOr<void> Session::Open(Reader& in, Writer& out, UniqueFd& fd) {
  auto request = TRY(in.Get<OpenRequest>());
  Place place = TRY(ReadTarget(in, request.target));
  TRY(in.End());
  if (request.open_flags & ~kOpenFlagsAllowed) return kEINVAL;
  bool write = (request.open_flags & abi::kO_ACCMODE) != abi::kO_RDONLY;
  if (place.base->kind() == Node::Kind::kStream) return kEBADF;
  if (place.found.is_dir()) return kEISDIR;
  if (!place.found.is_regular()) return kENXIO;
  if (write && place.root().read_only) return kEROFS;
  if (place.found.hidden) {
    if (write) return kEACCES;
    fd = TRY(host::FcntlDupfdCloexec(service_.empty_file.get(), 0));
  } else {
    fd = TRY(service_.reopener.Reopen(place.fd(), request.open_flags));
  }
  bool keep = (request.flags & kOpenHandle) && !place.found.hidden && place.by_name;
  return PutNode(out, std::move(place.found.fd), place.root(), place.found.attr, keep);
}

ErrorOr<void> Session::GetAttr(Reader& in, Writer& out) {
  auto request = TRY(in.Get<TargetRequest>());
  Place place = TRY(ReadTarget(in, request.target));
  TRY(in.End());
  out.Put(AttrReply{place.found.attr});
  return {};
}

ErrorOr<void> Session::GetAttrBatch(Reader& in, Writer& out) {
  auto request = TRY(in.Get<BatchRequest>());
  if (request.count > kMaxBatchTargets) return kEINVAL;
  out.Put(request);
  for (uint32_t i = 0; i < request.count; ++i) {
    auto target = TRY(in.Get<Target>());
    std::string_view name = TRY(in.GetString(kMaxName));
    BatchEntry entry{};
    auto place = Resolve(target, name);
    if (place.ok()) entry.attr = place->found.attr;
    else entry.error = static_cast<uint32_t>(place.error());
    out.Put(entry);
  }
  return in.End();
}

ErrorOr<void> Session::ReadLink(Reader& in, Writer& out) {
  auto request = TRY(in.Get<TargetRequest>());
  Place place = TRY(ReadTarget(in, request.target));
  TRY(in.End());
  if (place.found.type() != abi::kS_IFLNK) return kEINVAL;
  std::string target = TRY(host::ReadlinkatString(place.fd(), ""));
  out.PutBytes(target.data(), target.size());
  return {};
}

ErrorOr<void> Session::StatFs(Reader& in, Writer& out) {
  auto request = TRY(in.Get<TargetRequest>());
  Place place = TRY(ReadTarget(in, request.target));
  TRY(in.End());
  // What is hidden answers for the directory it is in.
  abi::Statfs s = TRY(host::Fstatfs(place.found.hidden ? place.base->fd() : place.fd()));
  StatFsReply reply{};
  reply.type = s.f_type;
  reply.bsize = s.f_bsize;
  reply.frsize = s.f_frsize;
  reply.namelen = s.f_namelen;
  reply.blocks = s.f_blocks;
  reply.bfree = s.f_bfree;
  reply.bavail = s.f_bavail;
  reply.files = s.f_files;
  reply.ffree = s.f_ffree;
  reply.flags = s.f_flags;
  out.Put(reply);
  return {};
}

ErrorOr<void> Session::Close(Reader& in) {
  auto request = TRY(in.Get<CloseRequest>());
  if (request.count > kMaxCloseHandles) return kEINVAL;
  for (uint32_t i = 0; i < request.count; ++i) handles_.Close(TRY(in.Get<Handle>()));
  return in.End();
}

// struct linux_dirent64: the fixed part of a record of getdents64(2).
struct HostDirent {
  uint64_t ino;
  uint64_t next;
  uint8_t type;
  std::string_view name;
};

namespace {
constexpr size_t kDirentHeader = 19;  // d_ino, d_off, d_reclen, d_type

// Takes the record at the start of `rest`.
HostDirent TakeDirent(std::span<const char>& rest) {
  HostDirent e{};
  uint16_t length;
  memcpy(&e.ino, rest.data(), 8);
  memcpy(&e.next, rest.data() + 8, 8);
  memcpy(&length, rest.data() + 16, 2);
  e.type = static_cast<uint8_t>(rest[18]);
  e.name = std::string_view(rest.data() + kDirentHeader);
  rest = rest.subspan(length);
  return e;
}
}  // namespace

struct Session::DirBatch {
  Writer& out;
  size_t limit;     // bytes of the whole reply
  uint64_t cookie;  // where to start, then where to go on
  bool seek;        // the stream may stand elsewhere
  uint32_t count = 0;
  bool end = false;
};

ErrorOr<Ref<Node>> Session::OpenStream(const Node& dir) {
  UniqueFd fd = TRY(service_.reopener.ReopenDirectory(dir.fd()));
  return MakeRef<Node>(Node::Kind::kStream, std::move(fd), dir.root(), dir.hide(), dir.dev());
}

// False when the reply is full.
bool Session::PutEntry(const Node& stream, DirBatch& batch, const HostDirent& e) {
  if (batch.out.size() + sizeof(DirEntry) + sizeof(uint16_t) + e.name.size() > batch.limit) return false;
  DirEntry entry{};
  entry.next = e.next;
  entry.ino = e.ino;
  entry.type = e.type;
  const HideNode* hide = stream.hide() ? stream.hide()->Child(e.name) : nullptr;
  if (!(hide && hide->leaf)) {
    // Mount points and hidden inodes are left to a walk, which looks at them through a descriptor.
    constexpr uint32_t kFlags = abi::kAT_SYMLINK_NOFOLLOW | abi::kAT_NO_AUTOMOUNT;
    auto attr = StatAt(stream.fd(), std::string(e.name).c_str(), kFlags);
    if (attr.ok() && attr->dev == stream.dev() && !stream.root().hide.HidesInode(attr->dev, attr->ino)) {
      entry.attr = *attr;
      entry.has_attr = 1;
    }
  }
  if (hide && hide->leaf && entry.type != abi::kS_IFDIR >> 12) entry.type = abi::kS_IFREG >> 12;
  batch.out.Put(entry);
  batch.out.PutString(e.name);
  ++batch.count;
  return true;
}

ErrorOr<void> Session::FillBatch(Node& stream, DirBatch& batch) {
  std::vector<char> buffer(kDirentBuffer);
  MutexLock lock(stream.stream_mu);
  if (batch.seek) TRY(host::Lseek(stream.fd(), static_cast<int64_t>(batch.cookie), abi::kSEEK_SET));
  for (;;) {
    size_t n = TRY(host::Getdents64(stream.fd(), buffer.data(), buffer.size()));
    if (n == 0) {
      batch.end = true;
      return {};
    }
    std::span<const char> rest(buffer.data(), n);
    while (!rest.empty()) {
      HostDirent e = TakeDirent(rest);
      if (e.name == "." || e.name == "..") continue;
      if (!PutEntry(stream, batch, e)) return batch.count ? ErrorOr<void>() : kEINVAL;
      batch.cookie = e.next;
    }
  }
}

// The directory or stream that a listing reads; a directory that was named gets a handle if one is asked for.
ErrorOr<Ref<Node>> Session::FindListed(Reader& in, const ReadDirRequest& request, ReadDirReply& reply) {
  std::string_view name = TRY(in.GetString(kMaxName));
  TRY(in.End());
  if (name.empty()) return handles_.Get(request.target.handle);
  Place place = TRY(Resolve(request.target, name));
  if (!place.found.is_dir()) return kENOTDIR;
  if (place.found.hidden) return kEACCES;
  Ref<Node> node = MakeRef<Node>(Node::Kind::kDirectory, std::move(place.found.fd), place.root(), place.found.hide,
                                 place.found.attr.dev);
  if (request.flags & kReadDirHandle) reply.directory = handles_.Insert(node).value_or(0);
  return node;
}

ErrorOr<void> Session::ReadDir(Reader& in, Writer& out) {
  auto request = TRY(in.Get<ReadDirRequest>());
  if (request.flags & ~kReadDirHandle) return kEINVAL;
  ReadDirReply reply{};
  Ref<Node> node = TRY(FindListed(in, request, reply));
  bool fresh = node->kind() == Node::Kind::kDirectory;
  size_t reply_at = out.size();
  out.Put(reply);
  DirBatch batch{out, std::min<size_t>(request.max_bytes, kMaxMessage), request.cookie, /*seek=*/!fresh};
  ErrorOr<void> filled = ReadListed(node, batch);
  if (!filled.ok()) {
    if (reply.directory != 0) handles_.Close(reply.directory);
    return filled;
  }
  reply.count = batch.count;
  reply.end = batch.end;
  // A directory that fits one reply needs no stream.
  if (!fresh) reply.stream = request.target.handle;
  else if (!batch.end) reply.stream = TRY(handles_.Insert(std::move(node)));
  out.Patch(reply_at, reply);
  return {};
}

// Turns a directory into its stream, and reads from it.
ErrorOr<void> Session::ReadListed(Ref<Node>& node, DirBatch& batch) {
  if (node->kind() == Node::Kind::kDirectory) {
    if (batch.cookie != 0) return kEINVAL;
    node = TRY(OpenStream(*node));
  } else if (node->kind() != Node::Kind::kStream) {
    return kENOTDIR;
  }
  return FillBatch(*node, batch);
}

}  // namespace moat::gofer
