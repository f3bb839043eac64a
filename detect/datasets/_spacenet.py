"""What the SpaceNet releases share: a folder per product, test folders without labels, tiles without buildings."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import geopandas as gpd

from detect.datasets._folders import folders_named
from detect.datasets.images import Outlines, require, vector

LICENCE = "CC-BY-SA-4.0"
CITE = "Van Etten, Lindenbaum, Bacastow: SpaceNet: A Remote Sensing Dataset and Challenge Series (2018), arXiv:1807.01232"


def product_folders(source: Path, products: tuple[str, ...], data_set: str, layout: str) -> list[Path]:
    """Folders of a product, sorted; without those of test sets, whose labels are not published.

    Raises:
        InputError: there is none.
    """
    found = [
        folder
        for folder in folders_named(source, *products)
        if "test" not in re.split("[^a-z]+", folder.relative_to(source).as_posix().lower())
    ]
    if not found:
        require(source / products[0], data_set, layout)
    return found


def outlines(path: Path) -> Outlines:
    """The outlines of a tile's label file."""
    return Outlines(partial(_read, path))


def _read(path: Path) -> gpd.GeoDataFrame:
    # For a tile without buildings the file may be empty: https://github.com/SpaceNetChallenge/utilities/issues/117
    if not path.stat().st_size:
        return gpd.GeoDataFrame(geometry=[], crs=4326)
    return vector(path)()
