"""What CUDA_VISIBLE_DEVICES means on an inventory, and how sure anyone can be of it: the reference resolver."""

from .reader import FIRST_WITH_MANY_SLICES
from .resolver import Visibility, contained, narrow, positions_of, resolve
from .rules import BY_ROW, SOURCES, Row, Strength
from .written import Mask, written

__all__ = [
    "BY_ROW", "FIRST_WITH_MANY_SLICES", "SOURCES", "Mask", "Row", "Strength", "Visibility", "contained", "narrow",
    "positions_of", "resolve", "written",
]  # fmt: skip
