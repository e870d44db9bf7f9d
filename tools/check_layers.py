#!/usr/bin/env python3
"""Includes point down only (docs/STYLE.md, `layers`), and system headers stay in base/host (`own-abi`)."""

import re
import sys

from source_files import FOLDERS, is_test, read, sources

# Wire formats that two programs share: any layer above base may include them, they include base only.
LEAVES = ("gofer/protocol/", "sentry/control/protocol.", "sentry/boot/config.")
# What a file below the first prefix that fits may include, besides its own folder.
ALLOWED = {
    "abi/": (),
    "base/": ("abi/",),
    "platform/": ("abi/", "base/"),
    "fs/": ("abi/", "base/", "gofer/protocol/"),
    "sentry/": ("abi/", "base/", "platform/", "fs/", "gofer/protocol/"),
    "gofer/": ("abi/", "base/"),
    "runtime/": ("abi/", "base/") + LEAVES,
    "tests/util/": (),
    "tests/syscalls/": ("tests/util/",),
}
OURS = tuple(folder + "/" for folder in FOLDERS)
# Only these may include headers of Linux and of libc's POSIX part.
MAY_USE_SYSTEM = ("base/host/", "base/fiber/host_thread.", "abi/abi_check", "tests/", "bench/")
SYSTEM = re.compile(
    r"^(sys|linux|asm|asm-generic|arpa|net|netinet|bits)/|"
    r"^(errno|unistd|fcntl|signal|pthread|sched|poll|ucontext|dirent|dlfcn|termios|grp|pwd|semaphore|spawn|time|mntent)\.h$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[">]', re.M)


def own_rule(name):
    if name.startswith(LEAVES):
        return "wire format", ("abi/", "base/") + tuple(leaf for leaf in LEAVES if name.startswith(leaf))
    for prefix, allowed in ALLOWED.items():
        if name.startswith(prefix):
            return prefix.rstrip("/"), allowed + (prefix,)
    return None, None


def check(name, text):
    layer, allowed = own_rule(name)
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        kind, target = match.groups()
        # A unit test may stand its subject on real neighbours; tests/syscalls links nothing of ours.
        free = is_test(name) and not name.startswith("tests/")
        if kind == '"' and allowed is not None and not free:
            if target.startswith(OURS) and not target.startswith(allowed):
                yield f"{name}:{line}: {layer} must not include {target}"
        if kind == "<" and SYSTEM.search(target) and not is_test(name) and not name.startswith(MAY_USE_SYSTEM):
            yield f"{name}:{line}: <{target}> belongs below base/host (rule own-abi)"


def main():
    problems = [problem for name in sources() for problem in check(name, read(name))]
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
