"""Docstrings as Sphinx reads them: code in single backticks, LaTeX in dollars, arXiv numbers."""

from __future__ import annotations

import re
from typing import Any

_EXAMPLE = re.compile(r"(^ *>>> (?:.*\n?)+?(?=\n|\Z))", re.MULTILINE)
_MARKUP = re.compile(r"\$\$(?P<block>.+?)\$\$|`(?P<code>[^`]+)`|\$(?P<math>[^$]+)\$", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_EMPHASIS = re.compile(r"(?<!\w)(\*\w[^*\n]*\w\*)(?!\w)")
_SOURCE = re.compile(r"^( *)Source: ", re.MULTILINE)
_ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")
_INDENTED_CODE = re.compile(r"^(?! )(.*):(\n\n(?: {4,}.*\n?)+)", re.MULTILINE)

_LETTER = re.compile(r"(: )([A-Za-z]\.)$", re.MULTILINE)

SECTIONS = [("Errors", "Raises"), ("Attributes", "params_style")]
"""How Napoleon is to read sections that it does not know, or reads as something else."""


def to_rst(text: str) -> str:
    """Turn a docstring into reStructuredText; examples stay as they are.

    Example:
        >>> to_rst("Draw `(B, T)` by $x_t$, see `Flow`.")
        'Draw ``(B, T)`` by :math:`x_t`, see :py:obj:`Flow`.'
    """
    text = _INDENTED_CODE.sub(r"\1::\2", text)
    parts = _EXAMPLE.split(text)
    return "".join(part if i % 2 else _prose(part) for i, part in enumerate(parts))


def _prose(text: str) -> str:
    pieces, end = [], 0
    for found in _MARKUP.finditer(text):
        before, after = text[end : found.start()], text[found.end() : found.end() + 1]
        # Markup must not touch a letter: an escaped blank parts the two, and is not seen.
        left, right = (r"\ " if letter.isalnum() else "" for letter in (before[-1:], after))
        pieces += [_plain(before), left + _marked(found) + right]
        end = found.end()
    return "".join([*pieces, _plain(text[end:])])


def _marked(found: re.Match[str]) -> str:
    if found["block"]:
        lines = "".join(f"   {line.strip()}\n" for line in found["block"].strip().splitlines())
        return f".. math::\n\n{lines}"
    if found["math"]:
        return f":math:`{' '.join(found['math'].split())}`"
    code = " ".join(found["code"].split())
    # A name becomes a link where it leads somewhere.
    return f":py:obj:`{code}`" if _NAME.fullmatch(code) else f"``{code}``"


def _plain(text: str) -> str:
    parts = _EMPHASIS.split(text)
    text = "".join(
        part if i % 2 else re.sub(r"([*|])", r"\\\1", part) for i, part in enumerate(parts)
    )
    text = _LETTER.sub(r"\1\\\2", text)  # no item of a list that counts in letters
    text = _SOURCE.sub(r"\1**Source.** ", text)
    return _ARXIV.sub(r"`arXiv \1 <https://arxiv.org/abs/\1>`__", text)


def process(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, lines: list[str]) -> None:
    """Convert what autodoc found, in place, before Napoleon reads its sections."""
    lines[:] = to_rst("\n".join(lines)).splitlines()
