"""The whole run on small drawn scenes with the shipped weights."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import rasterio.mask
import shapely
from affine import Affine
from scipy import ndimage

import detect
from detect.base.errors import DetectError, InputError
from detect.base.matching import covered_by
from detect.base.values import NO_DATA
from detect.base.vectors import geometries_of
from detect.census import shadows
from detect.network.weights import load_weights
from detect.results.files import OUTPUTS
from detect.results.seal import verify
from detect.runs.collect import collect
from detect.runs.recount import recount
from tests.conftest import HOUSES, ORIGIN_XY, WriteScene, draw_houses


@pytest.fixture(scope="module")
def compound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One simulated compound, 669 × 669 px, of finished and half-built blocks."""
    from detect.simulate import simulate_compounds

    (scene,), _ = simulate_compounds(tmp_path_factory.mktemp("compound"), seed=104, preset="rows", gap_m=3.0)
    return scene


@pytest.fixture(scope="module")
def grainy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One simulated compound on ground with the noise of single pixels, which every copy in another grid smooths."""
    from detect.simulate import simulate_compounds

    (scene,), _ = simulate_compounds(tmp_path_factory.mktemp("grainy"), seed=3, preset="rows")
    return scene


both_compounds = pytest.mark.parametrize("name", ["compound", "grainy"])


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in ("mask.tif", "probability.tif", "stage.tif", "buildings.parquet")}


@both_compounds
def test_files_agree_with_each_other(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> None:
    compound = request.getfixturevalue(name)
    result = detect.predict(compound, tmp_path)
    assert {p.name for p in result.folder.iterdir()} == set(OUTPUTS)
    assert not list(tmp_path.glob(".*")), "nothing but the result is left"
    buildings = result.buildings
    assert len(buildings) >= 3
    assert list(buildings["id"]) == list(range(1, len(buildings) + 1))
    assert buildings.geometry.is_valid.all()
    with rasterio.open(result.folder / "mask.tif") as mask, rasterio.open(compound) as scene:
        assert mask.crs == scene.crs
        assert np.allclose(mask.bounds, scene.bounds)
        values = mask.read(1)
        assert set(np.unique(values)) <= {0, 1}
        inside = [values[mask.index(p.x, p.y)] for p in buildings.representative_point()]
        assert np.mean(inside) > 0.95, "footprints lie on the mask"
        painted_m2 = values.sum() * abs(mask.transform.a * mask.transform.e)
    assert buildings["area_m2"].sum() == pytest.approx(painted_m2, rel=0.05)
    with rasterio.open(result.folder / "stage.tif") as stage:
        assert ((stage.read(1) > 0) == (values == 1)).all()
    counted = result.summary["total"]
    assert counted["buildings"]["estimate"] == len(buildings)
    assert sum(c["estimate"] for c in counted["by_stage"].values()) == len(buildings)
    assert counted["beds"]["when_complete"]["estimate"] == buildings["beds"].sum() == 256 * buildings["dormitory_like"].sum()


def test_a_slab_is_one_in_every_file(compound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = detect.predict(compound, tmp_path / "plain").buildings
    roofs = plain["dormitory_like"] & (plain["stage"] == "complete")
    assert roofs.any() and plain.loc[roofs, "height_m"].notna().any(), "the sun is known"
    flat = (plain["id"] == plain.loc[roofs, "id"].iloc[0]).to_numpy()
    monkeypatch.setattr(shadows.Shadows, "none_cast", lambda *_: flat)
    monkeypatch.setattr(shadows, "SHADOW_UNSEEN", 1e-9)
    result = detect.predict(compound, tmp_path / "slab")
    slab = result.buildings[flat].iloc[0]
    assert slab["stage"] == "foundation" and slab["p_foundation"] > 0.5 and np.isnan(slab["height_m"])
    assert result.buildings[~flat].equals(plain[~flat])
    with rasterio.open(result.folder / "stage.tif") as stage:
        codes, _ = rasterio.mask.mask(stage, [shapely.buffer(slab.geometry, -1)])
    assert set(np.unique(codes)) == {1, NO_DATA}, "foundation, and outside"
    by_stage = result.summary["total"]["dormitory_by_stage"]
    assert by_stage["complete"]["found"] == roofs.sum() - 1
    (warning,) = [n for n in result.summary["notices"] if n["code"] == "no-shadow"]
    assert f"id {slab['id']}" in warning["text"]
    assert contents(tmp_path / "slab" / compound.stem)["mask.tif"] == contents(tmp_path / "plain" / compound.stem)["mask.tif"]


@pytest.mark.parametrize("options", [{"block_px": 128}, {"block_px": 100_000}, {"workers": 3, "block_px": 1}])
def test_block_size_and_workers_change_no_byte(compound: Path, tmp_path: Path, options: dict[str, int]) -> None:
    # The shipped lattice is larger than this scene, so a copy of the weights with small tiles is taken.
    weights = small_tiles(tmp_path)
    plain = detect.predict(compound, tmp_path / "plain", weights=weights)
    other = detect.predict(compound, tmp_path / "other", weights=weights, **options)
    assert other.summary["blocks"]["blocks"] != plain.summary["blocks"]["blocks"] or options["block_px"] == 100_000
    assert contents(other.folder) == contents(plain.folder)


def test_processes_change_no_byte_and_no_line(write_scene: WriteScene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [
        write_scene(name=f"{i}.tif", transform=Affine(0.5, 0, ORIGIN_XY[0] + i * 1000, 0, -0.5, ORIGIN_XY[1])) for i in range(3)
    ]
    scenes.insert(1, scenes[0].with_name("broken.tif"))
    scenes[1].write_bytes(scenes[0].read_bytes()[:2000])

    def run(out: str) -> tuple[dict[str, dict[str, bytes]], list[tuple[str, int, int]], str]:
        lines: list[tuple[str, int, int]] = []
        with pytest.raises(DetectError) as failed:
            detect.predict(scenes, tmp_path / out, workers=2, weights="deep-int8", progress=lambda *line: lines.append(line))
        return {r.folder.name: contents(r.folder) for r in failed.value.results}, lines, str(failed.value)

    one_by_one = run("one")
    monkeypatch.setattr("detect.runs.predict.FEWEST_EACH", 1)
    monkeypatch.setattr("detect.runs.predict._predict_group", None)  # all is done in other processes
    assert run("two") == one_by_one
    assert list(one_by_one[0]) == ["0", "1", "2"]


def test_only_the_wanted_files_are_written(tiny_scene: Path, tmp_path: Path) -> None:
    detect.predict(tiny_scene, tmp_path, weights="deep-int8")
    whole = contents(tmp_path / "tiny")
    with pytest.warns(
        UserWarning, match=r"probability.tif, .*, overview.png of the earlier result will be gone, since --outputs"
    ):
        few = detect.predict(tiny_scene, tmp_path, weights="deep-int8", outputs=["mask.tif", "item.json"], overwrite=True)
    assert {p.name for p in few.folder.iterdir()} == {"mask.tif", "item.json", "buildings.gpkg", "summary.json"}
    assert (few.folder / "mask.tif").read_bytes() == whole["mask.tif"]
    assert json.loads((few.folder / "item.json").read_text())["assets"].keys() == {"mask", "buildings", "summary", "model"}
    assert detect.predict(tiny_scene, tmp_path, weights="deep-int8", outputs="mask.tif").summary == few.summary, (
        "it was done already"
    )
    with pytest.raises(InputError, match=r"--outputs .*'roofs.shp' is not one of mask.tif"):
        detect.predict(tiny_scene, tmp_path, outputs="roofs.shp")


def test_other_outputs_lose_none_of_the_earlier_files_and_none_of_the_users(tiny_scene: Path, tmp_path: Path) -> None:
    def again(outputs: str) -> Path:
        return detect.predict(tiny_scene, tmp_path, weights="deep-int8", outputs=outputs).folder

    folder = again("mask.tif")
    mask = (folder / "mask.tif").read_bytes()
    (folder / "overview.png").write_text("mine")
    again("report.html,buildings.kmz")
    assert (folder / "mask.tif").read_bytes() == mask and (folder / "overview.png").read_text() == "mine"
    assert {"mask.tif", "report.html", "buildings.kmz"} < {p.name for p in folder.iterdir()} and verify(folder) == []
    with pytest.raises(InputError, match=r"its overview.png is not of a result of this command"):
        again("overview.png")
    with pytest.raises(InputError, match=r"has no stage.tif, since --outputs left it out; give .* --outputs stage.tif"):
        recount(folder)
    again("stage.tif")
    recount(folder)
    assert (folder / "overview.png").read_text() == "mine" and verify(folder) == []
    assert not (folder / "probability.tif").exists(), "a census writes the files that the result has"
    with pytest.raises(InputError, match=r"has no buildings.parquet, .* give this result's detect census there"):
        collect([folder], tmp_path / "all")  # predict would not go on from a result that was counted again


def small_tiles(folder: Path) -> Path:
    import shutil

    from detect.network.weights import load_weights

    shipped = load_weights()
    target = folder / "weights"
    target.mkdir()
    for file in (shipped.onnx, shipped.stage_onnx):
        shutil.copy(file, target)
    card = shipped.card | {"tile": {"core_px": 128, "halo_px": 64, "stride_px": 32}}
    (target / f"{shipped.name}.json").write_text(json.dumps(card))
    return target


def test_interrupted_run_continues_and_gives_the_same_bytes(
    compound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from detect.network import probabilities

    weights = small_tiles(tmp_path)
    whole = detect.predict(compound, tmp_path / "whole", weights=weights, block_px=128)
    calls = 0
    compute = probabilities.compute_block

    def stop_early(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise KeyboardInterrupt
        compute(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(probabilities, "compute_block", stop_early)
        with pytest.raises(KeyboardInterrupt):
            detect.predict(compound, tmp_path / "part", weights=weights, block_px=128)
    assert not (tmp_path / "part" / "scene").exists(), "no half-written result"
    again = detect.predict(compound, tmp_path / "part", weights=weights, block_px=128)
    assert again.summary["blocks"]["resumed"] == 5
    assert contents(again.folder) == contents(whole.folder)


def test_failed_block_is_named_and_tried_again(tiny_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from detect.network import probabilities

    def broken(*_: object) -> None:
        raise RuntimeError("a cosmic ray")

    with monkeypatch.context() as patch:
        patch.setattr(probabilities, "compute_block", broken)
        result = detect.predict(tiny_scene, tmp_path)
    assert result.failed
    assert "a cosmic ray" in result.summary["warnings"][-1]
    assert result.summary["blocks"]["failed"][0]["index"] == 0
    with rasterio.open(result.folder / "mask.tif") as mask:
        assert (mask.read(1) == 255).all()
    assert not detect.predict(tiny_scene, tmp_path).failed


def test_done_result_is_read_back_and_foreign_ones_are_kept(
    tiny_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = detect.predict(tiny_scene, tmp_path)
    before = (first.folder / "summary.json").stat().st_mtime_ns
    again = detect.predict(tiny_scene, tmp_path)
    assert (first.folder / "summary.json").stat().st_mtime_ns == before
    assert again.summary == first.summary
    assert not list(tmp_path.glob(".*"))
    assert len(again.buildings) == len(first.buildings)
    with pytest.raises(InputError, match="--overwrite"):
        detect.predict(tiny_scene, tmp_path, threshold=0.7)
    (first.folder / "notes.txt").write_text("mine")
    other = detect.predict(tiny_scene, tmp_path, threshold=0.7, overwrite=True)
    assert other.summary["run"]["options"]["threshold"] == 0.7
    assert (first.folder / "notes.txt").read_text() == "mine"


def test_a_folder_that_is_no_result_is_not_touched(tiny_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="tiny"):
        detect.predict(tiny_scene, tmp_path)
    assert [p.name for p in (tmp_path / "tiny").iterdir()] == ["thesis.txt"]


@both_compounds
def test_overlapping_scenes_count_each_building_once(request: pytest.FixtureRequest, name: str, tmp_path: Path) -> None:
    compound = request.getfixturevalue(name)
    with rasterio.open(compound) as source:
        values, profile = source.read(), source.profile
        halves, width = [], values.shape[2]
        for name, columns in (("west", slice(0, width * 2 // 3)), ("east", slice(width // 3, width))):
            part = values[:, :, columns]
            transform = source.transform * Affine.translation(columns.start, 0)
            halves.append(tmp_path / f"{name}.tif")
            with rasterio.open(halves[-1], "w", **(profile | {"width": part.shape[2], "transform": transform})) as target:
                target.write(part)
    west, east = detect.predict(halves, tmp_path / "out", sites=None)
    whole = detect.predict(compound, tmp_path / "whole")
    assert any("counted there" in w for r in (west, east) for w in r.summary["warnings"])
    # A half's brightness differs from the whole's, so specks come and go; here it is about who counts what.
    seen = [int((r.buildings["area_m2"] > 50).sum()) for r in (west, east, whole)]
    assert seen[0] + seen[1] == pytest.approx(seen[2], abs=1)
    assert not covered_by(geometries_of(west.buildings), geometries_of(east.buildings)).any()
    before = [(tmp_path / "out" / name / "buildings.parquet").read_bytes() for name in ("west", "east")]
    shutil.rmtree(tmp_path / "out" / "east")  # as if the run was cut off between the two
    again = detect.predict(halves, tmp_path / "out")
    assert [(r.folder / "buildings.parquet").read_bytes() for r in again] == before
    assert not list((tmp_path / "out").glob(".*.work"))
    swapped = detect.predict(halves[::-1], tmp_path / "swapped")
    assert [r.buildings.geometry.to_wkb().tolist() for r in swapped[::-1]] == [
        r.buildings.geometry.to_wkb().tolist() for r in (west, east)
    ], "the order of the scenes decides between equals alone"
    dated = [
        detect.predict([p], tmp_path / "dated" / d, date=d)[0] for p, d in zip(halves, ("2024-01-01", "2024-02-01"), strict=True)
    ]
    assert sum(len(r.buildings) for r in dated) > len(west.buildings) + len(east.buildings)


def test_scenes_of_one_name_get_folders_of_their_own(tiny_scene: Path, empty_scene: Path, tmp_path: Path) -> None:
    (tmp_path / "copy").mkdir()
    twin = shutil.copy(empty_scene, tmp_path / "copy" / tiny_scene.name)
    first, second = detect.predict([tiny_scene, twin], tmp_path / "out", date="2024-06-01")
    assert [r.folder.name for r in (first, second)] == [f"{tiny_scene.parent.name}-tiny", "copy-tiny"]
    assert all(any(f"this one is called '{r.folder.name}'" in w for w in r.summary["warnings"]) for r in (first, second))
    assert len(first.buildings) > len(second.buildings) == 0


def test_a_scene_that_is_given_twice_is_refused(tiny_scene: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="given twice"):
        detect.predict([tiny_scene, tiny_scene], tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["tiny"]


def test_errors_of_several_scenes_are_told_together(tiny_scene: Path, tmp_path: Path) -> None:
    with pytest.raises(DetectError) as caught:
        detect.predict([tmp_path / "a.tif", tiny_scene, tmp_path / "b.tif"], tmp_path / "out")
    assert "a.tif" in str(caught.value)
    assert "b.tif" in str(caught.value)
    assert [r.folder.name for r in caught.value.results] == ["tiny"]


def test_an_error_of_the_system_names_the_scene(tiny_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("detect.runs.predict.find", full)
    with pytest.raises(DetectError, match=r"tiny\.tif: no space is left in .*free some"):
        detect.predict(tiny_scene, tmp_path / "out")


def test_sites_hold_what_stands_in_them(compound: Path, tmp_path: Path) -> None:
    with rasterio.open(compound) as scene:
        west, south, east, north = scene.bounds
        crs = scene.crs
    middle = (west + east) / 2
    sites = gpd.GeoDataFrame(
        {"name": ["left", "right"], "planned_buildings": [100, None]},
        geometry=[shapely.box(west, south, middle, north), shapely.box(middle, south, east, north)],
        crs=crs,
    ).to_crs(4326)
    sites.to_file(tmp_path / "plots.geojson")
    result = detect.predict(compound, tmp_path / "out", sites=tmp_path / "plots.geojson")
    left, right = result.summary["sites"]
    assert left["beds"]["planned"]["estimate"] == 25_600
    assert (left["planned_from"], right["planned_from"]) == ("given", "ground")
    assert right["beds"]["planned"]["estimate"] > right["beds"]["when_complete"]["estimate"], "bare ground around the rows"
    assert left["ground"]["cleared_km2"] < left["area_km2"]
    assert left["buildings"]["estimate"] + right["buildings"]["estimate"] == result.summary["total"]["buildings"]["estimate"]
    assert left["area_km2"] == pytest.approx((middle - west) * (north - south) / 1e6, rel=0.002)  # UTM's scale is not 1
    for name, x in (("left", "min"), ("right", "max")):
        own = result.buildings[result.buildings["site"] == name].geometry.centroid.x
        assert ((own < middle) if x == "min" else (own > middle)).all()


@both_compounds
@pytest.mark.parametrize("crs", ["EPSG:3857", "EPSG:4326", "EPSG:2263"])
def test_areas_do_not_depend_on_the_coordinate_system(
    request: pytest.FixtureRequest, tmp_path: Path, crs: str, name: str
) -> None:
    """The same picture in New York as UTM, Web Mercator, degrees and US survey feet."""
    from rasterio.warp import Resampling, calculate_default_transform, reproject

    paths = {}
    with rasterio.open(request.getfixturevalue(name)) as source:
        values = source.read()
        if name == "compound":  # resampling takes the grain of single pixels away, which the shipped weights would notice
            values = np.stack([ndimage.gaussian_filter(band, 1.0) for band in values])
        utm = Affine(0.5, 0, 585_000, 0, -0.5, 4_510_000)
        base = source.profile | {"crs": "EPSG:32618", "transform": utm}
        paths["utm"] = tmp_path / "utm.tif"
        with rasterio.open(paths["utm"], "w", **base) as target:
            target.write(values)
        bounds = rasterio.transform.array_bounds(*values.shape[1:], utm)
        transform, width, height = calculate_default_transform("EPSG:32618", crs, values.shape[2], values.shape[1], *bounds)
        moved = np.zeros((3, height, width), np.uint8)
        reproject(
            values,
            moved,
            src_transform=utm,
            src_crs="EPSG:32618",
            dst_transform=transform,
            dst_crs=crs,
            resampling=Resampling.cubic,
        )
        paths["moved"] = tmp_path / "moved.tif"
        with rasterio.open(
            paths["moved"], "w", **(base | {"crs": crs, "transform": transform, "width": width, "height": height})
        ) as t:
            t.write(moved)
    site = gpd.GeoDataFrame(geometry=[shapely.box(585_010, 4_509_640, 585_370, 4_509_990)], crs="EPSG:32618")
    site.to_file(tmp_path / "site.gpkg")
    one, two = (detect.predict(p, tmp_path / "out", sites=tmp_path / "site.gpkg") for p in paths.values())
    assert two.buildings["area_m2"].sum() == pytest.approx(one.buildings["area_m2"].sum(), rel=0.02)
    assert two.summary["sites"][0]["area_km2"] == pytest.approx(one.summary["sites"][0]["area_km2"], rel=0.001)


def test_no_data_is_marked_and_touched(write_scene: WriteScene, tmp_path: Path) -> None:
    values = draw_houses()
    values[:, :, 100:] = 0
    result = detect.predict(write_scene(values, nodata=0), tmp_path / "out")
    with rasterio.open(result.folder / "mask.tif") as mask:
        painted = mask.read(1)
    assert (painted[:, -50:] == 255).all()
    assert (painted[:, :100] != 255).all()
    assert any("not observed" in w for w in result.summary["sites"][0]["warnings"])


def test_a_scene_unlike_the_training_images_is_warned_of(write_scene: WriteScene, tmp_path: Path) -> None:
    coarse = detect.predict(write_scene(gsd_m=2.5, name="coarse.tif"), tmp_path / "out")
    assert any("2.50 m" in w and "trained on" in w for w in coarse.summary["warnings"])


def test_weights_that_may_read_finer_read_a_fine_scene_finer(write_scene: WriteScene, tmp_path: Path) -> None:
    chosen, weights = load_weights("deep"), {}
    for finest_m in (0.2, 0.3):
        weights[finest_m] = tmp_path / f"weights_{finest_m}"
        weights[finest_m].mkdir()
        for file in (chosen.onnx, chosen.stage_onnx):
            shutil.copy(file, weights[finest_m])
        (weights[finest_m] / "deep.json").write_text(json.dumps(chosen.card | {"finest_gsd_m": finest_m}))
    fine, coarse = write_scene(gsd_m=0.22, name="fine.tif"), write_scene(gsd_m=0.5, name="coarse.tif")
    for scene, finest_m, expected in ((fine, 0.2, 0.242), (fine, 0.3, 0.3), (coarse, 0.2, 0.3)):
        summary = detect.predict(scene, tmp_path / f"{scene.stem}_{finest_m}", weights=weights[finest_m]).summary
        assert summary["model"]["gsd_m"] == pytest.approx(expected, rel=5e-3)
        assert summary["run"]["work_gsd_m"] == pytest.approx(expected, rel=0.02)


def test_picture_without_a_place(write_scene: WriteScene, tmp_path: Path) -> None:
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        scene = write_scene(crs=None)
    result = detect.predict(scene, tmp_path / "out", gsd_m=0.5)
    assert result.buildings.crs is None
    assert result.summary["scene"]["area_km2"] == pytest.approx(96 * 160 * 0.25 / 1e6, abs=1e-6)
    assert len(HOUSES) >= len(result.buildings[result.buildings["area_m2"] > 100]) >= 1
    assert ORIGIN_XY[0] > result.buildings.total_bounds[2], "metres from the upper left corner"


def test_a_temperature_changes_what_probabilities_say_and_nothing_else(compound: Path, tmp_path: Path) -> None:
    from detect.base.resources import resource_path

    weights = {}
    for name, temperature in (("cold", 1.0), ("warm", 2.0)):
        weights[name] = tmp_path / name
        shutil.copytree(
            resource_path("weights"), weights[name], ignore=lambda _, names: [n for n in names if not n.startswith("deep.")]
        )
        card = json.loads((weights[name] / "deep.json").read_text())
        card["calibration"] |= {"footprint": {"temperature": temperature}}
        (weights[name] / "deep.json").write_text(json.dumps(card))
    cold, warm = (detect.predict(compound, tmp_path / f"of_{name}", weights=w) for name, w in weights.items())
    assert contents(cold.folder)["mask.tif"] == contents(warm.folder)["mask.tif"]
    with rasterio.open(cold.folder / "probability.tif") as a, rasterio.open(warm.folder / "probability.tif") as b:
        before, after = a.read(1).astype(int), b.read(1).astype(int)
    assert (after[before == 200] < 200).all() and (after[before == 60] > 60).all() and (after[before == 255] == 255).all()
    assert warm.buildings["score"].mean() < cold.buildings["score"].mean()
    # A threshold given is one of calibrated probabilities: 0.6 of them is 0.6923 of the network's.
    odds = (0.6 / 0.4) ** 2.0
    own = detect.predict(compound, tmp_path / "own", weights=weights["cold"], threshold=odds / (1 + odds))
    calibrated = detect.predict(compound, tmp_path / "calibrated", weights=weights["warm"], threshold=0.6)
    assert contents(own.folder)["mask.tif"] == contents(calibrated.folder)["mask.tif"]


def test_averaging_mirrored_reads_is_another_result_with_a_key_of_its_own(compound: Path, tmp_path: Path) -> None:
    plain = detect.predict(compound, tmp_path)
    with pytest.raises(InputError, match=r"holds something else already \(the result of another scene, or of other options"):
        detect.predict(compound, tmp_path, tta=True)
    averaged = detect.predict(compound, tmp_path / "tta", tta=True)
    assert averaged.summary["run"]["options"]["tta"] is True
    assert contents(averaged.folder)["probability.tif"] != contents(plain.folder)["probability.tif"]
    assert len(averaged.buildings) == pytest.approx(len(plain.buildings), rel=0.3)


def test_heights_follow_the_sun_that_is_given(tmp_path: Path) -> None:
    """Drawn three-storey blocks: the picture's own sun gives their height, a lower one in the options a lower height."""
    from detect.simulate import simulate_compounds

    (scene,), truth = simulate_compounds(
        tmp_path, seed=900, dormitories=24, gap_m=16.0, storeys=3, sun_elevation_deg=50, gsd_m=0.4, margin_m=12.0
    )
    gpd.read_file(truth, layer="sites").drop(columns="planned_buildings").to_file(tmp_path / "plots.gpkg")
    own = detect.predict(scene, tmp_path / "out", sites=tmp_path / "plots.gpkg")
    high = own.buildings["height_m"].dropna()
    assert len(high) >= 5 and high.median() == pytest.approx(9.7, abs=0.8)
    assert own.summary["scene"]["sun"] == {
        "elevation_deg": 50.0,
        "azimuth_deg": pytest.approx(own.summary["scene"]["sun"]["azimuth_deg"]),
    }
    assert own.summary["assumptions"]["storeys_measured"]["estimate"] == 3
    assert any("say 3 storeys" in w for w in own.summary["warnings"]), "the profile says 2"
    ground = gpd.read_file(own.folder / "buildings.gpkg", layer="ground")
    assert own.summary["sites"][0]["ground"]["pads"] == (ground["kind"] == "pad").sum()
    azimuth = own.summary["scene"]["sun"]["azimuth_deg"]
    lower = detect.predict(scene, tmp_path / "low", sites=tmp_path / "plots.gpkg", sun_deg=(40.0, azimuth))
    ratio = np.tan(np.radians(40)) / np.tan(np.radians(50))
    assert lower.buildings["height_m"].median() == pytest.approx(high.median() * ratio, rel=0.02)
    assert lower.summary["run"]["key"] != own.summary["run"]["key"]


def test_plots_without_a_coordinate_system_lie_in_that_of_the_scene(write_scene: WriteScene, tmp_path: Path) -> None:
    x, y = ORIGIN_XY
    plots = gpd.GeoDataFrame({"name": ["all"]}, geometry=[shapely.box(x - 500, y - 500, x + 500, y + 500)])
    with pytest.warns(UserWarning, match="'crs' was not provided"):
        plots.to_file(tmp_path / "plots.gpkg")
    result = detect.predict(write_scene(), tmp_path / "out", sites=tmp_path / "plots.gpkg", device="cpu")
    (site,) = result.summary["sites"]
    assert site["name"] == "all" and "the file names no coordinate system; that of the scene was assumed" in site["warnings"]
