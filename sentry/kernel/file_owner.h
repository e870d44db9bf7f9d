// F_SETOWN and its kin: who is signalled about an open file (fs/vfs/file_async.h).
#pragma once

#include "abi/fcntl.h"
#include "base/util/error.h"

namespace moat {

class FileDescription;
class Task;

// Makes the task, process or process group `who` the owner, in the name of `by`, whose ids decide whether signals reach it; a pid
// of 0 is nobody. kEINVAL, kESRCH.
ErrorOr<void> SetFileOwner(Task& by, FileDescription& file, const abi::FOwnerEx& who);
// As F_SETOWN, FIOSETOWN and SIOCSPGRP have it: negative is a process group.
ErrorOr<void> SetFileOwner(Task& by, FileDescription& file, int who);

// The owner; pid 0 if there is none or it has ended.
abi::FOwnerEx GetFileOwner(Task& t, FileDescription& file);
int GetFileOwnerNumber(Task& t, FileDescription& file);  // negative: a process group

// O_ASYNC of descriptor `fd` is switched to `on`, which it was not: the flag, and the signals of files that have any.
// kENOTTY for others, whose flag stays.
ErrorOr<void> SetFileAsync(Task& t, int fd, FileDescription& file, bool on);

}  // namespace moat
