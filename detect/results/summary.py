"""summary.json: the scene, the model, the counts, the warnings and the run behind them, typed and checked.

``Summary.read`` checks a file, ``summary_of`` makes the summary of a scene that was just predicted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from detect.base.checks import is_day
from detect.base.errors import InputError
from detect.base.geometry import area_km2
from detect.base.notices import Code, Notice, as_json, notices_of
from detect.base.resources import package_version
from detect.base.schema import Must, SchemaError, read
from detect.base.secrets import without_keys
from detect.base.texts import number_of, shortened
from detect.census.count import storeys_notices
from detect.census.profiles import StructureProfile, plain
from detect.census.sites import PROPOSED, Kind, Sites
from detect.network.card import Positive
from detect.network.probabilities import Ledger
from detect.network.weights import Weights
from detect.results.folder import SUMMARY, ResultFolder, is_simulated
from detect.scene.scene import Scene, WorkGrid
from detect.scene.sun import Sun

Day = Annotated[str, Must("a day, YYYY-MM-DD", is_day)]
FAR_SD = 3.0
"""A scene whose brightness lies further than this many standard deviations from the training images gets a warning."""
_GUESSED_FROM = {"scene": dict[str, Any], "sites": list[dict[str, Any]], "warnings": list[str]}
RATES = "rates"
_WRITTEN: dict[str, Any] = {"ensure_ascii": False, "allow_nan": False}
_LATER = ("timings_s", "files", "contents", "review", "recounted", "adapted")
"""Keys that are left out while they are None."""


@dataclass(frozen=True, kw_only=True)
class SceneFacts:
    """The scene that was predicted, as ``detect.scene.scene.Scene`` knows it."""

    name: str
    path: str
    sha256: str
    date: Day | None
    """ISO day."""
    sun: Sun | None = None
    simulated: bool
    provenance: dict[str, Any] | None = None
    """A ``detect.scene.provenance.Provenance``; None unless the scene was read from map tiles."""
    crs: str | None
    size_px: list[int]
    """Height, width."""
    gsd_m: Positive
    bands: list[int]
    area_km2: float
    whole_scene_is_the_site: bool = False
    sites_are: Kind


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """The weights, their training data, and their accuracy on places outside the training data."""

    name: str
    sha256: str
    stage_sha256: str | None = None
    """SHA-256 of the second model, for stages; None if the weights have none."""
    gsd_m: Positive
    """Ground size of the pixel at which the network read the scene, metres."""
    licence: Any = None
    data: list[dict[str, Any]] | None = None
    """Training data sets, with licence and number of places."""
    accuracy: dict[str, float] | None = None


@dataclass(frozen=True)
class Count:
    """A true number as the census estimates it, with its 90 % interval, beside what was found."""

    estimate: int
    low: int
    high: int
    found: int | None = None
    """None for what is planned, and in results of earlier versions, whose estimate was what was found."""


def found_of(count: Mapping[str, Any]) -> int:
    """What was found, of a ``Count`` in JSON; results of earlier versions have just an estimate, which was that."""
    found = count.get("found")
    return int(count["estimate"] if found is None else found)


def every_warning(summary: Mapping[str, Any]) -> list[str]:
    """A line for each warning: those of the sites, which begin with the site's name, then those of the whole scene."""
    of_sites = [f"{shortened(site['name'])}: {line}" for site in summary.get("sites", []) for line in site.get("warnings", [])]
    return [*of_sites, *summary.get("warnings", [])]


def likeness(summary: Mapping[str, Any]) -> str:
    """What buildings of the profile's type are called: "dormitory-like", or with the name of another profile."""
    return f"{summary.get('assumptions', {}).get('structure', 'dormitory')}-like"


