// The texts and the tree of proc over made-up tasks.
#include <gtest/gtest.h>

#include <map>
#include <sstream>

#include "abi/capability.h"
#include "abi/fcntl.h"
#include "abi/stat.h"
#include "fs/memtree/node.h"
#include "fs/proc/proc_fs.h"
#include "fs/proc/task_text.h"
#include "fs/vfs/fd_table.h"
#include "fs/vfs/mount_namespace.h"
#include "fs/vfs/permissions.h"

namespace moat {
namespace {

struct FakeTask {
  TaskInfo info;
  MemoryInfo memory;
  std::vector<MappingInfo> mappings;
  std::map<UserAddr, std::string> bytes;
};

class FakeSource final : public ProcSource {
 public:
  FakeTask& Add(int tid, int64_t start_ns) {
    FakeTask& t = tasks[tid];
    t.info.tid = t.info.tgid = t.info.pgid = t.info.sid = tid;
    t.info.start_ns = start_ns;
    t.info.comm = "fake";
    t.info.threads = 1;
    t.info.creds = MakeRef<Credentials>();
    return t;
  }
  FakeTask* Find(TaskKey key) {
    auto it = tasks.find(key.tid);
    return it != tasks.end() && it->second.info.start_ns == key.start_ns ? &it->second : nullptr;
  }
  TaskKey KeyOf(int tid) { return {tid, tasks.at(tid).info.start_ns}; }

  ErrorOr<TaskKey> CurrentThread() override { return KeyOf(current); }
  ErrorOr<TaskKey> CurrentProcess() override { return KeyOf(tasks.at(current).info.tgid); }
  ErrorOr<TaskKey> FindTask(int tid) override { return tasks.count(tid) ? ErrorOr<TaskKey>(KeyOf(tid)) : kENOENT; }
  bool Alive(TaskKey key) override { return Find(key) != nullptr; }
  std::vector<TaskKey> Processes(int from, size_t limit) override {
    std::vector<TaskKey> out;
    for (auto& [tid, t] : tasks) {
      if (tid >= from && tid == t.info.tgid && out.size() < limit) out.push_back(KeyOf(tid));
    }
    return out;
  }
  ErrorOr<std::vector<TaskKey>> Threads(TaskKey process) override {
    if (!Find(process)) return kESRCH;
    std::vector<TaskKey> out;
    for (auto& [tid, t] : tasks) {
      if (t.info.tgid == Find(process)->info.tgid) out.push_back(KeyOf(tid));
    }
    return out;
  }
  ErrorOr<int> ProcessOf(TaskKey key) override { return Find(key) ? ErrorOr<int>(Find(key)->info.tgid) : kESRCH; }
  ErrorOr<Owner> OwnerOf(TaskKey key) override {
    if (!Find(key)) return kESRCH;
    return Owner{Find(key)->info.creds->euid, Find(key)->info.creds->egid, Find(key)->info.dumpable};
  }
  ErrorOr<TaskInfo> Info(TaskKey key) override { return Find(key) ? ErrorOr<TaskInfo>(Find(key)->info) : kESRCH; }
  ErrorOr<MemoryInfo> Memory(TaskKey key, bool) override { return Find(key) ? ErrorOr<MemoryInfo>(Find(key)->memory) : kESRCH; }
  ErrorOr<std::vector<MappingInfo>> Mappings(TaskKey key) override {
    return Find(key) ? ErrorOr<std::vector<MappingInfo>>(Find(key)->mappings) : kESRCH;
  }
  ErrorOr<uint64_t> ResidentIn(TaskKey, uint64_t start, uint64_t end) override { return (end - start) / 2; }
  ErrorOr<std::vector<uint64_t>> Auxv(TaskKey) override { return std::vector<uint64_t>{6, 4096}; }
  ErrorOr<size_t> ReadMemory(TaskKey key, UserAddr addr, std::span<std::byte> out) override {
    if (!Find(key)) return kESRCH;
    auto it = Find(key)->bytes.find(addr);
    if (it == Find(key)->bytes.end()) return kEFAULT;
    size_t n = std::min(out.size(), it->second.size());
    memcpy(out.data(), it->second.data(), n);
    return n;
  }
  ErrorOr<size_t> WriteMemory(TaskKey, UserAddr, std::span<const std::byte>) override { return kEFAULT; }
  ErrorOr<Ref<FdTable>> Fds(TaskKey) override { return fds; }
  ErrorOr<Path> Root(TaskKey) override { return kENOENT; }
  ErrorOr<Path> Cwd(TaskKey) override { return kENOENT; }
  ErrorOr<Path> Exe(TaskKey) override { return kENOENT; }
  ErrorOr<Ref<MountNamespace>> Mounts(TaskKey) override { return kEINVAL; }
  Path CurrentRoot() override { return {}; }
  ErrorOr<void> MayInspect(TaskKey) override { return may_inspect ? ErrorOr<void>() : kEACCES; }
  bool CurrentHasCapability(int c) override { return admin && c == abi::kCAP_SYS_ADMIN; }
  ErrorOr<void> SetComm(TaskKey key, std::string_view comm) override {
    Find(key)->info.comm = comm;
    return {};
  }
  ErrorOr<void> SetOomScoreAdj(TaskKey key, int value) override {
    Find(key)->info.oom_score_adj = value;
    return {};
  }
  ErrorOr<void> SetTimerSlack(TaskKey, uint64_t) override { return {}; }
  SystemInfo System() override { return system; }
  std::string Hostname() override { return hostname; }
  std::string Domainname() override { return "(none)"; }
  void SetHostname(std::string_view name) override { hostname = name; }
  void SetDomainname(std::string_view) override {}
  std::string IpcTable(std::string_view) override { return {}; }
  std::string NetTable(std::string_view) override { return {}; }

