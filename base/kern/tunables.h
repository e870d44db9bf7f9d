// Values of /proc/sys that change what the kernel does. A sentry serves one sandbox, so there is one set of them. Where the sentry
// has a bound of its own on what it holds for a guest, the lower one counts.
#pragma once

#include <atomic>
#include <cstdint>

namespace moat {

struct Tunables {
  std::atomic<int64_t> pipe_max_size{1 << 20};             // fs.pipe-max-size: F_SETPIPE_SZ without CAP_SYS_RESOURCE
  std::atomic<int64_t> somaxconn{4096};                    // net.core.somaxconn: listen(2)'s backlog
  std::atomic<int64_t> first_unprivileged_port{1024};      // net.ipv4.ip_unprivileged_port_start
  std::atomic<int64_t> first_ephemeral{32768}, last_ephemeral{60999};  // net.ipv4.ip_local_port_range
  std::atomic<int64_t> rmem_max{212992}, wmem_max{212992};  // net.core.rmem_max, wmem_max: SO_RCVBUF, SO_SNDBUF
  std::atomic<int64_t> max_inotify_watches{65536};         // fs.inotify.max_user_watches
  std::atomic<int64_t> pid_max{32768};                     // kernel.pid_max
};

inline Tunables g_tunables;

}  // namespace moat
