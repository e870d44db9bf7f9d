#include "sentry/boot/startup_paths.h"

#include <iterator>

#include "sentry/boot/command.h"

namespace moat {

namespace {

// What nearly every program of a glibc system opens first, by the names behind the usual symlinks: a walk stops at those.
constexpr const char* kLoaderPaths[] = {
    "/lib",
    "/lib64",
    "/usr/lib64/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    "/usr/lib/x86_64-linux-gnu/libc.so.6",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
};

}  // namespace

std::vector<std::string> StartupPaths(const SandboxConfig& config) {
  std::vector<std::string> paths = CommandPlaces(config);
  for (std::string& path : paths) {
    if (!path.starts_with('/')) path = config.cwd + "/" + path;
  }
  paths.push_back(config.cwd);
  for (const SandboxMount& mount : config.mounts) paths.push_back(mount.target);
  paths.insert(paths.end(), std::begin(kLoaderPaths), std::end(kLoaderPaths));
  return paths;
}

}  // namespace moat
