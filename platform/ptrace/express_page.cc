#include "platform/ptrace/express_page.h"

#include <cstddef>

#include "abi/fcntl.h"
#include "abi/mman.h"
#include "base/host/file.h"
#include "base/host/memory.h"

namespace moat::ptrace {

static_assert(offsetof(SharedExpressPage, polled) == 64 && offsetof(SharedExpressPage, rax) == 128);
static_assert(offsetof(SharedExpressPage, rsp) == 144 && offsetof(SharedExpressPage, args) == 160);
static_assert(sizeof(SharedExpressPage) <= 512, "the stub's stack follows, up to 1024");

ErrorOr<ExpressPage> ExpressPage::Create() {
  UniqueFd fd = TRY(host::MemfdCreate("express", abi::kMFD_CLOEXEC | abi::kMFD_ALLOW_SEALING));
  TRY(host::Ftruncate(fd.get(), abi::kPAGE_SIZE));
  TRY(host::FcntlAddSeals(fd.get(), abi::kF_SEAL_SHRINK | abi::kF_SEAL_GROW | abi::kF_SEAL_SEAL));
  void* page = TRY(host::Mmap(nullptr, abi::kPAGE_SIZE, abi::kPROT_READ | abi::kPROT_WRITE, abi::kMAP_SHARED, fd.get(), 0));
  return ExpressPage(std::move(fd), static_cast<SharedExpressPage*>(page));
}

ExpressPage::~ExpressPage() {
  if (page_ != nullptr) (void)host::Munmap(page_, abi::kPAGE_SIZE);
}

std::optional<Trap> ExpressPage::Take() {
  uint32_t posted = SharedExpressPage::kPosted;
  if (!page_->state.compare_exchange_strong(posted, SharedExpressPage::kTaken, std::memory_order_acq_rel)) return std::nullopt;
  Trap trap{};
  trap.kind = TrapKind::kSyscall;
  trap.arch = kAuditArchX86_64;
  trap.nr = static_cast<int64_t>(rax());
  for (int i = 0; i < 6; ++i) trap.args[i] = Read(page_->args[i]);
  trap.ip = return_ip();
  trap.sp = rsp();
  return trap;
}

bool ExpressPage::Withdraw() {
  uint32_t state = SharedExpressPage::kPosted;
  return page_->state.compare_exchange_strong(state, SharedExpressPage::kWithdrawn, std::memory_order_acq_rel) ||
         state == SharedExpressPage::kWithdrawn;
}

}  // namespace moat::ptrace
