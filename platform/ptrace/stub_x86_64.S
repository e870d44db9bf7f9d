// The text of every stub: one page, mapped read-execute at the same random address in all of them, its scratch page right
// behind, then in some the express page. The tracer sets a stopped thread's registers to one of these routines and continues it; each ends in int3. No
// routine uses a stack or more registers than it names, and nothing here trusts the scratch page, which guests can write.
// The express path at the end is the one part that guests enter by themselves.
#define SCRATCH (moat_ptrace_stub_begin + 4096)
#define NR_mmap 9
#define NR_recvmsg 47
#define NR_prlimit64 302
#define NR_close_range 436
#define RLIMIT_STACK 3
#define MSG_DONTWAIT 0x40

  .section .rodata.moat_ptrace_stub, "a", @progbits
  .balign 64
  .globl moat_ptrace_stub_begin
moat_ptrace_stub_begin:

// The nop keeps a routine's start apart from the end of the one before: a stop there is not an end.
#define ENTRY(name) nop; .globl moat_ptrace_stub_##name; moat_ptrace_stub_##name:

// Where the zygote waits for its first command.
ENTRY(start)
  int3

// One system call, all registers set by the tracer. rax: its result.
ENTRY(syscall)
  syscall
  int3

// Receives one message with descriptors from the socket, fd 0; they become fd 1 and on, as 0 is the only other one. Then the
// flags say equal, or rax is recvmsg's result. `controllen` is rbp's. Clobbers rdi, rsi, rdx.
#define RECEIVE_FDS                                      \
  leaq SCRATCH(%rip), %rsi;                              \
  xorl %eax, %eax;                                       \
  movq %rax, 0(%rsi);            /* msg_name */          \
  movq %rax, 8(%rsi);            /* msg_namelen */       \
  leaq 64(%rsi), %rdx;                                   \
  movq %rdx, 16(%rsi);           /* msg_iov */           \
  movq $1, 24(%rsi);             /* msg_iovlen */        \
  leaq 96(%rsi), %rdx;                                   \
  movq %rdx, 32(%rsi);           /* msg_control */       \
  movq %rbp, 40(%rsi);           /* msg_controllen */    \
  movq %rax, 48(%rsi);           /* msg_flags */         \
  leaq 88(%rsi), %rdx;                                   \
  movq %rdx, 64(%rsi);           /* iov_base */          \
  movq $1, 72(%rsi);             /* iov_len */           \
  xorl %edi, %edi;                                       \
  movl $MSG_DONTWAIT, %edx;                              \
  movl $NR_recvmsg, %eax;                                \
  syscall;                                               \
  cmpq $1, %rax
// Closes all descriptors but the socket.
#define CLOSE_FDS                                        \
  movl $1, %edi;                                         \
  movl $-1, %esi;                                        \
  xorl %edx, %edx;                                       \
  movl $NR_close_range, %eax;                            \
  syscall

// Maps the descriptor that lies in the socket: r12 address, r13 length, r14 prot, r15 flags, rbx offset; rbp: the length of a
// control message with one descriptor. rax: mmap's result, or recvmsg's when nothing came.
ENTRY(map_fd)
  RECEIVE_FDS
  jne 1f
  movq %r12, %rdi
  movq %r13, %rsi
  movq %r14, %rdx
  movq %r15, %r10
  movl $1, %r8d
  movq %rbx, %r9
  movl $NR_mmap, %eax
  syscall
  movq %rax, %rbp
  CLOSE_FDS
  movq %rbp, %rax
1:
  int3

// A list of mappings: r12 its address, on the scratch page, r13 its length, not 0; each entry mmap's six arguments. rbp: the
// length of a control message with all descriptors that the list names, 0 if none. rax: how many failed. Only for stubs without
// a second thread: that could change the list.
ENTRY(map_list)
  xorl %r14d, %r14d
  testq %rbp, %rbp
  jz 1f
  RECEIVE_FDS
  je 1f
  movq %r13, %rax
  int3
1:
  movq 0(%r12), %rdi
  movq 8(%r12), %rsi
  movq 16(%r12), %rdx
  movq 24(%r12), %r10
  movq 32(%r12), %r8
  movq 40(%r12), %r9
  movl $NR_mmap, %eax
  syscall
  cmpq 0(%r12), %rax
  je 2f
  incl %r14d
2:
  addq $48, %r12
  decq %r13
  jnz 1b
  testq %rbp, %rbp
  jz 3f
  CLOSE_FDS
