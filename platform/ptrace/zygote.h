// The first stub. It never runs guest code: every address space is a clone of it or of another stub.
#pragma once

#include "base/util/error.h"
#include "base/util/unique_fd.h"
#include "platform/ptrace/stub.h"

namespace moat::ptrace {

struct Zygote {
  int pid = -1;         // traced, stopped at the stub's start with its filter on, nothing mapped beside the stub's pages yet
  StubLayout layout;
  UniqueFd socket;      // descriptors sent here can be received at fd 0 of every stub
  UniqueFd stub_end;    // our own hold of the stubs' end, to take back what a dead stub left unread
};

// Clones the zygote. Call before threads exist. The caller's thread becomes its tracer.
// `isolate_branches`: see NewPtracePlatform.
ErrorOr<Zygote> StartZygote(bool isolate_branches);

}  // namespace moat::ptrace
