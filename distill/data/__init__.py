"""Data: toy densities, points and tables from files."""

from distill.data.array import ArrayData
from distill.data.banana import Banana
from distill.data.base import Data, Modes
from distill.data.checkerboard import Checkerboard
from distill.data.moons import Moons
from distill.data.points import Points
from distill.data.rings import Rings
from distill.data.text import Text

__all__ = [
    "ArrayData",
    "Banana",
    "Checkerboard",
    "Data",
    "Modes",
    "Moons",
    "Points",
    "Rings",
    "Text",
]
