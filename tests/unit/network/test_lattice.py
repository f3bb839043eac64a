"""The lattice of tiles: sizes, halos, short ends, blocks as mere groups."""

from __future__ import annotations

import pytest

from detect.base.grid import NO_MARGINS, Margins, Span
from detect.network.lattice import Lattice, Tile, partition

LATTICE = Lattice(core_px=64, halo_px=32, stride_px=32)


def test_partition_goes_row_by_row_and_ends_short() -> None:
    assert partition(Span(0, 0, 3, 5), 2) == [
        Span(0, 0, 2, 2), Span(0, 2, 2, 4), Span(0, 4, 2, 5),
        Span(2, 0, 3, 2), Span(2, 2, 3, 4), Span(2, 4, 3, 5),
    ]  # fmt: skip


def test_partition_starts_at_the_origin_of_the_span() -> None:
    assert partition(Span(10, 20, 13, 22), 2) == [Span(10, 20, 12, 22), Span(12, 20, 13, 22)]
    assert partition(Span(10, 20, 10, 22), 2) == []


def test_a_whole_core_is_seen_with_the_halo_around_it() -> None:
    tile = LATTICE.tile(Span(64, 128, 128, 192), (500, 500))
    assert tile.core == Span(64, 128, 128, 192)
    assert tile.input == Span(32, 96, 160, 224)


def test_a_short_core_is_seen_in_whole_strides() -> None:
    # 300 columns are 10 strides of 32 = 320, and 70 rows are 3 of them = 96; the halo of 64 is to the left alone.
    tile = Lattice(512, 64, 32).tile(Span(0, 512, 70, 812), (70, 812))
    assert tile.input == Span(0, 448, 96, 832)
    assert tile.input.size_hw == (96, 64 + 320)


def test_a_scene_of_one_pixel_still_fills_a_stride() -> None:
    (block,) = LATTICE.blocks((1, 2), 2048)
    (tile,) = block.tiles
    assert tile.core == block.span == Span(0, 0, 1, 2)
    assert tile.input == Span(0, 0, 32, 32)


def test_tiles_have_margins_towards_other_tiles_only() -> None:
    lattice = Lattice(64, 32, 32)
    (block,) = lattice.blocks((64, 40), 1024)
    assert block.tiles == (Tile(Span(0, 0, 64, 40), Span(0, 0, 64, 64), NO_MARGINS),)
    # 100 × 70 pixels are 4 × 3 strides; the last core, of 36 × 6 pixels, is 2 × 1 strides.
    corner, right, below, last = (tile for block in lattice.blocks((100, 70), 64) for tile in block.tiles)
    assert corner == Tile(Span(0, 0, 64, 64), Span(0, 0, 96, 96), Margins(0, 0, 32, 32))
    assert right == Tile(Span(0, 64, 64, 70), Span(0, 32, 96, 96), Margins(0, 32, 32, 0))
    assert below == Tile(Span(64, 0, 100, 64), Span(32, 0, 128, 96), Margins(32, 0, 0, 32))
    assert last == Tile(Span(64, 64, 100, 70), Span(32, 32, 128, 96), Margins(32, 32, 0, 0))


def test_a_margin_ends_with_the_scene_also_within_a_short_neighbour() -> None:
    first, _ = Lattice(64, 64, 32).blocks((64, 70), 64)
    assert first.tiles[0].margins == Margins(0, 0, 0, 32), "of the 64 px halo, the scene fills one stride"


@pytest.mark.parametrize(("block_px", "side"), [(1, 64), (64, 64), (65, 128), (128, 128), (130, 192)])
def test_block_sizes_are_rounded_up_to_whole_tiles(block_px: int, side: int) -> None:
    first = LATTICE.blocks((1000, 2000), block_px)[0]
    assert first.span == Span(0, 0, side, side)
    assert len(first.tiles) == (side // 64) ** 2


def test_blocks_are_numbered_row_by_row() -> None:
    blocks = LATTICE.blocks((100, 300), 128)
    assert [b.index for b in blocks] == [0, 1, 2]
    assert [b.span for b in blocks] == [Span(0, 0, 100, 128), Span(0, 128, 100, 256), Span(0, 256, 100, 300)]
    assert [t.core for t in blocks[2].tiles] == [Span(0, 256, 64, 300), Span(64, 256, 100, 300)]


def test_the_tiles_do_not_depend_on_the_block_size() -> None:
    tiles = [{t for b in LATTICE.blocks((150, 333), block_px) for t in b.tiles} for block_px in (1, 128, 200, 4096)]
    assert all(t == tiles[0] for t in tiles)
    assert len(tiles[0]) == 3 * 6


def test_a_block_larger_than_the_scene_holds_all_of_it() -> None:
    (block,) = LATTICE.blocks((150, 333), 4096)
    assert block.span == Span(0, 0, 150, 333)


@pytest.mark.parametrize(
    ("core_px", "halo_px", "stride_px"), [(0, 32, 32), (-32, 32, 32), (48, 32, 32), (64, 16, 32), (64, -32, 32), (64, 33, 32)]
)
def test_lattices_on_which_tiles_and_whole_would_disagree_are_refused(core_px: int, halo_px: int, stride_px: int) -> None:
    with pytest.raises(ValueError, match="multiple of the stride"):
        Lattice(core_px, halo_px, stride_px)


def test_a_lattice_may_do_without_a_halo() -> None:
    assert Lattice(32, 0, 32).tile(Span(0, 32, 32, 64), (99, 99)).input == Span(0, 32, 32, 64)
