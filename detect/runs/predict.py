"""A call of predict, top to bottom: open the scenes, join sheets, group those that share ground, find buildings, count each once, write.

Orchestration only; one scene's buildings are found in ``detect.runs.find`` and counted in ``detect.runs.count``.
"""

from __future__ import annotations

import os
import shutil
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import compress
from pathlib import Path
from typing import Any, cast

import geopandas as gpd
import numpy as np
from numpy.typing import NDArray

from detect.base.errors import DetectError, InputError, full_disk, of_system
from detect.base.notices import Code, Notice
from detect.base.options import takes
from detect.base.processes import in_processes
from detect.census.overlaps import counted_once, groups, overlapping
from detect.census.profiles import StructureProfile
from detect.census.sites import load_sites, refuse_elsewhere
from detect.network.cluster import DaskCluster, OnWorker, findable
from detect.network.probabilities import Threads, drop_blocks
from detect.results.result import Result, Run
from detect.runs.before import done_already, keeping
from detect.runs.count import count
from detect.runs.fetch import fetched, searched
from detect.runs.find import Found, find
from detect.runs.job import Job, open_job
from detect.runs.options import PredictOptions, silent
from detect.runs.sheets import joined, plan_mosaics
from detect.scene.scene import Scene, open_scene
from detect.scene.sheets import meetings, warned
from detect.scene.sources import Source, distinct, sources

_RECORDING = threading.Lock()
"""Warnings are recorded for a whole process, so a worker that has several scenes computes their blocks, but one scene at a time."""
FEWEST_EACH = 12
"""A process is started for so many small scenes: its imports take as long as a few of them."""


@takes(PredictOptions)
def predict(scene: str | Path | Sequence[str | Path], out: str | Path, **options: Any) -> Result | list[Result]:
    """Find and count the buildings of scenes; the files of each go to ``out/<scene name>/``.

    A run that was interrupted continues when it is called again with the same arguments, and one that is done already is read back.
    Sheets, scenes of one date that meet, stay scenes of their own with a warning, or become one scene with ``join``.
    Scenes of one date (or of unknown date) that overlap share the ground: a building that several show is kept in the one that shows it
    best (see ``detect.census.overlaps.counted_once``). Such scenes are finished together, when all of them are predicted.

    Args:
        scene: a file or URL of a raster that GDAL opens, a pattern, a list or a STAC document (see ``detect.scene.sources``), or several.
        out: folder for the results; created. Or a URL that fsspec knows (``s3://…``), see ``detect.results.remote``.
        options: see below.

    Returns:
        The result of one scene, or a list where ``scene`` is a list or stands for several.

    Raises:
        TypeError: an unknown option.
        InputError: a wrong option, or only wrong input made scenes fail.
        DetectError: a scene failed. The others are done: their results are the error's ``results``.
    """
    scenes = [scene] if isinstance(scene, str | Path) else scene
    results = predict_scenes(scenes, out, PredictOptions.from_keywords(**options)).all_done()
    return results[0] if scenes is not scene and len(results) == 1 else results


def predict_scenes(scenes: Sequence[str | Path], out: str | Path, options: PredictOptions) -> Run:
    """``predict`` that returns what failed beside what was found.

    Raises:
        InputError: an option is wrong, or no scene is named.
    """
    if bool(scenes) == (options.stac is not None):
        raise InputError("name the scenes, or search for them with --stac" + (", not both" if scenes else ""))
    return predict_sources([*sources(scenes, options.asset, allow_remote=options.allow_remote), *searched(options)], out, options)


def predict_sources(
    named: Sequence[Source], out: str | Path, options: PredictOptions, profile: StructureProfile | None = None
) -> Run:
    """``predict_scenes`` for scenes that are found already; ``profile`` replaces the structure profile that the options name."""
    results: dict[int, Result] = {}
    with open_job(out, options) as job:
        failures = _Failures(job.out)
        job = job if profile is None else replace(job, profile=profile)
        opened = _open(named, job, failures)
        if not failures.errors:  # else the plots may lie on the scene that failed
            refuse_elsewhere(options.sites, [(scene.outline, scene.crs) for scene in opened])
        opened = _sheets(opened, job, failures)
        for ended in _ended([*_grouped(opened)], job, (out, profile)):
            results |= ended.results
            failures.errors.extend(ended.errors)
    return Run([results[i] for i in sorted(results)], failures.errors)


