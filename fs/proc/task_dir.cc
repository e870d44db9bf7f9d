#include "fs/proc/task_dir.h"

#include <algorithm>
#include <charconv>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "base/util/no_destructor.h"
#include "fs/proc/fd_dir.h"
#include "fs/proc/format.h"
#include "fs/proc/mem_file.h"
#include "fs/proc/pagemap.h"
#include "fs/proc/task_node.h"
#include "fs/proc/task_text.h"
#include "fs/vfs/file_description.h"
#include "fs/vfs/path_walk.h"
#include "fs/vfs/permissions.h"

namespace moat::proc {

namespace {

// --- Files with a text. ---

using TaskWrite = ErrorOr<void> (*)(ProcSource& source, TaskKey key, std::string_view text);

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\0')) text.remove_suffix(1);
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  return text;
}

template <class T>
ErrorOr<T> Number(std::string_view text) {
  text = Trim(text);
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return kEINVAL;
  return value;
}

ErrorOr<void> WriteComm(ProcSource& source, TaskKey key, std::string_view text) {
  constexpr size_t kMaxComm = 15;  // TASK_COMM_LEN without the NUL
  text = text.substr(0, std::min(text.find('\0'), text.size()));
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return source.SetComm(key, text.substr(0, kMaxComm));
}

ErrorOr<void> WriteOomScoreAdj(ProcSource& source, TaskKey key, std::string_view text) {
  int value = TRY(Number<int>(text));
  if (value < -1000 || value > 1000) return kEINVAL;
  return source.SetOomScoreAdj(key, value);
}

ErrorOr<void> WriteOomAdj(ProcSource& source, TaskKey key, std::string_view text) {
  int value = TRY(Number<int>(text));
  if (value < -17 || value > 15) return kEINVAL;
  return source.SetOomScoreAdj(key, value == 15 ? 1000 : value * 1000 / 17);
}

ErrorOr<void> WriteTimerSlack(ProcSource& source, TaskKey key, std::string_view text) {
  return source.SetTimerSlack(key, TRY(Number<uint64_t>(text)));
}

// Clearing of referenced bits: there are none to clear.
ErrorOr<void> WriteClearRefs(ProcSource& source, TaskKey key, std::string_view text) {
  int value = TRY(Number<int>(text));
  return value >= 1 && value <= 5 ? ErrorOr<void>() : kEINVAL;
}

ErrorOr<void> RefuseWrite(ProcSource&, TaskKey, std::string_view) { return kEPERM; }
ErrorOr<std::string> RefuseRead(ProcSource&, TaskKey, bool) { return kEPERM; }

template <size_t N>
struct Literal {
  constexpr Literal(const char (&text)[N]) { std::copy_n(text, N, value); }  // NOLINT: implicit for template arguments
  char value[N];
};
template <Literal kText>
ErrorOr<std::string> Fixed(ProcSource& source, TaskKey key, bool) {
  if (!source.Alive(key)) return kESRCH;
  return std::string(kText.value);
}

enum : uint8_t { kBoth = 3, kProcess = 1, kThread = 2 };  // where a file stands

struct TextRow {
  const char* name;
  uint32_t perm;
  TaskText read;
  TaskWrite write = nullptr;
  bool inspect = false;  // reading needs ptrace access
  uint8_t where = kBoth;
};

constexpr TextRow kTexts[] = {
    {"environ", 0400, Environ, nullptr, true},
    {"auxv", 0400, Auxv, nullptr, true},
    {"status", 0444, Status},
    {"personality", 0400, Personality, nullptr, true},
    {"limits", 0444, Limits},
    {"comm", 0644, Comm, WriteComm},
    {"cmdline", 0444, Cmdline},
    {"stat", 0444, Stat},
    {"statm", 0444, Statm},
    {"maps", 0444, Maps, nullptr, true},
    {"smaps", 0444, Smaps, nullptr, true},
    {"smaps_rollup", 0444, SmapsRollup, nullptr, true},
    {"clear_refs", 0200, RefuseRead, WriteClearRefs},
    {"mounts", 0444, MountsText},
    {"mountinfo", 0444, MountInfo},
    {"wchan", 0444, Fixed<"0">},
    {"stack", 0400, RefuseRead, nullptr, true},
    {"schedstat", 0444, Schedstat},
    {"cgroup", 0444, Fixed<"0::/\n">},
    {"oom_score", 0444, OomScore},
    {"oom_adj", 0644, OomAdj, WriteOomAdj},
    {"oom_score_adj", 0644, OomScoreAdj, WriteOomScoreAdj},
    {"loginuid", 0644, Fixed<"4294967295">, RefuseWrite},
    {"sessionid", 0444, Fixed<"4294967295">},
    {"coredump_filter", 0644, Fixed<"00000033\n">, RefuseWrite, false, kProcess},
    // One user namespace, which maps every id to itself, and one time namespace.
    {"uid_map", 0644, Fixed<"         0          0 4294967295\n">, RefuseWrite},
    {"gid_map", 0644, Fixed<"         0          0 4294967295\n">, RefuseWrite},
    {"projid_map", 0644, Fixed<"         0          0 4294967295\n">, RefuseWrite},
    {"setgroups", 0644, Fixed<"allow\n">, RefuseWrite, false, kProcess},
    {"timens_offsets", 0644, Fixed<"monotonic           0         0\nboottime            0         0\n">, RefuseWrite, false,
     kProcess},
    {"timerslack_ns", 0666, TimerSlack, WriteTimerSlack, false, kProcess},
};

class TaskTextNode final : public TaskNode<TextNode> {
 public:
  TaskTextNode(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino, const TextRow& row, bool group)
      : TaskNode(fs, context, key, row.perm, ino), row_(row), group_(group) {}
  ErrorOr<std::string> Generate() override {
    if (row_.inspect) TRY(source().MayInspect(key()));
    return row_.read(source(), key(), group_);
  }
  ErrorOr<void> Store(std::string_view text, int64_t) override {
    if (!source().Alive(key())) return kESRCH;
    return row_.write ? row_.write(source(), key(), text) : kEIO;
  }
  ErrorOr<void> CheckAccess(const Credentials&, int may) override {
    return row_.inspect && (may & (kMayRead | kMayWrite)) ? source().MayInspect(key()) : ErrorOr<void>();
  }

