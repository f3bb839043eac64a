"""item.json: what was predicted, where, for which day and with which model; for catalogues and their clients.

A STAC 1.1 item (https://stacspec.org) with the extensions MLM 1.4 (the model), projection 2.0 (the grids), raster 2.0 and classification
2.0 (what the pixels mean), file 2.1 (the checksum of the weights). What STAC requires and a scene may lack:

- The day is unknown: ``datetime`` is null, and the start and end that STAC then requires are 1900 and 9999, which exclude
  nothing.
- No georeference: ``geometry`` is null, hence no ``bbox``, and ``proj:code`` is null; transforms give metres from the upper left corner.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyproj
import shapely

from detect.base.geometry import to_degrees
from detect.base.stages import STAGES
from detect.base.values import NO_DATA, TOP
from detect.network.heads import HEAD_NAMES
from detect.network.weights import Weights
from detect.results.files import FILES, OUTPUTS
from detect.results.styles import STAGE_COLOURS_RGB
from detect.scene.scene import Scene, WorkGrid

_EXTENSIONS = ("mlm/v1.4.0", "projection/v2.0.0", "raster/v2.0.0", "classification/v2.0.0", "file/v2.1.0")


def write_item(
    path: Path,
    scene: Scene,
    grid: WorkGrid,
    weights: Weights,
    derived_from: str | None = None,
    files: Collection[str] = OUTPUTS,
) -> None:
    """Write the item of a scene's results, which lie beside it.

    Args:
        path: item.json.
        scene: the scene that was predicted.
        grid: work grid of the rasters.
        weights: the weights that predicted it.
        derived_from: folder, beside this one, of the result whose corrections the weights were adapted to.
        files: names of the files that lie beside it.
    """
    item = stac_item(scene, grid, weights, derived_from, files)
    path.write_text(json.dumps(item, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def stac_item(
    scene: Scene, grid: WorkGrid, weights: Weights, derived_from: str | None = None, files: Collection[str] = OUTPUTS
) -> dict[str, Any]:
    """The item as a dictionary; arguments as in ``write_item``."""
    place: dict[str, Any] = {"geometry": None}
    if scene.crs is not None:
        place = _place(shapely.orient_polygons(shapely.set_precision(_outline_deg(scene), 1e-7)))
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [f"https://stac-extensions.github.io/{name}/schema.json" for name in _EXTENSIONS],
        "id": scene.name,
        **place,
        "properties": {
            "title": f"Buildings in {scene.name}",
            **_time(scene.date),
            "gsd": round(grid.gsd_m, 5),
            "bands": _bands(weights),
            **_projection(scene),
            **_credit(scene),
            **_model(weights, round(grid.gsd_m, 3)),
        },
        "links": [] if derived_from is None else [_derived_from(derived_from)],
        "assets": _assets(grid, weights, files),
    }


def _outline_deg(scene: Scene) -> Any:
    """The outline in degrees; of a scene over a pole all that lies as near to the pole, since no ring of corners holds one."""
    assert scene.crs is not None
    to_scene = pyproj.Transformer.from_crs(scene.crs.geodetic_crs, scene.crs, always_xy=True)
    for pole in (90.0, -90.0):
        here = shapely.Point(to_scene.transform(0.0, pole))
        if np.isfinite([here.x, here.y]).all() and scene.outline.contains(here):
            dense = shapely.segmentize(scene.outline, scene.outline.length / 400)
            farthest = np.abs(shapely.get_coordinates(to_degrees(np.array([dense], dtype=object), scene.crs)[0])[:, 1]).min()
            south, north = sorted((pole, float(np.copysign(farthest, pole))))
            return shapely.box(-180.0, south, 180.0, north)
    return to_degrees(np.array([scene.outline], dtype=object), scene.crs)[0]


def _derived_from(folder: str) -> dict[str, str]:
    href, title = f"../{quote(folder)}/item.json", f"{folder}, before the weights were adapted to its corrections"
    return {"rel": "derived_from", "href": href, "type": "application/geo+json", "title": title}


def _place(outline: shapely.Polygon) -> dict[str, Any]:
    """Geometry and box of an outline in degrees; one across 180° is cut there, and its box has west > east (RFC 7946, 3.1.9 and 5.2)."""
    if outline.bounds[0] < -180:
        outline = shapely.transform(outline, lambda lonlat: lonlat + np.array([360, 0]))
    west, south, east, north = outline.bounds
    if east <= 180:
        return {"geometry": shapely.geometry.mapping(outline), "bbox": [west, south, east, north]}
    here = outline.intersection(shapely.box(-180, -90, 180, 90))
    beyond = shapely.transform(outline.intersection(shapely.box(180, -90, 540, 90)), lambda lonlat: lonlat - [360, 0])
    parts = [part for side in (here, beyond) for part in shapely.get_parts(side) if part.geom_type == "Polygon"]
    geometry = shapely.MultiPolygon([shapely.orient_polygons(part) for part in parts])
    return {
        "geometry": shapely.geometry.mapping(geometry),
        "bbox": [west if west <= 180 else west - 360, south, east - 360, north],
    }


def _time(date: str | None) -> dict[str, str | None]:
    if date is None:
        return {"datetime": None, "start_datetime": "1900-01-01T00:00:00Z", "end_datetime": "9999-12-31T23:59:59Z"}
    first = f"{date}T00:00:00Z"
    return {"datetime": first, "start_datetime": first, "end_datetime": f"{date}T23:59:59Z"}


def _projection(scene: Scene) -> dict[str, Any]:
    if scene.crs is None:
        return {"proj:code": None}
    authority = scene.crs.to_authority()
    if authority is None:
        return {"proj:code": None, "proj:wkt2": scene.crs.to_wkt()}
    return {"proj:code": ":".join(authority)}


def _credit(scene: Scene) -> dict[str, Any]:
    """Who made the picture, if its source says so."""
    if scene.provenance is None or not scene.provenance.attribution:
        return {}
    return {"providers": [{"name": scene.provenance.attribution, "roles": ["producer"]}]}


def _bands(weights: Weights) -> list[dict[str, str]]:
    """The bands that the network reads; the input of MLM refers to their names."""
    return [{"name": name} for name in weights.card.bands]


def _model(weights: Weights, gsd_m: float) -> dict[str, Any]:
    """Input and output of the model (MLM). The network takes any multiple of the stride; the shape is that of a tile."""
    card = weights.card
    side = card.tile.core_px + 2 * card.tile.halo_px
    order = ["batch", "channel", "height", "width"]
    scaling = [
        {"type": "z-score", "mean": mean, "stddev": sd}
        for mean, sd in zip(card.normalisation.mean, card.normalisation.std, strict=True)
    ]
    return {
        "mlm:name": "detect-" + re.sub(r"[^A-Za-z0-9]+", "-", weights.name).strip("-"),
        "mlm:architecture": f"{card.architecture['decoder']} {card.architecture['encoder']}",
        "mlm:tasks": ["semantic-segmentation", "instance-segmentation"],
        "mlm:framework": "ONNX" if weights.onnx else "PyTorch",
        "mlm:pretrained": True,
        "mlm:accelerator_constrained": False,
        "mlm:input": [
            {
                "name": f"scene, stretched to 0–1, at {gsd_m:g} m per pixel",
                "bands": [band["name"] for band in _bands(weights)],
                "input": {"shape": [-1, 3, side, side], "dim_order": order, "data_type": "float32"},
                "value_scaling": scaling,
                "resize_type": "interpolation-area",
                "pre_processing_function": None,
            }
        ],
        "mlm:output": [
            {
                "name": "probabilities of " + ", ".join(HEAD_NAMES),
                "bands": [],
                "tasks": ["semantic-segmentation"],
                "result": {"shape": [-1, len(HEAD_NAMES), side, side], "dim_order": order, "data_type": "float32"},
                "classification:classes": [{"value": i, "name": head, "description": head} for i, head in enumerate(HEAD_NAMES)],
                "post_processing_function": None,
            }
        ],
    }


def _assets(grid: WorkGrid, weights: Weights, files: Collection[str]) -> dict[str, Any]:
    placed = {"proj:shape": list(grid.size_hw), "proj:transform": list(grid.transform)[:6]}
    meaning: Mapping[str, dict[str, Any]] = {
        "mask": {"classification:classes": [_class(0, "not"), _class(1, "building")]},
        "probability": {"raster:scale": 1 / TOP},
        "stage": {"classification:classes": [_class(0, "none"), *(_class(i, s) for i, s in enumerate(STAGES, start=1))]},
    }
    assets: dict[str, Any] = {}
    for file in FILES:
        if file.asset and file.name in files:
            about = {"href": f"./{file.name}", "type": file.media_type, "roles": file.roles, "title": file.title}
            pixels = {"data_type": "uint8", "nodata": NO_DATA} | placed | meaning.get(file.asset, {}) if file.is_raster else {}
            assets[file.asset] = about | pixels
    return assets | {"model": _model_asset(weights)}


def _class(value: int, name: str) -> dict[str, Any]:
    colour = STAGE_COLOURS_RGB.get(name)
    hint = {} if colour is None else {"color_hint": "{:02X}{:02X}{:02X}".format(*colour)}
    return {"value": value, "name": name, "description": name, **hint}


def _model_asset(weights: Weights) -> dict[str, Any]:
    """The location of the weights at the time of prediction, and their SHA-256 as a multihash (0x12: SHA-256, 0x20: 32 bytes)."""
    file = weights.onnx or weights.safetensors
    assert file is not None, "load_weights refuses a card without files"
    return {
        "href": file.resolve().as_posix(),
        "type": f"application/octet-stream; framework={'onnxruntime' if weights.onnx else 'pytorch'}",
        "roles": ["mlm:model", "mlm:weights"],
        "title": f"weights {weights.name}",
        "bands": _bands(weights),
        "mlm:artifact_type": "onnx" if weights.onnx else "safetensors",
        "file:checksum": "1220" + weights.sha256,
    }
