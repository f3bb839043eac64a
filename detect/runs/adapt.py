"""The order of ``detect adapt``: corrections → checked ground → what it teaches → weights of the place → the scene read again."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np

from detect.adaptation.choose import Verdict, choose
from detect.adaptation.facts import card_thresholds, facts_of, in_words, rates_with
from detect.adaptation.ground import Ground, known_ground
from detect.adaptation.merge import merged
from detect.adaptation.ways import tuner_for
from detect.adaptation.windows import Views, read_views
from detect.base.errors import InputError
from detect.base.files import sha256_of_parts
from detect.base.notices import Code, Notice
from detect.base.options import takes
from detect.base.vectors import polygon_layers
from detect.buildings.thresholds import instance_params
from detect.census.review import CHECKED, SURVEYED, Review, apply_review, checked_ground, on_ground
from detect.census.reviews import read_reviews
from detect.network.adapted import Adaptation, write_adapted
from detect.network.last_layer import FeatureReader
from detect.network.weights import Weights, load_weights
from detect.results.folder import SUMMARY, ResultFolder
from detect.results.repaint import repainted
from detect.results.result import Result
from detect.runs.before import done_already
from detect.runs.count import Carried, count
from detect.runs.earlier import Earlier, read_earlier
from detect.runs.find import Found, find
from detect.runs.job import Job, open_job
from detect.runs.options import AdaptOptions, PredictOptions, Progress, silent
from detect.runs.predict import predict_sources
from detect.scene.opening import opened
from detect.scene.scene import Scene
from detect.scene.sources import distinct, sources, stem_of
from detect.scene.tiles.addresses import kind_of

_NUMBERED = re.compile(r"\+(\d+)$")
"""What an adapted result has behind the name of the first one."""


@dataclass(frozen=True)
class Adapted:
    """What ``adapt`` did."""

    kept: bool
    """Whether there was a gain; else nothing was written."""
    why: str
    """In one line."""
    result: Result
    """The new result, or the old one as it is."""
    weights: Path | None = None
    """Folder of the adapted weights."""
    more: list[Result] = field(default_factory=list)
    """Results of the further scenes."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The key ``adapted`` of summary.json."""


@takes(AdaptOptions)
def adapt(result: Result | str | Path, review: str | Path, **options: Any) -> Adapted:
    """Learn from the corrections of a result, and read its scene again if cross-validation over checked ground shows a gain.

    The new result goes beside the old one, ``scene+1`` beside ``scene``, the adapted weights into ``scene+1.weights``. The old result
    is never written to. A call that was interrupted continues when it is made again.

    Args:
        result: a result of predict, or its folder.
        review: the corrected buildings, as for ``detect census --review``; its layer ``checked`` may hold windows.
        options: see below.

    Raises:
        TypeError: an unknown option.
        InputError: no single result, corrections or weights that do not fit it, or a scene that cannot be read again.
        DetectError: one of the further scenes failed; the others are done.
    """
    wanted = AdaptOptions.from_keywords(**options)
    folder = result.folder if isinstance(result, Result) else ResultFolder.find_one(result, SUMMARY).path
    if folder.name in ("", ".."):  # the folder in which the command runs, or the one above
        folder = folder.resolve()
    return _adapt(read_earlier(folder), Path(review), wanted)


@dataclass(frozen=True)
class _Corrections:
    """What the reviewer said."""

    table: gpd.GeoDataFrame
    """The buildings as corrected."""
    review: Review
    """With what earlier reviews said."""
    windows: gpd.GeoDataFrame | None


def _adapt(earlier: Earlier, review: Path, options: AdaptOptions) -> Adapted:
    scene, reason = earlier.scene
    if scene is None:
        raise InputError(f"{earlier.folder}: its scene cannot be read again ({reason}); put it back, or predict it anew")
    for further in sources(options.scenes):
        if kind_of(further.path) is None:  # map tiles are no file
            with opened(further.path):
                pass  # one that cannot be read is said before the work
    weights = _weights(earlier, options)
    said = _corrections(earlier, review, options)
    scene = replace(scene, name=_next(earlier.folder.name))
    report = options.progress or silent
    verdict, facts = _learn(scene, earlier, said, weights, report, options.way)
    facts = {**_from(earlier, weights), "review": _file(review), "checked_file": _file(options.checked), **facts}
    if not verdict.kept:
        why = f"{in_words(verdict)}; {earlier.folder} stays as it is (detect census --review counts your corrections)"
        buildings, sites = earlier.buildings, earlier.sites.table
        return Adapted(False, why, Result(earlier.folder, buildings, sites, earlier.summary), facts=facts)
    name = f"{weights.name}, adapted to {earlier.summary['scene']['name']}"
    params = _params(earlier, weights)
    thresholds = card_thresholds(params, verdict.margins, _smallest_m2(earlier, weights))
    what = Adaptation(name, verdict.layer, verdict.tensors, thresholds, _rates(earlier, said, weights, verdict), facts)
    home = earlier.folder.parent
    target = ResultFolder(home / scene.name)
    with target.lock("detect adapt"):
        if target.path.exists() and not options.overwrite:
            _refuse_others(target, facts)
        adapted = _written(home / f"{scene.name}.weights", weights, what)
        again = _read_again(scene, earlier, said, adapted, facts, options)
    more = _further(scene, earlier, adapted, options)
    return Adapted(True, in_words(verdict), again, home / f"{scene.name}.weights", more, facts)


