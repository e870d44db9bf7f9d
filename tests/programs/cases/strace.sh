#!/bin/bash
# needs: strace gcc
# Tracing system calls: of one program, of its children and threads, by attaching, and changing what calls return.
cat >family.c <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void* idle(void* p) { return p; }
int main(void) {
  pthread_t t;
  pthread_create(&t, 0, idle, 0);
  pthread_join(t, 0);
  if (!vfork()) execl("/bin/true", "true", (char*)0);
  wait(0);
  if (!fork()) _exit(4);
  wait(0);
  if (access("/nosuch", R_OK)) puts("no such file");
  return system("exit 3") == 3 << 8 ? 5 : 6;
}
END
gcc -pthread -o family family.c
strace -o log /bin/true; echo $?; tail -2 log
strace -f -o log ./family; echo $?
grep -c '+++ exited with' log; grep -o '+++ exited with [0-9]*' log | sort; grep -o 'CLONE_THREAD\|vfork(' log; grep -o 'access("/nosuch".*' log
grep -o 'SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED' log
strace -f -c -o log ./family; echo $?; grep -c 'execve\|wait4' log
strace -e trace=access -e inject=access:error=EIO ./family 2>&1 | grep -o 'access.*\|no such.*' | sed 's/(.*INJECTED/ INJECTED/'
strace -e trace=none -e inject=getppid:retval=77 sh -c 'exit 8' 2>&1; echo $?
strace -e trace=kill -e signal=all sh -c 'trap "echo caught" USR1; kill -USR1 $$; kill -TERM $$' 2>&1 | sed -E 's/kill\([0-9]+/kill(PID/; s/ += / = /; s/si_pid=[0-9]+/si_pid=PID/; s/si_uid=[0-9]+/si_uid=UID/'
rm log; mkfifo gate; sh -c 'read line <gate; echo "got $line"' & strace -o log -p $! 2>/dev/null & tracer=$!
until grep -qs . log; do sleep 0.05; done
echo hello >gate; wait $tracer; echo $?; tail -1 log
exit 0
