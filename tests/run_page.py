"""Run a page as its reader would: its files written, its blocks and commands run, in order.

```python runs, ```python FILE and ```yaml FILE are written to that file, and of ```sh run the
lines `distill ...` are run. Called as a script, in an empty folder, so that a page has a process
of its own.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

BLOCK = re.compile(
    r"^```(?P<language>python|yaml|sh)(?: (?P<word>\S+))?\n(?P<text>.*?)^```", re.M | re.S
)


INCLUDE = re.compile(
    r'^```\{include\} (\S+)\n(?::start-after: "(.*)"\n)?(?::end-before: "(.*)"\n)?```', re.M
)


def read(path: Path) -> str:
    """Read a page, what it includes in its place."""

    def included(found: re.Match[str]) -> str:
        text = (path.parent / found[1]).read_text(encoding="utf-8")
        text = text.partition(found[2])[2] if found[2] else text
        return text.partition(found[3])[0] if found[3] else text

    return INCLUDE.sub(included, path.read_text(encoding="utf-8"))


def blocks(page: str) -> Iterator[tuple[str, str, str]]:
    """Yield what is run or written of a page: kind, file name, text."""
    for found in BLOCK.finditer(page):
        language, word, text = found["language"], found["word"] or "", found["text"]
        if "." in word:
            yield "file", word, text
        elif language == "python" and not word:
            yield "python", "", text
        elif language == "sh" and word == "run":
            yield "commands", "", text


def run(path: Path) -> None:
    """Run a page in the folder that this process is in."""
    from distill.cli import main

    names = {"__name__": "__main__"}
    page = read(path)
    for kind, name, text in blocks(page):
        if kind == "file":
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text, encoding="utf-8")
        elif kind == "python":
            line = page[: page.index(text)].count("\n")
            exec(compile("\n" * line + text, str(path), "exec"), names)
        else:
            for words in map(shlex.split, text.splitlines()):
                if words and words[0] == "distill" and main(words[1:]) != 0:
                    sys.exit(f"{path}: {shlex.join(words)}")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
