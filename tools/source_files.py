"""The project's own sources, for the checkers beside this file."""

import pathlib
import re
import subprocess

TOP = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("abi", "base", "platform", "fs", "gofer", "sentry", "runtime", "tests", "bench")


def sources(suffixes=(".h", ".cc", ".S")):
    """Paths relative to the top, of files that git knows or could add."""
    try:
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS],
            cwd=TOP, check=True, capture_output=True, text=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):  # an unpacked archive
        listed = [str(p.relative_to(TOP)) for folder in FOLDERS for p in (TOP / folder).rglob("*")]
    return sorted({name for name in listed if name.endswith(suffixes) and (TOP / name).is_file()})


def read(name):
    return (TOP / name).read_text(encoding="utf-8")


def is_test(name):
    return name.startswith(("tests/", "bench/")) or re.search(r"_(test|fuzz)\.cc$", name) is not None


_BLANKED = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^()\s]{0,16})\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)


def without_comments_and_strings(text):
    """The same text, line for line, with comments and literals blanked."""

    def blank(match):
        # 1'000'000 is one number, not a character literal.
        if match.group().startswith("'") and match.start() > 0 and text[match.start() - 1].isalnum():
            return match.group().replace("'", " ")
        return re.sub(r"[^\n]", " ", match.group())

    return _BLANKED.sub(blank, text)
