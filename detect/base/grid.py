"""Arithmetic on pixel spans: pad, clip, intersect, and convert between window and scene."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

READ_COARSER = 1.1
"""The network's pixel is coarser than the scene's own by this factor, within the network's range; this hides artefacts of
resampling."""


def reading_gsd_m(seen_m: float, finest_m: float, coarsest_m: float) -> float:
    """The ground size of a pixel at which a network reads a scene whose own pixel is ``seen_m``, metres.

    It is a little coarser than the scene's own pixel, within the range that the network was trained for.
    """
    return min(max(seen_m * READ_COARSER, finest_m), coarsest_m)


class Margins(NamedTuple):
    """Pixels around a rectangle, on each side."""

    top: int
    left: int
    bottom: int
    right: int

    def inside(self, size_hw: tuple[int, int]) -> tuple[slice, slice]:
        """Index of what lies inside the margins of an array of that size."""
        return slice(self.top, size_hw[0] - self.bottom), slice(self.left, size_hw[1] - self.right)

    def mirrored(self, *, rows: bool, cols: bool) -> Margins:
        """Those of the mirrored array."""
        top, left, bottom, right = self
        if rows:
            top, bottom = bottom, top
        return Margins(top, right, bottom, left) if cols else Margins(top, left, bottom, right)


NO_MARGINS = Margins(0, 0, 0, 0)


@dataclass(frozen=True, order=True, slots=True)
class Span:
    """A rectangle of pixels, rows ``row0`` ≤ r < ``row1`` and columns ``col0`` ≤ c < ``col1``; it may extend beyond a scene."""

    row0: int
    col0: int
    row1: int
    col1: int

    @property
    def height(self) -> int:
        """Rows; 0 where the span is empty."""
        return max(0, self.row1 - self.row0)

    @property
    def width(self) -> int:
        """Columns; 0 where the span is empty."""
        return max(0, self.col1 - self.col0)

    @property
    def size_hw(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def is_empty(self) -> bool:
        """Whether it holds no pixel."""
        return self.height == 0 or self.width == 0

    def pad(self, px: int) -> Span:
        """The span grown by ``px`` on each side."""
        return Span(self.row0 - px, self.col0 - px, self.row1 + px, self.col1 + px)

    def intersect(self, other: Span) -> Span:
        """The pixels in both; may be empty."""
        return Span(
            max(self.row0, other.row0), max(self.col0, other.col0), min(self.row1, other.row1), min(self.col1, other.col1)
        )

    def clip(self, size_hw: tuple[int, int]) -> Span:
        """The pixels inside a scene of that size; may be empty."""
        return self.intersect(Span(0, 0, *size_hw))

    def margins_in(self, outer: Span) -> Margins:
        """What a span that holds this one has around it."""
        return Margins(self.row0 - outer.row0, self.col0 - outer.col0, outer.row1 - self.row1, outer.col1 - self.col1)

    def shift(self, rows: int, cols: int) -> Span:
        """The span moved; ``inner.shift(-outer.row0, -outer.col0)`` is ``inner`` in the coordinates of ``outer``."""
        return Span(self.row0 + rows, self.col0 + cols, self.row1 + rows, self.col1 + cols)

    def union(self, other: Span) -> Span:
        """The smallest span that holds both."""
        return Span(
            min(self.row0, other.row0), min(self.col0, other.col0), max(self.row1, other.row1), max(self.col1, other.col1)
        )

    def slices(self) -> tuple[slice, slice]:
        """Index of the pixels in an array whose first pixel is the scene's origin; the span must lie inside."""
        assert self.row0 >= 0 and self.col0 >= 0, "a span with negative origin would index from the end"
        return slice(self.row0, self.row1), slice(self.col0, self.col1)
