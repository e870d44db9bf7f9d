#include "sentry/boot/command.h"

#include <string_view>

#include "fs/vfs/permissions.h"

namespace moat {

namespace {

constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

std::string_view PathOfEnvironment(const SandboxConfig& config) {
  constexpr std::string_view kPrefix = "PATH=";
  for (const std::string& v : config.env) {
    if (v.starts_with(kPrefix)) return std::string_view(v).substr(kPrefix.size());
  }
  return kDefaultPath;
}

ErrorOr<FoundCommand> Try(const WalkContext& walk, std::string name) {
  Path file = TRY(Walk(walk, walk.cwd, name));
  if (!file.dentry->inode()->is_regular()) return kEACCES;
  TRY(PathPermission(walk.creds, file, kMayExec));
  return FoundCommand{std::move(file), std::move(name)};
}

}  // namespace

ErrorOr<FoundCommand> FindCommand(const WalkContext& walk, const SandboxConfig& config) {
  const std::string& name = config.argv[0];
  if (name.empty()) return kENOENT;
  if (name.find('/') != std::string::npos) return Try(walk, name);
  Errno worst = kENOENT;
  for (std::string& place : CommandPlaces(config)) {
    ErrorOr<FoundCommand> found = Try(walk, std::move(place));
    if (found.ok()) return found;
    if (found.error() == kEACCES) worst = kEACCES;
  }
  return worst;
}

std::vector<std::string> CommandPlaces(const SandboxConfig& config) {
  const std::string& name = config.argv[0];
  if (name.find('/') != std::string::npos) return {name};
  std::vector<std::string> places;
  std::string_view path = PathOfEnvironment(config);
  for (size_t begin = 0; begin <= path.size();) {
    size_t end = std::min(path.find(':', begin), path.size());
    std::string_view dir = path.substr(begin, end - begin);
    places.push_back((dir.empty() ? "." : std::string(dir)) + "/" + name);
    begin = end + 1;
  }
  return places;
}

}  // namespace moat
