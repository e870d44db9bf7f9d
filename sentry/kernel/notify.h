// Telling parents about their children, and process groups' orphanhood.
#pragma once

namespace moat {

class ThreadGroup;

// SIGCHLD (CLD_STOPPED, CLD_CONTINUED) unless SA_NOCLDSTOP, and a wake of the parent's wait. Take tasks_lock.
void NotifyParentOfStop(ThreadGroup& group, int signo);
void NotifyParentOfContinue(ThreadGroup& group);

// No member's parent is in another group of the same session (POSIX "orphaned process group"). tasks_lock held.
bool InOrphanedGroup(ThreadGroup& group);

}  // namespace moat
