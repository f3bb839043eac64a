"""Define the options of predict and census: name, type, default, help, value on the command line, check."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from detect.base import checks
from detect.base.errors import InputError
from detect.base.options import Flag, Options, flag, flags
from detect.base.resources import resource_path
from detect.results.files import BUILDINGS, OUTPUTS, SUMMARY

_SHIPPED = sorted(path.stem for path in resource_path("configs/structures").glob("*.yaml"))
STRUCTURES = f"a YAML file or one of {', '.join(_SHIPPED)}"
Progress = Callable[[str, int, int], None]
"""Called as (stage, done, total)."""


def silent(stage: str, done: int, total: int) -> None:
    """Show no progress."""


def _device(text: str) -> str:
    """``detect.network.backends.known_device``."""
    from detect.network.backends import known_device

    return known_device(text)


def _way(text: str) -> str:
    """One of the ways to learn.

    Raises:
        InputError: there is no such way.
    """
    if text not in ("auto", "last-layer", "network"):
        raise InputError(f"'{text}' is none of auto, last-layer, network")
    return text


def _outputs(given: str | Sequence[str]) -> tuple[str, ...]:
    """Names of files of a result; those that other commands cannot do without are among them in any case.

    Raises:
        InputError: there is no such file.
    """
    wanted = checks.names(given)
    for name in wanted:
        if name not in OUTPUTS:
            raise InputError(f"'{name}' is not one of {', '.join(OUTPUTS)}")
    return tuple(name for name in OUTPUTS if name in (*wanted, BUILDINGS, SUMMARY))


_DEVICE = flag("--device", "default: auto", "auto|cpu|cuda|cuda:N", _device)
_WORKERS = flag(
    "--workers",
    "blocks computed at a time (default: 2); with a GPU, threads that read (default: one per core, at most 16)",
    "N",
    checks.whole_number,
)
_OVERWRITE = flag("--overwrite", "replace results that are there")
_PROGRESS = flags(doc="called as (stage, done, total)")


@dataclass(frozen=True)
class PredictOptions(Options):
    """How scenes are predicted and counted."""

    weights: str | Path | None = field(default=None, metadata=flag("--weights", "default: the shipped weights", "NAME|PATH"))
    sites: str | Path | None = field(
        default=None,
        metadata=flag("--sites", "plots to count in, a polygon layer; fields name, planned_buildings are used", "FILE"),
    )
    outputs: Sequence[str] = field(
        default=(),
        metadata=flag(
            "--outputs",
            "files to write beside buildings.gpkg and summary.json, such as mask.tif; those that the command wrote before stay; "
            "default: all",
            "NAME,…",
            _outputs,
        ),
    )
    propose_sites: bool = field(
        default=False, metadata=flag("--propose-sites", "count in clusters of new construction, which are outlined")
    )
    structure: str | Path | None = field(
        default=None,
        metadata=flag("--structure", f"structure profile of what is counted, {STRUCTURES}; default: dormitory", "NAME|FILE"),
    )
    device: str = field(default="auto", metadata=_DEVICE)
    workers: int | None = field(default=None, metadata=_WORKERS)
    dask: str | None = field(
        default=None,
        metadata=flag(
            "--dask", "workers of a Dask cluster compute the blocks; local: processes on this machine", "ADDRESS|local"
        ),
    )
    bbox: Sequence[float] | None = field(
        default=None,
        metadata=flag(
            "--bbox", "read this box alone, in degrees; of map tiles, default: around the plots", "W,S,E,N", checks.box_degrees
        ),
    )
    around: Sequence[float] | None = field(
        default=None,
        metadata=flag("--around", "read the square alone that reaches so far from a point", "LAT,LON,METRES", checks.circle),
    )
    zoom: str | None = field(
        default=None,
        metadata=flag("--zoom", "of map tiles, read this zoom; default: the one whose pixel suits the weights", "Z", str),
    )
    layer: str | None = field(
        default=None, metadata=flag("--layer", "layer of a WMTS or WMS; needed where there are several", "NAME")
    )
    stac: str | None = field(
        default=None, metadata=flag("--stac", "search this STAC API for scenes, in place of SCENE; needs a place", "URL")
    )
    collection: Sequence[str] = field(
        default=(), metadata=flag("--collection", "collections of the STAC API to search; default: all", "NAME,…", checks.names)
    )
    max_items: int = field(
        default=10, metadata=flag("--max-items", "most scenes that a search may find (default: 10)", "N", checks.whole_number)
    )
    max_tiles: int = field(
        default=5000,
        metadata=flag("--max-tiles", "most map tiles that are read from a server (default: 5000)", "N", checks.whole_number),
    )
    asset: str | None = field(
        default=None, metadata=flag("--asset", "asset of a STAC item to read; default: visual, or the only picture", "NAME")
    )
    allow_remote: bool = field(
        default=False,
        metadata=flag(
            "--allow-remote",
            "open what a scene, VRT or STAC document names on other hosts; by default only what you name is opened",
        ),
    )
    join: bool = field(
        default=False,
        metadata=flag(
            "--join", "sheets of one date that meet, and whose pixels fit, are one scene: no building is cut between them"
        ),
    )
    bands: Sequence[int] | None = field(
        default=None,
        metadata=flag("--bands", "band numbers from 1 of red, green, blue, such as 3,2,1", "R,G,B", checks.band_numbers),
    )
    date: str | None = field(
        default=None,
        metadata=flag(
            "--date",
            "date of the image, if the file does not give it; with --stac also a month, or two days with / between",
            "YYYY-MM-DD",
            checks.image_days,
        ),
    )
    sun_deg: tuple[float | None, float | None] = field(
        default=(None, None),
        metadata=flags(
            Flag(
                "--sun-elevation",
                "elevation of the sun above the horizon, if the file does not give it; heights come from shadows",
                "DEG",
                float,
            ),
            Flag("--sun-azimuth", "azimuth of the sun, clockwise from north", "DEG", float),
            doc="elevation above the horizon and azimuth clockwise from north of the sun, degrees, if the file does not give them",
        ),
    )
    gsd_m: float | None = field(
        default=None,
        metadata=flag("--gsd", "ground size of a pixel, only for an image without georeference", "METRES", checks.positive),
    )
    scale_bar: float | None = field(
        default=None,
        metadata=flag(
            "--scale-bar",
            "instead of --gsd: length of the scale bar in a screenshot, and its pixels, such as 50m=339px",
            "LENGTH=PX",
            checks.metres_per_pixel,
        ),
    )
    corners: Sequence[float] | str | None = field(
        default=None,
        metadata=flag(
            "--corners",
            "place of a screenshot: its upper left and lower right corner, or a file with its box",
            "LAT,LON,LAT,LON|FILE",
            checks.corners,
        ),
    )
    min_area_m2: float | None = field(
        default=None, metadata=flag("--min-area", "smallest building kept, square metres", "M2", checks.not_negative)
    )
    threshold: float | None = field(
        default=None, metadata=flag("--threshold", "probability from which a pixel is a building, 0 to 1", "P", checks.share)
    )
    tta: bool = field(
        default=False,
        metadata=flag(
            "--tta", "average four mirrored reads (test-time augmentation): better by some 2 points of F1, three times slower"
        ),
    )
    block_px: int = field(
        default=1024,
        metadata=flag(
            "--block-size",
            "side of a block; no result depends on it, only how much work an interruption loses",
            "PX",
            checks.whole_number,
        ),
    )
    overwrite: bool = field(default=False, metadata=_OVERWRITE)
    progress: Progress | None = field(default=None, metadata=_PROGRESS)

    def __post_init__(self) -> None:
        """Check each value, and that the values go together.

        Raises:
            InputError: a wrong value, or values that do not go together.
        """
        super().__post_init__()
        if self.sites is not None and self.propose_sites:
            raise InputError(
                "--sites (sites) and --propose-sites (propose_sites): give the plots, or have them proposed, not both"
            )

        sizes = {"--gsd": self.gsd_m, "--scale-bar": self.scale_bar, "--corners": self.corners}
        given = [name for name, value in sizes.items() if value is not None]
        if len(given) > 1:
            raise InputError(f"{' and '.join(given)} each say how large a pixel is; give one of them")
        few = "--max-items" if self.max_items != PredictOptions.max_items else ""
        if self.stac is None and (self.collection or few or len(self.date or "") not in (0, 10)):
            wrong = "--collection" if self.collection else few or f"--date {self.date}, which is no single day,"
            raise InputError(f"{wrong} belongs to a search; give --stac too")
        if self.bbox is not None and self.around is not None:
            raise InputError("--bbox (bbox) and --around (around): give the box or the point, not both")

    @property
    def deciding(self) -> dict[str, Any]:
        """Options that change what is found; summary.json names them, and they are part of a result's key."""
        return {"threshold": self.threshold, "min_area_m2": self.min_area_m2, "tta": self.tta}


