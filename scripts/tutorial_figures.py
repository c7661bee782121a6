"""Draw a tutorial's pictures by its own code: `scripts/tutorial_figures.py flows 1500`.

Runs the page's blocks with that many steps, prints what they print, and keeps the pictures.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "scripts" / "figures"


def main(page: str, steps: int) -> None:
    """Run the blocks of a page in a folder of their own."""
    text = (ROOT / "docs" / "tutorials" / f"{page}.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    code, count = re.subn(r"^steps = \d+$", f"steps = {steps}", code, flags=re.MULTILINE)
    if count != 1:
        sys.exit(f"{page}: wanted one line `steps = ...`, found {count}.")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        exec(compile(code, page, "exec"), {"__name__": "__main__"})
        for picture in Path(folder).glob("*.png"):
            (OUT / picture.name).write_bytes(picture.read_bytes())
            print(OUT / picture.name)
        os.chdir(ROOT)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: scripts/tutorial_figures.py PAGE STEPS")
    main(sys.argv[1], int(sys.argv[2]))
