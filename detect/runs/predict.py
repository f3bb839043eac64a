"""The whole run of predict, top to bottom: scene → probabilities → footprints → dormitories → sites → census → files.

The one module that sees all the others; what is computed is computed there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning
from rasterio.features import rasterize

from detect.base.errors import DetectError, InputError
from detect.base.geometry import measure
from detect.base.grid import Span
from detect.base.memory import trim
from detect.base.notices import Code, Notice
from detect.base.resources import package_version
from detect.base.stages import STAGES
from detect.base.vectors import geometries_of, read_vector
from detect.buildings.footprints import RawBuilding, extract_buildings
from detect.buildings.instances import InstanceParams, find_groups
from detect.census.count import take_census, with_beds
from detect.census.dormitories import add_dormitories, rows_layer
from detect.census.ground import survey
from detect.census.overlaps import counted_once, groups, overlapping
from detect.census.profiles import StructureProfile, load_profile
from detect.census.rates import of_kind
from detect.census.shadows import heights
from detect.census.sites import Sites, assign, load_sites, proposed_sites, with_cut
from detect.network.backends import Backend, FlipAveraged, open_backend
from detect.network.cluster import DaskCluster
from detect.network.probabilities import Cluster, Probabilities, calibrated, drop_blocks, predict_probabilities
from detect.network.stage_head import open_stage_head
from detect.network.weights import Weights, load_weights, sha256_of
from detect.results.folder import OUTPUTS, ResultFolder
from detect.results.overview import write_overview
from detect.results.picture import read_whole, take_picture
from detect.results.rasters import forget, write_rasters
from detect.results.remote import RemoteFolder, is_remote
from detect.results.report import by_interest, write_report
from detect.results.result import Result
from detect.results.seal import sealed
from detect.results.stac_item import write_item
from detect.results.summary import run_facts, summary_of, write_summary
from detect.results.tables import with_schema, write_tables
from detect.scene.scene import Scene, WorkGrid, open_scene
from detect.scene.sources import sources

GAPS_PX = 2048
"""Longer side of the picture in which gaps of a site are looked for."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class _Job:
    """What is the same for every scene of a call."""

    out: Path
    weights: Weights
    profile: StructureProfile
    sites: str | Path | None
    propose_sites: bool
    params: dict[str, Any]
    """Options that decide a result; part of its key."""
    open_options: dict[str, Any]
    device: str
    backend: Backend
    workers: int
    cluster: Cluster | None
    block_px: int
    overwrite: bool
    progress: Progress
    remote: RemoteFolder | None

    def folder(self, scene: Scene) -> ResultFolder:
        """Where the result of a scene goes."""
        return ResultFolder(self.out / scene.name)


@dataclass(frozen=True)
class _Found:
    """What was found in one scene, before it is told which of it counts; the rest lies in the work folder."""

    scene: Scene
    grid: WorkGrid
    work: Path
    heads: Probabilities
    stage: NDArray[np.uint8]
    """(H, W) stage codes, mapped from disk."""
    overall: Path
    """``.npy`` of ``read_whole``."""
    buildings: gpd.GeoDataFrame
    timings_s: dict[str, float]


