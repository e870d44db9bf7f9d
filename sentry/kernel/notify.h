// Telling parents about their children, and process groups' orphanhood.
#pragma once

#include "abi/signal.h"

namespace moat {

class ThreadGroup;


// SIGCHLD (CLD_STOPPED, CLD_CONTINUED) unless SA_NOCLDSTOP, and a wake of the parent's wait. Take tasks_lock.
void NotifyParentOfStop(ThreadGroup& group, int signo);
void NotifyParentOfContinue(ThreadGroup& group);

// The SIGCHLD of an exit with this wait status (CLD_EXITED, CLD_KILLED, CLD_DUMPED). tasks_lock held.
abi::SigInfo ChildSigInfo(ThreadGroup& group, int wait_status);

// No member's parent is in another group of the same session (POSIX "orphaned process group"). tasks_lock held.
bool InOrphanedGroup(ThreadGroup& group);

}  // namespace moat
