#!/usr/bin/env python3
"""Files of at most 800 lines, functions of at most 100 (docs/STYLE.md, `budget`). Tables and generated files are exempt:
their names end in _table.cc, table.cc or .inc, or their first line says "Generated"."""

import re
import sys

from source_files import read, sources, without_comments_and_strings

MAX_FILE = 800
MAX_FUNCTION = 100
NOT_A_FUNCTION = re.compile(r"\b(namespace|class|struct|union|enum|extern)\b(?![^(]*\()|=\s*$|^\s*$")


def exempt(name, text):
    return name.endswith(("table.cc", ".inc")) or "Generated" in text.split("\n", 1)[0]


def functions(text):
    """(first line, lines) of each outermost block whose head looks like a function's."""
    stack = []  # (is_function, line of the head)
    head = ""
    line = 1
    for char in text:
        if char == "\n":
            line += 1
        if char == "{":
            inside = any(is_function for is_function, _ in stack)
            is_function = not inside and "(" in head and not NOT_A_FUNCTION.search(head)
            stack.append((is_function, line))
            head = ""
        elif char == "}":
            if stack:
                is_function, first = stack.pop()
                if is_function:
                    yield first, line - first + 1
            head = ""
        elif char == ";":
            head = ""
        else:
            head += char


def main():
    problems = []
    for name in sources():
        text = read(name)
        if exempt(name, text):
            continue
        lines = text.count("\n")
        if lines > MAX_FILE:
            problems.append(f"{name}: {lines} lines, at most {MAX_FILE}")
        if not name.endswith(".S"):
            for first, length in functions(without_comments_and_strings(text)):
                if length > MAX_FUNCTION:
                    problems.append(f"{name}:{first}: a function of {length} lines, at most {MAX_FUNCTION}")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
