#!/usr/bin/env python3
"""Runs the same work natively, in Moat, in gVisor and in bubblewrap, all in one go on one machine, and prints the ratios.

It judges nothing: docs name the goals. What is not installed, or does not work here, is left out and named."""

import argparse
import collections
import ctypes
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

PATIENCE = 120  # seconds for one command
PR_SET_CHILD_SUBREAPER = 36

COMPILED = """
#include <algorithm>
#include <map>
#include <string>
#include <vector>
int main() { std::map<std::string, std::vector<int>> m; m["a"].push_back(1); std::sort(m["a"].begin(), m["a"].end()); }
"""
PROGRAMS = {
    "compile (g++ -O2)": "cat > /tmp/moat-bench.cc <<'X'\n" + COMPILED.strip() + "\nX\ng++ -O2 -c /tmp/moat-bench.cc -o /tmp/moat-bench.o",
    "python start": "python3 -c 'import json, re, subprocess, argparse'",
    "git log": "git -c safe.directory='*' -C '{top}' log --oneline -200 > /dev/null",
    "shell, 100 x /bin/true": "i=0; while [ $i -lt 100 ]; do /bin/true; i=$((i+1)); done",
    "find /usr/lib": "find /usr/lib -name '*.so*' > /dev/null",
    "grep -r sources": "grep -r -c Mutex '{top}/sentry' '{top}/fs' > /dev/null",
    "tar | gzip": "tar cf - -C '{top}' sentry fs | gzip -1 > /dev/null",
}


def systems(args):
    """Name -> command prefix, of those that run `true` here."""
    moat = os.path.join(args.build, "bin", "moat")
    wanted = {"native": [], "moat": [moat, "do"] + args.moat_flag + ["--"]}
    if shutil.which("runsc"):
        wanted["gvisor"] = ["runsc", "--network=none", "--ignore-cgroups", f"--platform={args.gvisor_platform}", "do"]
    if shutil.which("bwrap"):
        wanted["bwrap"] = ["bwrap", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
                           "--unshare-all", "--die-with-parent", "--"]
    out = {}
    for name, prefix in wanted.items():
        if args.systems and name not in args.systems.split(","):
            continue
        if run(prefix + ["true"]) is None:
            print(f"{name}: does not run here, left out", file=sys.stderr)
        else:
            out[name] = prefix
    return out


