"""The sample folder → chips, on a few of its real images."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from detect.base.errors import InputError
from detect.datasets import prepare
from detect.datasets.chips import UNKNOWN, read_chip, read_index
from tests.real_data import data_path

IMAGES = (
    "dubai/tile1_1.jpg", "vegas/vegas_225.tif", "rio/rio_50.tif", "rio/rio_57.tif", "oam_chips/virac_1.tif", "oam_chips/nairobi_0.tif",
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = data_path("index.csv").parent
    folder = tmp_path_factory.mktemp("part")
    index = pd.read_csv(source / "index.csv")
    few = index[index["image"].isin(IMAGES)]
    assert len(few) == len(IMAGES)
    few.to_csv(folder / "index.csv", index=False)
    for item in few.to_dict("records"):
        (folder / item["image"]).parent.mkdir(exist_ok=True)
        for name in (item["image"], item["label"]):
            (folder / name).symlink_to(source / name)
    shutil.copytree(source / "stages", folder / "stages")
    store = tmp_path_factory.mktemp("chips") / "store"
    assert prepare("samples", folder, store).chips == len(read_index(store))
    return store


def test_every_kind_of_label_loads(store: Path) -> None:
    index = read_index(store)
    assert set(index["data_set"]) == {"hitl_dubai", "spacenet2_vegas", "spacenet1_rio", "fair_oam"}
    assert dict(index.drop_duplicates("data_set").set_index("data_set")["label_kind"]) == {
        "hitl_dubai": "coarse", "spacenet2_vegas": "outlines", "spacenet1_rio": "loose", "fair_oam": "outlines",
    }  # fmt: skip
    assert not index["place"].str.contains("nairobi").any(), "outlines that lie metres off teach nothing"
    assert index.groupby("place")["split"].nunique().max() == 1
    assert set(index.loc[index["data_set"] == "spacenet2_vegas", "split"]) == {"val"}
    assert (index["buildings"] > 3).any()


def test_a_city_in_both_splits_is_a_place_per_tile(store: Path) -> None:
    rio = read_index(store).query("data_set == 'spacenet1_rio'")
    assert dict(zip(rio["place"], rio["split"], strict=True)) == {"rio_50": "train", "rio_57": "val"}


def test_roofs_lie_under_their_labels(store: Path) -> None:
    for row in read_index(store).to_dict("records"):
        chip = read_chip(store, row["chip"])
        assert chip.image.shape[:2] == chip.footprint.shape == chip.instances.shape
        assert set(np.unique(chip.footprint)) <= {0, 1, UNKNOWN}
        assert set(np.unique(chip.stage)) <= {0, 1, 2, 3}
        assert not chip.stage[chip.footprint != 1].any()
        if row["label_kind"] == "outlines":
            assert ((chip.instances > 0) == (chip.footprint == 1)).mean() > 0.999


def test_coarse_masks_have_an_unknown_rim(store: Path) -> None:
    row = read_index(store).query("label_kind == 'coarse'").iloc[0]
    chip = read_chip(store, row["chip"])
    edge = np.abs(np.diff((chip.footprint == 1).astype(int), axis=1))
    beside = chip.footprint[:, 1:][edge > 0]
    touching = (chip.footprint[:, :-1] == 0) & (chip.footprint[:, 1:] == 1)
    assert len(beside) and touching.sum() == 0, "building never touches not-building"


def test_a_folder_without_index_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    for source, word in (("source", r"index\.csv"), ("nowhere", "nowhere")):
        with pytest.raises(InputError, match=word):
            prepare("samples", tmp_path / source, tmp_path / "chips")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").touch()
    with pytest.raises(InputError, match="not empty"):
        prepare("samples", tmp_path / "source", tmp_path / "full")
