"""Stage codes of buildings whose stage has changed."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from shapely import box

from detect.base.stages import CODES, STAGES
from detect.base.values import NO_DATA
from detect.census.review import Review
from detect.results.repaint import recode, repainted

PLACE = Affine(0.5, 0, 1000, 0, -0.5, 2000)


def table(stages: list[str], *bounds_px: tuple[int, int, int, int]) -> gpd.GeoDataFrame:
    """Buildings with these stages and these bounds (left, upper, right, lower)."""
    outlines = [box(*(PLACE * (left, lower)), *(PLACE * (right, upper))) for left, upper, right, lower in bounds_px]
    return gpd.GeoDataFrame({"stage": stages}, geometry=outlines, crs=32631)


def test_all_pixels_of_a_building_and_none_of_its_neighbour() -> None:
    codes = np.zeros((60, 60), np.uint8)
    codes[8:22, 8:40] = CODES["complete"]  # ragged: two pixels beyond the outline
    codes[24:40, 10:40] = CODES["complete"]
    codes[:, 50:] = NO_DATA
    before = codes.copy()
    buildings = table(["foundation", "complete"], (10, 10, 40, 22), (10, 24, 40, 40))
    recode(codes, PLACE, buildings, np.array([True, False]))
    assert (codes[8:22, 8:40] == CODES["foundation"]).all()
    assert (codes[24:40, 10:40] == CODES["complete"]).all()
    assert ((codes == 0) == (before == 0)).all() and ((codes == NO_DATA) == (before == NO_DATA)).all()


@given(
    st.lists(
        st.tuples(st.integers(-20, 70), st.integers(-20, 70), st.sampled_from(STAGES), st.booleans()), min_size=1, max_size=6
    )
)
def test_no_pixel_is_added_or_taken_away(rows: list[tuple[int, int, str, bool]]) -> None:
    buildings = table([stage for _, _, stage, _ in rows], *((x, y, x + 12, y + 9) for x, y, _, _ in rows))
    codes = np.random.default_rng(len(rows)).choice(np.array([0, 1, 2, 3, NO_DATA], np.uint8), (64, 64))
    before = codes.copy()
    recode(codes, PLACE, buildings, np.array([changed for *_, changed in rows]))
    assert ((codes == 0) == (before == 0)).all() and ((codes == NO_DATA) == (before == NO_DATA)).all()
    if not any(changed for *_, changed in rows):
        assert (codes == before).all()


def test_no_speck_of_a_deleted_building_and_no_rim_of_an_old_stage_is_left() -> None:
    codes = np.zeros((60, 60), np.uint8)
    codes[8:22, 8:30] = CODES["foundation"]  # ragged: two pixels beyond the outline
    codes[23:40, 10:30] = CODES["complete"]
    codes[44:56, 8:32] = CODES["foundation"]
    before = table(["foundation", "complete", "foundation"], (10, 10, 28, 21), (10, 23, 30, 40), (10, 46, 30, 54)).assign(
        id=[1, 2, 3]
    )
    after = before.iloc[1:].assign(stage="complete")
    painted = repainted(codes, PLACE, before, after, Review(deleted=(1,), changed=(3,)))
    assert not painted[:22].any() and (painted[23:40, 10:30] == CODES["complete"]).all()
    assert (painted[44:56, 8:32] == CODES["complete"]).all(), "a stage is changed on all pixels of the building"
    assert (codes[8:22, 8:30] == CODES["foundation"]).all(), "the raster that was given stays"
