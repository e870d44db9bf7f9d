// Answers the requests of one connection. The client is hostile: nothing it sends is believed, see protocol/SPEC.md.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "base/util/error.h"
#include "base/util/unique_fd.h"
#include "gofer/protocol/wire.h"
#include "gofer/server/handle_table.h"
#include "gofer/server/root.h"

namespace moat::gofer {

// What all connections share: the roots and how to re-open. Immutable once threads run.
struct Service {
  Reopener reopener;
  std::vector<std::unique_ptr<Root>> roots;
  UniqueFd empty_file;        // read only, stands for every hidden file
  bool unmapped_ids = false;  // owners are seen through a user namespace
};

// An empty file that nobody can write: a sealed memfd, opened read only.
ErrorOr<UniqueFd> MakeEmptyFile(const Reopener& reopener);

class Session {
 public:
  Session(const Service& service, uint32_t max_handles) : service_(service), handles_(max_handles) {}

  struct Answer {
    Errno error{0};
    UniqueFd fd;     // to send along, or none
    bool silent = false;  // no reply is expected
    uint64_t id = 0;
  };
  // Handles one message; puts the reply's body into `out`. kEPROTO means that the message was garbage without a
  // usable id: the connection should be closed. Any thread, several at once.
  ErrorOr<Answer> Execute(std::span<const std::byte> message, Writer& out);

  uint32_t open_handles() const { return handles_.size(); }

 private:
  struct Place {  // what a Target led to
    Ref<Node> base;
    Found found;    // fd is owned if the target was a name, else empty
    bool by_name = false;
    int fd() const { return by_name ? found.fd.get() : base->fd(); }
    const Root& root() const { return base->root(); }
  };

  ErrorOr<void> Dispatch(Op op, Reader& in, Writer& out, UniqueFd& fd);
  ErrorOr<Ref<Node>> GetDirectory(Handle handle) const;
  // A directory in which `name` may be made, removed or renamed: kEROFS, kEACCES (hidden), kEINVAL.
  ErrorOr<Ref<Node>> GetChangeable(Handle handle, std::string_view name) const;
  ErrorOr<Place> Resolve(const Target& target, std::string_view name) const;
  ErrorOr<Place> ReadTarget(Reader& in, const Target& target) const;  // the name is next in the message
  // As ReadTarget for a request that changes what it names: kEROFS, kEACCES.
  ErrorOr<Place> ReadChangeable(Reader& in, const Target& target) const;
  ErrorOr<Handle> Keep(UniqueFd fd, const Root& root, const HideNode* hide, const WireAttr& attr);
  ErrorOr<void> PutNode(Writer& out, UniqueFd path_fd, const Root& root, const WireAttr& attr, bool keep);
  // Gives a node that was just made its owner and exact mode.
  ErrorOr<void> Adopt(int fd, const NewNode& node, bool set_mode);
  // Looks up what was just made and replies with it.
  ErrorOr<void> ReplyMade(Writer& out, const Node& dir, std::string_view name, const NewNode& node, bool set_mode);

  // session_read.cc
  ErrorOr<void> Attach(Reader& in, Writer& out);
  ErrorOr<void> Walk(Reader& in, Writer& out, UniqueFd& fd);
  ErrorOr<void> WalkMany(Reader& in, Writer& out);
  ErrorOr<void> WalkOne(Reader& in, Writer& out, UniqueFd& fd);
  ErrorOr<void> Open(Reader& in, Writer& out, UniqueFd& fd);
  ErrorOr<void> GetAttr(Reader& in, Writer& out);
  ErrorOr<void> GetAttrBatch(Reader& in, Writer& out);
  ErrorOr<void> ReadLink(Reader& in, Writer& out);
  ErrorOr<void> ReadDir(Reader& in, Writer& out);
  ErrorOr<void> StatFs(Reader& in, Writer& out);
  ErrorOr<void> Close(Reader& in);
  ErrorOr<Ref<Node>> OpenStream(const Node& dir);
  struct DirBatch;
  ErrorOr<Ref<Node>> FindListed(Reader& in, const ReadDirRequest& request, ReadDirReply& reply);
  ErrorOr<void> ReadListed(Ref<Node>& node, DirBatch& batch);
  ErrorOr<void> FillBatch(Node& stream, DirBatch& batch);
  bool PutEntry(const Node& stream, DirBatch& batch, const struct HostDirent& entry);

  // session_write.cc
  ErrorOr<void> Create(Reader& in, Writer& out, UniqueFd& fd);
  ErrorOr<void> CreateUnnamed(Reader& in, Writer& out, UniqueFd& fd);
  ErrorOr<void> Mkdir(Reader& in, Writer& out);
  ErrorOr<void> Symlink(Reader& in, Writer& out);
  ErrorOr<void> Link(Reader& in, Writer& out);
  ErrorOr<void> Mknod(Reader& in, Writer& out);
  ErrorOr<void> Unlink(Reader& in, Writer& out, bool directory);
  ErrorOr<void> Rename(Reader& in, Writer& out);
  ErrorOr<void> SetAttr(Reader& in, Writer& out);
  ErrorOr<void> Sync(Reader& in);

  // session_xattr.cc
  ErrorOr<void> GetXattr(Reader& in, Writer& out);
  ErrorOr<void> SetXattr(Reader& in);
  ErrorOr<void> ListXattr(Reader& in, Writer& out);
  ErrorOr<void> RemoveXattr(Reader& in);

  const Service& service_;
  HandleTable handles_;
};

}  // namespace moat::gofer
