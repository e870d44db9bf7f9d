// The two shapes of request that inodes make; see GoferInode. For the .cc files of this folder.
#pragma once

#include "fs/goferfs/gofer_inode.h"

namespace moat {

// Tries of a request whose handle the gofer no longer knows (it was let go between looking and sending).
inline constexpr int kHandleTries = 3;

// `fill(writer, handle)` of this directory.
template <class Fill>
ErrorOr<GoferClient::Reply> GoferInode::CallInDirectory(gofer::Op op, Fill fill) {
  for (int i = 0;; ++i) {
    Handle handle = TRY(EnsureHandle());
    gofer::Writer w;
    fill(w, handle);
    auto reply = gofer_fs().client().Call(op, w);
    if (reply.error() != kEBADF || i + 1 == kHandleTries) return reply;
    RenewHandle(handle);
  }
}

// `fill(writer, target)` puts the body up to the target's name, which follows it. `then(writer)` puts the rest.
template <class Fill>
ErrorOr<GoferClient::Reply> GoferInode::CallOnTarget(gofer::Op op, Fill fill) {
  for (int i = 0;; ++i) {
    Address a = TRY(FindAddress());
    gofer::Writer w;
    if constexpr (std::is_invocable_v<Fill, gofer::Writer&, const gofer::Target&, std::string_view>) {
      fill(w, a.target, a.name);  // puts the name itself
    } else {
      fill(w, a.target);
      w.PutString(a.name);
    }
    auto reply = gofer_fs().client().Call(op, w);
    if (reply.error() == kENOENT && !a.name.empty()) return kESTALE;
    if (reply.error() != kEBADF || i + 1 == kHandleTries) return reply;
    a.owner->RenewHandle(a.target.handle);
  }
}

}  // namespace moat
