#include "sentry/kernel/file_owner.h"

#include <climits>
#include <utility>

#include "abi/poll.h"
#include "abi/signal.h"
#include "base/util/check.h"
#include "fs/tty/terminal.h"
#include "fs/vfs/file_description.h"
#include "sentry/kernel/kernel.h"
#include "sentry/kernel/task.h"
#include "sentry/kernel/thread_group.h"

namespace moat {

namespace {

// POLL_* as poll(2)'s bits (band_table).
int64_t BandOf(int code) {
  switch (code) {
    case abi::kPOLL_IN: return abi::kPOLLIN | abi::kPOLLRDNORM;
    case abi::kPOLL_OUT: return abi::kPOLLOUT | abi::kPOLLWRNORM | abi::kPOLLWRBAND;
    case abi::kPOLL_ERR: return abi::kPOLLERR;
    case abi::kPOLL_PRI: return abi::kPOLLPRI | abi::kPOLLRDBAND;
    case abi::kPOLL_HUP: return abi::kPOLLHUP | abi::kPOLLERR;
    default: return 0;
  }
}

// Signals whose si_code means something else.
bool HasCodesOfItsOwn(int signo) {
  switch (signo) {
    case abi::kSIGILL: case abi::kSIGFPE: case abi::kSIGSEGV: case abi::kSIGBUS: case abi::kSIGTRAP: case abi::kSIGCHLD:
    case abi::kSIGSYS: return true;
    default: return false;
  }
}

abi::SigInfo InfoOf(int signo, int code, int fd) {
  if (signo == 0) return MakeSigInfo(abi::kSIGIO, abi::kSI_KERNEL);
  abi::SigInfo info = MakeSigInfo(signo, HasCodesOfItsOwn(signo) ? abi::kSI_SIGIO : code);
  info.si_band = BandOf(code);
  info.si_fd = fd;
  return info;
}

class OwnerOfFile final : public FileOwner {
 public:
  OwnerOfFile(Task& by, int type) : kernel_(by.kernel()), type_(type), uid_(by.creds().uid), euid_(by.creds().euid) {}

  // Finds whom `pid` means.
  ErrorOr<void> Find(int pid) MOAT_REQUIRES(kernel_.tasks_lock) {
    pid_ = pid;
    if (type_ == abi::kF_OWNER_PGRP) {
      kernel_.ForEachGroup([&](ThreadGroup& g) {
        if (g.process_group && g.process_group->pgid == pid) process_group_ = g.process_group;
      });
      return process_group_ ? ErrorOr<void>() : kESRCH;
    }
    Task* task = kernel_.FindTask(pid);
    if (!task) return kESRCH;
    if (type_ == abi::kF_OWNER_TID) {
      task_ = Ref<Task>(task);
    } else {
      group_ = task->group_ref();
    }
    return {};
  }

  abi::FOwnerEx Show() {
    MutexLock lock(kernel_.tasks_lock);
    bool alive = false;
    ForEach([&](Task*, ThreadGroup&) { alive = true; });
    return {.type = type_, .pid = alive ? pid_ : 0};
  }

  void Signal(int signo, int code, int fd) override { Send(InfoOf(signo, code, fd)); }
  void SignalUrgent() override { Send(MakeSigInfo(abi::kSIGURG, abi::kSI_KERNEL)); }

 private:
  // Calls visit(task, its group), or visit(null, group) where the signal is a process's.
  template <class F>
  void ForEach(F visit) MOAT_REQUIRES(kernel_.tasks_lock) {
    if (task_) {
      if (kernel_.FindTask(task_->tid()) == task_.get()) visit(task_.get(), task_->group());
    } else if (group_) {
      if (!group_->reaped) visit(static_cast<Task*>(nullptr), *group_);
    } else {
      kernel_.ForEachGroup([&](ThreadGroup& g) {
        if (g.process_group == process_group_) visit(static_cast<Task*>(nullptr), g);
      });
    }
  }

  // sigio_perm.
  bool MaySignal(Task& target) const {
    Ref<const Credentials> its = target.creds_ref();
    return euid_ == 0 || euid_ == its->suid || euid_ == its->uid || uid_ == its->suid || uid_ == its->uid;
  }

  void Send(const abi::SigInfo& info) {
    MutexLock lock(kernel_.tasks_lock);
    ForEach([&](Task* task, ThreadGroup& group) {
      Task* of = task ? task : group.leader;
      if (!of || group.exited || !MaySignal(*of)) return;
      if (task) {
        task->SendSignal(info);
      } else {
        group.SendSignal(info);
      }
    });
  }

  Kernel& kernel_;
  const int type_;
  const uint32_t uid_, euid_;  // of who named it
  int pid_ = 0;
  // One of them.
  Ref<Task> task_;
  Ref<ThreadGroup> group_;
  Ref<ProcessGroup> process_group_;
};

}  // namespace

ErrorOr<void> SetFileOwner(Task& by, FileDescription& file, const abi::FOwnerEx& who) {
  if (who.type < abi::kF_OWNER_TID || who.type > abi::kF_OWNER_PGRP) return kEINVAL;
  if (who.pid == 0) {
    if (FileAsync* async = file.async()) async->SetOwner(nullptr);
    return {};
  }
  Ref<OwnerOfFile> owner = MakeRef<OwnerOfFile>(by, who.type);
  {
    MutexLock lock(by.kernel().tasks_lock);
    ErrorOr<void> found;
    [&]() MOAT_NO_THREAD_SAFETY_ANALYSIS { found = owner->Find(who.pid); }();
    TRY(std::move(found));
  }
  file.MakeAsync().SetOwner(std::move(owner));
  return {};
}

ErrorOr<void> SetFileOwner(Task& by, FileDescription& file, int who) {
  if (who == INT_MIN) return kEINVAL;
  bool group = who < 0;
  return SetFileOwner(by, file, {.type = group ? abi::kF_OWNER_PGRP : abi::kF_OWNER_PID, .pid = group ? -who : who});
}

abi::FOwnerEx GetFileOwner(Task&, FileDescription& file) {
  FileAsync* async = file.async();
  Ref<FileOwner> owner = async ? async->owner() : nullptr;
  if (!owner) return {.type = abi::kF_OWNER_TID, .pid = 0};
  return static_cast<OwnerOfFile&>(*owner).Show();
}

int GetFileOwnerNumber(Task& t, FileDescription& file) {
  abi::FOwnerEx owner = GetFileOwner(t, file);
  return owner.type == abi::kF_OWNER_PGRP ? -owner.pid : owner.pid;
}

ErrorOr<void> SetFileAsync(Task& t, int fd, FileDescription& file, bool on) {
  AsyncKind kind = file.async_kind();
  if (kind == AsyncKind::kNone) return kENOTTY;
  FileAsync& async = file.MakeAsync();
  if (on) {
    if (kind == AsyncKind::kTerminal && !async.owner()) {
      // Whom the terminal serves (tty_fasync).
      Terminal* terminal = file.terminal();
      int foreground = terminal ? terminal->foreground.load(std::memory_order_relaxed) : 0;
      if (!foreground || !SetFileOwner(t, file, -foreground).ok()) TRY(SetFileOwner(t, file, t.tgid()));
    }
    async.Enable(fd);
  } else {
    async.Disable();
  }
  file.SetAsyncFlag(on);
  return {};
}

}  // namespace moat
