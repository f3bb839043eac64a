"""Open Cities AI Challenge (GFDRR and DrivenData 2020): drone scenes of ten African cities with OpenStreetMap outlines.

Published layouts, both read:

- DrivenData, a STAC catalogue per tier: ``train_tier_1/<city>/<scene>/<scene>.tif`` with
  ``train_tier_1/<city>/<scene>-labels/<scene>.geojson``, and the same for ``train_tier_2``;
- Radiant MLHub:
  ``open_cities_ai_challenge_train_tier_1_source/open_cities_ai_challenge_train_tier_1_source_<city>_<scene>/image.tif``
  with ``labels.geojson`` in the same folders named ``labels`` in the place of ``source``.

Scenes are cloud-optimised GeoTIFFs in UTM: red, green, blue, and an alpha band that is 0 where nothing was seen. ``test``
has no labels. The second tier was mapped less completely and less exactly, so it is a data set of its own,
``opencities_tier2``: a recipe can leave it out. The 13 scenes of Zanzibar (``znz``) seem to be those of the Open AI
Tanzania challenge (``tanzania``): use one of the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from detect.base.errors import InputError
from detect.base.files import listed
from detect.datasets._folders import folders_named
from detect.datasets.images import DataSet, LabelledImage, Outlines, require, vector

TITLE = "Open Cities AI"
TIERS = ("train_tier_1", "train_tier_2")
MLHUB = "open_cities_ai_challenge"
ZANZIBAR = "znz"
"""The one city whose outlines are not from OpenStreetMap."""
LAYOUT = "train_tier_1|2/<city>/<scene>/<scene>.tif and <city>/<scene>-labels/<scene>.geojson, or the folders of Radiant MLHub"


def images(source: Path) -> Iterator[LabelledImage]:
    """Every scene of the tiers in the folder; a city is one place, as its scenes adjoin."""
    found = False
    for tier in TIERS:
        for city, image, outlines in [*_catalogue(source, tier), *_mlhub(source, tier)]:
            found = True
            first = tier == TIERS[0]
            yield LabelledImage(
                path=require(image, TITLE, LAYOUT),
                place=city,
                label=Outlines(vector(require(outlines, TITLE, LAYOUT))),
                label_kind="outlines" if first else "loose",
                licence="CC-BY-4.0" if city == ZANZIBAR else None,
                data_set=None if first else "opencities_tier2",
            )
    if not found:
        raise InputError(f"{source}: holds neither {TIERS[0]} nor {TIERS[1]}; {TITLE} is read as {LAYOUT}")


def _catalogue(source: Path, tier: str) -> Iterator[tuple[str, Path, Path]]:
    """City, image and outlines of a tier in DrivenData's layout."""
    folders = [source] if source.resolve().name == tier else folders_named(source, tier)
    for city in (c for folder in folders for c in _folders(folder)):
        for scene in sorted({item.name.removesuffix("-labels") for item in _folders(city)}):
            yield city.name, city / scene / f"{scene}.tif", city / f"{scene}-labels" / f"{scene}.geojson"


def _mlhub(source: Path, tier: str) -> Iterator[tuple[str, Path, Path]]:
    """City, image and outlines of a tier in Radiant MLHub's layout."""
    folders = [source / f"{MLHUB}_{tier}_{part}" for part in ("source", "labels")]
    items = {item.name.removeprefix(f"{folder.name}_") for folder in folders for item in _folders(folder)}
    for item in sorted(items):
        image, outlines = (folder / f"{folder.name}_{item}" for folder in folders)
        yield item.partition("_")[0], image / "image.tif", outlines / "labels.geojson"


def _folders(folder: Path) -> list[Path]:
    return [p for p in listed(folder) if p.is_dir()] if folder.is_dir() else []


DATA_SET = DataSet(
    name="opencities",
    title="Open Cities AI Challenge: drone scenes of African cities",
    licence="CC-BY-4.0; ODbL-1.0",
    gsd_m="0.02-0.2",
    places="ten African cities: Accra, Dar es Salaam, Kampala, Monrovia, Niamey, Zanzibar and others",
    sensor="drone",
    labels="outlines; the second tier is less complete",
    source="https://www.drivendata.org/competitions/60/building-segmentation-disaster-resilience/",
    cite="Open Cities AI Challenge, GFDRR and DrivenData (2020), https://doi.org/10.34911/rdnt.f94cxb",
    images=images,
    layout=LAYOUT,
)
