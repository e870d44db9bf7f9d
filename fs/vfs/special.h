// How device nodes and FIFOs are opened: other folders register here what an Inode of such a type leads to.
#pragma once

#include <cstdint>
#include <functional>

#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"

namespace moat {

// Opens a special file found at `path` with O_* `flags`.
using SpecialOpener = std::function<ErrorOr<Ref<FileDescription>>(const Path& path, uint32_t flags)>;

// Character devices major:[minor, minor + count). Call before guests run. Devices without an opener give kENXIO.
void RegisterCharDevice(uint32_t major, uint32_t minor, uint32_t count, SpecialOpener opener);
// FIFOs. The pipe hangs on the inode (Inode::AttachOnce); waiting for the other end is FileDescription::FinishOpen.
void RegisterFifoOpener(SpecialOpener opener);

// kENXIO if nobody registered.
ErrorOr<Ref<FileDescription>> OpenCharDevice(uint64_t rdev, const Path& path, uint32_t flags);
ErrorOr<Ref<FileDescription>> OpenFifo(const Path& path, uint32_t flags);

}  // namespace moat
