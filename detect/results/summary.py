"""summary.json: the scene, the model and what they were measured to do, the counts, warnings and the run behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from detect.base.geometry import area_km2
from detect.base.resources import package_version
from detect.census.count import storeys_warning
from detect.census.profiles import StructureProfile, plain
from detect.census.sites import Sites
from detect.network.probabilities import Ledger
from detect.network.stage_head import looks_again
from detect.network.weights import Weights
from detect.scene.scene import Scene, WorkGrid

FAR_SD = 3.0
"""A scene whose brightness lies further than this many standard deviations from the training images gets a warning."""


def summary_of(
    scene: Scene,
    weights: Weights,
    sites: Sites,
    counted: Mapping[str, Any],
    run: Mapping[str, Any],
    rates: Sequence[Mapping[str, Any]],
    ledger: Ledger,
    notes: Sequence[str],
) -> dict[str, Any]:
    """The summary of one predicted scene.

    Args:
        scene: that was predicted.
        weights: that predicted it.
        sites: in which buildings were counted.
        counted: result of ``detect.census.count.take_census``.
        run: result of ``run_facts``.
        rates: of the weights, on which the intervals rest.
        ledger: what became of each block.
        notes: further warnings.
    """
    return {
        "scene": {
            "name": scene.name,
            "path": scene.path,
            "sha256": scene.sha256,
            "date": scene.date,
            "sun": None if scene.sun is None else asdict(scene.sun),
            "simulated": scene.simulated,
            "crs": None if scene.crs is None else scene.crs.to_string(),
            "size_px": list(scene.size_hw),
            "gsd_m": round(scene.gsd_m, 4),
            "bands": list(scene.bands),
            "area_km2": round(area_km2(scene.outline, scene.crs), 6),
            "whole_scene_is_the_site": sites.is_whole_scene,
            "sites_are": sites.kind,
        },
        "model": _model(weights, scene),
        **counted,
        "warnings": [
            *scene.warnings,
            *_unlike_training(scene, weights.card),
            *storeys_warning(dict(counted)),
            *notes,
            *_failures(ledger),
        ],
        "blocks": asdict(ledger),
        "run": run,
        "rates": rates,
    }


def run_facts(key: str, options: Mapping[str, Any], grid: WorkGrid, profile: StructureProfile) -> dict[str, Any]:
    """How a result was made: the hash and the options of the run, versions, work grid and structure profile."""
    return {
        "key": key,
        "options": dict(options),
        "versions": _versions(),
        "work_gsd_m": round(grid.gsd_m, 5),
        "work_size_px": list(grid.size_hw),
        "structure": plain(profile),
    }


def _model(weights: Weights, scene: Scene) -> dict[str, Any]:
    """Which weights, what they rest on, and how good they are on places that no training saw."""
    card = weights.card
    means = {"IoU": card.get("metrics", {}).get("mean_iou"), "F1": card.get("metrics", {}).get("mean_f1")}
    return {
        "name": weights.name,
        "sha256": weights.sha256,
        "stage_sha256": weights.stage_sha256 if looks_again(weights, scene) else None,
        "gsd_m": round(weights.read_gsd_m(scene.gsd_m), 5),
        "licence": card.get("licence"),
        "data": [
            {"data_set": d["data_set"], "licence": d["licence"], "places": len(d["trained_on"])} for d in card.get("data", [])
        ],
        "accuracy": {name: value for name, value in means.items() if value is not None},
    }


def _unlike_training(scene: Scene, card: Mapping[str, Any]) -> Iterator[str]:
    """Warnings where a scene is unlike what the weights were trained on."""
    low, high = card["gsd_range_m"]
    if not low <= scene.gsd_m <= high:
        yield (
            f"the scene's pixel is {scene.gsd_m:.2f} m on the ground, the weights were trained on {low:g} to {high:g} m: "
            "expect more errors than the intervals say"
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
            yield f"the scene's {what} is {value:.2f} (0–1), the training images had {mean:.2f} ± {spread:.2f}: expect more errors"


def _failures(ledger: Ledger) -> Iterator[str]:
    failed = ledger.failed
    if failed:
        yield f"{len(failed)} of {ledger.blocks} blocks failed and were not counted: " + "; ".join(
            f"block {f['index']} ({f['error']})" for f in failed[:5]
        )


def _versions() -> dict[str, str]:
    packages = ("numpy", "scipy", "scikit-image", "opencv-python-headless", "rasterio", "shapely", "geopandas", "onnxruntime")
    return {"detect": package_version()} | {name: version(name) for name in packages}


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """summary.json; refuses NaN, which is no JSON."""
    path.write_text(json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
