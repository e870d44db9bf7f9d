// long moat_ptrace_wait4(int pid, int* status, int options, const int* kicked): wait4 that no kick can miss. Between `begin`
// and `end` the kick handler moves the instruction pointer to `kicked`: a signal that comes before the kernel sleeps makes
// the call return -EINTR, as one that comes while it sleeps does.
#define NR_wait4 61
#define EINTR 4

  .text
  .balign 16
  .globl moat_ptrace_wait4, moat_ptrace_wait4_begin, moat_ptrace_wait4_end, moat_ptrace_wait4_kicked
  .type moat_ptrace_wait4, @function
moat_ptrace_wait4:
  movq %rcx, %r8
  xorl %r10d, %r10d             // no rusage
moat_ptrace_wait4_begin:
  cmpl $0, (%r8)
  jne moat_ptrace_wait4_kicked
  movl $NR_wait4, %eax
  syscall
moat_ptrace_wait4_end:
  ret
moat_ptrace_wait4_kicked:
  movq $-EINTR, %rax
  ret
  .size moat_ptrace_wait4, . - moat_ptrace_wait4
  .section .note.GNU-stack, "", @progbits
