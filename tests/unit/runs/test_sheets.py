"""Scenes that are delivered in sheets: joined they count as the uncut one, apart they warn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import rasterio
from affine import Affine
from numpy.typing import NDArray

import detect
from detect.base.errors import InputError
from detect.runs.recount import recount

Cuts = list[tuple[slice, slice]]


@pytest.fixture(scope="module")
def compound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One simulated compound, 669 × 669 px."""
    from detect.simulate import simulate_compounds

    (scene,), _ = simulate_compounds(tmp_path_factory.mktemp("compound"), seed=104, preset="rows", gap_m=3.0)
    return scene


@pytest.fixture(scope="module")
def uncut(compound: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return detect.predict(compound, tmp_path_factory.mktemp("uncut"))


def sheets_of(scene: Path, cuts: Cuts, folder: Path, **profile: Any) -> list[Path]:
    """A scene cut into files named after the first row and column of each."""
    folder.mkdir(exist_ok=True)
    paths = []
    with rasterio.open(scene) as source:
        for rows, columns in cuts:
            values: NDArray[Any] = source.read()[:, rows, columns]
            place = source.transform * Affine.translation(columns.start, rows.start)
            settled = source.profile | {"height": values.shape[1], "width": values.shape[2], "transform": place} | profile
            paths.append(folder / f"r{rows.start}c{columns.start}.tif")
            with rasterio.open(paths[-1], "w", **settled) as target:
                target.write(values)
                target.update_tags(**source.tags())
    return paths


ALL = slice(0, 669)
HALVES: Cuts = [(slice(0, 300), ALL), (slice(300, 669), ALL)]
QUARTERS: Cuts = [(rows, columns) for rows in (slice(0, 300), slice(300, 669)) for columns in (slice(0, 350), slice(350, 669))]
OVERLAPPING: Cuts = [(slice(0, 340), ALL), (slice(300, 669), ALL)]


@pytest.mark.parametrize("cuts", [HALVES, QUARTERS, OVERLAPPING], ids=["halves", "quarters", "overlap"])
def test_joined_sheets_are_counted_as_the_uncut_scene(cuts: Cuts, compound: Path, uncut: Any, tmp_path: Path) -> None:
    sheets = sheets_of(compound, cuts, tmp_path / "sheets")
    (joined,) = detect.predict(sheets, tmp_path / "out", join=True)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["r0c0-sheets", "r0c0-sheets.vrt"]
    assert joined.buildings.geometry.to_wkb().tolist() == uncut.buildings.geometry.to_wkb().tolist()
    assert (joined.folder / "mask.tif").read_bytes() == (uncut.folder / "mask.tif").read_bytes()
    assert joined.summary["total"] == uncut.summary["total"]
    assert joined.summary["scene"]["simulated"]
    warnings = joined.summary["warnings"]
    assert warnings[0].startswith("sheets: r0c0")
    assert not any("meet" in w for w in warnings)
    assert set(uncut.summary["warnings"]) <= set(warnings)


def test_joined_sheets_of_jpeg_count_as_the_uncut_scene_does_in_jpeg(compound: Path, tmp_path: Path) -> None:
    lossy = {"compress": "JPEG", "jpeg_quality": 95, "photometric": "YCBCR", "tiled": True, "interleave": "pixel"}
    lossy |= {"blockxsize": 256, "blockysize": 256}
    whole = detect.predict(sheets_of(compound, [(ALL, ALL)], tmp_path / "whole", **lossy), tmp_path / "uncut")[0]
    sheets = sheets_of(compound, OVERLAPPING, tmp_path / "sheets", **lossy)
    (joined,) = detect.predict(sheets, tmp_path / "out", join=True)
    large = [r.buildings[r.buildings["area_m2"] > 50] for r in (joined, whole)]
    assert len(large[0]) == len(large[1]) > 10
    assert large[0]["area_m2"].sum() == pytest.approx(large[1]["area_m2"].sum(), rel=0.01)


def test_sheets_stay_apart_and_warn_unless_they_are_joined(compound: Path, uncut: Any, tmp_path: Path) -> None:
    sheets = sheets_of(compound, HALVES, tmp_path / "sheets")
    north, south = detect.predict(sheets, tmp_path / "out")
    assert len(north.buildings) + len(south.buildings) > len(uncut.buildings), "the cut goes through buildings"
    for result, other in ((north, "r300c0"), (south, "r0c0")):
        assert any(w.startswith(f"sheets: {other} meets this scene") and "--join" in w for w in result.summary["warnings"])
    alone = detect.predict(sheets[0], tmp_path / "alone")
    assert not any("sheets" in w for w in alone.summary["warnings"])


def test_sheets_that_do_not_fit_stay_apart_and_say_why(compound: Path, tmp_path: Path) -> None:
    north, south = sheets_of(compound, HALVES, tmp_path / "sheets")
    with rasterio.open(south, "r+") as dataset:
        dataset.transform *= Affine.translation(0.4, 0.4)
    results = detect.predict([north, south], tmp_path / "out", join=True)
    assert [r.folder.name for r in results] == ["r0c0", "r300c0"]
    assert all(any("pixel grids are shifted" in w for w in r.summary["warnings"]) for r in results)
    assert not list((tmp_path / "out").glob("*.vrt"))


def test_sheets_that_contradict_each_other_stay_apart(compound: Path, tmp_path: Path) -> None:
    north, south = sheets_of(compound, HALVES, tmp_path / "sheets")
    for path, value in ((north, 0), (south, 255)):
        with rasterio.open(path, "r+") as dataset:
            dataset.nodata = value
    results = detect.predict([north, south], tmp_path / "out", join=True)
    assert all(any("no data is marked in different ways" in w for w in r.summary["warnings"]) for r in results)


def test_a_joined_result_is_read_back_and_counted_again(compound: Path, tmp_path: Path) -> None:
    sheets = sheets_of(compound, HALVES, tmp_path / "sheets")
    june = detect.predict(sheets, tmp_path / "june", join=True, date="2024-06-01")
    before = (june[0].folder / "summary.json").read_bytes()
    (again,) = detect.predict(sheets, tmp_path / "june", join=True, date="2024-06-01")
    assert (again.folder / "summary.json").read_bytes() == before
    assert again.summary["scene"]["date"] == "2024-06-01"
    (counted,) = recount(tmp_path / "june", structure="warehouse")
    assert not any("cannot be read" in w for w in counted.summary["warnings"]), "census finds the sheets through the mosaic"


def test_another_file_of_the_mosaics_name_is_an_error_of_these_sheets_alone(
    compound: Path, tiny_scene: Path, tmp_path: Path
) -> None:
    sheets = sheets_of(compound, HALVES, tmp_path / "sheets")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "r0c0-sheets.vrt").write_text("mine")
    with pytest.raises(InputError, match=r"r0c0-sheets\.vrt: holds something else") as caught:
        detect.predict([*sheets, tiny_scene], tmp_path / "out", join=True)
    assert [r.folder.name for r in caught.value.results] == ["tiny"]
    assert any("--join changes nothing here" in w for w in caught.value.results[0].summary["warnings"])
    assert (tmp_path / "out" / "r0c0-sheets.vrt").read_text() == "mine"
