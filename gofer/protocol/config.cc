#include "gofer/protocol/config.h"

#include "base/util/wire_codec.h"

namespace moat {

template <class Codec, Is<GoferRoot> Record>
static void VisitFields(Codec& v, Record& r) {
  v(r.path), v(r.writable);
}

template <class Codec, Is<GoferConfig> Record>
static void VisitFields(Codec& v, Record& r) {
  v(r.roots), v(r.hidden), v(r.log_level), v(r.privileged);
}

namespace {

constexpr uint32_t kVersion = 0x4D4F4701;  // changes with the fields
constexpr size_t kMaxItems = 4096;

bool Absolute(std::string_view path) { return path.starts_with('/') && path.find('\0') == path.npos; }

}  // namespace

std::string EncodeGoferConfig(const GoferConfig& config) {
  WireWriter writer;
  writer(kVersion);
  writer(config);
  return writer.Take();
}

ErrorOr<GoferConfig> DecodeGoferConfig(std::string_view bytes) {
  if (bytes.size() > kMaxGoferConfigBytes) return kEINVAL;
  WireReader reader(bytes, kMaxItems);
  uint32_t version = 0;
  reader(version);
  if (version != kVersion) return kEINVAL;
  GoferConfig config;
  reader(config);
  if (!reader.done() || config.roots.empty() || config.log_level > 3) return kEINVAL;
  for (const GoferRoot& root : config.roots) {
    if (!Absolute(root.path)) return kEINVAL;
  }
  for (const std::string& path : config.hidden) {
    if (!Absolute(path)) return kEINVAL;
  }
  return config;
}

}  // namespace moat
