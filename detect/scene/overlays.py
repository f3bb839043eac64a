"""Ground overlays of Google Earth: the picture that a KML or KMZ file places, and where its corners are.

GDAL reads one overlay with an upright box and ignores ``rotation`` without a word, so the document is read here. KML 2.2 (OGC 07-147r2,
11.3): the box is turned about its middle, counter-clockwise degrees, and Google Earth keeps the picture's shape on the ground in doing so;
``gx:LatLonQuad`` gives the corners, counter-clockwise from the lower left.
"""

from __future__ import annotations

import math
import posixpath
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import numpy as np
from affine import Affine

from detect.base.errors import InputError

SUFFIXES = (".kml", ".kmz")
_LARGEST_BYTES = 50_000_000
BEND_PX = 2.0
"""How far corners may lie off a parallelogram; more has to be rectified."""
_SAVE = "save it as KMZ, which holds the picture"
Corner = tuple[float, float]


@dataclass(frozen=True)
class Overlay:
    """A picture and its place."""

    document: str
    """Path of the KML or KMZ file."""
    picture: str
    """Path that GDAL opens."""
    corners_deg: tuple[Corner, Corner, Corner, Corner]
    """Longitude and latitude of the upper left, upper right, lower right and lower left corner."""

    def transform(self, size_hw: tuple[int, int]) -> Affine:
        """Pixels (x = column, y = row) → longitude and latitude.

        Raises:
            InputError: the corners are no parallelogram.
        """
        height, width = size_hw
        pixels = [(0, 0), (width, 0), (width, height), (0, height)]
        ul, ur, lr, ll = np.array(self.corners_deg)
        right, down = (ur - ul + lr - ll) / 2, (ll - ul + lr - ur) / 2  # the best fit in the sense of least squares
        first = (ul + ur + lr + ll) / 4 - right / 2 - down / 2
        (a, d), (b, e), (c, f) = (right / width).tolist(), (down / height).tolist(), first.tolist()
        place = Affine(a, b, c, d, e, f)
        if place.is_degenerate:
            raise InputError(f"{self.document}: the corners of its picture span no ground; correct them")
        off_px = max(math.dist(~place * corner, pixel) for corner, pixel in zip(self.corners_deg, pixels, strict=True))
        if off_px > BEND_PX:
            raise InputError(
                f"{self.document}: the four corners of its picture are no parallelogram (off by {off_px:.0f} px); "
                "rectify it first: gdal_translate -gcp for each corner, then gdalwarp"
            )
        return place


def overlay_of(path: str) -> Overlay | None:
    """The overlay that a path means; None if it is none: another kind of file, or a document that GDAL reads as it is.

    Args:
        path: a ``.kml`` or ``.kmz`` file with one overlay, or ``/vsizip/….kmz/picture`` of one with several.

    Raises:
        InputError: see ``overlays``; or the file holds several.
    """
    if path.startswith("/vsizip/"):
        folders = Path(path.removeprefix("/vsizip/")).parents
        archive = next((one for one in folders if one.suffix.lower() == ".kmz" and one.is_file()), None)
        same = [] if archive is None else [overlay for overlay in overlays(archive) if overlay.picture == path]
        return same[0] if len(same) == 1 else None
    if "://" in path or path.startswith("/vsi") or not path.lower().endswith(SUFFIXES) or not Path(path).is_file():
        return None
    found = overlays(Path(path))
    if len(found) > 1:
        raise InputError(f"{path}: holds {len(found)} ground overlays; save each as a KMZ of its own")
    return found[0] if found else None


def overlays(path: Path) -> list[Overlay]:
    """The ground overlays of a KML or KMZ file; none where GDAL reads it as one raster in tiles (a superoverlay).

    Raises:
        InputError: the file cannot be read, an overlay has no picture or no place, or its picture lies elsewhere.
    """
    document, names = _document(path)
    found = list(document.iter("GroundOverlay"))
    if (is_tiled := any(True for _ in document.iter("Region"))) or not found:
        for link in document.iter("NetworkLink"):
            if "://" in (href := _href(link)):
                raise InputError(f"{path}: only links to {href}, which is not read; {_SAVE}")
    if is_tiled:
        for overlay in found:
            if "://" in (href := _href(overlay)):
                raise InputError(f"{path}: its picture {href} lies elsewhere and is not read; {_SAVE}")
        return []
    return [Overlay(str(path), _picture(overlay, path, names), _corners(overlay, path)) for overlay in found]


