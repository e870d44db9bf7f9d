#!/bin/bash
# needs: gdb gcc
# A debugger: breakpoints, stepping, calling functions, registers, memory, signals, threads, forks, attaching.
cat >prog.c <<'END'
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static int counter;
static void on_usr1(int s) { counter += s; }
__attribute__((noinline)) int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
__attribute__((noinline)) double half(double x) { return x / 2; }
static const char text[] = "read only text";
int main(int argc, char** argv) {
  signal(SIGUSR1, on_usr1);
  int f = fib(8);
  double h = half(5);
  counter = f;
  raise(SIGUSR1);
  if (argc > 1 && !strcmp(argv[1], "fork")) { if (!fork()) _exit(7); wait(0); }
  if (argc > 1 && !strcmp(argv[1], "crash")) *(volatile int*)8 = 1;
  printf("%d %.2f %d %s\n", f, h, counter, text);
  return 3;
}
END
cat >threads.c <<'END'
#include <pthread.h>
#include <stdio.h>
static pthread_barrier_t barrier;
__attribute__((noinline)) void work(long i) { pthread_barrier_wait(&barrier); (void)i; }
static void* run(void* p) { work((long)p); return 0; }
int main(void) {
  pthread_t t[3];
  pthread_barrier_init(&barrier, 0, 4);
  for (long i = 0; i < 3; i++) pthread_create(&t[i], 0, run, (void*)i);
  work(3);
  for (int i = 0; i < 3; i++) pthread_join(t[i], 0);
  puts("joined");
  return 0;
}
END
gcc -g -O0 -o prog prog.c; gcc -g -O0 -pthread -o threads threads.c
# Without colours, questions, symbol servers and hardware breakpoints, which a machine may not have. Numbers of processes go.
db() {
  gdb -nx -batch -ex 'set confirm off' -ex 'set debuginfod enabled off' -ex 'set can-use-hw-watchpoints 0' "$@" 2>&1 |
    grep -v 'libthread_db\|warning: \|^$\|debuginfod' | sed -E 's/(process|LWP|Thread 0x[0-9a-f]+ \(LWP) [0-9]+/\1 N/g; s/0x[0-9a-f]{6,}/ADDR/g'
}
echo == break; db -ex 'break fib if n == 1' -ex run -ex bt -ex 'print n' -ex delete -ex finish -ex 'print counter = 5' -ex continue ./prog
echo == step; db -ex 'break main' -ex run -ex next -ex next -ex step -ex 'info args' -ex 'watch counter' -ex continue -ex 'print fib(6)' -ex 'print half(3)' -ex 'x/s text' -ex 'p $_siginfo.si_signo' -ex kill ./prog
echo == poke; db -ex 'break half' -ex run -ex 'set var x = 9' -ex 'set var {char}text = 82' -ex 'print $sp == $rsp' -ex 'stepi 3' -ex 'print $xmm0.v2_double[0]' -ex delete -ex continue ./prog
echo == signals; db -ex 'handle SIGUSR1 stop print pass' -ex run -ex 'print $_siginfo.si_signo' -ex 'signal 0' ./prog
echo == catch; db -ex 'handle SIGUSR1 nostop noprint' -ex 'catch fork' -ex 'catch syscall exit_group' -ex 'run fork' -ex continue -ex continue -ex continue ./prog
# The parent, let go, prints while gdb does: kept apart, as either may be first.
mkfifo parent; cat parent >said &
echo == child; db -ex 'handle SIGUSR1 nostop noprint' -ex 'set follow-fork-mode child' -ex 'run fork >parent' ./prog; wait; cat said
echo == crash; db -ex 'handle SIGUSR1 nostop' -ex 'run crash' -ex bt -ex 'print $_siginfo._sifields._sigfault.si_addr' -ex kill ./prog
echo == threads; db -ex 'break work if i == 3' -ex run -ex 'thread apply all -q print 1' -ex 'print $_inferior_thread_count' -ex delete -ex continue ./threads 2>&1 | grep -v 'New Thread\|exited\]\|Switching' | sort
echo == attach
mkfifo gate; ./prog <gate >/dev/null & exec 9>gate; wait %1; sleep 100 & sleeper=$!
db -p $sleeper -ex 'print $rip != 0' -ex detach | tail -2; kill $sleeper; wait $sleeper; echo $?
exit 0