def _refuse_others(target: ResultFolder, facts: Mapping[str, Any]) -> None:
    """Refuse a folder that does not hold the result of these corrections; its weights stay too."""
    try:
        same = target.summary().get("adapted") == json.loads(json.dumps(facts))
    except InputError:
        same = False
    if not same:
        raise InputError(f"{target.path}: holds something else already; give --overwrite to replace it, or move it")


def _next(name: str) -> str:
    """``scene`` → ``scene+1`` → ``scene+2``."""
    number = _NUMBERED.search(name)
    return f"{name}+1" if number is None else f"{name[: number.start()]}+{int(number[1]) + 1}"


def _weights(earlier: Earlier, options: AdaptOptions) -> Weights:
    """The weights of the result: those that are given, or where its STAC item says that they lie, or the shipped ones of its name.

    Raises:
        InputError: none of them are those of the result.
    """
    model = earlier.summary["model"]
    places = [str(options.weights)] if options.weights is not None else [*_linked(earlier.folder), model["name"]]
    for place in places:
        try:
            weights = load_weights(place)
        except InputError:
            if options.weights is not None:
                raise
            continue
        if weights.sha256 == model["sha256"]:
            return weights
    raise InputError(
        f"{earlier.folder}: its weights, {model['name']}, are not at {' or '.join(places)}, or have changed since; give them with "
        "--weights, or run detect predict again"
    )


def _linked(folder: Path) -> list[str]:
    """Where the STAC item of a result says that its weights lie."""
    try:
        item = json.loads((folder / "item.json").read_text(encoding="utf-8"))
        return [str(item["assets"]["model"]["href"])]
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return []


def _corrections(earlier: Earlier, review: Path, options: AdaptOptions) -> _Corrections:
    """The corrections of a file, applied to the result; what stands in its checked windows is confirmed."""
    table = read_reviews([review], earlier.buildings, earlier.crs, earlier.outline).table
    windows = None
    if options.checked is not None:
        windows = checked_ground(options.checked, earlier.crs)
        inside = on_ground(table, windows)
        table = table.assign(**{CHECKED: table[CHECKED] | inside, SURVEYED: table[SURVEYED] | inside})
    elif CHECKED in polygon_layers(review):
        windows = checked_ground(review, earlier.crs, layer=CHECKED)
    if windows is not None and not windows.intersects(earlier.outline).any():
        raise InputError(f"{options.checked or review}: none of its checked polygons lies on the scene; draw them on this scene")
    corrected, said = apply_review(earlier.buildings, table, earlier.checked)
    together = earlier.checked.then(said)
    if not (together.checked or said.deleted or windows is not None):
        raise InputError(
            f"{review}: nothing differs from {earlier.folder}; correct some buildings, or draw a layer 'checked' around right ones"
        )
    return _Corrections(corrected, together, windows)


def _params(earlier: Earlier, weights: Weights) -> Any:
    """The thresholds of the result."""
    given = earlier.summary["run"]["options"]
    return instance_params(weights, earlier.grid.gsd_m, threshold=given.get("threshold"), min_area_m2=given.get("min_area_m2"))


def _smallest_m2(earlier: Earlier, weights: Weights) -> float:
    given: float | None = earlier.summary["run"]["options"].get("min_area_m2")
    return weights.card.thresholds.min_area_m2 if given is None else given


def _learn(
    scene: Scene, earlier: Earlier, said: _Corrections, weights: Weights, report: Progress, way: str
) -> tuple[Verdict, dict[str, Any]]:
    """What the corrections teach, and the facts of it."""
    grid = scene.work_grid(weights.read_gsd_m(scene.gsd_m))
    tuner, lacks = tuner_for(weights, grid.gsd_m, way)
    ground: Ground = known_ground(grid, earlier.buildings, said.table, said.review, said.windows)
    features = FeatureReader(weights)
    views: Views = read_views(
        scene, grid, weights.lattice, features, ground, lambda done, total: report(f"{scene.name}: checked ground", done, total)
    )
    params = _params(earlier, weights)
    verdict = choose(
        views,
        grid.gsd_m,
        features.layer,
        params,
        lambda done, total: report(f"{scene.name}: cross-validation", done, total),
        tuner,
        (None,) if way == "network" else None,
    )
    return replace(verdict, why=verdict.why + lacks), facts_of(verdict, views, grid.gsd_m)