@dataclass(frozen=True)
class _Failures:
    """Errors of single scenes, which do not stop the others."""

    out: Path
    """Where the results go."""
    errors: list[DetectError] = field(default_factory=list)

    @contextmanager
    def of_scene(self, path: str) -> Iterator[None]:
        """Record an error of a scene instead of raising it."""
        try:
            yield
        except DetectError as error:
            self.errors.append(error)
        except Exception as error:
            full = full_disk(self.out, error)
            if not isinstance(error, OSError) and not full:
                raise
            named = DetectError(f"{path}: {full}") if full else of_system(path, cast(OSError, error))
            named.__cause__ = error
            self.errors.append(named)


@dataclass(frozen=True)
class _Group:
    """Scenes that share ground, directly or through others; mostly one."""

    scenes: dict[int, Scene]
    """Their numbers in the call."""
    pairs: list[tuple[int, int]]
    """Those of ``overlapping`` among them."""

    def rivals(self, i: int) -> list[str]:
        """SHA-256 of the scenes that share ground with one, in the order of the call."""
        return [self.scenes[b if a == i else a].sha256 for a, b in self.pairs if i in (a, b) and {a, b} <= self.scenes.keys()]

    def anywhere(self) -> _Group:
        """The scenes with paths that hold in any folder."""
        return replace(self, scenes={i: scene.anywhere() for i, scene in self.scenes.items()})

    def only(self, numbers: Sequence[int]) -> _Group:
        """Some of the scenes."""
        return _Group({i: self.scenes[i] for i in numbers}, self.pairs)


def _grouped(scenes: Sequence[Scene]) -> Iterator[_Group]:
    pairs = overlapping(scenes)
    for members in groups(len(scenes), pairs):
        yield _Group({i: scenes[i] for i in members}, [pair for pair in pairs if pair[0] in members])


def _open(named: Sequence[Source], job: Job, failures: _Failures) -> list[Scene]:
    opened: list[Scene] = []
    seen: set[tuple[str, str | None]] = set()
    for source, renamed in zip(named, distinct(named), strict=True):
        with failures.of_scene(source.path):
            if (source.path, source.name) in seen:
                raise InputError(f"{source.path}: is given twice; name it once")
            seen.add((source.path, source.name))
            scene = _open_one(fetched(renamed, job), job.options)
            if renamed != source:
                note = f"name: other scenes of this call have the same file name; this one is called '{scene.name}'"
                scene = replace(scene, warnings=(*scene.warnings, note))
            opened.append(scene)
    return opened


def _open_one(source: Source, options: PredictOptions) -> Scene:
    """A scene, with the values that the options or the catalogue give; the options come first."""
    return open_scene(
        source,
        bands=options.bands,
        gsd_m=options.gsd_m or options.scale_bar,
        date=None if options.stac else options.date,  # of a search it is the time to search in
        sun_deg=options.sun_deg,
    )


def _sheets(scenes: list[Scene], job: Job, failures: _Failures) -> list[Scene]:
    """The scenes, those that are sheets of one picture joined if this is wanted; the others warn of buildings that are cut between them."""
    if not job.options.join:
        return warned(scenes, meetings(scenes))
    plan = plan_mosaics(scenes)
    result: list[Scene] = []
    for sheets in plan:
        with failures.of_scene(", ".join(sheet.path for sheet in sheets)):
            result.append(sheets[0] if len(sheets) == 1 else joined(sheets, job.out, job.options))
    return result


