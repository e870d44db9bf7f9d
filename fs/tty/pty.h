// Pseudo-terminals (pty(7)): a master and a slave end around a line discipline, and devpts, where the slaves' names are.
#pragma once

#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/inode.h"

namespace moat {

// Pseudo-terminals at once (kernel.pty.max).
inline constexpr int kMaxPtys = 4096;

// Makes /dev/ptmx (5:2) and the slaves (136:N) known to open(2). Once, before guests run.
void RegisterPtyDevices();

// The file system at /dev/pts. All instances show the same terminals.
Ref<FileSystem> MakeDevptsFs();

}  // namespace moat
