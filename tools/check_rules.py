#!/usr/bin/env python3
"""Words that must not stand above base (docs/STYLE.md, `no-tls`, `error-or`, `own-abi`): a fiber may go on on another
thread, so nothing may be kept in one; and nothing but runtime/ throws."""

import re
import sys

from source_files import is_test, read, sources, without_comments_and_strings

ABOVE_BASE = ("platform/", "fs/", "sentry/", "gofer/", "runtime/")
NO_EXCEPTIONS = ("base/", "platform/", "fs/", "sentry/", "gofer/")
RULES = (
    (ABOVE_BASE, re.compile(r"\bthread_local\b|\b__thread\b"), "thread_local above base (rule no-tls)"),
    (ABOVE_BASE, re.compile(r"\berrno\b|\b__errno_location\b"), "errno above base (rule no-tls)"),
    (NO_EXCEPTIONS, re.compile(r"\bthrow\b|\bcatch\s*\("), "exceptions outside runtime (rule error-or)"),
    (NO_EXCEPTIONS, re.compile(r"\babsl::Mutex\b|\bstd::(mutex|condition_variable|shared_mutex)\b"),
     "a lock that is not base/sync's (rule locks)"),
)
EXEMPT = ("base/sync/",)


def main():
    problems = []
    for name in sources():
        if is_test(name) or name.startswith(EXEMPT):
            continue
        code = None
        for folders, pattern, text in RULES:
            if not name.startswith(folders):
                continue
            code = code or without_comments_and_strings(read(name))
            for number, line in enumerate(code.split("\n"), 1):
                if pattern.search(line) and not line.lstrip().startswith("#"):
                    problems.append(f"{name}:{number}: {text}")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