def run(command, capture=False):
    """Wall seconds, or with `capture` the output; None if it failed."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if capture else subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    output = ""
    try:
        if capture:
            output, _ = process.communicate(timeout=PATIENCE)
        else:
            wait_for_end(process)  # Popen.wait with a timeout looks at growing intervals, up to 50 ms
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        return None
    seconds = time.monotonic() - start
    if process.wait() != 0:
        return None
    return output if capture else seconds


def wait_for_end(process):
    pidfd = os.pidfd_open(process.pid)
    try:
        if not select.select([pidfd], [], [], PATIENCE)[0]:
            raise subprocess.TimeoutExpired(process.args, PATIENCE)
    finally:
        os.close(pidfd)


def descendants(root):
    children = collections.defaultdict(list)
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as f:
                    children[int(f.read().rpartition(")")[2].split()[1])].append(int(entry))
            except OSError:
                pass
    found, todo = [], [root]
    while todo:
        new = children[todo.pop()]
        found += new
        todo += new
    return found


def pss_kb(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="utf-8") as f:
            for line in f:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def idle_pss_mb(prefix):
    """PSS of all processes of a sandbox whose only program sleeps."""
    process = subprocess.Popen(prefix + ["sleep", "4"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    time.sleep(2)
    total = sum(pss_kb(pid) for pid in descendants(os.getpid()))
    process.wait(timeout=PATIENCE)
    return total / 1024


def parse_micro(text):
    out = {}
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        try:
            out[name] = float(value)
        except ValueError:
            print(f"  {line}", file=sys.stderr)
    return out


def progress(text):
    if sys.stderr.isatty():
        print(f"\r{text}".ljust(60), end="\r", file=sys.stderr, flush=True)


def micro(all_systems, args):
    """Operation -> system -> ns; the systems take turns."""
    bench = [os.path.join(args.build, "bench", "syscall_bench"), "--rounds", "3", "--ms", str(args.ms)]
    if args.pin:
        bench.append("--pin")
    names = args.only or ""
    listed = (run([bench[0], "--list", "--only", names], capture=True) or "").split()
    results = collections.defaultdict(lambda: collections.defaultdict(list))
    for _ in range(args.repeat):
        for op in listed:
            for system, prefix in all_systems.items():
                progress(f"{op} in {system}")
                found = parse_micro(run(prefix + bench + ["--op", op], capture=True))
                if op in found:
                    results[op][system].append(found[op])
    progress("")
    return {op: {s: statistics.median(v) for s, v in by.items()} for op, by in results.items()}


def whole_commands(all_systems, command, count):
    """System -> median seconds; the systems take turns."""
    seconds = collections.defaultdict(list)
    for _ in range(count):
        for system, prefix in all_systems.items():
            took = run(prefix + command)
            if took is not None:
                seconds[system].append(took)
    return {system: statistics.median(v) for system, v in seconds.items()}


def table(title, unit, rows, names, scale=1.0):
    """The native value, and the others as multiples of it; where nothing is native, the values."""
    print(f"\n{title} [{unit}]")
    print("".ljust(30) + "".join(name.rjust(12) for name in names))
    for row, values in rows.items():
        line = row.ljust(30)
        native = values.get("native")
        for name in names:
            value = values.get(name)
            if value is None:
                cell = "-"
            elif name == "native" or native is None:
                cell = f"{value * scale:.1f}"
            else:
                cell = f"{value / native:.2f}x"
            line += cell.rjust(12)
        print(line)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default="build/release", help="build directory with bin/moat and bench/syscall_bench")
    parser.add_argument("--systems", help="comma-separated: native,moat,gvisor,bwrap")
    parser.add_argument("--parts", default="start,memory,micro,programs", help="comma-separated")
    parser.add_argument("--only", help="micro: operations whose name holds this")
    parser.add_argument("--pin", action="store_true", help="micro: on one CPU")
    parser.add_argument("--ms", type=int, default=10, help="micro: length of a round")
    parser.add_argument("--repeat", type=int, default=3, help="micro and programs: runs, of which the median counts")
    parser.add_argument("--starts", type=int, default=20, help="runs of `true`")
    parser.add_argument("--gvisor-platform", default="ptrace")
    parser.add_argument("--moat-flag", action="append", default=[], help="a further flag of `moat do`")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    parts = args.parts.split(",")
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    # Processes whose parent ended stay below this one, so that the memory of a sandbox can be summed up.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    found = systems(args)
    names = list(found)
    print(f"{os.uname().release}, {os.cpu_count()} CPUs; {', '.join(names)}")
    if "start" in parts:
        rows = {"true": whole_commands(found, ["true"], args.starts)}
        table("Start to end of a whole command", "ms, then ratios", rows, names, 1e3)
    if "memory" in parts:
        sandboxes = {name: idle_pss_mb(prefix) for name, prefix in found.items() if name != "native"}
        table("Memory of an idle sandbox", "MiB of PSS", {"sleep": sandboxes}, names)
    if "micro" in parts:
        table("Operations", "ns, then ratios", micro(found, args), names)
    if "programs" in parts:
        with tempfile.TemporaryDirectory() as cwd:
            os.chdir(cwd)
            rows = {}
            for label, script in PROGRAMS.items():
                rows[label] = whole_commands(found, ["sh", "-c", script.format(top=top) if "{top}" in script else script],
                                             args.repeat)
            os.chdir("/")
        table("Programs, start-up included", "ms, then ratios", rows, names, 1e3)


if __name__ == "__main__":
    main()
