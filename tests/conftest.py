"""What all tests share: a report header, hypothesis profiles, small drawn scenes.

Scenes are drawn when a test asks for them; none is stored. They are never square, so that swapped axes show.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

import detect  # noqa: F401 – before a test imports onnxruntime, whose telemetry it switches off

SCENE_SIZE_HW = (96, 160)
GSD_M = 0.5
ORIGIN_XY = (593_270.0, 5_747_657.0)  # EPSG:32631, Rotterdam
# (row0, col0, row1, col1) of the drawn houses: one alone, two side by side, one on the scene's edge.
HOUSES = ((12, 14, 36, 44), (50, 40, 78, 62), (50, 68, 78, 90), (30, 140, 54, 160))

# `dev` stops early while one writes code; `ci` looks further and always at the same cases.
settings.register_profile("dev", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ci" if os.environ.get("CI", "").lower() == "true" else "dev")


def pytest_report_header(config: pytest.Config) -> str:
    """The versions that most often explain a failure."""
    versions = {
        "numpy": np.__version__,
        "GDAL": rasterio.__gdal_version__,
        "rasterio": rasterio.__version__,
        "PROJ": rasterio.__proj_version__,
        "ONNX Runtime": _version("onnxruntime"),
        "torch": _version("torch"),
    }
    return "libraries: " + ", ".join(f"{name} {number}" for name, number in versions.items())


def _version(package: str) -> str:
    """Its version without importing it, which would take seconds."""
    try:
        return version(package) if importlib.util.find_spec(package) else "absent"
    except PackageNotFoundError:
        return "unknown"


def draw_houses(size_hw: tuple[int, int] = SCENE_SIZE_HW) -> NDArray[np.uint8]:
    """Bright roofs with a shadow on noisy green ground: (3, H, W) uint8."""
    rng = np.random.default_rng(7)
    picture = np.array([70, 96, 60])[:, None, None] + rng.normal(0, 6, (3, *size_hw))
    for row0, col0, row1, col1 in HOUSES:
        picture[:, row0 + 4 : row1 + 4, col0 - 3 : col1 - 3] = 25
        picture[:, row0:row1, col0:col1] = np.array([196, 120, 96])[:, None, None] + rng.normal(
            0, 4, (3, row1 - row0, col1 - col0)
        )
    return np.clip(picture, 1, 255).astype(np.uint8)


WriteScene = Callable[..., Path]


@pytest.fixture
def write_scene(tmp_path: Path) -> WriteScene:
    """A function that writes (bands, H, W) values as a GeoTIFF: ``write_scene(values, name=…, gsd_m=…, crs=…, **profile)``."""

    def write(
        values: NDArray[np.generic] | None = None,
        *,
        name: str = "tiny.tif",
        gsd_m: float = GSD_M,
        crs: str | None = "EPSG:32631",
        transform: Affine | None = None,
        **profile: object,
    ) -> Path:
        values = draw_houses() if values is None else values
        path = tmp_path / name
        place = Affine(gsd_m, 0, ORIGIN_XY[0], 0, -gsd_m, ORIGIN_XY[1]) if transform is None else transform
        count, height, width = values.shape
        settled = {"driver": "GTiff", "dtype": values.dtype.name, "count": count, "height": height, "width": width}
        if crs is not None:
            settled |= {"crs": crs, "transform": place}
        with rasterio.open(path, "w", **(settled | profile)) as out:
            out.write(values)
        return path

    return write


@pytest.fixture
def tiny_scene(write_scene: WriteScene) -> Path:
    """Four drawn houses, 96 × 160 pixels of 0.5 m, RGB uint8, UTM zone 31."""
    return write_scene()


@pytest.fixture
def empty_scene(write_scene: WriteScene) -> Path:
    """Ground without any building, the same size."""
    rng = np.random.default_rng(11)
    ground = np.array([70, 96, 60])[:, None, None] + rng.normal(0, 6, (3, *SCENE_SIZE_HW))
    return write_scene(np.clip(ground, 1, 255).astype(np.uint8), name="empty.tif")