  std::map<int, FakeTask> tasks;
  int current = 1;
  bool may_inspect = true, admin = true;
  std::string hostname = "box";
  SystemInfo system;
  Ref<FdTable> fds = MakeRef<FdTable>();
};

class Proc : public testing::Test {
 protected:
  Proc() {
    source_.Add(1, 50'000'000'000);
    source_.system.total_bytes = 1ull << 30;
    fs_ = MakeProcFs(source_);
  }
  ~Proc() override { fs_->Unmounted(); }

  ErrorOr<Ref<Inode>> Find(std::string_view path) {
    Ref<Inode> at = fs_->root();
    while (!path.empty()) {
      std::string_view name = path.substr(0, path.find('/'));
      path.remove_prefix(std::min(name.size() + 1, path.size()));
      at = TRY(at->Lookup(name));
    }
    return at;
  }
  ErrorOr<std::string> Read(std::string_view path) {
    Ref<Inode> inode = TRY(Find(path));
    auto* text = dynamic_cast<TextNode*>(inode.get());
    return text ? text->Generate() : kEISDIR;
  }
  ErrorOr<void> Write(std::string_view path, std::string_view text) {
    Ref<Inode> inode = TRY(Find(path));
    return static_cast<TextNode&>(*inode).Store(text, 0);
  }

  FakeSource source_;
  Ref<FileSystem> fs_;
};

std::vector<std::string> Words(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> out;
  for (std::string w; in >> w;) out.push_back(w);
  return out;
}

TEST_F(Proc, StatHasAllFieldsInPlace) {
  FakeTask& t = source_.tasks[1];
  t.info.comm = "a b";
  t.info.ppid = 7;
  t.info.nice = 5;
  t.info.group_user_ns = 2'340'000'000;
  t.info.user_ns = 1'000'000'000;
  t.memory = {.present = true, .size = 8192000, .resident = 40960, .start_code = 0x1000, .end_code = 0x2000};
  std::string text = *Read("1/stat");
  ASSERT_TRUE(text.starts_with("1 (a b) R 7 1 1 ")) << text;
  std::vector<std::string> f = Words(text.substr(text.find(") ") + 2));  // f[0] is field 3
  ASSERT_EQ(f.size(), 50u);
  EXPECT_EQ(f[11], "234");      // utime, ticks
  EXPECT_EQ(f[15], "25");       // priority
  EXPECT_EQ(f[16], "5");        // nice
  EXPECT_EQ(f[19], "5000");     // starttime
  EXPECT_EQ(f[20], "8192000");  // vsize
  EXPECT_EQ(f[21], "10");       // rss in pages
  EXPECT_EQ(f[23], "4096");     // startcode
  EXPECT_EQ(Words(*Read("1/task/1/stat"))[14], "100");  // the thread's own time (its name has a blank)
}

TEST_F(Proc, AddressesAreHiddenFromStrangers) {
  source_.tasks[1].memory = {.present = true, .start_code = 0x1000, .end_code = 0x2000, .start_stack = 0x7000};
  source_.may_inspect = false;
  std::string text = *Read("1/stat");
  std::vector<std::string> f = Words(text.substr(text.find(") ") + 2));
  EXPECT_EQ(f[23], "1");
  EXPECT_EQ(f[25], "0");
  EXPECT_EQ(Read("1/environ").error(), kEACCES);
  EXPECT_EQ((*Find("1/fd"))->CheckAccess(Credentials(), kMayRead).error(), kEACCES);
  EXPECT_TRUE((*Find("1/stat"))->CheckAccess(Credentials(), kMayRead).ok());
}

TEST_F(Proc, StatusNamesEverything) {
  FakeTask& t = source_.tasks[1];
  t.info.comm = "a\nb";
  t.info.has_umask = true;
  t.info.umask = 022;
  t.info.blocked = 0x200;
  t.memory.present = true;
  std::string text = *Read("1/status");
  EXPECT_NE(text.find("Name:\ta\\nb\n"), std::string::npos);
  EXPECT_NE(text.find("\nUmask:\t0022\n"), std::string::npos);
  EXPECT_NE(text.find("\nSigBlk:\t0000000000000200\n"), std::string::npos);
  EXPECT_NE(text.find("\nVmRSS:\t"), std::string::npos);
  t.memory.present = false;
  EXPECT_EQ(Read("1/status")->find("VmRSS"), std::string::npos);
}

TEST_F(Proc, MapsPutsNamesInTheirColumn) {
  MappingInfo heap;
  heap.start = 0x1000;
  heap.end = 0x3000;
  heap.prot = 3;
  heap.name = "[heap]";
  MappingInfo plain;
  plain.start = 0x7f0000000000;
  plain.end = 0x7f0000001000;
  plain.prot = 5;
  source_.tasks[1].mappings = {heap, plain};
  std::istringstream in(*Read("1/maps"));
  std::string first, second;
  std::getline(in, first);
  std::getline(in, second);
  EXPECT_EQ(first.substr(0, 42), "00001000-00003000 rw-p 00000000 00:00 0   ");
  EXPECT_EQ(first.find("[heap]"), 73u);
  EXPECT_EQ(second, "7f0000000000-7f0000001000 r-xp 00000000 00:00 0 ");
}

TEST_F(Proc, CmdlineFollowsARewrittenTitle) {
  FakeTask& t = source_.tasks[1];
  t.memory = {.present = true, .arg_start = 0x1000, .arg_end = 0x1008, .env_start = 0x1008, .env_end = 0x1020};
  t.bytes[0x1000] = std::string("ab\0cd\0e\0", 8);
  EXPECT_EQ(*Read("1/cmdline"), std::string("ab\0cd\0e\0", 8));
  t.bytes[0x1000] = "a title ";
  t.bytes[0x1008] = std::string("goes on\0X=1\0", 12);
  EXPECT_EQ(*Read("1/cmdline"), "a title goes on");
  t.memory = {};
  EXPECT_EQ(*Read("1/cmdline"), "");
}

TEST_F(Proc, AReusedNumberIsAnotherTask) {
  source_.Add(5, 100);
  Ref<Inode> dir = *Find("5");
  Ref<Inode> stat = *Find("5/stat");
  EXPECT_TRUE(dir->StillValid("5"));
  source_.tasks.erase(5);
  EXPECT_FALSE(dir->StillValid("5"));
  EXPECT_EQ(Find("5").error(), kENOENT);
  source_.Add(5, 200);
  EXPECT_FALSE(dir->StillValid("5"));
  EXPECT_EQ(static_cast<TextNode&>(*stat).Generate().error(), kESRCH);
  EXPECT_TRUE(Find("5").ok());
}

TEST_F(Proc, ThreadsAreFoundEverywhereButListedInTask) {
  source_.Add(9, 3).info.tgid = 1;
  source_.Add(4, 4);
  EXPECT_TRUE(Find("9/stat").ok());
  EXPECT_TRUE(Find("1/task/9/stat").ok());
  EXPECT_EQ(Find("1/task/4").error(), kENOENT);
  EXPECT_EQ(Find("1/task/9/task").error(), kENOENT);
  auto names = [&](std::string_view path, int64_t from) {
    std::vector<std::string> out;
    Ref<Inode> dir = *Find(path);
    ErrorOr<std::vector<DirNode::Listed>> listed = static_cast<DirNode&>(*dir).List(from, 100);
    for (const DirNode::Listed& e : *listed) out.push_back(e.name);
    return out;
  };
  EXPECT_EQ(names("1/task", DirNode::kFirstPosition), (std::vector<std::string>{"1", "9"}));
  EXPECT_EQ(names("", 256), (std::vector<std::string>{"1", "4"}));
  EXPECT_EQ((*Find("1/task"))->GetAttr()->nlink, 4u);
}

TEST_F(Proc, SelfFollowsTheCaller) {
  source_.Add(9, 3).info.tgid = 1;
  source_.current = 9;
  EXPECT_EQ(*(*Find("self"))->ReadLink(), "1");
  EXPECT_EQ(*(*Find("thread-self"))->ReadLink(), "1/task/9");
}

TEST_F(Proc, NumbersAreParsedStrictly) {
  for (const char* name : {"01", "+1", "-1", "1x", "", "99999999999"}) {
    EXPECT_EQ(fs_->root()->Lookup(name).error(), kENOENT) << name;
  }
}

TEST_F(Proc, WritableFilesCheckTheirValues) {
  EXPECT_TRUE(Write("1/comm", "a rather long new name\n").ok());
  EXPECT_EQ(*Read("1/comm"), "a rather long n\n");
  EXPECT_TRUE(Write("1/oom_score_adj", "500\n").ok());
  EXPECT_EQ(*Read("1/oom_score_adj"), "500\n");
  EXPECT_EQ(*Read("1/oom_adj"), "8\n");
  EXPECT_EQ(Write("1/oom_score_adj", "1001").error(), kEINVAL);
  EXPECT_EQ(Write("1/oom_score_adj", "x").error(), kEINVAL);
  EXPECT_TRUE(Write("sys/kernel/hostname", "other\n").ok());
  EXPECT_EQ(*Read("sys/kernel/hostname"), "other\n");
  source_.admin = false;
  EXPECT_EQ(Write("sys/kernel/hostname", "mine").error(), kEPERM);
}

TEST_F(Proc, SysctlsOpenForWritingOnlyIfTheyCanBeWritten) {
  Credentials root;
  EXPECT_EQ((*Find("sys/kernel/ngroups_max"))->CheckAccess(root, kMayWrite).error(), kEACCES);
  EXPECT_TRUE((*Find("sys/kernel/pid_max"))->CheckAccess(root, kMayWrite).ok());
  EXPECT_TRUE((*Find("sys/kernel/hostname"))->CheckAccess(root, kMayWrite).ok());
  Credentials user;
  user.fsuid = 1000;
  EXPECT_EQ((*Find("sys/kernel/hostname"))->CheckAccess(user, kMayWrite).error(), kEACCES);
}

TEST_F(Proc, FilesOfUndumpableTasksAreRoots) {
  Ref<Credentials> creds = MakeRef<Credentials>();
  creds->euid = creds->egid = 1000;
  source_.tasks[1].info.creds = creds;
  EXPECT_EQ((*Find("1/status"))->GetAttr()->uid, 1000u);
  source_.tasks[1].info.dumpable = false;
  EXPECT_EQ((*Find("1/status"))->GetAttr()->uid, 0u);
  EXPECT_EQ((*Find("1"))->GetAttr()->uid, 1000u);
}

TEST_F(Proc, SystemFilesAddUp) {
  source_.system.uptime_ns = 3'661'230'000'000;
  source_.system.loads = {5, 125, 0};
  source_.system.tasks = 3;
  source_.system.online_cpus = 0b1011;
  EXPECT_TRUE(Read("uptime")->starts_with("3661.23 "));
  EXPECT_EQ(*Read("loadavg"), "0.05 1.25 0.00 0/3 0\n");
  EXPECT_TRUE(Read("meminfo")->starts_with("MemTotal:        1048576 kB\n"));
  std::string stat = *Read("stat");
  EXPECT_NE(stat.find("\ncpu3 "), std::string::npos);
  EXPECT_EQ(stat.find("\ncpu2 "), std::string::npos);
}

TEST_F(Proc, RandomUuidsDifferAndTheBootIdStays) {
  EXPECT_NE(*Read("sys/kernel/random/uuid"), *Read("sys/kernel/random/uuid"));
  EXPECT_EQ(*Read("sys/kernel/random/boot_id"), *Read("sys/kernel/random/boot_id"));
  std::string id = *Read("sys/kernel/random/uuid");
  ASSERT_EQ(id.size(), 37u);
  EXPECT_EQ(id[14], '4');
}

}  // namespace
}  // namespace moat