def left_outside(number: int) -> str:
    """How many buildings lie in no site, in words."""
    return f"{number_of(number, 'more building')} {'stands' if number == 1 else 'stand'} outside the sites"


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What was counted in an area; see ``detect.census.count.take_census``."""

    area_km2: float
    buildings: Count
    checks_to_narrow: int | None = None
    by_stage: dict[str, Count]
    dormitory_like: Count
    dormitory_by_stage: dict[str, Count]
    planned_buildings: Count | None = None
    planned_from: str | None = None
    beds: dict[str, Count | None]
    """``now``, ``when_complete``, ``planned``."""


@dataclass(frozen=True, kw_only=True)
class _Named:
    name: str


@dataclass(frozen=True, kw_only=True)
class SiteCounts(Counts, _Named):
    """What was counted in a site."""

    ground: dict[str, Any] | None = None
    """A ``detect.census.ground.Capacity``; None if the ground was not surveyed."""
    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """How a result was made."""

    key: str
    """Hash of everything that decides a result."""
    options: dict[str, Any]
    versions: dict[str, str]
    work_gsd_m: Positive
    work_size_px: list[int]
    """Height, width of the rasters."""
    structure: dict[str, Any]
    """The profile, as for ``detect.census.profiles.profile_from``."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What summary.json of a predicted scene holds, in its order."""

    scene: SceneFacts
    model: ModelFacts
    assumptions: dict[str, Any]
    total: Counts
    sites: list[SiteCounts]
    outside_sites: int
    warnings: list[str]
    notices: list[Notice]
    """The warnings with their codes."""
    blocks: Ledger
    run: RunFacts
    rates: list[dict[str, Any]] | None = None
    """Rates of the weights, on which the intervals rest; None if the weights have none, or an earlier version wrote the
    result."""
    timings_s: dict[str, float] | None = None
    files: dict[str, str] | None = None
    """SHA-256 of each file of the result."""
    contents: dict[str, str] | None = None
    """SHA-256 of what ``buildings.gpkg`` and the rasters hold: rows, pixels; None in results of earlier versions."""
    review: dict[str, Any] | None = None
    """A ``detect.census.review.Review``; None if nothing was reviewed."""
    recounted: dict[str, Any] | None = None
    """Files that the last census used; None if there was no census since predict."""
    adapted: dict[str, Any] | None = None
    """What corrections the weights learnt from, and scores on checked ground before and after (``detect.runs.adapt``); None if the weights
    were not adapted for this scene."""

    @classmethod
    def read(cls, folder: ResultFolder, *keys: str) -> Summary:
        """The summary of a result.

        Args:
            folder: folder of the result.
            keys: further required keys, such as ``scene.sun``, which earlier versions left out.

        Raises:
            InputError: it cannot be read, lacks a key or holds a wrong value; the error names file and key.
        """
        return cls.from_json(folder.summary(*keys), str(folder.path / SUMMARY))

    @classmethod
    def from_json(cls, content: Mapping[str, Any], where: str) -> Summary:
        """The checked content of a summary.json; ``where`` names it in errors.

        Raises:
            InputError: see ``read``.
        """
        try:
            summary: Summary = read(cls, _of_this_version(content))
            return summary
        except SchemaError as cause:
            raise InputError(f"{where}: is not of this version of detect predict ({cause}); run it again") from cause

    def to_json(self) -> dict[str, Any]:
        """The content of summary.json."""
        content = asdict(replace(self, rates=[])) | {"rates": self.rates}  # they are large, and plain already
        return {key: value for key, value in content.items() if value is not None or key not in _LATER}