3:
  movl %r14d, %eax
  int3

// r12, r13: soft and hard RLIMIT_STACK.
ENTRY(set_stack_limit)
  leaq SCRATCH(%rip), %rdx
  movq %r12, 0(%rdx)
  movq %r13, 8(%rdx)
  xorl %edi, %edi
  movl $RLIMIT_STACK, %esi
  xorl %r10d, %r10d
  movl $NR_prlimit64, %eax
  syscall
  int3

// Guest memory as the guest sees it: rdi address, esi operand, eax expected value; eax: the old value. A fault stops here.
ENTRY(touch)
  movb (%rdi), %al
  int3
ENTRY(compare_exchange)
  lock cmpxchgl %esi, (%rdi)
  int3
ENTRY(exchange)
  xchgl %esi, (%rdi)
  movl %esi, %eax
  int3
ENTRY(add)
  lock xaddl %esi, (%rdi)
  movl %esi, %eax
  int3
#define LOOP(name, op)               \
ENTRY(name)                          \
  movl (%rdi), %eax;                 \
1:                                   \
  movl %eax, %edx;                   \
  op %esi, %edx;                     \
  lock cmpxchgl %edx, (%rdi);        \
  jne 1b;                            \
  int3
LOOP(or, orl)
LOOP(and, andl)
LOOP(xor, xorl)

// The express path (express.h): a patched call site comes here with the call's registers as `syscall` takes them, but rcx, which
// `syscall` destroys anyway, holds the address behind the site. The call is posted on the express page; a tracer that polls takes
// and answers it. If none does, the thread makes the call after all and stops. The guest's stack is never written: there may be
// a red zone. The labels tell the tracer, who may stop the thread anywhere, what is where: Express::Normalize.
#define PAGE(field) moat_ptrace_stub_begin + 8192 + field
#define STATE PAGE(0)
#define POLLED PAGE(64)
#define RAX PAGE(128)
#define RCX PAGE(136)
#define RSP PAGE(144)
#define FLAGS PAGE(152)
#define ARGS 160
#define STACK_TOP PAGE(1024)
#define ANSWERED 0
#define POSTED 1
#define WITHDRAWN 3
#define SPINS 1000
#define LABEL(name) .globl moat_ptrace_stub_express_##name; moat_ptrace_stub_express_##name:

ENTRY(express)
  movq %rsp, RSP(%rip)                  // faults if the thread has no page
LABEL(entered)
  leaq STACK_TOP(%rip), %rsp
LABEL(switched)
  pushfq
  popq %r11
  movq %r11, FLAGS(%rip)
  movq %rcx, RCX(%rip)
  movq %rdi, PAGE(ARGS)(%rip)
  movq %rsi, PAGE(ARGS + 8)(%rip)
  movq %rdx, PAGE(ARGS + 16)(%rip)
  movq %r10, PAGE(ARGS + 24)(%rip)
  movq %r8, PAGE(ARGS + 32)(%rip)
  movq %r9, PAGE(ARGS + 40)(%rip)
  movq %rax, RAX(%rip)
LABEL(stored)
  movl $POSTED, %eax
  xchgl %eax, STATE(%rip)               // a full barrier: POLLED is read afterwards
LABEL(posted)
  cmpl $0, POLLED(%rip)
  je 2f
  movl $SPINS, %r11d
1:
  pause
  cmpl $ANSWERED, STATE(%rip)
  je 4f
  decl %r11d
  jnz 1b
2:
  movl $POSTED, %eax
  movl $WITHDRAWN, %r11d
  lock cmpxchgl %r11d, STATE(%rip)
  je moat_ptrace_stub_express_slow
3:
  pause                                 // taken: the tracer answers or stops us
  cmpl $ANSWERED, STATE(%rip)
  jne 3b
4:
  movq FLAGS(%rip), %r11
  pushq %r11
  popfq
  movq RAX(%rip), %rax
  movq RCX(%rip), %rcx
  movq RSP(%rip), %rsp
  jmp *%rcx
LABEL(slow)
  pushq FLAGS(%rip)
  popfq
  movq RAX(%rip), %rax
  movq RSP(%rip), %rsp
  syscall
LABEL(called)
  movq RCX(%rip), %rcx
  jmp *%rcx
LABEL(end)

  .globl moat_ptrace_stub_end
moat_ptrace_stub_end:
  .section .note.GNU-stack, "", @progbits
