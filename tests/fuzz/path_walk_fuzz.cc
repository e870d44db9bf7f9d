// Walks, makes and removes names that the fuzzer thinks up, in a small tree with symlinks in circles, and checks that a walk that
// promised to stay below a directory did.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "abi/fcntl.h"
#include "base/util/check.h"
#include "fs/vfs/test_tree.h"

namespace moat {
namespace {

TestTree MakeTree() {
  TestTree t;
  CHECK(t.Mkdir("/jail") == Errno{0});
  CHECK(t.Mkdir("/jail/a") == Errno{0});
  CHECK(t.Mkdir("/jail/a/b") == Errno{0});
  CHECK(t.Write("/outside", "secret") == Errno{0});
  CHECK(t.Write("/jail/a/f", "x") == Errno{0});
  CHECK(t.Symlink("../../..", "/jail/a/b/up") == Errno{0});
  CHECK(t.Symlink("/outside", "/jail/abs") == Errno{0});
  CHECK(t.Symlink("l2", "/jail/l1") == Errno{0});
  CHECK(t.Symlink("l1", "/jail/l2") == Errno{0});
  CHECK(t.Symlink("a/b", "/jail/d") == Errno{0});
  return t;
}

bool IsBelow(const Path& place, const Path& top) {
  for (Ref<Dentry> d = place.dentry;; d = d->parent()) {
    if (d == top.dentry) return true;
    if (d->is_root()) return false;
  }
}

// First byte: what to do; the rest: a path.
void Step(TestTree& t, const Path& jail, uint8_t what, std::string_view path) {
  WalkContext context = t.context();
  switch (what % 6) {
    case 0: (void)Walk(context, jail, path); break;
    case 1: {
      ErrorOr<Path> place = Walk(context, jail, path, {.resolve = abi::kRESOLVE_BENEATH});
      if (place.ok()) CHECK(IsBelow(*place, jail));
      break;
    }
    case 2: {
      ErrorOr<Path> place = Walk(context, jail, path, {.resolve = abi::kRESOLVE_IN_ROOT});
      if (place.ok()) CHECK(IsBelow(*place, jail));
      break;
    }
    case 3: (void)vfs::Mkdir(context, jail, path, 0755, 0); break;
    case 4: (void)vfs::Unlink(context, jail, path); break;
    default: {
      size_t half = path.size() / 2;
      (void)vfs::Rename(context, jail, path.substr(0, half), jail, path.substr(half), 0);
      break;
    }
  }
}

void Fuzz(std::string_view bytes) {
  OnFiber([&] {
    TestTree t = MakeTree();
    ErrorOr<Path> jail = t.Walk("/jail");
    CHECK(jail.ok());
    while (!bytes.empty()) {
      size_t end = std::min(bytes.find('\n'), bytes.size());
      std::string_view line = bytes.substr(0, end);
      bytes.remove_prefix(std::min(end + 1, bytes.size()));
      if (line.size() > 1) Step(t, *jail, static_cast<uint8_t>(line[0]), line.substr(1));
    }
  });
}

}  // namespace
}  // namespace moat

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  moat::Fuzz({reinterpret_cast<const char*>(data), size});
  return 0;
}