@dataclass(frozen=True)
class CensusOptions(Options):
    """What a census uses in place of the plots, profile and buildings of the result."""

    sites: str | Path | None = field(
        default=None, metadata=flag("--sites", "plots to count in from now on; default: those of the result", "FILE")
    )
    structure: str | Path | None = field(
        default=None,
        metadata=flag(
            "--structure", f"structure profile to count from now on, {STRUCTURES}; default: that of the result", "NAME|FILE"
        ),
    )
    review: str | Path | Sequence[str | Path] | None = field(
        default=(),
        metadata=flag(
            "--review",
            "corrections downloaded from report.html, or buildings as you corrected them in QGIS: stages changed, wrong ones deleted, "
            "missing ones drawn (without id), right ones marked by a true value in a column checked or by polygons in a layer checked; "
            "files of several people are merged, and contradictions listed",
            "FILE",
            checks.paths,
            several=True,
        ),
    )

    @property
    def reviews(self) -> tuple[Path, ...]:
        """The files of ``review``."""
        return checks.paths(self.review or ())


@dataclass(frozen=True)
class AdaptOptions(Options):
    """How corrections are learnt from."""

    checked: str | Path | None = field(
        default=None,
        metadata=flag(
            "--checked",
            "polygons inside which every building is right now; default: the layer checked of the review, else around each correction",
            "FILE",
        ),
    )
    scenes: Sequence[str | Path] = field(
        default=(), metadata=flags(doc="further scenes of the place to read with what was learnt; file names, patterns, lists")
    )
    way: str = field(
        default="auto",
        metadata=flag(
            "--way",
            "what may be learnt: the network's last layer, the whole network (needs PyTorch), or both are tried; "
            "default: auto, both where PyTorch is installed",
            "auto|last-layer|network",
            _way,
        ),
    )
    weights: str | Path | None = field(
        default=None, metadata=flag("--weights", "the weights of the result, if they lie elsewhere now", "NAME|PATH")
    )
    device: str = field(default="auto", metadata=_DEVICE)
    workers: int | None = field(default=None, metadata=_WORKERS)
    overwrite: bool = field(default=False, metadata=flag("--overwrite", "replace an adapted result that is there"))
    progress: Progress | None = field(default=None, metadata=_PROGRESS)


@dataclass(frozen=True)
class TrackOptions(Options):
    """How results of several dates are compared."""

    since: str | None = field(
        default=None,
        metadata=flag("--since", "show what changed since this date (default: the first one)", "YYYY-MM-DD", checks.day),
    )
    overwrite: bool = field(default=False, metadata=_OVERWRITE)
    progress: Progress | None = field(default=None, metadata=_PROGRESS)


@dataclass(frozen=True)
class CollectOptions(Options):
    """How results are put together."""

    native_geometry: bool = field(
        default=False,
        metadata=flag(
            "--native-geometry", "buildings.parquet with the type GEOMETRY of Parquet itself, without the metadata of GeoParquet"
        ),
    )
    overwrite: bool = field(default=False, metadata=_OVERWRITE)
    progress: Progress | None = field(default=None, metadata=_PROGRESS)
