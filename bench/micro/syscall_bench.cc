// Prices of system calls and of what programs do with them, in ns: one line `name ns` for each operation.
//
//   syscall_bench [--pin] [--rounds N] [--ms N] [--dir DIR] [--only TEXT] [--op NAME] [--list]
//
// Each operation is calibrated to rounds of --ms milliseconds; the median of --rounds rounds is printed. --pin keeps the
// program on one CPU.
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "bench/micro/harness.h"

namespace moat::bench {

namespace {

constexpr unsigned kPatienceSeconds = 30;  // for one operation

std::vector<Operation>& Registry() {
  static std::vector<Operation> all;
  return all;
}

const char* running = "";  // in an operation's process

struct Options {
  bool pin = false, list = false;
  int rounds = 5;
  int64_t round_ns = 20'000'000;
  std::string only;  // names that hold this
  std::string op;    // this one
};

Settings& MutableSettings() {
  static Settings s;
  return s;
}

int64_t Time(const Operation& op, long iterations) {
  Round round(iterations);
  op.run(round);
  return std::max<int64_t>(round.elapsed_ns(), 1);
}

double Measure(const Operation& op, const Options& options) {
  long iterations = 1;
  int64_t ns = Time(op, iterations);
  // Until a round is long enough to say something about the next.
  while (ns < options.round_ns / 4 && iterations < 1'000'000'000) {
    int64_t factor = std::clamp<int64_t>(options.round_ns / ns, 2, 20);
    iterations *= factor;
    ns = Time(op, iterations);
  }
  iterations = std::max<long>(1, static_cast<long>(static_cast<double>(iterations) *
                                                   static_cast<double>(options.round_ns) / static_cast<double>(ns)));
  std::vector<double> results;
  for (int i = 0; i < options.rounds; ++i) {
    results.push_back(static_cast<double>(Time(op, iterations)) / static_cast<double>(iterations));
  }
  std::sort(results.begin(), results.end());
  return results[results.size() / 2];
}

void RunApart(const Operation& op, const Options& options) {
  fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    setpgid(0, 0);
    alarm(kPatienceSeconds);
    running = op.name;
    printf("%s %.1f\n", op.name, Measure(op, options));
    fflush(stdout);
    _exit(0);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) < 0) status = -1;
  if (pid > 0) kill(-pid, SIGKILL);  // what it may have left behind
  if (status == 0) return;
  if (status > 0 && WIFSIGNALED(status)) printf("%s failed: signal %d\n", op.name, WTERMSIG(status));
  else if (status < 0) printf("%s failed: fork: %s\n", op.name, strerror(errno));
}

void PinToOneCpu() {
  int cpu = sched_getcpu();
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<size_t>(cpu < 0 ? 0 : cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) fprintf(stderr, "cannot pin: %s\n", strerror(errno));
}

int Usage() {
  fprintf(stderr, "usage: syscall_bench [--pin] [--rounds N] [--ms N] [--dir DIR] [--only TEXT] [--op NAME] [--list]\n");
  return 2;
}

bool Parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    std::string arg = argv[i];
    bool has_value = i + 1 < argc;
    if (arg == "--pin") o.pin = true;
    else if (arg == "--list") o.list = true;
    else if (arg == "--rounds" && has_value) o.rounds = std::max(1, atoi(argv[++i]));
    else if (arg == "--ms" && has_value) o.round_ns = std::max(1, atoi(argv[++i])) * int64_t{1'000'000};
    else if (arg == "--dir" && has_value) MutableSettings().dir = argv[++i];
    else if (arg == "--only" && has_value) o.only = argv[++i];
    else if (arg == "--op" && has_value) o.op = argv[++i];
    else return false;
  }
  return true;
}

int Main(int argc, char** argv) {
  // The program that operations execute.
  if (argc == 2 && strcmp(argv[1], "--nothing") == 0) _exit(0);
  Options options;
  if (!Parse(argc, argv, options)) return Usage();
  char* path = realpath(argv[0], nullptr);
  MutableSettings().program = path ? path : argv[0];
  free(path);
  std::sort(Registry().begin(), Registry().end(), [](auto& a, auto& b) { return strcmp(a.name, b.name) < 0; });
  if (options.pin) PinToOneCpu();
  for (const Operation& op : Registry()) {
    if (strstr(op.name, options.only.c_str()) == nullptr) continue;
    if (!options.op.empty() && options.op != op.name) continue;
    if (options.list) printf("%s\n", op.name);
    else RunApart(op, options);
  }
  return 0;
}

}  // namespace

Registration::Registration(std::initializer_list<Operation> operations) {
  Registry().insert(Registry().end(), operations);
}
const Settings& settings() { return MutableSettings(); }

void Fail(const char* what) {
  int error = errno;
  printf("%s failed: %s: %s\n", running, what, strerror(error));
  fflush(stdout);
  _exit(1);
}

}  // namespace moat::bench

int main(int argc, char** argv) { return moat::bench::Main(argc, argv); }
