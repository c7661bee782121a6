"""A word drawn as a cloud of points."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from distill.checks import check_seed
from distill.data.array import ArrayData
from distill.data.base import Modes, tensor_of

_SPACE = 0.3


class Text(ArrayData):
    """Points spread uniformly over the letters of a word, centered, with capitals of height 1.

    Modes: the letters; a point belongs to the letter of the nearest point of the cloud.

    Arguments:
        word: What to write, one line.
        count: Number of points.
        font: Family name; matplotlib carries the default one.
        weight: Of the font.
        spacing: Extra room between letters, as a share of a capital's height.
        seed: Of points and split.
        held_out: Share of the points to hold out.

    Errors:
        ValueError: An empty word, an unknown font, or a letter that the font lacks.

    Example:
        >>> data = Text(word="AB", count=500)
        >>> data.spec.sites, data.modes.names
        (2, ('1_A', '2_B'))
    """

    def __init__(
        self,
        word: str = "SIGGRAPH",
        count: int = 20_000,
        font: str = "DejaVu Sans",
        weight: str = "bold",
        spacing: float = 0.1,
        seed: int = 0,
        held_out: float = 0.1,
    ) -> None:
        word = str(word)
        letters = [letter for letter in word if not letter.isspace()]
        if not letters or "\n" in word or count < 20 * len(letters) or spacing < 0:
            raise ValueError(
                "Text: wanted a word of one line, at least 20 points a letter and spacing >= 0, "
                f"got word={word!r}, count={count}, spacing={spacing}."
            )
        # Here and below, so that importing the package stays quick.
        from scipy.spatial import cKDTree

        check_seed(seed, "data.seed")
        generator = np.random.default_rng([2, seed])
        glyphs = _glyphs(word, font, weight, spacing)
        areas = np.array([_area(glyph) for glyph in glyphs])
        shares = areas / areas.sum()
        letter = np.sort(generator.choice(len(glyphs), size=count, p=shares))
        points = np.concatenate(
            [_fill(g, int((letter == i).sum()), generator) for i, g in enumerate(glyphs)]
        )
        corners = np.concatenate([outline for glyph in glyphs for outline in glyph])
        points -= (corners.max(0) + corners.min(0)) / 2
        super().__init__(points, seed=seed, held_out=held_out)
        tree = cKDTree(points)

        def assign(x: Tensor) -> Tensor:
            return torch.from_numpy(letter[tree.query(tensor_of(x).numpy())[1]])

        names = tuple(f"{i}_{letter}" for i, letter in enumerate(letters, start=1))
        self.modes = Modes(names, torch.tensor(shares), assign)
        self.entropy = math.log(areas.sum())


def _glyphs(word: str, family: str, weight: str, spacing: float) -> list[list[np.ndarray]]:
    """Return the closed outlines `(V, 2)` of each letter in its place; spaces have none."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font
    from matplotlib.textpath import TextPath

    font = FontProperties(family=family, weight=weight)
    face = FT2Font(findfont(font, fallback_to_default=False))
    missing = [c for c in word if not c.isspace() and not face.get_char_index(ord(c))]
    if missing:
        raise ValueError(
            f"Text: the font {face.family_name} lacks {', '.join(map(repr, missing))}. "
            "Choose another font=, or another word."
        )
    height = TextPath((0, 0), "H", prop=font, size=100).get_extents().height
    glyphs, right = [], 0.0
    for letter in word:
        if letter.isspace():
            right += _SPACE
            continue
        path = TextPath((0, 0), letter, prop=font, size=100, usetex=False)
        outlines = [np.asarray(o) / height for o in path.to_polygons(closed_only=True)]
        x = np.concatenate(outlines)[:, 0]
        glyphs.append([o + np.array([right - x.min(), 0.0]) for o in outlines])
        right += np.ptp(x) + spacing
    return glyphs


def _signed_area(outline: np.ndarray) -> float:
    """Return the area inside; outlines of holes run the other way round and get a minus."""
    x, y = outline.T
    return 0.5 * float(x[:-1] @ y[1:] - x[1:] @ y[:-1])


def _area(glyph: list[np.ndarray]) -> float:
    return abs(sum(_signed_area(outline) for outline in glyph))


def _fill(glyph: list[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw points uniformly inside a letter, by rejection from its bounding box."""
    from matplotlib.path import Path

    corners = np.concatenate(glyph)
    low, high = corners.min(0), corners.max(0)
    found = np.empty((0, 2))
    while len(found) < count:
        points = generator.uniform(low, high, (2 * count + 100, 2))
        # Path.contains_points fills holes; winding numbers leave them open.
        winding = sum(np.sign(_signed_area(o)) * Path(o).contains_points(points) for o in glyph)
        found = np.concatenate([found, points[winding != 0]])
    return found[:count]
