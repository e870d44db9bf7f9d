#include "platform/fake/fake_platform.h"

#include "abi/regs.h"
#include "base/fiber/executor.h"
#include "base/host/file.h"

namespace moat {

FakeThread::FakeThread(FakePlatform& platform, AddressSpace& space)
    : platform_(platform), space_(space), xstate_(sizeof(abi::Xstate)) {
  platform_.threads_.insert(this);
}

FakeThread::~FakeThread() { platform_.threads_.erase(this); }

Trap FakeThread::Syscall(int64_t nr, std::initializer_list<uint64_t> args) {
  Trap trap{};
  trap.kind = TrapKind::kSyscall;
  trap.arch = kAuditArchX86_64;
  trap.nr = nr;
  size_t i = 0;
  for (uint64_t a : args) trap.args[i++] = a;
  return trap;
}

Trap FakeThread::Exception(int signo, int code, uint64_t addr) {
  Trap trap{};
  trap.kind = TrapKind::kException;
  trap.signo = signo;
  trap.code = code;
  trap.addr = addr;
  return trap;
}

// The worker looks at the scripts after each round of ready work; an empty one wakes it.
void FakeThread::Push(const Trap& trap) {
  script_.push_back(trap);
  Executor::Get().Post([] {});
}

void FakeThread::SetResult(uint64_t rax) {
  regs_.rax = rax;
  results_.push_back(rax);
}

ErrorOr<size_t> FakeThread::GetXState(std::span<std::byte> out) {
  size_t n = std::min(out.size(), xstate_.size());
  std::copy_n(xstate_.begin(), n, out.begin());
  return n;
}

ErrorOr<void> FakeThread::SetXState(std::span<const std::byte> in) {
  if (in.size() != xstate_.size()) return kEINVAL;
  xstate_.assign(in.begin(), in.end());
  return {};
}

void FakeThread::Resume() {
  running_ = true;
  Executor::Get().Post([] {});
}

void FakeThread::Interrupt() {
  interrupt_ = true;
  Executor::Get().Post([] {});
}

FakePlatform::FakePlatform() {
  info_.name = "fake";
  info_.task_size = 0x7fff00000000;
  info_.mmap_min = 64 << 10;
  info_.xsave_size = sizeof(abi::Xstate);
  info_.xfeatures = abi::kXFEATURE_MASK_FP | abi::kXFEATURE_MASK_SSE;
}

ErrorOr<AddressSpace::Forked> FakePlatform::NewAddressSpace() {
  auto space = std::make_unique<FakeAddressSpace>(*this);
  auto thread = MakeThread(*space, nullptr);
  return AddressSpace::Forked{std::move(space), std::move(thread)};
}

std::unique_ptr<FakeThread> FakePlatform::MakeThread(AddressSpace& space, GuestThread* from) {
  auto thread = std::make_unique<FakeThread>(*this, space);
  if (from != nullptr) {
    thread->regs_ = from->regs();
    thread->xstate_ = static_cast<FakeThread*>(from)->xstate_;
  }
  if (on_new_thread) on_new_thread(*thread);
  return thread;
}

FakeThread* FakePlatform::NextTrapping() {
  for (FakeThread* t : threads_) {
    if (t->running_ && (t->interrupt_ || !t->script_.empty())) return t;
  }
  return nullptr;
}

void FakePlatform::Run(TrapSink& sink) {
  while (!stop_) {
    FakeThread* thread = nullptr;
    Executor::Get().RunUntil([&] { return stop_ || (thread = NextTrapping()) != nullptr; });
    if (thread == nullptr) continue;
    Trap trap{};
    trap.interrupted = thread->interrupt_.exchange(false);
    if (trap.interrupted) {
      trap.kind = TrapKind::kInterrupted;
    } else {
      trap = thread->script_.front();
      thread->script_.pop_front();
    }
    thread->running_ = false;
    if (sink.OnTrap(*thread, trap) == Verdict::kResume) thread->running_ = true;
  }
  stop_ = false;
}

void FakePlatform::Stop() {
  stop_ = true;
  Executor::Get().Post([] {});
}

std::shared_ptr<FakePage> FakePlatform::SharedPage(int fd, uint64_t offset) {
  auto attributes = host::Fstat(fd);
  std::weak_ptr<FakePage>& slot = shared_[{attributes.ok() ? attributes->st_ino : 0, offset}];
  std::shared_ptr<FakePage> page = slot.lock();
  if (page == nullptr) {
    page = std::make_shared<FakePage>();
    (void)host::Pread(fd, page->bytes.data(), page->bytes.size(), offset);
    slot = page;
  }
  return page;
}

}  // namespace moat