def _of_this_version(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a summary.json, completed by keys that must be derived from warnings in files of earlier versions."""
    scene, sites, warnings = (read(kind, content.get(key), key) for key, kind in _GUESSED_FROM.items())
    if "sites_are" not in scene:
        proposed = any(PROPOSED in site.get("warnings", []) for site in sites)
        kind = "whole" if scene.get("whole_scene_is_the_site") else "proposed" if proposed else "plots"
        scene = scene | {"sites_are": kind}
    if "simulated" not in scene:
        scene = scene | {"simulated": is_simulated({"scene": scene, "warnings": warnings})}
    return {**content, "scene": scene, **({} if "notices" in content else as_json(notices_of({"warnings": warnings})))}


def summary_of(
    scene: Scene,
    weights: Weights,
    sites: Sites,
    counted: Mapping[str, Any],
    run: RunFacts,
    rates: Sequence[Mapping[str, Any]],
    ledger: Ledger,
    notices: Sequence[Notice],
) -> Summary:
    """The summary of one predicted scene.

    Args:
        scene: the scene that was predicted.
        weights: the weights that predicted it.
        sites: the sites in which buildings were counted.
        counted: result of ``detect.census.count.take_census``.
        run: result of ``run_facts``.
        rates: rates of the weights, on which the intervals rest.
        ledger: finished and failed blocks.
        notices: further warnings.
    """
    every = [
        *(Notice(Code.SCENE, text) for text in scene.warnings),
        *_unlike_training(scene, weights.card),
        *storeys_notices(counted),
        *notices,
        *_failures(ledger),
    ]
    return Summary(
        scene=_scene(scene, sites),
        model=_model(weights, scene),
        assumptions=counted["assumptions"],
        total=read(Counts, counted["total"], "total"),
        sites=read(list[SiteCounts], counted["sites"], "sites"),
        outside_sites=counted["outside_sites"],
        warnings=[notice.text for notice in every],
        notices=every,
        blocks=ledger,
        run=run,
        rates=[dict(r) for r in rates],
    )


def run_facts(key: str, options: Mapping[str, Any], grid: WorkGrid, profile: StructureProfile) -> RunFacts:
    """How a result was made: the hash and the options of the run, versions, work grid and structure profile."""
    return RunFacts(
        key=key,
        options=dict(options),
        versions=_versions(),
        work_gsd_m=round(grid.gsd_m, 5),
        work_size_px=list(grid.size_hw),
        structure=plain(profile),
    )


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json; refuses NaN, which is not valid JSON."""
    whole = json.dumps(dict(summary) | ({RATES: None} if RATES in summary else {}), **_WRITTEN, indent=2)
    if RATES in summary:  # half of the text, and the same for every scene
        whole = whole.replace(f'\n  "{RATES}": null', f'\n  "{RATES}": {_indented(json.dumps(summary[RATES], **_WRITTEN))}', 1)
    path.write_text(whole + "\n", encoding="utf-8")


@lru_cache(maxsize=4)
def _indented(part: str) -> str:
    """A part of the summary, given as JSON, as it stands there."""
    return json.dumps(json.loads(part), **_WRITTEN, indent=2).replace("\n", "\n  ")


def _scene(scene: Scene, sites: Sites) -> SceneFacts:
    return SceneFacts(
        name=scene.name,
        path=without_keys(scene.path) if "://" in scene.path else scene.path,
        sha256=scene.sha256,
        date=scene.date,
        sun=scene.sun,
        simulated=scene.simulated,
        provenance=None if scene.provenance is None else scene.provenance.to_json(),
        crs=None if scene.crs is None else scene.crs.to_string(),
        size_px=list(scene.size_hw),
        gsd_m=round(scene.gsd_m, 4),
        bands=list(scene.bands),
        area_km2=round(area_km2(scene.outline, scene.crs), 6),
        whole_scene_is_the_site=sites.is_whole_scene,
        sites_are=sites.kind,
    )


def _model(weights: Weights, scene: Scene) -> ModelFacts:
    card = weights.card
    means = {"IoU": card.get("metrics", {}).get("mean_iou"), "F1": card.get("metrics", {}).get("mean_f1")}
    return ModelFacts(
        name=weights.name,
        sha256=weights.sha256,
        stage_sha256=weights.stage_sha256,
        gsd_m=round(weights.read_gsd_m(scene.gsd_m), 5),
        licence=card.get("licence"),
        data=[{"data_set": d["data_set"], "licence": d["licence"], "places": len(d["trained_on"])} for d in card.get("data", [])],
        accuracy={name: value for name, value in means.items() if value is not None},
    )


def _unlike_training(scene: Scene, card: Mapping[str, Any]) -> Iterator[Notice]:
    """Warnings if a scene is unlike the training images of the weights."""
    low, high = card["gsd_range_m"]
    if not low <= scene.gsd_m <= high:
        yield Notice(
            Code.UNLIKE_TRAINING,
            f"the scene's pixel is {scene.gsd_m:.2f} m on the ground, the weights were trained on {low:g} to {high:g} m: "
            "expect more errors than the intervals say",
        )
    seen = card.get("brightness")
    if not seen:
        return
    for what, values, means, spreads in (
        ("brightness", scene.brightness_mean, seen["mean"], seen["mean_sd"]),
        ("contrast", scene.brightness_sd, seen["std"], seen["std_sd"]),
    ):
        far = [(v, m, s) for v, m, s in zip(values, means, spreads, strict=True) if abs(v - m) > FAR_SD * s]
        if far:
            value, mean, spread = max(far, key=lambda f: abs(f[0] - f[1]) / f[2])
            text = (
                f"the scene's {what} is {value:.2f} (0–1), the training images had {mean:.2f} ± {spread:.2f}: expect more errors"
            )
            yield Notice(Code.UNLIKE_TRAINING, text)


def _failures(ledger: Ledger) -> Iterator[Notice]:
    failed = ledger.failed
    if failed:
        first = "; ".join(f"block {f['index']} ({f['error']})" for f in failed[:5])
        yield Notice(Code.FAILED_BLOCKS, f"{len(failed)} of {ledger.blocks} blocks failed and were not counted: {first}")


@cache
def _versions() -> dict[str, str]:
    packages = ("numpy", "scipy", "scikit-image", "opencv-python-headless", "rasterio", "shapely", "geopandas", "onnxruntime")
    return {"detect": package_version()} | {name: version(name) for name in packages}
