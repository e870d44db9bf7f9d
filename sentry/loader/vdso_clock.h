// The clock of a sandbox: one page that the vDSO of every guest reads, and the system calls that answer in step with it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/sync/mutex.h"
#include "base/util/error.h"
#include "base/util/ref.h"
#include "fs/vfs/file_description.h"
#include "sentry/loader/clock_model.h"

namespace moat {

// Any thread. Nothing ticks: a page that nobody reads expires, and the first reader after that makes the system call,
// which writes the next one.
class VdsoClock {
 public:
  // Takes the first sample, so make it early: the time until guests ask is what the rate is first measured over. Where the
  // host's clock is not the invariant time stamp counter, or memory is short, there is no vDSO.
  VdsoClock();
  ~VdsoClock();

  // CLOCK_MONOTONIC and CLOCK_REALTIME as the vDSO shows them; never less than it showed before. ns.
  struct Now {
    int64_t monotonic_ns, realtime_ns;
  };
  Now Read();

  // The file that guests map, or null: the clock page, then the vDSO's image.
  const Ref<FileDescription>& file() const { return file_; }

 private:
  ErrorOr<void> MakeFile();
  void Publish(const vdso::ClockParameters& p) MOAT_REQUIRES(mu_);

  Mutex mu_;  // a leaf
  std::optional<ClockModel> model_ MOAT_GUARDED_BY(mu_);  // none: the host's clock is read
  vdso::ClockPage* page_ = nullptr;  // shared with guests, who can only read it
  Ref<FileDescription> file_;
};

}  // namespace moat