 private:
  const TextRow& row_;
  const bool group_;
};

// --- Links to files. ---

using TaskPlace = ErrorOr<Path> (ProcSource::*)(TaskKey);

struct LinkRow {
  const char* name;
  TaskPlace place;
};
constexpr LinkRow kLinks[] = {{"cwd", &ProcSource::Cwd}, {"root", &ProcSource::Root}, {"exe", &ProcSource::Exe}};

class TaskLink final : public TaskNode<Node> {
 public:
  TaskLink(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino, TaskPlace place)
      : TaskNode(fs, context, key, abi::kS_IFLNK | 0777, ino), place_(place) {}
  ErrorOr<std::string> ReadLink() override {
    Path path;
    TRY(FollowMagic(&path));
    return DPath(source().CurrentRoot(), path).Display();
  }
  ErrorOr<void> FollowMagic(Path* out) override {
    TRY(source().MayInspect(key()));
    *out = TRY((source().*place_)(key()));
    return out->dentry ? ErrorOr<void>() : kENOENT;
  }

 private:
  const TaskPlace place_;
};

// --- ns/: the namespaces, one of each kind for all tasks. ---

struct NamespaceRow {
  const char *name, *type;
  uint64_t ino;  // Linux's initial namespaces have these numbers
};
constexpr NamespaceRow kNamespaces[] = {
    {"cgroup", "cgroup", 4026531835},      {"ipc", "ipc", 4026531839},   {"mnt", "mnt", 4026531841},
    {"net", "net", 4026531840},            {"pid", "pid", 4026531836},   {"pid_for_children", "pid", 4026531836},
    {"time", "time", 4026531834},          {"time_for_children", "time", 4026531834},
    {"user", "user", 4026531837},          {"uts", "uts", 4026531838},
};

class NsFs final : public FileSystem {
 public:
  std::string_view type() const override { return "nsfs"; }
  Ref<Inode> root() override { return nullptr; }  // never mounted
  ErrorOr<StatFs> Stat() override {
    StatFs s;
    s.type = abi::kNSFS_MAGIC;
    return s;
  }
};

class NamespaceNode final : public Node {
 public:
  NamespaceNode(FileSystem& fs, uint64_t ino) : Node(fs, abi::kS_IFREG | 0444, ino) {}
  ErrorOr<Ref<FileDescription>> Open(const Path& path, uint32_t flags) override {
    class NamespaceFile final : public FileDescription {
     public:
      NamespaceFile(const Path& path, uint32_t flags) : FileDescription(path, flags) {}
    };
    if ((flags & abi::kO_ACCMODE) != abi::kO_RDONLY) return kEPERM;
    return Ref<FileDescription>(MakeRef<NamespaceFile>(path, flags));
  }
};

Path NamespacePlace(const NamespaceRow& row) {
  static NoDestructor<Ref<NsFs>> fs(MakeRef<NsFs>());
  return Path{nullptr, Dentry::MakeAnonymous(MakeRef<NamespaceNode>(**fs, row.ino),
                                             Format("%s:[%llu]", row.type, static_cast<unsigned long long>(row.ino)))};
}

class NamespaceLink final : public TaskNode<Node> {
 public:
  NamespaceLink(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino, const NamespaceRow& row)
      : TaskNode(fs, context, key, abi::kS_IFLNK | 0777, ino), row_(row) {}
  ErrorOr<std::string> ReadLink() override {
    TRY(source().MayInspect(key()));
    return NamespacePlace(row_).dentry->name();
  }
  ErrorOr<void> FollowMagic(Path* out) override {
    TRY(source().MayInspect(key()));
    *out = NamespacePlace(row_);
    return {};
  }