def predict_scenes(
    scenes: Sequence[str | Path],
    out: str | Path,
    *,
    weights: str | Path | None = None,
    sites: str | Path | None = None,
    propose_sites: bool = False,
    structure: str | Path | None = None,
    device: str = "auto",
    workers: int | None = None,
    dask: str | None = None,
    asset: str | None = None,
    bands: Sequence[int] | None = None,
    date: str | None = None,
    sun_deg: tuple[float | None, float | None] = (None, None),
    gsd_m: float | None = None,
    min_area_m2: float | None = None,
    threshold: float | None = None,
    tta: bool = False,
    block_px: int = 1024,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Result]:
    """Find and count the buildings of each scene; its files go to ``out/<scene name>/``.

    A run that was interrupted continues when it is called again with the same arguments, and one that is done already is read back.
    Scenes of one date (or of unknown date) that overlap share the ground: a building that several show is kept in the one that shows it
    best (see ``detect.census.overlaps.counted_once``). Such scenes are finished together, when all of them are predicted.

    Args:
        scenes: files or URLs of rasters that GDAL opens, patterns, lists or STAC documents; see ``detect.scene.sources``.
        out: folder for the results; created. Or a URL of any kind that fsspec knows (``s3://…``), see ``detect.results.remote``.
        weights: name or path; the default ones without.
        sites: vector file with polygons to count in; without, the whole scene.
        propose_sites: count in clusters of new construction instead; the whole scene where there are none.
        structure: profile of the structure that is looked for, a YAML file or a name that ships; without, the dormitory.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        workers: blocks computed at a time, default two (or one, on one core); more need more memory.
        dask: address of a Dask scheduler whose workers compute the blocks, or ``local`` for processes on this machine.
        asset: of STAC items, the one that is read; default their visual or data asset.
        bands: three band numbers from 1, or one, for red, green, blue.
        date: of the scenes, ``YYYY-MM-DD``.
        sun_deg: elevation and azimuth of the sun, where the files do not say.
        gsd_m: ground size of a pixel, metres; only for scenes without georeference.
        min_area_m2: smaller buildings are left out; default from the weights' card.
        threshold: footprint probability from which a pixel is a building; default from the card.
        tta: test-time augmentation, the mean over four mirrored reads; four times the work of the network.
        block_px: side of a block; changes memory, never the result.
        overwrite: replace results of another run.
        progress: called as (stage, done, total).

    Raises:
        InputError: a wrong option; or every scene that failed did so for its input.
        DetectError: a scene failed. The others are done: they stand in the error's ``results``.
    """
    loaded = load_weights(weights)
    cores = os.cpu_count() or 1
    remote = RemoteFolder(str(out)) if is_remote(out) else None
    out = out if remote is None else remote.local
    if Path(out).exists() and not Path(out).is_dir():
        raise InputError(f"--out {out}: is a file; give a folder")
    if sites is not None and propose_sites:
        raise InputError("--sites and --propose-sites: give the plots, or have them proposed, not both")
    if sites is not None:
        read_vector(sites, preferred="sites")  # a wrong file is a mistake of the call, not of each scene
    found = sources(scenes, asset)
    results: dict[int, Result] = {}
    opened: list[Scene] = []
    errors: list[DetectError] = []

    @contextmanager
    def collected(path: str) -> Iterator[None]:
        """What goes wrong with one of several scenes is told at the end."""
        try:
            yield
        except (DetectError, OSError) as error:
            if len(found) == 1 and isinstance(error, DetectError):
                raise
            errors.append(error if isinstance(error, DetectError) else DetectError(f"{path}: {error}"))

    with ExitStack() as open_cluster:
        threads = workers or min(2, cores)
        backend = open_backend(loaded, device, max(1, cores // threads))
        job = _Job(
            out=Path(out),
            weights=loaded,
            profile=load_profile(structure),
            sites=sites,
            propose_sites=propose_sites,
            params={"threshold": threshold, "min_area_m2": min_area_m2, "tta": tta},
            open_options={"bands": bands, "gsd_m": gsd_m},
            device=device,
            backend=FlipAveraged(backend) if tta else backend,
            workers=threads,
            cluster=None
            if dask is None
            else open_cluster.enter_context(DaskCluster(dask, loaded, device=device, tta=tta, workers=workers)),
            block_px=block_px,
            overwrite=overwrite,
            progress=progress or (lambda stage, done, total: None),
            remote=remote,
        )
        for source in found:
            with collected(source.path):
                scene = open_scene(source.path, date=date or source.date, sun_deg=sun_deg, **job.open_options)
                scene = replace(scene, name=source.name or scene.name)
                if sun_deg == (None, None) and source.sun is not None:
                    scene = replace(scene, sun=source.sun)
                if scene.name in {s.name for s in opened}:
                    raise InputError(
                        f"{source.path}: another scene of this call is named '{scene.name}' too; rename one of the files"
                    )
                opened.append(scene)
        pairs = overlapping(opened)
        for group in groups(len(opened), pairs):
            results |= _predict_group({i: opened[i] for i in group}, pairs, job, collected)
    if errors:
        kind = InputError if all(isinstance(e, InputError) for e in errors) else DetectError
        together = kind("; ".join(str(e) for e in errors))
        together.results = [results[i] for i in sorted(results)]
        raise together
    return [results[i] for i in sorted(results)]


def predict(scene: str | Path | Sequence[str | Path], out: str | Path, **options: Any) -> Result | list[Result]:
    """``predict_scenes`` for one scene, which gives its Result, or for several (a list, a pattern, a collection), which gives a list."""
    results = predict_scenes([scene] if isinstance(scene, str | Path) else scene, out, **options)
    return results[0] if isinstance(scene, str | Path) and len(results) == 1 else results


def _predict_group(
    scenes: dict[int, Scene],
    pairs: list[tuple[int, int]],
    job: _Job,
    collected: Callable[[str], AbstractContextManager[None]],
) -> dict[int, Result]:
    """Results of scenes that overlap, directly or through others; mostly it is one scene."""
    usable: dict[int, Scene] = {}
    for i, scene in scenes.items():
        with collected(scene.path):
            load_sites(job.sites, scene.crs, scene.outline)  # plots that lie elsewhere are told of before the work
            usable[i] = scene
    results: dict[int, Result] = {}
    with collected(", ".join(s.path for s in usable.values())), ExitStack() as locks:
        # In one order everywhere, so that two calls that share scenes cannot wait for each other.
        for folder in sorted(map(job.folder, usable.values()), key=lambda f: f.path.resolve()):
            locks.enter_context(folder.lock("detect predict"))
        for i, result in _predict_locked(usable, pairs, job, collected).items():
            with collected(scenes[i].path):
                results[i] = (
                    result
                    if job.remote is None
                    else replace(result, url=job.remote.store(result.folder, overwrite=job.overwrite))
                )
    return results


def _predict_locked(
    scenes: dict[int, Scene],
    pairs: list[tuple[int, int]],
    job: _Job,
    collected: Callable[[str], AbstractContextManager[None]],
) -> dict[int, Result]:
    """``_predict_group`` for scenes whose folders no other command touches."""
    results: dict[int, Result] = {}
    todo: dict[int, Scene] = {}
    for i, scene in scenes.items():
        with collected(scene.path):
            known = _finished(job.folder(scene), _run_key(scene, job, _rivals(i, scenes, pairs)), job)
            if known is not None:
                results[i] = known
            todo[i] = scene
    if len(results) == len(todo):
        for scene in todo.values():
            drop_blocks(job.folder(scene).work, _run_key(scene, job, []))  # it was killed when its result was in place
            job.progress(f"{scene.name}: done already", 1, 1)
        return results
    found: dict[int, _Found] = {}
    for i, scene in todo.items():
        with collected(scene.path):
            found[i] = _find(scene, job)
    for i, instead in zip(found, _counted_once(found, pairs), strict=True):
        if i in results:  # it was finished before the run was cut off
            continue
        with collected(scenes[i].path):
            key = _run_key(scenes[i], job, _rivals(i, {j: f.scene for j, f in found.items()}, pairs))
            buildings, notes = _without_counted(found[i].buildings, instead, scenes)
            results[i] = _finish(found[i], buildings, notes, key, job)
    for i, one in found.items():
        if i in results and not one.heads.ledger.failed:  # else the next run starts from the blocks that are done
            shutil.rmtree(one.work, ignore_errors=True)
    return results


def _rivals(i: int, scenes: dict[int, Scene], pairs: list[tuple[int, int]]) -> list[str]:
    """What identifies the scenes that share ground with one, in the order of the call."""
    return [scenes[b if a == i else a].sha256 for a, b in pairs if i in (a, b) and a in scenes and b in scenes]


def _find(scene: Scene, job: _Job) -> _Found:
    """Ask the network, and make buildings of its answers."""
    work = job.folder(scene).work
    began = time.monotonic()
    grid = scene.work_grid(job.weights.read_gsd_m(scene.gsd_m))
    params = _instance_params(job, grid)
    report = _reporter(scene, job)
    heads = predict_probabilities(
        scene,
        grid,
        job.backend,
        job.weights.lattice,
        work,
        run_key=_run_key(scene, job, []),  # other scenes change nothing that the network sees
        block_px=job.block_px,
        workers=job.workers,
        cluster=job.cluster,
        progress=report,
    )
    job.backend.rest()  # what follows needs the memory
    trim()
    network_s = time.monotonic() - began
    overall = work / "overall.npy"
    with warnings.catch_warnings(), ThreadPoolExecutor(1) as aside:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # both threads turn it off and on, and may do so crosswise
        reading = aside.submit(lambda: np.save(overall, read_whole(scene)))
        found, stage = _find_buildings(heads, scene, grid, params, job, work, report)
        reading.result()
    buildings = _table(found, scene, grid)
    del found
    trim()
    timings_s = {"network": network_s, "buildings": time.monotonic() - began - network_s}
    return _Found(scene, grid, work, heads, stage, overall, buildings, timings_s)


def _reporter(scene: Scene, job: _Job) -> Progress:
    def report(stage: str, done: int, total: int) -> None:
        job.progress(f"{scene.name}: {stage}", done, total)

    return report


def _finish(one: _Found, buildings: gpd.GeoDataFrame, notes: list[Notice], key: str, job: _Job) -> Result:
    """Count the buildings and write the files."""
    began = time.monotonic()
    scene, grid, heads, folder, report = one.scene, one.grid, one.heads, job.folder(one.scene), _reporter(one.scene, job)
    sites = load_sites(job.sites, scene.crs, scene.outline)
    if job.propose_sites:
        proposed = proposed_sites(buildings)
        sites = proposed if len(proposed.table) else sites
        notes += (
            []
            if len(proposed.table)
            else [Notice(Code.NOTHING_PROPOSED, "no cluster of new construction was found; the whole scene is the site")]
        )
    buildings["site"] = assign(buildings, sites.table)
    buildings = add_dormitories(buildings.assign(id=np.arange(1, len(buildings) + 1)), job.profile)
    buildings = with_schema(with_beds(buildings.assign(height_m=heights(scene, grid, buildings)), job.profile))
    ground = survey(scene, grid, sites.table, buildings, job.profile) if sites.are_plots else None
    with heads.reader() as reader:
        sites = with_gaps(with_cut(sites, buildings), grid, reader.seen(GAPS_PX))
    rates = of_kind(job.weights.card.get("rates") or [], simulated=scene.simulated)
    counted = take_census(buildings, sites.table, job.profile, rates, sites.warnings, ground)
    run = run_facts(key, {**job.params, "device": job.device}, grid, job.profile)
    summary = summary_of(scene, job.weights, sites, counted, run, rates, heads.ledger, notes).to_json()
    trim()
    report("files", 0, 1)
    with folder.swap() as target:
        with ThreadPoolExecutor(1) as aside:
            told = calibrated(job.weights.temperature("footprint"))
            rasters = aside.submit(write_rasters, target, grid, scene.crs, one.stage, heads.path, told)
            rows = rows_layer(buildings)
            write_tables(target, buildings, rows, sites.table, ground)
            trim()
            overall = np.load(one.overall)
            write_overview(target / "overview.png", scene, overall, buildings, sites.table, draw_sites=not sites.is_whole_scene)
            picture = take_picture(scene, overall, by_interest(buildings))
            write_report(target / "report.html", picture, buildings, rows, sites.table, summary, ground)
            rasters.result()
        write_item(target / "item.json", scene, grid, job.weights)
        total_s = sum(one.timings_s.values()) + time.monotonic() - began
        summary["timings_s"] = {stage: round(seconds, 2) for stage, seconds in (one.timings_s | {"total": total_s}).items()}
        summary = sealed(summary, target)
        write_summary(target / "summary.json", summary)
    report("files", 1, 1)
    return Result(folder.path, buildings, sites.table, summary)


def _run_key(scene: Scene, job: _Job, rivals: list[str]) -> str:
    """Hash of everything that decides a result; ``rivals`` are the scenes that share its ground."""
    decides = {
        "scene": [scene.sha256, scene.bands, scene.date, scene.sun, scene.gsd_rc_m],
        "weights": [
            job.weights.sha256,
            job.weights.card["thresholds"],
            job.weights.card["tile"],
            job.weights.card.get("calibration"),
            job.weights.stage_sha256,
            job.weights.stage_sure_from,
        ],
        "sites": None if job.sites is None else sha256_of(Path(job.sites)),
        "propose_sites": job.propose_sites,
        "structure": asdict(job.profile),
        "params": job.params,
        "rivals": rivals,
        "version": package_version(),
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True, default=str).encode()).hexdigest()


def _finished(folder: ResultFolder, key: str, job: _Job) -> Result | None:
    """The result in a folder when it is of this very run and whole; another's is not touched without ``--overwrite``."""
    path = folder.path
    if not path.exists() or job.overwrite:
        return None
    try:
        summary = folder.summary("run.key", "blocks.failed")
        same = summary["run"]["key"] == key
    except InputError:
        same = False
    if not same:
        raise InputError(f"{path}: holds something else already; give --overwrite to replace it, or another --out")
    if summary["blocks"]["failed"] or not all((path / name).exists() for name in OUTPUTS):
        return None
    buildings, sites = (gpd.read_file(path / "buildings.gpkg", layer=layer) for layer in ("buildings", "sites"))
    return Result(path, buildings, sites, summary)


def _instance_params(job: _Job, grid: WorkGrid) -> InstanceParams:
    given = job.weights.card["thresholds"]
    minimum = job.params["min_area_m2"]
    params = InstanceParams(
        footprint_threshold=given["footprint"],
        boundary_threshold=given["boundary"],
        seed_margin=given.get("seed_margin", InstanceParams.seed_margin),
        merge_below=given.get("merge_below", InstanceParams.merge_below),
        mean_margin=given.get("mean_margin", 0.0),  # cards from before it was known
        min_area_px=max(1, round((given["min_area_m2"] if minimum is None else minimum) / grid.gsd_m**2)),
    )
    threshold = job.params["threshold"]
    if threshold is None:
        return params
    odds = (threshold / (1 - threshold)) ** job.weights.temperature(
        "footprint"
    )  # from a calibrated probability to the network's own
    return replace(params, footprint_threshold=odds / (1 + odds))


def _find_buildings(
    heads: Probabilities, scene: Scene, grid: WorkGrid, params: InstanceParams, job: _Job, work: Path, report: Progress
) -> tuple[list[RawBuilding], NDArray[np.uint8]]:
    """All buildings, and the stage of each of their pixels (H, W), 0 elsewhere; a sparse file mapped from disk."""
    stage = np.lib.format.open_memmap(work / "stage.npy", mode="w+", dtype=np.uint8, shape=grid.size_hw)

    def paint(span: Span, codes: NDArray[np.uint8]) -> None:
        np.copyto(stage[span.slices()], codes, where=codes > 0)
        forget(stage)

    report("buildings", 0, 1)
    with heads.reader() as reader, open_stage_head(job.weights, scene, grid) as stage_head:
        groups = find_groups(lambda span: reader.read(span, (0,))[0], grid.size_hw, params.threshold_u8)
        calibration = job.weights.card.get("calibration", {})
        found = extract_buildings(
            reader.read,
            groups,
            grid.size_hw,
            params,
            paint=paint,
            temperature=job.weights.temperature("stage"),
            class_weights=tuple(calibration.get("stage_class_weights", (1.0, 1.0, 1.0))),
            told=calibrated(job.weights.temperature("footprint")),
            classify=stage_head,
            sure_from=job.weights.stage_sure_from,
        )
    report("buildings", 1, 1)
    return found, stage


def _table(found: list[RawBuilding], scene: Scene, grid: WorkGrid) -> gpd.GeoDataFrame:
    t = grid.transform
    pixels = np.array([b.polygon_px for b in found] + [None], dtype=object)[:-1]
    polygons = shapely.transform(pixels, lambda x, y: (t.a * x + t.b * y + t.c, t.d * x + t.e * y + t.f), interleaved=False)
    p = np.array([b.stage_p for b in found], float).reshape(-1, 3)
    table = gpd.GeoDataFrame(measure(polygons, scene.crs), geometry=gpd.GeoSeries(list(polygons), crs=scene.crs), crs=scene.crs)
    return table.assign(
        stage=[STAGES[i] for i in p.argmax(axis=1)] if len(p) else [],
        stage_score=p.max(axis=1, initial=0.0),
        **{f"p_{name}": p[:, i] for i, name in enumerate(STAGES)},
        score=[b.score for b in found],
        touches_edge=np.array([b.touches_edge for b in found], bool),
    )


def _counted_once(found: dict[int, _Found], pairs: list[tuple[int, int]]) -> list[NDArray[np.int64]]:
    """``counted_once`` of the scenes that were predicted: for each building of each the scene that counts it instead, or −1."""
    numbers = list(found)
    among = [(numbers.index(a), numbers.index(b)) for a, b in pairs if a in found and b in found]
    instead = counted_once([f.buildings for f in found.values()], among)
    return [np.append(numbers, -1)[one] for one in instead]


def _without_counted(
    buildings: gpd.GeoDataFrame, instead: NDArray[np.int64], scenes: dict[int, Scene]
) -> tuple[gpd.GeoDataFrame, list[Notice]]:
    """Buildings that no other scene of the call counts, and a line on each scene that does."""
    others, counts = np.unique(instead[instead >= 0], return_counts=True)
    notes = [
        Notice(Code.COUNTED_ELSEWHERE, f"{n} buildings stand in {scenes[i].name} too and are counted there")
        for i, n in zip(others, counts, strict=True)
    ]
    return buildings[instead < 0].reset_index(drop=True), notes


def with_gaps(sites: Sites, grid: WorkGrid, seen: NDArray[np.bool_]) -> Sites:
    """Sites, with a warning where part of one holds no observation; ``seen`` (h, w) covers the grid, at any resolution."""
    step_yx = (grid.size_hw[0] / seen.shape[0], grid.size_hw[1] / seen.shape[1])
    transform = grid.transform * grid.transform.scale(step_yx[1], step_yx[0])
    notes = []
    for geometry, old in zip(geometries_of(sites.table), sites.warnings, strict=True):
        inside = rasterize([geometry], seen.shape, transform=transform, dtype="uint8") == 1
        share = 1 - seen[inside].mean() if inside.any() else 0.0
        notes.append((*old, f"{share:.0%} of the site was not observed (no data in the scene)") if share >= 0.005 else old)
    return replace(sites, warnings=tuple(notes))
