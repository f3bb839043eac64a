"""Adapting a result to its corrections: what is kept, what is written where, and that the old result stays whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import pytest
import rasterio
import shapely

import detect.adaptation.choose as choosing
import detect.runs.adapt as adapting
from detect.base.errors import InputError
from detect.base.files import sha256_of
from detect.cli import main as cli
from detect.network.weights import load_weights
from detect.results.seal import verify
from detect.runs.adapt import Adapted, adapt
from detect.runs.options import AdaptOptions, PredictOptions
from detect.runs.predict import predict
from detect.simulate import simulate_compounds


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn compound, predicted, and its corrections: one deleted, one moved, one drawn; the western half is checked."""
    folder = tmp_path_factory.mktemp("place")
    (scene,), _ = simulate_compounds(folder, seed=1005, dormitories=6, gsd_m=0.6, margin_m=12.0)
    found = predict([scene], folder / "out", weights="deep-int8")[0].buildings
    table = found[["id", "stage", "dormitory_like", "geometry"]].copy()
    west, south, east, north = table.total_bounds
    window = shapely.box(west - 20, south - 20, (west + east) / 2, north + 20)
    inside = table[table.representative_point().within(window)].index
    assert len(inside) > 2
    table.loc[inside[0], "geometry"] = shapely.affinity.translate(table.geometry[inside[0]], 1.5, 0)
    drawn = gpd.GeoDataFrame(
        {"stage": ["complete"]}, geometry=[shapely.box(west - 15, south - 15, west - 5, south - 5)], crs=table.crs
    )
    corrected = gpd.GeoDataFrame(gpd.pd.concat([table.drop(inside[1]), drawn], ignore_index=True), crs=table.crs)
    corrected.to_file(folder / "corrected.gpkg", layer="corrected", driver="GPKG")
    gpd.GeoDataFrame({"by": ["me"]}, geometry=[window], crs=table.crs).to_file(
        folder / "corrected.gpkg", layer="checked", driver="GPKG"
    )
    return folder


def adapted(place: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> Adapted:
    """Adapt as if any change were a gain."""
    monkeypatch.setattr(choosing, "_is_gain", lambda *_: True)
    monkeypatch.setattr(choosing, "FEWEST_CELLS", 1)
    monkeypatch.setattr(choosing, "HOLDS", (choosing.Hold(0.3, 1.0),))
    monkeypatch.setattr(choosing, "MARGINS", ({"footprint_threshold": 0.01},))
    return adapt(place / "out" / "scene", place / "corrected.gpkg", **options)


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in sorted(folder.iterdir())}