@dataclass(frozen=True)
class _Ended:
    """What became of a group."""

    results: dict[int, Result]
    errors: list[DetectError]
    said: list[tuple[str, type[Warning]]] = field(default_factory=list)
    """Warnings of a process."""
    progress: list[tuple[str, int, int]] = field(default_factory=list)
    """Progress of a process."""


def _ended(together: Sequence[_Group], job: Job, call: tuple[str | Path, StructureProfile | None]) -> Iterator[_Ended]:
    """Compute groups, in their order: on a cluster, small scenes in processes, where there are enough of them, the others here."""

    def here(group: _Group) -> _Ended:
        failures = _Failures(job.out)
        return _Ended(_predict_group(group, job, failures), failures.errors)

    out, profile = call
    options = replace(job.options, progress=None)
    small = [all(_is_small(scene, job) for scene in group.scenes.values()) for group in together]
    count = min(job.options.workers or os.cpu_count() or 1, sum(small) // FEWEST_EACH)
    if isinstance(job.runner, DaskCluster) and len(together) > 1 and job.remote is None:
        small = [True] * len(together)
        aside = job.runner.answers([group.anywhere() for group in together], _on_a_worker, _anywhere(job), here)
    elif count > 1 and isinstance(job.runner, Threads):
        aside = in_processes([*compress(together, small)], count, _in_a_process, (out, options, profile, count), here)
    else:
        yield from map(here, together)
        return
    with closing(aside):
        for group, is_aside in zip(together, small, strict=True):
            ended = next(aside) if is_aside else here(group)
            for message, kind in ended.said:
                warnings.warn(message, kind, stacklevel=2)
            for step in ended.progress:
                (job.options.progress or silent)(*step)
            named = {i: replace(result, folder=job.folder(group.scenes[i]).path) for i, result in ended.results.items()}
            yield replace(ended, results=named)


def _is_small(scene: Scene, job: Job) -> bool:
    """Whether the network reads a scene in one tile, so that its blocks cannot be computed at the same time."""
    return max(scene.work_grid(job.weights.read_gsd_m(scene.gsd_m)).size_hw) <= job.weights.lattice.core_px


@contextmanager
def _in_a_process(
    out: str | Path, options: PredictOptions, profile: StructureProfile | None, processes: int
) -> Iterator[Callable[[_Group], _Ended]]:
    """``_predict_group`` with a job of the process, for ``in_processes``."""
    with open_job(out, options, processes) as opened:
        job = opened if profile is None else replace(opened, profile=profile)
        yield lambda group: _recorded(group, job)


def _on_a_worker(group: _Group, shared: tuple[Path, PredictOptions, StructureProfile], runner: OnWorker) -> _Ended:
    """``_predict_group`` as a task of a cluster: blocks are computed by all workers, the rest here."""
    out, options, profile = shared
    with open_job(out, options, runner=runner) as opened:
        return _recorded(group, replace(opened, profile=profile))


def _anywhere(job: Job) -> tuple[Path, PredictOptions, StructureProfile]:
    """What ``_on_a_worker`` needs of a job, with paths that hold in any folder."""
    sites = None if job.options.sites is None else Path(job.options.sites).resolve()
    options = replace(job.options, weights=findable(job.weights), sites=sites, structure=None, progress=None)
    return job.out.resolve(), options, job.profile


def _recorded(group: _Group, job: Job) -> _Ended:
    """``_predict_group`` that keeps warnings and progress for the process that shows them."""
    progress: list[tuple[str, int, int]] = []
    failures = _Failures(job.out)
    job = replace(job, options=replace(job.options, progress=lambda *step: progress.append(step)))
    with _RECORDING, warnings.catch_warnings(record=True) as said:
        results = _predict_group(group, job, failures)
    return _Ended(results, failures.errors, [(str(w.message), w.category) for w in said], progress)


def _predict_group(group: _Group, job: Job, failures: _Failures) -> dict[int, Result]:
    """Results of the scenes of a group, copied to where they go; their folders are locked meanwhile."""
    usable = []
    for i, scene in group.scenes.items():
        with failures.of_scene(scene.path):
            if job.options.sites is not None:
                load_sites(job.options.sites, scene.crs, scene.outline)  # plots that lie elsewhere are an error before the work
            usable.append(i)
    group = group.only(usable)
    results: dict[int, Result] = {}
    with failures.of_scene(", ".join(s.path for s in group.scenes.values())), ExitStack() as locks:
        # In one order everywhere, so that two calls that share scenes cannot wait for each other.
        for folder in sorted(map(job.folder, group.scenes.values()), key=lambda f: f.path.resolve()):
            locks.enter_context(folder.lock("detect predict"))
        for i, result in _predict_locked(group, job, failures).items():
            with failures.of_scene(group.scenes[i].path):
                results[i] = _stored(result, job)
    return results


def _stored(result: Result, job: Job) -> Result:
    """A result, copied to where the results go."""
    if job.remote is None:
        return result
    return replace(result, url=job.remote.store(result.folder, overwrite=job.options.overwrite))


def _predict_locked(group: _Group, job: Job, failures: _Failures) -> dict[int, Result]:
    """Results of the scenes of a group: read back if all exist, otherwise found and counted again."""
    results: dict[int, Result] = {}
    todo: list[int] = []
    for i, scene in group.scenes.items():
        with failures.of_scene(scene.path):
            earlier = done_already(job.folder(scene), job.key(scene, group.rivals(i)), job)
            if earlier is not None:
                results[i] = earlier
            todo.append(i)
    jobs = {i: keeping(job, job.folder(group.scenes[i])) for i in todo}
    group = group.only(todo)
    if len(results) == len(todo):
        _clear_up(group, job)
        return results
    found: dict[int, Found] = {}
    for i, scene in group.scenes.items():
        with failures.of_scene(scene.path):
            found[i] = find(scene, jobs[i])
    group = group.only(list(found))
    for i, (buildings, notes) in _counted_here(found, group).items():
        if i not in results:  # else it was finished before the run was cut off
            with failures.of_scene(group.scenes[i].path):
                results[i] = count(found[i], buildings, notes, job.key(group.scenes[i], group.rivals(i)), jobs[i])
    for i, one in found.items():
        if i in results and not one.heads.ledger.failed:  # else the next run starts from the blocks that are done
            shutil.rmtree(one.work, ignore_errors=True)
    return results


def _clear_up(group: _Group, job: Job) -> None:
    """Remove the work folders of finished scenes, left by a run that was killed after its result was in place."""
    for scene in group.scenes.values():
        drop_blocks(job.folder(scene).work, job.key(scene, []))
        job.report(scene)("done already", 1, 1)


def _counted_here(found: dict[int, Found], group: _Group) -> dict[int, tuple[gpd.GeoDataFrame, list[Notice]]]:
    """For each scene the buildings that no other scene of the call counts, and a note for each scene that counts the others."""
    numbers = list(found)
    pairs = [(numbers.index(a), numbers.index(b)) for a, b in group.pairs if a in found and b in found]
    instead = counted_once([f.buildings for f in found.values()], pairs)
    return {
        i: _without(one.buildings, np.append(numbers, -1)[others], group)
        for (i, one), others in zip(found.items(), instead, strict=True)
    }


def _without(buildings: gpd.GeoDataFrame, instead: NDArray[np.int64], group: _Group) -> tuple[gpd.GeoDataFrame, list[Notice]]:
    """Buildings less those that another scene counts ``instead`` (its number, else −1), and the notes on it."""
    others, counts = np.unique(instead[instead >= 0], return_counts=True)
    notes = [
        Notice(
            Code.COUNTED_ELSEWHERE,
            f"1 building stands in {group.scenes[i].name} too and is counted there"
            if n == 1
            else f"{n:,} buildings stand in {group.scenes[i].name} too and are counted there",
        )
        for i, n in zip(others, counts, strict=True)
    ]
    return buildings[instead < 0].reset_index(drop=True), notes
