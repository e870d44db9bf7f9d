#!/bin/bash
# needs: gcc ar nm objdump
# Compiling, linking and running C: static and shared, a library loaded at run time.
cat >main.c <<'END'
#include <dlfcn.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
int twice(int);
static sigjmp_buf jump;
static void on_fault(int s, siginfo_t* i, void* c) { (void)c; printf("fault %d code %d%s\n", s, i->si_code, i->si_addr == (void*)0x1234 ? " at 0x1234" : ""); siglongjmp(jump, 1); }
int main(int argc, char** argv) {
  printf("%d %s %d\n", argc, argc > 1 ? argv[1] : "", twice(21));
  struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
  sigaction(SIGSEGV, &sa, 0);
  if (!sigsetjmp(jump, 1)) *(volatile int*)0x1234 = 1;
  char* m = mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (!sigsetjmp(jump, 1)) { m[4096] = 1; } else { mprotect(m, 8192, PROT_READ | PROT_WRITE); m[4096] = 2; printf("%d\n", m[4096]); }
  fflush(stdout);
  int p[2];
  if (pipe(p)) return 2;
  pid_t pid = fork();
  if (!pid) { dup2(p[1], 1); execl("/bin/echo", "echo", "from a child", (char*)0); _exit(127); }
  close(p[1]);
  char b[100];
  ssize_t n = read(p[0], b, sizeof b);
  int status; waitpid(pid, &status, 0);
  printf("%.*s%d\n", (int)n, b, WEXITSTATUS(status));
  printf("%d %s\n", open("nosuch", O_RDONLY), strerror(errno));
  double* d = malloc(1 << 22); for (int i = 0; i < 1 << 19; i++) d[i] = i; double s = 0; for (int i = 0; i < 1 << 19; i++) s += d[i]; printf("%.1f\n", s); free(d);
  void* h = dlopen("./libplug.so", RTLD_NOW);
  if (h) { int (*f)(void) = (int (*)(void))dlsym(h, "plug"); printf("plug %d\n", f()); dlclose(h); } else { printf("no plug\n"); }
  return 3;
}
END
sed -i '2i #include <fcntl.h>' main.c
echo 'int twice(int x) { return 2 * x; }' >twice.c
echo 'static __thread int t = 5; int plug(void) { return t + 2; }' >plug.c
gcc -O1 -Wall -Wextra -c main.c twice.c; ar rcs libtwice.a twice.o; gcc -shared -fPIC -o libplug.so plug.c; gcc -o dyn main.o -L. -ltwice; ./dyn arg; echo $?
gcc -shared -fPIC -o libtwice.so twice.c; gcc -o sh main.o ./libtwice.so -Wl,-rpath,. ; ./sh; echo $?
gcc -no-pie -o nopie main.o twice.o; ./nopie; echo $?; echo 'int main(void) { return 42; }' | gcc -static -x c - -o st; ./st; echo $?; echo 'int main(void) { return x; }' | gcc -x c - -o bad; echo $?
gcc -E -dM - </dev/null | grep -w __x86_64__; gcc -S -O2 -o - twice.c | grep -c twice; nm twice.o; objdump -d twice.o | grep -c ret; ldd dyn | grep -c libc.so; strip dyn; ./dyn x y | head -1; gcc -O2 -flto -o lto main.c twice.c && ./lto | tail -1
echo '#include <stdio.h>
int main(void) { char b[8]; int *p = 0; gets_like: puts("as root"); (void)b; (void)p; if (0) goto gets_like; return 0; }' >san.c; gcc -g -O0 -o san san.c && ./san
echo 'int main(void) { __builtin_trap(); }' | gcc -x c - -o trap; ./trap 2>/dev/null; echo $?; echo 'int main(int c, char** v) { (void)v; return 1 / (c - 1); }' | gcc -x c - -o div; ./div 2>/dev/null; echo $?; echo '#include <stdlib.h>
int main(void) { abort(); }' | gcc -x c - -o ab; ./ab 2>/dev/null; echo $?; echo 'int f(int n) { volatile char a[4096]; a[0] = n; return f(n + 1) + a[0]; } int main(void) { return f(0); }' | gcc -O0 -w -x c - -o deep; (ulimit -s 1024; ./deep) 2>/dev/null; echo $?
exit 0
