"""Say what a raster may be in place of the picture that it is taken for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import RasterioError

from detect.scene.opening import without_place_warnings

_OF_RESULTS = ("mask.tif", "stage.tif", "probability.tif")
_FEW_VALUES = 4
_MOST_PIXELS = 200_000


def doubts(dataset: Any, path: str, sample: NDArray[np.number]) -> list[str]:
    """One line for each.

    Args:
        dataset: an open rasterio dataset.
        path: of the dataset.
        sample: observed values (3, n).
    """
    return [line for line in (_more_pictures(dataset), _other_system(dataset, path), _map_of_classes(path, sample)) if line]


def _more_pictures(dataset: Any) -> str:
    parts = [name for name in dataset.subdatasets if name.startswith("GTIFF_DIR:")]
    if len(parts) < 2:
        return ""
    return (
        f"the file holds {len(parts)} pictures, of which the first is read; take another one out with gdal_translate GTIFF_DIR:2:FILE "
        "second.tif"
    )


def _other_system(dataset: Any, path: str) -> str:
    """Whether a file beside the raster, as QGIS writes it, gives another coordinate system than the raster itself."""
    beside = Path(f"{path}.aux.xml")
    if dataset.crs is None or "://" in path or not beside.is_file() or b"<SRS" not in beside.read_bytes():
        return ""
    try:
        with without_place_warnings(), rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(path, driver=dataset.driver) as bare:
            own = bare.crs
    except RasterioError:
        return ""
    if own is None or own == dataset.crs:
        return ""
    names = [f"EPSG:{crs.to_epsg()}" if crs.to_epsg() else "another one" for crs in (dataset.crs, own)]
    return (
        f"georeference: the coordinate system of {beside.name} ({names[0]}) was taken; that of the file itself ({names[1]}) "
        "contradicts it"
    )


def _map_of_classes(path: str, sample: NDArray[np.number]) -> str:
    file = Path(path)
    if file.name in _OF_RESULTS and (file.parent / "summary.json").is_file():
        return f"{file.name} is what detect has found in a scene, and no picture; give the scene itself"
    count = len(np.unique(sample[:, :: max(1, sample.shape[1] // _MOST_PIXELS)])) if sample.size else _FEW_VALUES + 1
    if count > _FEW_VALUES:
        return ""
    values = "one value" if count == 1 else f"{count} values"
    return f"the picture has only {values}, as a mask or a map of classes has; buildings are found in pictures"