def _rates(earlier: Earlier, said: _Corrections, weights: Weights, verdict: Verdict) -> Sequence[Mapping[str, Any]]:
    """Rates of the weights and, if windows say where nothing is missing, the numbers found and true there."""
    rates: Sequence[Mapping[str, Any]] = weights.card.get("rates") or []
    if said.windows is None:
        return rates
    place = f"checked ground of {_NUMBERED.sub('', earlier.folder.name)}"
    return rates_with(rates, verdict, place, simulated=earlier.scene[0] is not None and earlier.scene[0].simulated)


def _from(earlier: Earlier, weights: Weights) -> dict[str, Any]:
    return {
        "from": {
            "result": earlier.folder.name,
            "key": earlier.summary["run"]["key"],
            "weights": weights.name,
            "sha256": weights.sha256,
        }
    }


def _file(path: str | Path | None) -> dict[str, str] | None:
    return None if path is None else {"file": Path(path).name, "sha256": sha256_of_parts(Path(path))}


def _written(folder: Path, weights: Weights, what: Adaptation) -> Weights:
    """The adapted weights, written unless they lie there already.

    Raises:
        InputError: something else lies there.
    """
    if folder.exists() and not (folder / "adapted.json").is_file():
        raise InputError(f"{folder}: is something else; move it, so that the adapted weights can be written there")
    return write_adapted(folder, weights, what)


def _as_before(earlier: Earlier, weights: Weights, options: AdaptOptions) -> PredictOptions:
    """How every scene of the place is read with adapted weights: as the earlier result was, so that their numbers compare."""
    return PredictOptions(
        weights=weights.onnx,
        tta=bool(earlier.summary["run"]["options"].get("tta")),
        device=options.device,
        workers=options.workers,
        overwrite=options.overwrite,
        progress=options.progress,
    )


def _read_again(
    scene: Scene, earlier: Earlier, said: _Corrections, weights: Weights, facts: Mapping[str, Any], options: AdaptOptions
) -> Result:
    """The scene read with adapted weights, beside the old result; the folder of the new one is locked by the caller."""
    with open_job(earlier.folder.parent, _as_before(earlier, weights, options)) as job:
        job = replace(job, profile=earlier.profile)
        key = _key(job.key(scene, []), facts)
        done = done_already(job.folder(scene), key, job)
        if done is not None:
            job.report(scene)("done already", 1, 1)
            return done
        found = find(scene, job)
        result = _count(found, earlier, said, facts, key, job)
        if not found.heads.ledger.failed:
            shutil.rmtree(found.work, ignore_errors=True)
        return result


def _count(found: Found, earlier: Earlier, said: _Corrections, facts: Mapping[str, Any], key: str, job: Job) -> Result:
    """The new result: checked buildings as they are, the others as found."""
    buildings, left_out = merged(found.buildings, earlier.buildings, said.table, said.review, said.windows)
    dropped = found.buildings[left_out].assign(id=-1 - np.arange(int(left_out.sum())))
    painted = Review(added=tuple(sorted(said.review.checked)), deleted=tuple(dropped["id"].tolist()))
    stage = repainted(found.stage, found.grid.transform, dropped, buildings, painted)
    note = Notice(
        Code.REVIEWED,
        f"the weights were adapted to corrections of {earlier.folder.name}; {len(said.review.checked)} checked buildings stand as they "
        "were and count as certain",
    )
    return count(found, buildings, [note], key, job, Carried(earlier.sites, said.review, stage, facts))


def _key(read: str, facts: Mapping[str, Any]) -> str:
    """Key of a result that takes over checked buildings."""
    return hashlib.sha256(json.dumps([read, facts], sort_keys=True).encode()).hexdigest()


def _further(scene: Scene, earlier: Earlier, weights: Weights, options: AdaptOptions) -> list[Result]:
    """Results of further scenes of the place, with the same number behind their names."""
    given: Sequence[str | Path] = options.scenes
    if not given:
        return []
    number = scene.name.rpartition("+")[2]
    named = [replace(s, name=f"{s.name or stem_of(s.path)}+{number}") for s in distinct(sources(given))]
    chosen = _as_before(earlier, weights, options)
    return predict_sources(named, earlier.folder.parent, chosen, earlier.profile).all_done()
