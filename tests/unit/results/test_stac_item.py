"""item.json, judged by PySTAC and by the files it names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyproj
import pystac
import pytest
import shapely
from affine import Affine
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from detect.base.files import sha256_of
from detect.network.card import card_from
from detect.network.weights import load_weights
from detect.results.files import OUTPUTS
from detect.results.stac_item import stac_item, write_item
from detect.scene.provenance import Provenance
from detect.scene.scene import Scene, open_scene
from tests.conftest import WriteScene

TURNED = Affine.translation(593_270, 5_747_657) * Affine.rotation(30) * Affine.scale(0.5, -0.5)


def item_of(scene: Scene) -> dict:
    """As it is read back from a file, valid by the schema that ships with PySTAC."""
    item = json.loads(json.dumps(stac_item(scene, scene.work_grid(0.3), load_weights())))
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])
    return item


@pytest.mark.parametrize(
    ("crs", "transform"),
    [("EPSG:32631", None), ("EPSG:4326", Affine(4.5e-6, 0, 36.0, 0, -4.5e-6, 10.0)), ("EPSG:32631", TURNED)],
    ids=["projected", "geographic", "turned"],
)
def test_the_item_lies_where_the_scene_lies(write_scene: WriteScene, crs: str, transform: Affine | None) -> None:
    scene = open_scene(write_scene(crs=crs, transform=transform), date="2024-06-01")
    item = pystac.Item.from_dict(item_of(scene))
    outline = shapely.geometry.shape(item.geometry)
    assert outline.exterior.is_ccw
    assert outline.bounds == pytest.approx(item.bbox, abs=1e-9)
    to_degrees = pyproj.Transformer.from_crs(crs, 4326, always_xy=True)
    middle = shapely.Point(to_degrees.transform(*(scene.transform * (80, 48))))
    assert outline.centroid.distance(middle) < 1e-6
    assert item.datetime is not None and item.datetime.date().isoformat() == "2024-06-01"
    assert item.properties["end_datetime"] == "2024-06-01T23:59:59Z"
    assert ProjectionExtension.ext(item).code == crs
    grid = scene.work_grid(0.3)
    mask = ProjectionExtension.ext(item.assets["mask"])
    assert mask.shape == list(grid.size_hw)
    assert Affine(*mask.transform).almost_equals(grid.transform)


def test_the_credit_of_map_tiles_is_there(write_scene: WriteScene) -> None:
    told = Provenance(source="https://t.org", retrieved="2026-06-05", attribution="© drawn", terms="", level="18", tiles=4)
    item = item_of(replace(open_scene(write_scene()), provenance=told))
    assert item["properties"]["providers"] == [{"name": "© drawn", "roles": ["producer"]}]
    assert "providers" not in item_of(open_scene(write_scene()))["properties"]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_what_is_unknown_is_said_to_be(write_scene: WriteScene) -> None:
    item = item_of(open_scene(write_scene(crs=None), gsd_m=0.5))
    assert item["geometry"] is None and "bbox" not in item
    assert item["properties"]["datetime"] is None
    assert item["properties"]["start_datetime"] < "1950" and item["properties"]["end_datetime"] > "2100"
    assert item["properties"]["proj:code"] is None
    own = "+proj=tmerc +lat_0=51 +lon_0=4 +k=1 +x_0=590000 +y_0=5747000 +ellps=WGS84 +units=m"
    assert item_of(open_scene(write_scene(crs=own)))["properties"]["proj:wkt2"].startswith("PROJCRS")


def test_the_model_is_described(tiny_scene: Path) -> None:
    weights = load_weights()
    item = pystac.Item.from_dict(item_of(open_scene(tiny_scene)))
    model = MLMExtension.ext(item)
    assert model.mlm_name == f"detect-{weights.name}"
    assert "efficientnet" in model.architecture
    assert {str(getattr(t, "value", t)) for t in model.tasks} == {"semantic-segmentation", "instance-segmentation"}
    (given,), (told,) = model.input, model.output
    assert given.input.shape == [-1, 3, 1280, 1280]
    assert [band if isinstance(band, str) else band.name for band in given.bands] == [b["name"] for b in item.properties["bands"]]
    assert told.result.shape[1] == len(weights.card["heads"])
    (asset,) = [a for a in item.assets.values() if "mlm:model" in (a.roles or [])]
    assert asset.extra_fields["file:checksum"] == "1220" + sha256_of(Path(asset.href)) == "1220" + weights.sha256
    odd = replace(weights, card=card_from(weights.card | {"name": "my weights: 2"}, "card"))
    scene = open_scene(tiny_scene)
    assert stac_item(scene, scene.work_grid(0.3), odd)["properties"]["mlm:name"] == "detect-my-weights-2"


def test_every_output_is_an_asset(tiny_scene: Path, tmp_path: Path) -> None:
    scene = open_scene(tiny_scene)
    write_item(tmp_path / "item.json", scene, scene.work_grid(0.3), load_weights())
    item = pystac.Item.from_file(str(tmp_path / "item.json"))
    named = {Path(a.href).name for key, a in item.assets.items() if key != "model"}
    assert named == set(OUTPUTS) - {"item.json"}
    assert all(a.media_type and a.roles for a in item.assets.values())
    stage = item.assets["stage"].extra_fields["classification:classes"]
    assert [(c["value"], c["name"]) for c in stage] == [(0, "none"), (1, "foundation"), (2, "incomplete"), (3, "complete")]


@pytest.mark.parametrize(("crs", "latitude"), [("EPSG:5041", 90), ("EPSG:3031", -90)])
def test_a_scene_over_a_pole_lies_around_it(write_scene: WriteScene, crs: str, latitude: float) -> None:
    pole = pyproj.Transformer.from_crs(4326, crs, always_xy=True).transform(0, latitude)
    for east, north in ((30.0, 20.0), (31.7, 24.9), (0.5, 47.3)):
        corner = Affine(0.5, 0, pole[0] - east, 0, -0.5, pole[1] + north)
        item = item_of(open_scene(write_scene(crs=crs, transform=corner)))
        outline = shapely.geometry.shape(item["geometry"])
        assert outline.is_valid and (outline.bounds[0], outline.bounds[2]) == (-180, 180)
        assert outline.bounds[3 if latitude > 0 else 1] == latitude and 0 < outline.bounds[3] - outline.bounds[1] < 0.002


def test_a_scene_across_180_degrees_is_cut_there() -> None:
    from detect.results.stac_item import _place

    place = _place(shapely.box(179.9, -17, 180.3, -16))
    assert place["bbox"] == pytest.approx([179.9, -17, -179.7, -16])
    parts = shapely.geometry.shape(place["geometry"])
    assert sorted(part.bounds for part in parts.geoms) == [
        pytest.approx((-180, -17, -179.7, -16)), pytest.approx((179.9, -17, 180, -16)),
    ]  # fmt: skip
    assert _place(shapely.box(-180.3, -17, -179.9, -16))["bbox"] == pytest.approx([179.7, -17, -179.9, -16])