def _document(path: Path) -> tuple[ElementTree.Element, list[str] | None]:
    """The document without namespaces, and the names in the archive (None for a plain KML)."""
    names = None
    try:
        if path.suffix.lower() == ".kmz":
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                documents = [name for name in names if name.lower().endswith(".kml")]
                if not documents:
                    raise InputError(f"{path}: holds no KML document; save the overlay anew")
                main = next((name for name in documents if name.lower() == "doc.kml"), documents[0])
                if archive.getinfo(main).file_size > _LARGEST_BYTES:
                    raise InputError(
                        f"{path}: its KML document is larger than {_LARGEST_BYTES // 10**6} MB; leave only the overlay"
                    )
                text = archive.read(main)
        else:
            text = path.read_bytes()
        document = ElementTree.fromstring(text)
    except (OSError, ValueError, ElementTree.ParseError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as cause:
        raise InputError(f"{path}: cannot be read as {path.suffix[1:].upper()} ({cause}); save the overlay anew") from cause
    for element in document.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return document, names


def _href(element: ElementTree.Element) -> str:
    return next((text for e in element.iter("href") if (text := (e.text or "").strip())), "")


def _picture(overlay: ElementTree.Element, path: Path, names: list[str] | None) -> str:
    """The path of an overlay's picture, which lies in the archive or beside the document: nothing else was named by the user."""
    href = _href(overlay)
    if not href:
        raise InputError(f"{path}: its ground overlay names no picture; {_SAVE}")
    for spelling in dict.fromkeys((href, unquote(href))):
        inside = posixpath.normpath(spelling.replace("\\", "/"))
        if "://" in spelling or inside.startswith(("/", "..")) or ":" in inside:
            break
        if names is not None:
            for name in names:
                if name.replace("\\", "/").lower() == inside.lower():
                    return f"/vsizip/{path.resolve()}/{name}"
        elif (path.parent / inside).is_file():
            return str(path.parent / inside)
    else:
        raise InputError(f"{path}: its picture {href} is missing; {_SAVE}")
    raise InputError(f"{path}: its picture {href} lies elsewhere and is not read; {_SAVE}")


def _corners(overlay: ElementTree.Element, path: Path) -> tuple[Corner, Corner, Corner, Corner]:
    try:
        quad, box = overlay.find("LatLonQuad"), overlay.find("LatLonBox")
        if quad is not None:
            ll, lr, ur, ul = _quad(quad)
            return ul, ur, lr, ll
        if box is not None:
            return _turned_box(box)
    except ValueError as cause:
        raise InputError(f"{path}: the place of its ground overlay cannot be read ({cause}); save it anew") from cause
    raise InputError(f"{path}: its ground overlay has no LatLonBox and no LatLonQuad; place it in Google Earth and save it anew")


def _quad(quad: ElementTree.Element) -> Iterator[Corner]:
    tuples = (quad.findtext("coordinates") or "").split()
    if len(tuples) != 4:
        raise ValueError(f"LatLonQuad has {len(tuples)} corners, not 4")
    first = None
    for text in tuples:
        lon, lat = (_number(part, "coordinates") for part in text.split(",")[:2])
        first = lon if first is None else first
        yield lon - 360 * round((lon - first) / 360), lat  # across 180° the longitudes jump


def _turned_box(box: ElementTree.Element) -> tuple[Corner, Corner, Corner, Corner]:
    north, south, east, west = (_number(box.findtext(side), side) for side in ("north", "south", "east", "west"))
    turn = math.radians(_number(box.findtext("rotation") or "0", "rotation"))
    east += 360 if east < west else 0  # across 180°
    lon, lat = (west + east) / 2, (south + north) / 2
    if not (-90 <= south < north <= 90 and west < east):
        raise ValueError(f"LatLonBox north {north:g}, south {south:g}, east {east:g}, west {west:g} encloses nothing")
    squeeze = math.cos(math.radians(lat))  # a degree of longitude against one of latitude
    half_x, half_y = (east - west) / 2 * squeeze, (north - south) / 2

    def corner(x: float, y: float) -> Corner:
        return (
            lon + (x * math.cos(turn) - y * math.sin(turn)) / squeeze,
            lat + x * math.sin(turn) + y * math.cos(turn),
        )

    return corner(-half_x, half_y), corner(half_x, half_y), corner(half_x, -half_y), corner(-half_x, -half_y)


def _number(text: str | None, what: str) -> float:
    value = float(text) if text and text.strip() else math.nan
    if not math.isfinite(value):
        raise ValueError(f"{what} is {text!r}, not a number")
    return value
