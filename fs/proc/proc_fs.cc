#include "fs/proc/proc_fs.h"

#include "abi/stat.h"
#include "fs/memtree/node.h"
#include "fs/proc/system_text.h"
#include "fs/proc/task_dir.h"

namespace moat {

namespace {

using namespace proc;  // NOLINT: the parts of this file system

// The root: fixed names, then a directory for each process.
class ProcRoot final : public StaticDir {
 public:
  ProcRoot(FileSystem& fs, ProcSource& source) : StaticDir(fs, kTreeRootIno), context_{source, nullptr} {
    ProcSource* s = &source;
    AddSystemFiles(*this, source);
    AddLazyDir("sys", [s](StaticDir& sys) { AddSysctls(sys, *s); });
    Ref<StaticDir> net = MakeRef<StaticDir>(fs, ChildIno(kTreeRootIno, "task-net"));
    AddNetFiles(*net, source);
    context_.net_dir = net;
    AddLink("mounts", "self/mounts");
    AddLink("net", "self/net");
    Add("self", NewLink("self", [s]() -> ErrorOr<std::string> {
          ErrorOr<TaskKey> key = s->CurrentProcess();
          if (!key.ok()) return kENOENT;
          return std::to_string(key->tid);
        }), ChildIno(ino(), "self"));
    Add("thread-self", NewLink("thread-self", [s]() -> ErrorOr<std::string> {
          ErrorOr<TaskKey> process = s->CurrentProcess(), thread = s->CurrentThread();
          if (!process.ok() || !thread.ok()) return kENOENT;
          return std::to_string(process->tid) + "/task/" + std::to_string(thread->tid);
        }), ChildIno(ino(), "thread-self"));
  }

  // Threads that do not lead their process are found, though not listed.
  ErrorOr<Ref<Inode>> Lookup(std::string_view name) override {
    int pid = ParseNumber(name);
    if (pid < 0) return StaticDir::Lookup(name);
    TaskKey key = TRY(context_.source.FindTask(pid));
    return MakeTaskDir(fs(), context_, key, true, ChildIno(ino(), name));
  }

  ErrorOr<std::vector<Listed>> List(int64_t from, size_t limit) override {
    if (from < kFirstPidPosition) {
      std::vector<Listed> fixed = TRY(StaticDir::List(from, limit));
      if (!fixed.empty()) return fixed;
      from = kFirstPidPosition;
    }
    std::vector<Listed> out;
    for (TaskKey key : context_.source.Processes(static_cast<int>(from - kFirstPidPosition), limit)) {
      std::string name = std::to_string(key.tid);
      out.push_back({name, ChildIno(ino(), name), abi::kS_IFDIR, kFirstPidPosition + key.tid});
    }
    return out;
  }

 private:
  static constexpr int64_t kFirstPidPosition = 256;  // as FIRST_PROCESS_ENTRY; more than there are fixed names
  Ref<Inode> NewLink(const char* name, LinkNode::Target target) {
    return MakeRef<LinkNode>(fs(), ChildIno(ino(), name), std::move(target));
  }
  Context context_;
};

}  // namespace

Ref<FileSystem> MakeProcFs(ProcSource& source) {
  Ref<TreeFs> fs = MakeRef<TreeFs>("proc", abi::kPROC_SUPER_MAGIC);
  fs->set_root(MakeRef<ProcRoot>(*fs, source));
  return fs;
}

}  // namespace moat
