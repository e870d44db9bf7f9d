// A guest that maps a file, waits until somebody outside has cut it, and looks at what is left: truncated FILE.
// FILE has two pages; once it is mapped, "mapped" is printed, and FILE.cut says that it has none any more. Prints one line for
// each way to reach the lost page. Does the same natively.
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>

namespace {

constexpr size_t kPage = 4096;
sigjmp_buf g_back;
siginfo_t g_info;

void OnBus(int, siginfo_t* info, void*) {
  g_info = *info;
  siglongjmp(g_back, 1);
}

void Say(const char* what, long result) {
  printf("%s %s\n", what, result >= 0 ? "ok" : strerrorname_np(errno));
  fflush(stdout);
}

// The guest's own access.
void Touch(const char* what, volatile char* p, bool write) {
  if (sigsetjmp(g_back, 1) == 0) {
    if (write) *p = 1;
    else (void)*p;
    printf("%s ok\n", what);
  } else {
    printf("%s SIGBUS %s %s\n", what, g_info.si_code == BUS_ADRERR ? "BUS_ADRERR" : "other",
           g_info.si_addr == p ? "there" : "elsewhere");
  }
  fflush(stdout);
}

// How a child ends that does it.
void InChild(const char* what, const std::function<void()>& run) {
  const pid_t pid = fork();
  if (pid == 0) {
    signal(SIGBUS, SIG_DFL);
    run();
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  printf("%s %s\n", what, WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "exit");
  fflush(stdout);
}

long Futex(void* word, int op, int value, void* word2, int value3) {
  return syscall(SYS_futex, word, op, value, nullptr, word2, value3);
}

// The kernel's accesses on our behalf.
void Calls(char* lost) {
  int fds[2], sockets[2];
  if (pipe(fds) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0) exit(1);
  Say("write", write(fds[1], lost, 10));
  Say("write_ok", write(fds[1], "0123456789", 10));
  Say("read", read(fds[0], lost, 5));
  Say("send", send(sockets[0], lost, 10, 0));
  Say("writev_array", writev(fds[1], reinterpret_cast<iovec*>(lost), 1));
  Say("open", open(lost, O_RDONLY));
  Say("stat", stat("/", reinterpret_cast<struct stat*>(lost)));
  Say("pipe", pipe(reinterpret_cast<int*>(lost)));
  char* args[] = {lost, nullptr};
  Say("execve", execve("/bin/true", args, nullptr));
  int word = 0;
  Say("futex_wait", Futex(lost, FUTEX_WAIT, 0, nullptr, 0));
  Say("futex_wait_private", Futex(lost, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 0, nullptr, 0));
  Say("futex_wake_op", Futex(&word, FUTEX_WAKE_OP, 1, lost, FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)));
  Say("futex_lock_pi", Futex(lost, FUTEX_LOCK_PI, 0, nullptr, 0));
  Say("sigaction", syscall(SYS_rt_sigaction, SIGUSR1, lost, nullptr, 8));
  char file[] = "/tmp/truncated-XXXXXX";
  const int out = mkstemp(file);
  Say("file_write", write(out, lost, kPage));
  Say("file_pread", pread(out, lost, 1, 0) == 0 ? 0 : -1);
  Say("madvise", madvise(lost, kPage, MADV_POPULATE_READ));
  unlink(file);
}

void Ends(char* lost) {
  InChild("child_touch", [lost] { *static_cast<volatile char*>(lost) = 1; });
  InChild("child_stack", [lost] {  // the frame of a signal has no place to go
    stack_t stack{.ss_sp = lost, .ss_flags = 0, .ss_size = kPage};
    struct sigaction action{};
    action.sa_handler = [](int) {};
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGUSR1, &action, nullptr);
    sigaltstack(&stack, nullptr);
    raise(SIGUSR1);
  });
  InChild("child_robust", [lost] { syscall(SYS_set_robust_list, lost, 24); });
  InChild("child_clear_tid", [lost] { syscall(SYS_set_tid_address, lost); });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string path = argv[1];
  const int fd = open(path.c_str(), O_RDWR);
  // Shared if the file can be written, private if it is shown read-only.
  const bool writable = fd >= 0;
  const int use = writable ? fd : open(path.c_str(), O_RDONLY);
  if (use < 0) return 3;
  char* map = static_cast<char*>(mmap(nullptr, 2 * kPage, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                                      writable ? MAP_SHARED : MAP_PRIVATE, use, 0));
  if (map == MAP_FAILED || map[kPage] != 'x') return 4;
  printf("mapped\n");
  fflush(stdout);
  while (access((path + ".cut").c_str(), F_OK) != 0) usleep(2000);
  struct sigaction action{};
  action.sa_sigaction = OnBus;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  sigaction(SIGBUS, &action, nullptr);
  char* lost = map + kPage;
  Touch("load", lost, false);
  if (writable) Touch("store", lost + 8, true);
  Calls(lost);
  if (writable) Ends(lost);
  Say("read_file", read(use, map, 0));
  printf("end\n");
  return 0;
}