 private:
  const NamespaceRow& row_;
};

class NamespaceDir final : public TaskNode<DirNode> {
 public:
  NamespaceDir(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino)
      : TaskNode(fs, context, key, 0511, ino) {}
  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override {
    for (const NamespaceRow& row : kNamespaces) {
      if (name == row.name) {
        return Ref<Inode>(MakeRef<NamespaceLink>(fs(), context(), key(), ChildIno(ino(), name), row));
      }
    }
    return kENOENT;
  }
  ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) override {
    std::vector<Listed> out;
    for (int64_t i = from - kFirstPosition; i < static_cast<int64_t>(std::size(kNamespaces)) && out.size() < limit; ++i) {
      const char* name = kNamespaces[i].name;
      out.push_back({name, ChildIno(ino(), name), abi::kS_IFLNK, i + kFirstPosition});
    }
    return out;
  }
};

// --- task/. ---

class ThreadsDir final : public TaskNode<DirNode> {
 public:
  ThreadsDir(FileSystem& fs, const Context& context, TaskKey key, uint64_t ino)
      : TaskNode(fs, context, key, 0555, ino) {}

  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override {
    int tid = ParseNumber(name);
    if (tid < 0) return kENOENT;
    TaskKey thread = TRY(source().FindTask(tid));
    if (TRY(source().ProcessOf(thread)) != TRY(source().ProcessOf(key()))) return kENOENT;
    return MakeTaskDir(fs(), context(), thread, false, ChildIno(ino(), name));
  }

  ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) override {
    std::vector<Listed> out;
    ErrorOr<std::vector<TaskKey>> threads = source().Threads(key());
    if (!threads.ok()) return kENOENT;
    for (TaskKey thread : *threads) {
      if (thread.tid + kFirstPosition < from) continue;
      if (out.size() == limit) break;
      std::string name = std::to_string(thread.tid);
      out.push_back({name, ChildIno(ino(), name), abi::kS_IFDIR, thread.tid + kFirstPosition});
    }
    return out;
  }

 protected:
  ErrorOr<void> Refresh(Attr& attr) override {
    TRY(TaskNode::Refresh(attr));
    attr.nlink = 2 + static_cast<uint32_t>(TRY(source().Threads(key())).size());
    return {};
  }
};

