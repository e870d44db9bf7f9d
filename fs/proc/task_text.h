// The texts of files of a task: proc_pid_stat(5), proc_pid_status(5), ...
#pragma once

#include <string>

#include "fs/proc/source.h"

namespace moat::proc {

// `group`: the file stands in /proc/PID, so times and counts are the whole process's; false: in task/TID.
using TaskText = ErrorOr<std::string> (*)(ProcSource& source, TaskKey key, bool group);

ErrorOr<std::string> Stat(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Status(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Statm(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Maps(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Smaps(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> SmapsRollup(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Cmdline(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Environ(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Auxv(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Comm(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Limits(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> MountsText(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> MountInfo(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> OomScore(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> OomScoreAdj(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> OomAdj(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Personality(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> TimerSlack(ProcSource&, TaskKey, bool group);
ErrorOr<std::string> Schedstat(ProcSource&, TaskKey, bool group);

}  // namespace moat::proc
