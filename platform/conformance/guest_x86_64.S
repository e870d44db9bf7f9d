// Guest code of the conformance tests: position-independent routines, copied into the guest; arguments in registers.
  .section .rodata.moat_conformance_guest, "a", @progbits
  .globl moat_guest_begin, moat_guest_end
  .balign 16
moat_guest_begin:
#define ENTRY(name) .globl moat_guest_##name; moat_guest_##name:

ENTRY(syscall)              // all registers are the caller's
  syscall
  ud2
ENTRY(syscall_loop)         // rbx times getpid
1:
  movl $39, %eax
  syscall
  decq %rbx
  jnz 1b
  ud2
ENTRY(syscall_loop_then_store)  // rbx times getpid; then (r12) = r13d, and on for ever
1:
  movl $39, %eax
  syscall
  decq %rbx
  jnz 1b
2:
  movl %r13d, (%r12)
  incq %r14
  jmp 2b
ENTRY(compute)              // for ever
1:
  incq %rax
  jmp 1b
ENTRY(count)                // rbx rounds, then ud2
1:
  decq %rbx
  jnz 1b
  ud2
ENTRY(increment)            // (rdi) for ever
1:
  lock incl (%rdi)
  jmp 1b
ENTRY(load)                 // rax = (rdi)
  movq (%rdi), %rax
  ud2
ENTRY(store)                // (rdi) = rsi
  movq %rsi, (%rdi)
  ud2
ENTRY(load_fs)              // rax = fs:0
  movq %fs:0, %rax
  ud2
ENTRY(divide_by_zero)
  xorl %ecx, %ecx
  divl %ecx
ENTRY(breakpoint)
  int3
ENTRY(undefined)
  ud2
ENTRY(privileged)
  hlt
ENTRY(nops)
  nop
  nop
  nop
  ud2
ENTRY(int80)                // eax = 20
  movl $20, %eax
  int $0x80
  ud2
ENTRY(vsyscall_time)        // needs a stack
  xorl %edi, %edi
  movq $0xffffffffff600400, %rax
  call *%rax
  ud2
ENTRY(jump)                 // to rdi, with rax etc. as they are
  jmp *%rdi
ENTRY(rseq)                 // rseq_cs of the area rdi = rsi, then a sequence that never ends by itself
  movq %rsi, 8(%rdi)
ENTRY(rseq_start)
1:
  incq %rax
  jmp 1b
ENTRY(rseq_end)
  .long 0x53053053          // the signature before an abort handler
ENTRY(rseq_abort)
  ud2
ENTRY(ymm)                  // ymm5 = (rdi); a call; (rsi) = ymm5
  vmovdqu (%rdi), %ymm5
  syscall
  vmovdqu %ymm5, (%rsi)
  ud2
  .globl moat_guest_end
moat_guest_end:
  .section .note.GNU-stack, "", @progbits
