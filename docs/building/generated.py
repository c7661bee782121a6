"""The pages that follow from the code: written before Sphinx reads, ignored by git."""

from __future__ import annotations

from pathlib import Path

from building import api, configuration


def pages() -> dict[str, str]:
    """Return every generated page by its name below `docs/generated`, without the suffix."""
    return api.pages() | {"configuration": configuration.page()}


def write(folder: Path) -> None:
    """Write what has changed, and remove pages of what is no more."""
    made = {folder / f"{name}.md": text for name, text in pages().items()}
    for path in folder.rglob("*.md"):
        if path not in made:
            path.unlink()
    for path, text in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text() != text:  # Sphinx reads again what is newer
            path.write_text(text)