def test_a_gain_is_written_beside_the_old_result(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    old = tmp_path / "out" / "scene"
    before = hashes(old)
    more = shutil.copy(tmp_path / "scene.tif", tmp_path / "later.tif")
    done = adapted(tmp_path, monkeypatch, scenes=[more])
    assert done.kept and done.result.folder == tmp_path / "out" / "scene+1"
    assert hashes(old) == before and verify(tmp_path / "out") == []
    assert [r.folder.name for r in done.more] == ["later+1"]

    corrected = gpd.read_file(tmp_path / "corrected.gpkg", layer="corrected").to_crs(done.result.buildings.crs)
    found = gpd.read_file(old / "buildings.gpkg", layer="buildings")
    table = done.result.buildings.set_index("id")
    review = done.result.summary["review"]
    (moved,), (drawn,), (gone,) = review["changed"], review["added"], review["deleted"]
    assert table.geometry[moved].equals(corrected.set_index("id").geometry[moved])
    assert table.geometry[drawn].equals(corrected.geometry.iloc[-1]) and gone not in table.index
    assert not table.geometry.intersects(found.set_index("id").geometry[gone].centroid).any()
    assert set(review["confirmed"]) <= set(table.index) and len(review["confirmed"]) > 0
    with rasterio.open(done.result.folder / "stage.tif") as stage:
        at = [(p.x, p.y) for p in (table.geometry[drawn].centroid, found.set_index("id").geometry[gone].centroid)]
        assert [v[0] for v in stage.sample(at)] == [3, 0]

    facts = done.result.summary["adapted"]
    assert facts["from"]["result"] == "scene" and facts["review"]["file"] == "corrected.gpkg" and facts["before"]["true"] > 0
    item = json.loads((done.result.folder / "item.json").read_text())
    assert item["links"][0]["rel"] == "derived_from" and item["links"][0]["href"] == "../scene/item.json"
    card = json.loads((tmp_path / "out" / "scene+1.weights" / "adapted.json").read_text())
    assert card["adapted"] == facts and card["thresholds"]["footprint"] == pytest.approx(
        load_weights("deep-int8").card.thresholds.footprint + 0.01
    )
    drawn_places = [r for r in load_weights("deep-int8").card.get("rates") if r.get("simulated")]
    here = {"place": "checked ground of scene", "sites": [done.result.summary["rates"][-1]["sites"][0]], "simulated": True}
    assert done.result.summary["rates"] == [*drawn_places, here], "the intervals know this place"
    assert here["sites"][0][:2] == [facts["after"]["found"], facts["after"]["true"]]
    page = (done.result.folder / "report.html").read_text()
    assert "Adapted to this place" in page and "detect adapt scene+1 --review corrections.geojson" in page

    first = hashes(done.result.folder) | hashes(tmp_path / "out" / "scene+1.weights")
    again = adapted(tmp_path, monkeypatch)
    assert again.kept and hashes(again.result.folder) | hashes(tmp_path / "out" / "scene+1.weights") == first
    review = gpd.read_file(tmp_path / "corrected.gpkg", layer="corrected")
    review.iloc[1:].to_file(tmp_path / "corrected.gpkg", layer="corrected", driver="GPKG")
    with pytest.raises(InputError, match=r"scene\+1: holds something else already; give --overwrite"):
        adapted(tmp_path, monkeypatch)
    assert hashes(done.result.folder) | hashes(tmp_path / "out" / "scene+1.weights") == first, "the weights stay too"


@pytest.mark.parametrize("tta", [True, False, None])
def test_further_scenes_are_read_as_the_earlier_result_was(tta: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    said = {} if tta is None else {"tta": tta}
    earlier = SimpleNamespace(folder=Path("out/scene"), profile=None, summary={"run": {"options": said}})
    read: list[PredictOptions] = []

    def read_sources(scenes: object, out: Path, chosen: PredictOptions, profile: object) -> SimpleNamespace:
        read.append(chosen)
        return SimpleNamespace(all_done=list)

    monkeypatch.setattr(adapting, "predict_sources", read_sources)
    weights = SimpleNamespace(onnx=Path("w.onnx"))
    adapting._further(SimpleNamespace(name="scene+1"), earlier, weights, AdaptOptions(scenes=[__file__], workers=3))
    assert [(o.tta, o.workers, o.weights) for o in read] == [(bool(tta), 3, weights.onnx)]


def test_without_a_gain_nothing_is_written(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(place.rglob("*"))
    code = cli.main(["adapt", str(place / "out" / "scene"), "--review", str(place / "corrected.gpkg"), "-q"])
    said = capsys.readouterr().out
    assert code == 0 and said.count("\n") == 1 and "stays as it is" in said
    assert "deep-int8 computes in 8-bit integers" in said
    assert sorted(place.rglob("*")) == before


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "scene.tif").unlink(), "its scene cannot be read again"),
        (lambda f: shutil.copy(f / "out/scene/buildings.gpkg", f / "corrected.gpkg"), "nothing differs from"),
        (lambda f: _other_weights(f / "out/scene/summary.json"), r"its weights, deep-int8, are not at .*--weights"),
    ],
)
def test_what_cannot_be_adapted_is_one_line(place: Path, tmp_path: Path, spoil: object, message: str) -> None:
    shutil.copytree(place, tmp_path, dirs_exist_ok=True)
    summary = tmp_path / "out/scene/summary.json"
    summary.write_text(summary.read_text().replace(str(place), str(tmp_path)))
    spoil(tmp_path)  # type: ignore[operator]
    with pytest.raises(InputError, match=message) as caught:
        adapt(tmp_path / "out/scene", tmp_path / "corrected.gpkg")
    assert "\n" not in str(caught.value)


def _other_weights(path: Path) -> None:
    content = json.loads(path.read_text())
    content["model"]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))


def test_windows_beside_the_scene_are_refused(place: Path, tmp_path: Path) -> None:
    crs = gpd.read_file(place / "corrected.gpkg", layer="checked").crs
    gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 10, 10)], crs=crs).to_file(tmp_path / "far.gpkg")
    with pytest.raises(InputError, match=r"far\.gpkg: none of its checked polygons lies on the scene"):
        adapt(place / "out" / "scene", place / "corrected.gpkg", checked=tmp_path / "far.gpkg")
