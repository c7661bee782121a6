"""Formulas as MathML, which browsers draw by themselves: pages load nothing from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.errors import ExtensionError

_ALIASES = (
    (re.compile(r"\\dots\b"), r"\\ldots"),
    (re.compile(r"\\([Bb]ig)(?=[(\[])"), r"\\\1l"),
    (re.compile(r"\\([Bb]ig)(?=[)\]])"), r"\\\1r"),
    (re.compile(r"\\[Bb]ig(?=/)"), ""),
)
"""Commands that the converter knows by another name."""

_THIN = '<mspace width="0.17em"/>'
_SPACES = (
    (re.compile(r"<mo>&ApplyFunction;</mo>(?! <m[a-z]+ ?[^>]*>[(\[])"), _THIN),
    (re.compile(r"(</m(?!o)\w+>) (<mi>[a-z]{2,}</mi>)"), rf"\1 {_THIN} \2"),
)
"""Around functions: `b tanh r` in place of `btanhr`, which browsers would write."""


def to_mathml(latex: str, display: bool = False) -> str:
    """Turn LaTeX into a `<math>` element.

    Arguments:
        latex: Without its dollars.
        display: On lines of its own, or within a line of text.

    Errors:
        ExtensionError: A command that MathML has no counterpart of.

    Example:
        >>> to_mathml("x")
        '<math xmlns="http://www.w3.org/1998/Math/MathML"> <mi>x</mi> </math>'
    """
    for known, other in _ALIASES:
        latex = known.sub(other, latex)
    try:
        drawn = " ".join(tex2mathml(latex, as_block=display).split())
    except (MathError, AttributeError) as error:  # the second of unbalanced ones
        raise ExtensionError(f"{latex!r} can't be drawn: {error}") from error
    for tight, loose in _SPACES:
        drawn = tight.sub(loose, drawn)
    return drawn


def _inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(to_mathml(node.astext()))
    raise nodes.SkipNode


def _block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{to_mathml(node.astext(), display=True)}</div>')
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, bool]:
    """Offer `html_math_renderer = "mathml"`."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
