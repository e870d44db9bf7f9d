#include "sentry/kernel/ipc/ipc_namespace.h"

namespace moat {

class SemaphoreSets {};
class MessageQueues {};
class SharedSegments {};

IpcNamespace::IpcNamespace() = default;
IpcNamespace::~IpcNamespace() = default;

}  // namespace moat
