"""Predicted footprints against reference outlines: pixels, single buildings, counts and stages."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pyproj
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.files import refuse_input, write_whole
from detect.base.geometry import to_degrees
from detect.base.matching import match, overlaps
from detect.base.placement import elsewhere
from detect.base.stages import STAGES
from detect.base.vectors import equal_area_crs, geometries_of, polygons_only, read_vector
from detect.results.folder import SUMMARY, ResultFolder, buildings_file
from detect.results.observed import observed_ground

FAR_DEG = 0.2
"""Outlines farther than this from every prediction belong to another place; no scene reaches as far."""
THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))


def evaluate(
    predicted: str | PathLike[str] | gpd.GeoDataFrame,
    reference: str | Path | gpd.GeoDataFrame,
    *,
    area: str | Path | gpd.GeoDataFrame | None = None,
    out: str | Path | None = None,
) -> dict[str, Any]:
    """Metrics of one set of footprints.

    Args:
        predicted: a result of ``detect predict`` or its folder, a vector file, or a table; its ``score`` ranks, its ``stage`` is compared.
            With a folder, what its scene does not show is not scored: outlines beyond it are left out, those across its edge are cut.
        reference: a vector file or a table; ``stage`` (``foundation``, ``incomplete``, ``complete``) or Tanzania's ``condition``.
        area: polygons in which the reference is complete. A building counts when its inner point lies in them; pixels are clipped.
        out: JSON file to write.

    Returns:
        ``footprint_iou`` area of the intersection of both unions over that of their union; ``precision``, ``recall``, ``f1`` of buildings
        paired one to one at IoU 0.5 (Van Etten et al. 2018); ``average_precision`` as the area under the precision–recall curve
        at IoU 0.5 and its mean over 0.50–0.95 (Lin et al. 2014); counts; ``stages`` where both sides know them, else None.
        A ratio without denominator is None.

    Raises:
        InputError: a file that cannot be read, rows without a polygon, one side with a CRS and the other without, or outlines of
            another place (the metrics without them are the error's ``results``).
    """
    predicted = Path(predicted) if isinstance(predicted, PathLike) else predicted
    check_out(out, predicted, reference, area)
    ours, theirs, observed = _load(predicted), _once(_load(reference, _dated(predicted)), reference), observed_ground(predicted)
    area_table = None if area is None else _load_area(area, ours, observed)
    if away := apart(theirs, ours, observed):
        theirs = theirs.iloc[:0]
    ours, theirs, area_table, observed = _to_one_plane(ours, theirs, area_table, observed)
    within = [shapely.union_all(geometries_of(t)) for t in (area_table, observed) if t is not None]
    for polygon in within:
        shapely.prepare(polygon)
        ours, theirs = (t[shapely.contains_properly(polygon, geometries_of(t.representative_point()))] for t in (ours, theirs))
    if observed is not None and len(theirs):
        theirs = theirs.set_geometry(_cut(geometries_of(theirs), within[-1]))
    a, b = geometries_of(ours), geometries_of(theirs)
    covered = [_covered(g, within) for g in (a, b)]
    areas = [float(shapely.area(parts).sum()) for parts in covered]
    shared = _shared_area(*covered)
    pairs = overlaps(a, b)
    left, right, values = match(pairs)
    metrics: dict[str, Any] = {
        "predicted": len(a),
        "reference": len(b),
        "matched": len(left),
        "count_error": len(a) - len(b),
        "count_error_relative": ratio(len(a) - len(b), len(b)),
        "footprint_iou": ratio(shared, sum(areas) - shared),
        "precision": ratio(len(left), len(a)),
        "recall": ratio(len(left), len(b)),
        "f1": ratio(2 * len(left), len(a) + len(b)),
        "mean_iou_of_matched": float(values.mean()) if len(values) else None,
        "average_precision": _average_precision(ours, pairs, len(b)),
        "area_predicted_m2": areas[0],
        "area_reference_m2": areas[1],
        "stages": _stage_confusion(ours, theirs, left, right),
    }
    if away:
        named = _named(reference, "reference")
        error = InputError(f"{named}: no outline lies where the prediction does: {away}; give the outlines of this place")
        error.results = [metrics]
        raise error
    if out is not None:
        write_metrics(Path(out), metrics)
    return metrics


def _named(given: Any, otherwise: str) -> str:
    return str(given) if isinstance(given, str | Path) else otherwise


def format_table(metrics: dict[str, Any]) -> str:
    """The metrics as lines for a terminal."""

    def show(value: float | None, pattern: str = ".3f") -> str:
        return "–" if value is None else format(value, pattern)

    precision = metrics["average_precision"]
    lines = [
        f"buildings      {metrics['predicted']} predicted, {metrics['reference']} in the reference, {metrics['matched']} matched",
        f"count error    {metrics['count_error']:+d} ({show(metrics['count_error_relative'], '+.1%')})",
        f"footprint IoU  {show(metrics['footprint_iou'])}",
        f"IoU ≥ 0.5      precision {show(metrics['precision'])}, recall {show(metrics['recall'])}, F1 {show(metrics['f1'])}",
        f"AP             {show(precision['0.50'])} at 0.5, {show(precision['0.50:0.95'])} over 0.5–0.95",
    ]
    stages = metrics["stages"]
    if stages:
        lines.append(
            f"stages         {stages['correct']} of {stages['compared']} matched buildings right; rows: reference, columns: predicted"
        )
        lines.append(f"{'':<15}" + "".join(f"{s:>12}" for s in STAGES))
        lines += [f"{s:<15}" + "".join(f"{stages['confusion'][s][p]:>12}" for p in STAGES) for s in STAGES]
    return "\n".join(lines)


def _dated(predicted: str | Path | gpd.GeoDataFrame) -> tuple[str, ...]:
    """The layer of a reference with one layer per date that belongs to a result of predict."""
    if isinstance(predicted, gpd.GeoDataFrame) or (table := buildings_file(predicted)) == Path(predicted):
        return ()
    is_result = table.with_name(SUMMARY).is_file()
    date = ResultFolder(table.parent).summary().get("scene", {}).get("date") if is_result else None
    return (f"buildings_{date}",) if date else ()


def _load(source: str | Path | gpd.GeoDataFrame, first: Sequence[str] = ()) -> gpd.GeoDataFrame:
    if isinstance(source, gpd.GeoDataFrame):
        return polygons_only(source)
    raw = read_vector(buildings_file(source), preferred=(*first, "buildings"))
    table = polygons_only(raw)
    if len(raw) and not len(table):
        raise InputError(f"{source}: none of its {len(raw)} rows has a polygon; outlines are needed")
    if len(table) < len(raw):
        warnings.warn(f"{source}: {len(raw) - len(table)} of its {len(raw)} rows have no polygon and are left out", stacklevel=3)
    return table


def _once(table: gpd.GeoDataFrame, source: str | Path | gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """A table without outlines that it holds a second time, as exports of joined tables do."""
    again = np.asarray(table.geometry.normalize().to_wkb().duplicated())
    if again.any():
        warnings.warn(
            f"{_named(source, 'reference')}: {again.sum()} of its outlines stand there twice and count once", stacklevel=3
        )
    return table[~again]


def _load_area(
    area: str | Path | gpd.GeoDataFrame, ours: gpd.GeoDataFrame, observed: gpd.GeoDataFrame | None
) -> gpd.GeoDataFrame:
    table = _load(area)
    if not len(table):
        raise InputError(f"{area}: holds no polygon to score within")
    if observed is not None and (how := apart(table, ours, observed)):
        raise InputError(f"{_named(area, 'area')}: lies elsewhere than the scene: {how}; give an area on it")
    return table


def apart(table: gpd.GeoDataFrame, ours: gpd.GeoDataFrame, observed: gpd.GeoDataFrame | None = None) -> str:
    """How outlines lie that touch nothing of the ground that was observed; without a scene, that lie far from ``ours``."""
    shown = ours if observed is None else observed
    if not len(shown) or (table.crs is None) != (shown.crs is None):
        return ""
    if observed is not None:
        return elsewhere(geometries_of(table), table.crs, [(shapely.union_all(geometries_of(observed)), observed.crs)])
    if ours.crs is None:
        return ""
    around = shapely.box(*shapely.total_bounds(to_degrees(geometries_of(ours), ours.crs))).buffer(FAR_DEG)
    return elsewhere(geometries_of(table), table.crs, [(around, pyproj.CRS(4326))])


def _to_one_plane(*given: gpd.GeoDataFrame | None) -> list[gpd.GeoDataFrame | Any]:
    """The tables (predicted, reference, area, observed; None stays None) in one equal-area plane."""
    tables = [t for t in given if t is not None]
    if len({t.crs is None for t in tables if len(t)}) > 1:
        raise InputError(
            "predicted, reference and area: some have a coordinate system and some have none; write it into those files"
        )
    ordered = [t for t in (given[1], given[0], *given[2:]) if t is not None]  # the plane touches the reference
    crs = next((c for c in map(equal_area_crs, ordered) if c is not None), None)
    if crs is None:
        return list(given)
    moved = [t if t is None or t.crs is None else t.to_crs(crs) for t in given]
    for table in moved:
        if table is not None:  # after reprojection an edge may cross a neighbour's vertex by rounding
            table.geometry = shapely.make_valid(geometries_of(table))
    return moved


def _covered(polygons: NDArray[np.object_], within: Sequence[BaseGeometry]) -> NDArray[np.object_]:
    """The ground that polygons cover, cut to each of ``within``, as parts that share no ground.

    The union of all is made where they touch each other, and not of all at once, which takes a thousand times as long for a million.
    """
    parts = shapely.get_parts(shapely.disjoint_subset_union_all(polygons))
    for ground in within:
        parts = _cut(parts, ground)
    return parts


def _cut(polygons: NDArray[np.object_], ground: BaseGeometry) -> NDArray[np.object_]:
    """The part of each polygon on the ground, which is prepared; most lie on it whole."""
    parts = polygons.copy()
    across = ~shapely.contains_properly(ground, parts)
    parts[across] = shapely.intersection(parts[across], ground)
    return parts


def _shared_area(ours: NDArray[np.object_], theirs: NDArray[np.object_]) -> float:
    """Area that two sets of parts share, each without overlaps among themselves."""
    left, right = shapely.STRtree(theirs).query(ours, predicate="intersects")
    return float(shapely.area(shapely.intersection(ours[left], theirs[right])).sum())


def ratio(top: float, bottom: float) -> float | None:
    """A ratio; None without a denominator."""
    return float(top / bottom) if bottom else None


def _average_precision(
    ours: gpd.GeoDataFrame, pairs: tuple[NDArray, NDArray, NDArray], references: int
) -> dict[str, float | None]:
    """Area under the interpolated precision–recall curve, predictions ranked by ``score`` (all alike without one)."""
    scores = ours["score"].to_numpy(float) if "score" in ours else np.ones(len(ours))
    found: dict[str, float | None] = {}
    for threshold in THRESHOLDS:
        if not references:
            found[f"{threshold:.2f}"] = None
            continue
        left, _, _ = match(pairs, threshold)
        hit = np.zeros(len(ours), bool)
        hit[left] = True
        # Predictions of one score enter together, so that their order in the file does not matter.
        ranks = np.unique(-scores, return_inverse=True)[1].ravel()
        hits, counts = np.bincount(ranks, weights=hit), np.bincount(ranks)
        true, all_ = np.cumsum(hits), np.cumsum(counts)
        precision = np.maximum.accumulate((true / np.maximum(all_, 1))[::-1])[::-1]
        recall = true / references
        found[f"{threshold:.2f}"] = float((np.diff(recall, prepend=0.0) * precision).sum())
    values = [v for v in found.values() if v is not None]
    found["0.50:0.95"] = float(np.mean(values)) if values else None
    return found


def _stage_confusion(ours: gpd.GeoDataFrame, theirs: gpd.GeoDataFrame, left: NDArray, right: NDArray) -> dict[str, Any] | None:
    column = next((c for c in ("stage", "condition") if c in theirs), None)
    if column is None or "stage" not in ours:
        return None
    true = theirs[column].fillna("").astype(str).str.lower().to_numpy()[right]
    given = ours["stage"].fillna("").astype(str).to_numpy()[left]
    confusion = {t: {g: int(((true == t) & (given == g)).sum()) for g in STAGES} for t in STAGES}
    compared = sum(sum(row.values()) for row in confusion.values())
    return {"compared": compared, "correct": sum(confusion[s][s] for s in STAGES), "confusion": confusion}


def check_out(out: str | Path | None, *inputs: Any) -> None:
    """Check, before any work, the file for the metrics.

    Raises:
        InputError: there is no such folder, or the file is one of the inputs or something else than metrics.
    """
    if out is None:
        return
    path = Path(out)
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; create it first")
    refuse_input(path, *inputs)
    if path.exists() and not _holds_metrics(path):
        raise InputError(f"{path}: holds something else than metrics; move it, or give another --out")


def _holds_metrics(path: Path) -> bool:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and bool({"f1", "scot", "phases"} & content.keys())


def write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    """Metrics as a JSON file, whole or not at all."""
    write_whole(path, json.dumps(metrics, indent=2, allow_nan=False) + "\n")
