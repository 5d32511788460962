"""Run pip with a progress bar in place of its log; the log is shown where pip fails.

Usage: ``python tools/pip_install.py "what is installed" PACKAGES -- PIP ARGUMENTS``, where PACKAGES is how many
distributions to expect. Standard library only: it runs before anything is installed.
"""

from __future__ import annotations

import subprocess
import sys
import time

_WIDTH = 30
_STEPS = ("Collecting ", "Processing ", "Requirement already satisfied", "Obtaining ")
_REDRAW_SECONDS = 1.0


def main(arguments: list[str]) -> int:
    """Install, draw, and return pip's exit code."""
    task, expected = arguments[0], int(arguments[1])
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments[arguments.index("--") + 1 :]]
    started, seen, log, drawn = time.monotonic(), 0, [], 0.0
    visible = sys.stderr.isatty()
    if not visible:
        print(f"{task} …", file=sys.stderr)
    with subprocess.Popen(pip, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - asked for with PIPE
        for line in process.stdout:
            log.append(line)
            seen += line.lstrip().startswith(_STEPS)
            now = time.monotonic()
            if visible and (now - drawn > _REDRAW_SECONDS or "Collecting" in line):
                drawn = now
                bar = "#" * round(_WIDTH * min(seen / expected, 1.0))
                print(f"\r\033[K{task}  [{bar:-<{_WIDTH}}] {now - started:3.0f} s", end="", file=sys.stderr)
    if visible:
        print(f"\r\033[K{task}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if process.returncode:
        sys.stderr.writelines(log)
        print(f"{task}: pip failed, its output is above", file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
