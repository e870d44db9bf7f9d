#include "sentry/boot/config.h"

#include "base/util/wire_codec.h"

namespace moat {

template <class Codec, Is<SandboxRlimit> Record>
static void VisitFields(Codec& v, Record& r) {
  v(r.soft), v(r.hard);
}

template <class Codec, Is<SandboxTty> Record>
static void VisitFields(Codec& v, Record& r) {
  v(r.present), v(r.fd), v(r.termios);
}

template <class Codec, Is<SandboxMount> Record>
static void VisitFields(Codec& v, Record& r) {
  v(r.kind), v(r.read_only), v(r.noexec), v(r.locked), v(r.root), v(r.mode), v(r.size), v(r.target);
}

template <class Codec, Is<SandboxConfig> Record>
static void VisitFields(Codec& v, Record& r) {
  v(r.argv), v(r.env), v(r.cwd);
  v(r.uid), v(r.gid), v(r.groups), v(r.umask), v(r.nice), v(r.hostname);
  v(r.ignored_signals), v(r.blocked_signals);
  v(r.rlimits), v(r.stdio), v(r.tty), v(r.mounts);
  v(r.platform), v(r.log_level), v(r.strace);
  v(r.max_tasks), v(r.memory_bytes), v(r.layer_bytes);
  v(r.host_uid), v(r.host_gid);
}

namespace {

constexpr uint32_t kVersion = 0x4D4F4103;  // changes with the fields

bool Absolute(std::string_view path) { return path.starts_with('/') && path.find('\0') == path.npos; }

// What the types cannot say.
bool Sound(const SandboxConfig& c) {
  if (c.argv.empty() || !Absolute(c.cwd) || c.mounts.empty() || c.mounts[0].target != "/") return false;
  for (const SandboxMount& mount : c.mounts) {
    if (!Absolute(mount.target) || mount.kind > MountKind::kEmptyFile) return false;
  }
  for (const StdioKind kind : c.stdio) {
    if (kind > StdioKind::kTty) return false;
  }
  if (c.nice < -20 || c.nice > 19) return false;
  return c.platform <= PlatformChoice::kPtrace && c.tty.fd <= 2 && c.log_level <= 3;
}

}  // namespace

std::string EncodeConfig(const SandboxConfig& config) {
  WireWriter writer;
  writer(kVersion);
  writer(config);
  return writer.Take();
}

ErrorOr<SandboxConfig> DecodeConfig(std::string_view bytes) {
  if (bytes.size() > kMaxConfigBytes) return kEINVAL;
  WireReader reader(bytes, kMaxConfigItems);
  uint32_t version = 0;
  reader(version);
  if (version != kVersion) return kEINVAL;
  SandboxConfig config;
  reader(config);
  if (!reader.done() || !Sound(config)) return kEINVAL;
  return config;
}

}  // namespace moat
