"""Open Cities AI in the layouts of DrivenData and of Radiant MLHub."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_chip, read_index
from tests.unit.datasets.drawing_c import built_share, outlines, picture, write_geojson, write_geotiff

SIZE_HW = (120, 150)
HOUSES = ((10, 12, 40, 60), (60, 20, 100, 50))
SCENES = (
    ("train_tier_1", "acc", "665946", HOUSES),
    ("train_tier_1", "znz", "06f252", ()),
    ("train_tier_2", "dar", "b15fce", HOUSES[:1]),
)
PLACE = Affine(0.3, 0, 809_000, 0, -0.3, 620_000)
CRS = "EPSG:32630"


def draw(image: Path, labels: Path, houses: tuple[tuple[int, int, int, int], ...]) -> None:
    """A scene whose rightmost 30 columns were not seen."""
    alpha = np.full(SIZE_HW, 255, np.uint8)
    alpha[:, 120:] = 0
    seen = picture(SIZE_HW, houses) * (alpha > 0)[..., None]
    write_geotiff(image, seen.astype(np.uint8), PLACE, CRS, alpha=alpha)
    write_geojson(labels, outlines(houses, PLACE, CRS, building=["yes"] * len(houses)))


def drivendata(folder: Path) -> Path:
    for tier, city, scene, houses in SCENES:
        top = folder / tier / city
        draw(top / scene / f"{scene}.tif", top / f"{scene}-labels" / f"{scene}.geojson", houses)
        (top / scene / f"{scene}.json").write_text("{}")
        (top / f"{scene}-labels" / f"{scene}-labels.json").write_text("{}")
        (top / "collection.json").write_text(json.dumps({"id": city}))
        (folder / tier / "catalog.json").write_text(json.dumps({"id": tier}))
    draw(folder / "test" / "0a4c40" / "0a4c40.tif", folder / "aside.geojson", ())
    return folder


def mlhub(folder: Path) -> Path:
    for tier, city, scene, houses in SCENES:
        source, labels = (f"open_cities_ai_challenge_{tier}_{part}" for part in ("source", "labels"))
        image = folder / source / f"{source}_{city}_{scene}" / "image.tif"
        draw(image, folder / labels / f"{labels}_{city}_{scene}" / "labels.geojson", houses)
        (image.parent / "stac.json").write_text("{}")
    return folder


@pytest.mark.parametrize("layout", [drivendata, mlhub])
def test_both_layouts_give_the_same(tmp_path: Path, layout: Callable[[Path], Path]) -> None:
    prepare("opencities", layout(tmp_path / "source"), tmp_path / "chips")
    index = read_index(tmp_path / "chips").set_index("place")
    assert index["data_set"].to_dict() == {"acc": "opencities", "znz": "opencities", "dar": "opencities_tier2"}
    assert index["label_kind"].to_dict() == {"acc": "outlines", "znz": "outlines", "dar": "loose"}
    assert index["buildings"].to_dict() == {"acc": 2, "znz": 0, "dar": 1}
    assert index["licence"].to_dict() == {"acc": "CC-BY-4.0; ODbL-1.0", "znz": "CC-BY-4.0", "dar": "CC-BY-4.0; ODbL-1.0"}
    assert set(index["split"]) == {"train", "val"}
    assert index["gsd_m"].to_numpy() == pytest.approx(0.3, rel=0.01)
    chip = read_chip(tmp_path / "chips", index.loc["acc", "chip"])
    assert all(built_share(chip.footprint, house, SIZE_HW) == 1 for house in HOUSES)
    assert (chip.footprint[:, 120:] == UNKNOWN).all() and (chip.footprint[:, :118] != UNKNOWN).all()
    assert not chip.stage.any(), "OpenStreetMap's building=yes says nothing of a stage"


def test_a_tier_may_be_given_alone(tmp_path: Path) -> None:
    prepare("opencities", drivendata(tmp_path / "source") / "train_tier_2", tmp_path / "chips")
    assert set(read_index(tmp_path / "chips")["place"]) == {"dar"}


@pytest.mark.parametrize("missing", ["acc/665946/665946.tif", "acc/665946-labels/665946.geojson"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    (drivendata(tmp_path / "source") / "train_tier_1" / missing).unlink()
    with pytest.raises(InputError, match=f"train_tier_1/{missing}: missing"):
        prepare("opencities", tmp_path / "source", tmp_path / "chips")


def test_a_folder_without_tiers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    with pytest.raises(InputError, match="train_tier_1"):
        prepare("opencities", tmp_path / "source", tmp_path / "chips")
