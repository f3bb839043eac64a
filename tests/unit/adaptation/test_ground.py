"""Which ground counts as checked, and which buildings stand there afterwards."""

from __future__ import annotations

import dataclasses

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine

from detect.adaptation.ground import AROUND_M, known_ground
from detect.adaptation.merge import merged
from detect.base.geometry import measure
from detect.base.stages import STAGES
from detect.census.review import Review
from detect.scene.scene import WorkGrid

CRS = "EPSG:32631"
GRID = WorkGrid((400, 400), Affine(0.5, 0, 500_000, 0, -0.5, 6_000_200), 0.5, (1.0, 1.0))


def table(*places: tuple[int, float, float]) -> gpd.GeoDataFrame:
    """Buildings of 10 × 10 m by (id, metres east, metres north) of their lower left corner."""
    outlines = [shapely.box(500_000 + x, 6_000_000 + y, 500_010 + x, 6_000_010 + y) for _, x, y in places]
    shares = {f"p_{s}": float(s == "complete") for s in STAGES}
    facts = {"stage": "complete", "stage_score": 1.0, "score": 0.9, "touches_edge": False, **shares}
    return gpd.GeoDataFrame({"id": [i for i, _, _ in places]}, geometry=outlines, crs=CRS).assign(**facts)


def test_windows_of_the_reviewer_are_the_checked_ground() -> None:
    window = gpd.GeoDataFrame(geometry=[shapely.box(499_900, 6_000_000, 500_050, 6_000_050)], crs=CRS)
    ground = known_ground(GRID, table((1, 20, 20)), table((1, 20, 20), (2, 100, 100)), Review(), window)
    assert ground.checked.bounds == (0, 300, 100, 400), "cut at the scene's edge, in pixels"
    assert ground.inside.tolist() == [True, False]


def test_without_windows_it_is_the_surroundings_of_corrections_but_not_of_others() -> None:
    before, corrected = table((1, 20, 20), (2, 32, 20), (3, 100, 100)), table((1, 20, 20), (2, 32, 20)).assign(score=[0.9, 0.7])
    ground = known_ground(GRID, before, corrected, Review(changed=(1,), deleted=(3,)), None)
    assert ground.inside.tolist() == [True, False]
    beside, gone = shapely.Point(60 + 3, 350), shapely.Point(210, 190)
    assert not ground.checked.contains(beside), "a building that nobody has checked begins there"
    assert ground.checked.contains(gone) and AROUND_M < 10
    assert not known_ground(GRID, before, corrected, Review(), None).checked.area


def test_without_windows_some_sure_buildings_are_presumed_right() -> None:
    corrected = table(*((i, 20 * i, 20) for i in range(1, 9)))
    ground = known_ground(GRID, corrected, corrected, Review(changed=(1, 2)), None)
    assert ground.inside.tolist() == [True, True, True, False, False, False, False, True], "two more, spread over the scene"


def test_checked_buildings_stay_and_others_are_found_anew() -> None:
    before = table((1, 20, 20), (2, 60, 20), (3, 100, 100), (4, 140, 140))
    corrected = table((1, 22, 20), (2, 60, 20), (4, 140, 140), (5, 20, 60))
    review = Review(changed=(1,), added=(5,), deleted=(3,))
    found = table((0, 21, 20), (0, 61, 20), (0, 100, 101), (0, 160, 20), (0, 140, 60)).drop(columns="id")
    columns = ["area_m2", "length_m", "width_m", "orientation_deg", "rectangularity"]
    found = found.assign(**dict.fromkeys(columns, 1.0))
    window = gpd.GeoDataFrame(geometry=[shapely.box(500_130, 6_000_050, 500_170, 6_000_090)], crs=CRS)
    result, left_out = merged(found, before, corrected, review, window)
    assert result["id"].tolist() == [1, 2, 5, 6], "2 is found again, 6 is new"
    sizes = result.set_index("id").loc[[1, 5], columns]
    assert sizes.equals(measure(list(result.set_index("id").geometry[[1, 5]]), CRS).set_axis([1, 5]).rename_axis("id")), (
        "each its own"
    )
    again, _ = merged(found, before, corrected, dataclasses.replace(review, deleted=(3, 9)), window)
    assert again["id"].tolist() == [1, 2, 5, 10], "9 was a building once"
    assert left_out.tolist() == [True, False, True, False, True], "checked, deleted, and in a window"
    kept = result.set_index("id").geometry
    assert kept[1].equals(corrected.geometry[0]) and kept[5].equals(corrected.geometry[3]) and kept[2].equals(found.geometry[1])
    assert np.isclose(result["area_m2"][0], 100, rtol=0.01), "measured again"


def test_what_an_earlier_review_deleted_stays_deleted() -> None:
    """It is not in the table from which the later review starts; two of its places are built: one is drawn, one was a double."""
    before = table((1, 20, 20), (2, 60, 20))
    corrected = table((1, 20, 20), (2, 60, 20), (7, 140, 140))
    places = {3: (500_105, 6_000_105), 4: (500_145, 6_000_145), 5: (500_068, 6_000_025)}
    review = Review(added=(7,), deleted=(3, 4, 5), deleted_at=places)
    columns = ["area_m2", "length_m", "width_m", "orientation_deg", "rectangularity"]
    found = table((0, 61, 20), (0, 100, 101), (0, 141, 140), (0, 20, 21)).drop(columns="id").assign(**dict.fromkeys(columns, 1.0))
    result, left_out = merged(found, before, corrected, review, None)
    assert left_out.tolist() == [False, True, True, False], "the deleted one and the checked one"
    assert result["id"].tolist() == [1, 2, 7] and result.geometry.iloc[2].equals(corrected.geometry.iloc[2])


def test_ground_of_which_an_earlier_review_deleted_buildings_is_checked() -> None:
    corrected = table(*((i, 20 * i, 20) for i in range(1, 9)))
    review = Review(changed=(1,), deleted=(9, 10), deleted_at={9: (500_105, 6_000_105), 10: (500_025, 6_000_025)})
    ground = known_ground(GRID, corrected, corrected, review, None)
    assert ground.checked.contains(shapely.Point(210, 190)), "9 stood there"
    assert ground.inside.sum() == 3, "the changed one, and one presumed right for each place that counts: 10 was a double of 1"
    now = table((9, 100, 100))
    once = known_ground(GRID, gpd.pd.concat([corrected, now]), corrected, Review(changed=(1,), deleted=(9,)), None)
    same = dataclasses.replace(review, deleted=(9,), deleted_at={9: (500_105, 6_000_105)})
    twice = known_ground(GRID, gpd.pd.concat([corrected, now]), corrected, same, None)
    assert once.checked.equals(twice.checked), "a building that is in the table counts once, by its outline"
