// For unit tests: a mount namespace over a tmpfs, and the calls with a root task's context.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "abi/fcntl.h"
#include "base/fiber/executor.h"
#include "fs/tmpfs/tmpfs.h"
#include "fs/vfs/mount_namespace.h"
#include "fs/vfs/vfs.h"

namespace moat {

// Runs `body` on a fiber, where debug builds check the order of locks.
inline void OnFiber(const std::function<void()>& body) {
  bool done = false;
  Executor::Get().Post([&] {
    body();
    done = true;
  });
  Executor::Get().RunUntil([&] { return done; });
}

class TestTree {
 public:
  TestTree() : TestTree(NewTmpfs()) {}
  explicit TestTree(Ref<FileSystem> fs) : ns(MountNamespace::Create(std::move(fs), 0, "test")) {
    creds.effective = creds.permitted = kAllCapabilities;
    user.uid = user.euid = user.suid = user.fsuid = 1000;
    user.gid = user.egid = user.sgid = user.fsgid = 1000;
    root = cwd = ns->root();
  }
  static Ref<FileSystem> NewTmpfs(uint64_t pages = 1024) {
    TmpfsOptions options;
    options.limit = MakeRef<MemoryLimit>(pages);
    options.mode = 0755;
    return Tmpfs::Create(std::move(options));
  }

  WalkContext context() const { return WalkContext{root, cwd, *who, *ns}; }
  ErrorOr<Path> Walk(std::string_view path, WalkFlags flags = {}) const {
    WalkContext c = context();
    return moat::Walk(c, cwd, path, flags);
  }
  ErrorOr<Ref<FileDescription>> Open(std::string_view path, uint32_t flags, uint32_t mode = 0644, uint64_t resolve = 0) {
    WalkContext c = context();
    return vfs::Open(c, cwd, path, {flags, mode, resolve}, 022);
  }
  Errno Mkdir(std::string_view path, uint32_t mode = 0755) {
    WalkContext c = context();
    return vfs::Mkdir(c, cwd, path, mode, 0).error();
  }
  Errno Symlink(std::string_view target, std::string_view path) {
    WalkContext c = context();
    return vfs::Symlink(c, target, cwd, path).error();
  }
  Errno Unlink(std::string_view path) {
    WalkContext c = context();
    return vfs::Unlink(c, cwd, path).error();
  }
  Errno Rmdir(std::string_view path) {
    WalkContext c = context();
    return vfs::Rmdir(c, cwd, path).error();
  }
  Errno Rename(std::string_view from, std::string_view to, uint32_t flags = 0) {
    WalkContext c = context();
    return vfs::Rename(c, cwd, from, cwd, to, flags).error();
  }
  Errno Link(std::string_view from, std::string_view to) {
    WalkContext c = context();
    ErrorOr<Path> existing = Walk(from, {.follow = false});
    if (!existing.ok()) return existing.error();
    return vfs::Link(c, *existing, cwd, to).error();
  }
  // Makes or replaces a file; the errno.
  Errno Write(std::string_view path, std::string_view content) {
    ErrorOr<Ref<FileDescription>> file = Open(path, abi::kO_WRONLY | abi::kO_CREAT | abi::kO_TRUNC);
    if (!file.ok()) return file.error();
    return WriteTo(**file, content, 0).error();
  }
  static ErrorOr<size_t> WriteTo(FileDescription& file, std::string_view content, int64_t offset) {
    BufferSource source(std::as_bytes(std::span(content)));
    return file.TryWrite(source, &offset, {});
  }
  // Content, or "errno N".
  std::string Read(std::string_view path) {
    ErrorOr<Ref<FileDescription>> file = Open(path, abi::kO_RDONLY);
    if (!file.ok()) return "errno " + std::to_string(static_cast<int>(file.error()));
    return ReadFrom(**file);
  }
  static std::string ReadFrom(FileDescription& file, int64_t offset = 0, size_t limit = 1 << 20) {
    std::string out(limit, '\0');
    BufferSink sink(std::as_writable_bytes(std::span(out)));
    ErrorOr<size_t> n = file.TryRead(sink, &offset, {});
    if (!n.ok()) return "errno " + std::to_string(static_cast<int>(n.error()));
    out.resize(*n);
    return out;
  }
  Attr Stat(std::string_view path, bool follow = true) {
    ErrorOr<Path> p = Walk(path, {.follow = follow});
    if (!p.ok()) return {};
    ErrorOr<Attr> attr = vfs::Stat(*p);
    return attr.ok() ? *attr : Attr{};
  }
  // Names of a directory in order, blank-separated.
  std::string List(std::string_view path) {
    struct Sink final : DirSink {
      std::string out;
      bool Entry(std::string_view name, uint64_t, uint8_t, int64_t) override {
        out.append(out.empty() ? "" : " ").append(name);
        return true;
      }
    } sink;
    ErrorOr<Ref<FileDescription>> dir = Open(path, abi::kO_RDONLY | abi::kO_DIRECTORY);
    if (!dir.ok()) return "errno";
    int64_t position = 0;
    if (!(*dir)->ReadDir(sink, &position).ok()) return "error";
    return sink.out;
  }

  Ref<MountNamespace> ns;
  Path root, cwd;
  Credentials creds, user;
  Credentials* who = &creds;  // or &user
};

}  // namespace moat