// --- The directory itself. ---

class TaskDir final : public TaskNode<DirNode> {
 public:
  TaskDir(FileSystem& fs, const Context& context, TaskKey key, bool group, uint64_t ino)
      : TaskNode(fs, context, key, 0555, ino), group_(group) {}

  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override {
    if (!source().Alive(key())) return kENOENT;
    uint64_t child = ChildIno(ino(), name);
    for (const TextRow& row : kTexts) {
      if (name == row.name && Stands(row)) {
        return Ref<Inode>(MakeRef<TaskTextNode>(fs(), context(), key(), child, row, group_));
      }
    }
    for (const LinkRow& row : kLinks) {
      if (name == row.name) return Ref<Inode>(MakeRef<TaskLink>(fs(), context(), key(), child, row.place));
    }
    if (name == "fd") return MakeFdDir(fs(), context(), key(), child);
    if (name == "fdinfo") return MakeFdInfoDir(fs(), context(), key(), child);
    if (name == "mem") return MakeMemFile(fs(), context(), key(), child);
    if (name == "pagemap") return MakePagemapFile(fs(), context(), key(), child);
    if (name == "ns") return Ref<Inode>(MakeRef<NamespaceDir>(fs(), context(), key(), child));
    if (name == "net") return context().net_dir;
    if (name == "task" && group_) return Ref<Inode>(MakeRef<ThreadsDir>(fs(), context(), key(), child));
    return kENOENT;
  }

  ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) override {
    if (!source().Alive(key())) return kENOENT;
    std::vector<std::pair<const char*, uint32_t>> all;
    if (group_) all.emplace_back("task", abi::kS_IFDIR);
    for (const char* name : {"fd", "fdinfo", "ns", "net"}) all.emplace_back(name, abi::kS_IFDIR);
    for (const TextRow& row : kTexts) {
      if (Stands(row)) all.emplace_back(row.name, abi::kS_IFREG);
    }
    for (const char* name : {"mem", "pagemap"}) all.emplace_back(name, abi::kS_IFREG);
    for (const LinkRow& row : kLinks) all.emplace_back(row.name, abi::kS_IFLNK);
    std::vector<Listed> out;
    for (size_t i = static_cast<size_t>(from - kFirstPosition); i < all.size() && out.size() < limit; ++i) {
      out.push_back({all[i].first, ChildIno(ino(), all[i].first), all[i].second, static_cast<int64_t>(i) + kFirstPosition});
    }
    return out;
  }

 protected:
  ErrorOr<void> Refresh(Attr& attr) override {
    TRY(TaskNode::Refresh(attr));
    attr.nlink = group_ ? 7 : 6;
    return {};
  }

 private:
  bool Stands(const TextRow& row) const { return (row.where & (group_ ? kProcess : kThread)) != 0; }
  const bool group_;
};

}  // namespace

Ref<Inode> MakeTaskDir(FileSystem& fs, const Context& context, TaskKey key, bool group, uint64_t ino) {
  return MakeRef<TaskDir>(fs, context, key, group, ino);
}

int ParseNumber(std::string_view name) {
  int value = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), value);
  if (error != std::errc() || end != name.data() + name.size() || name[0] == '-') return -1;
  if (name[0] == '0' && name.size() > 1) return -1;
  return value;
}

}  // namespace moat::proc
