// Building the guest's view of files from the configuration's list.
#pragma once

#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/goferfs/gofer_client.h"
#include "fs/vfs/mount_namespace.h"
#include "sentry/boot/config.h"

namespace moat {

class Kernel;

// Makes every mount of `config`, the first as the root. After a failure `failed` names the mount. On a fiber.
ErrorOr<Ref<MountNamespace>> BuildMounts(Kernel& kernel, const SandboxConfig& config, const Ref<GoferClient>& gofer,
                                         std::string& failed);

}  // namespace moat
