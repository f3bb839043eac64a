"""Divide a scene into tiles, each one forward pass of the network, and blocks of tiles that are scheduled together.

The tiles depend only on the weights' card and begin at the scene's origin. A block (``--block-size``) only groups tiles for
scheduling and resuming. So no probability depends on the block size.
"""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import NDArray

from detect.base.grid import Margins, Span


@dataclass(frozen=True)
class Tile:
    """One forward pass: the network reads ``input``, and its output for ``core`` is kept."""

    core: Span
    """Inside the scene; the cores of all tiles partition it."""
    input: Span
    """The core in whole strides with its margins."""
    margins: Margins
    """What the network reads on each side but does not answer for; multiples of the stride."""

    def of_core(self, read: NDArray) -> NDArray:
        """The part of an array (…, H, W) over the input that lies in the core."""
        return self.of_answer(read[(..., *self.margins.inside((read.shape[-2], read.shape[-1])))])

    def of_answer(self, answer: NDArray) -> NDArray:
        """The part of an array (…, h, w) inside the margins that lies in the core, which may be shorter."""
        return answer[..., : self.core.height, : self.core.width]


@dataclass(frozen=True)
class Block:
    """Tiles that are computed and stored together."""

    index: int
    span: Span
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Lattice:
    """Sizes of a network's tiles, in pixels of the work grid."""

    core_px: int
    """Side of the square whose output is kept."""
    halo_px: int
    """Margin on each side that the network reads and whose output is dropped."""
    stride_px: int
    """Stride of the network. Core and halo are multiples of it; otherwise tile-by-tile results would differ from those of one pass
    over the whole scene, however wide the halo."""

    def __post_init__(self) -> None:
        """Refuse sizes with which tile-by-tile results would differ from those of one pass over the whole scene."""
        if self.stride_px <= 0:
            raise ValueError("stride_px must be above 0")
        if self.core_px <= 0 or self.core_px % self.stride_px:
            raise ValueError("core_px must be a positive multiple of the stride")
        if self.halo_px < 0 or self.halo_px % self.stride_px:
            raise ValueError("halo_px must be a multiple of the stride")

    def tile(self, core: Span, scene_hw: tuple[int, int]) -> Tile:
        """The tile of a core that lies inside a scene of that size.

        Its input ends where the scene does, so that the network has its own padding there, as in training: beside a mirror image of the
        scene, or beside grey, buildings are found less well. A short core at the scene's edge still gets an input in whole strides.

        Core 300 wide at the right edge, stride 32, halo 64: ceil(300 / 32) × 32 = 320 → input 64 + 320 = 384 wide.
        """
        whole = Span(core.row0, core.col0, core.row0 + self._strides(core.height), core.col0 + self._strides(core.width))
        seen = whole.pad(self.halo_px).clip((self._strides(scene_hw[0]), self._strides(scene_hw[1])))
        return Tile(core, seen, whole.margins_in(seen))

    def _strides(self, px: int) -> int:
        """The next multiple of the stride."""
        return -(-px // self.stride_px) * self.stride_px

    def blocks(self, size_hw: tuple[int, int], block_px: int) -> tuple[Block, ...]:
        """Blocks that partition a scene, row by row; ``block_px`` is rounded up to whole tiles."""
        side = max(1, -(-block_px // self.core_px)) * self.core_px
        spans = partition(Span(0, 0, *size_hw), side)
        return tuple(
            Block(i, span, tuple(self.tile(core, size_hw) for core in partition(span, self.core_px)))
            for i, span in enumerate(spans)
        )


def partition(span: Span, side_px: int) -> list[Span]:
    """Squares of ``side_px`` that partition a span from its origin, row by row; the last ones may be short."""
    return [
        Span(row, col, row + side_px, col + side_px).intersect(span)
        for row in range(span.row0, span.row1, side_px)
        for col in range(span.col0, span.col1, side_px)
    ]
