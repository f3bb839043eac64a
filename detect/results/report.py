"""report.html: one page with the scene, its buildings and the certainty of each, for an analyst to check and publish."""

from __future__ import annotations

import hashlib
import math
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from affine import Affine
from numpy.typing import NDArray

from detect.base.geometry import north_px, to_degrees
from detect.base.stages import STAGES
from detect.base.vectors import geometries_of
from detect.census.review import Review
from detect.results.folder import is_simulated
from detect.results.page import write_page
from detect.results.picture import Picture
from detect.results.summary import every_warning, found_of
from detect.results.tables import BUILDING_COLUMNS

CHECK_ME = 24
"""Buildings in the list of the least certain ones."""

SHOWN = 100_000
"""Most buildings on the page, where those of 33 corners each take 37 MB, and in Google Earth."""
CORRECTIONS = "corrections.geojson"
"""The file that the page offers to download."""
_NODE_M = 500.0
_MOST_NODES = 33
"""Between places that the page knows it interpolates; over 500 m a straight line in UTM is off by less than a centimetre."""


def write_report(
    path: Path,
    picture: Picture,
    buildings: gpd.GeoDataFrame,
    rows: gpd.GeoDataFrame,
    sites: gpd.GeoDataFrame,
    summary: Mapping[str, Any],
    ground: gpd.GeoDataFrame | None = None,
) -> None:
    """Write the page of a scene; the same input gives the same bytes.

    Args:
        path: HTML file to write.
        picture: picture of the scene, from ``detect.results.picture.take_picture``, or from an older page (``read_picture``).
        buildings: with the columns of the schema, in the scene's CRS.
        rows: layer ``rows``, in the scene's CRS.
        sites: with ``name``, in the scene's CRS.
        summary: content of summary.json; timings are not used.
        ground: cleared ground and pads of the sites, in the scene's CRS; None where no ground was surveyed.
    """
    whole = summary["scene"].get("whole_scene_is_the_site", False)
    checked = buildings["id"].isin(Review.from_json(summary.get("review"), path.parent).checked)
    worst = doubt(buildings[~checked], summary["assumptions"]["structure"]).head(CHECK_ME)
    shown, note = buildings, picture.note
    if len(buildings) > SHOWN:
        shown = to_look_at(buildings)
        note += f" Of {len(buildings):,} buildings it has the {SHOWN:,} to look at first; all are counted, and in buildings.gpkg."
    write_page(
        path,
        "report.html",
        summary=summary,
        warnings=every_warning(summary),
        simulated=is_simulated(summary),
        picture=picture.as_json(),
        picture_note=note,
        north_deg=_north_deg(picture, buildings),
        buildings=_columns(shown, picture.transform),
        outlines={
            "rows": _outlines(rows, picture.transform, "row"),
            "sites": [] if whole else _outlines(sites, picture.transform, "name"),
            "ground": [] if ground is None else _outlines(ground, picture.transform, "kind"),
        },
        doubtful=buildings.loc[worst.index, ["id", "stage", "dormitory_like"]].assign(why=worst["why"]).to_dict("records"),
        shown_by_stage={stage: int((buildings["stage"] == stage).sum()) for stage in STAGES},
        shown_like=int(buildings["dormitory_like"].sum()),
        top=_tops(summary),
        editing=_editing(picture, buildings, summary),
        census_command=f"detect census {shlex.quote(summary['scene']['name'])} --review {CORRECTIONS}",
        adapt_command=f"detect adapt {shlex.quote(summary['scene']['name'])} --review {CORRECTIONS}",
    )


def doubt(buildings: gpd.GeoDataFrame, structure: str = "dormitory") -> pd.DataFrame:
    """Rank buildings by how likely one of three claims about each is wrong, the most doubtful first.

    The claims: it is a building, it is of its stage, it is (or is not) like the ``structure``. ``doubt`` is 1 − the product of their
    probabilities, as if they were independent.

    Returns:
        ``doubt`` (0–1) and ``why``, the weakest of the three in words, with the index of ``buildings``.
    """
    likeness, like = buildings["dormitory_score"].to_numpy(float), buildings["dormitory_like"].to_numpy(bool)
    claims = (buildings["score"], buildings["stage_score"], np.where(like, likeness, 1 - likeness))
    sure = np.stack(claims).astype(float)  # (3, N)
    said = ("it is a building", "of the stage", f"it is not {structure}-like", f"it is {structure}-like")
    weakest = sure.argmin(axis=0)
    why = [f"{p:.0%} sure {said[w + (w == 2 and yes)]}" for w, p, yes in zip(weakest, sure.min(axis=0), like, strict=True)]
    result = pd.DataFrame({"doubt": 1 - sure.prod(axis=0), "why": np.array(why, dtype=object)}, index=buildings.index)
    return result.sort_values("doubt", ascending=False, kind="stable")


def by_interest(buildings: gpd.GeoDataFrame) -> NDArray[np.object_]:
    """``SHOWN`` geometries for ``take_picture``: the ``CHECK_ME`` most doubtful buildings, the dormitory-like, those in sites, the rest."""
    return geometries_of(buildings.loc[_order_of_interest(buildings)[:SHOWN]])


def to_look_at(buildings: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """The table, or the ``SHOWN`` buildings of it to look at first, in its order."""
    return buildings if len(buildings) <= SHOWN else buildings.loc[sorted(_order_of_interest(buildings)[:SHOWN])]


def _editing(picture: Picture, buildings: gpd.GeoDataFrame, summary: Mapping[str, Any]) -> dict[str, Any]:
    """What the page needs to count corrections and to say where they lie."""
    found = {site["name"]: _found(site) for site in summary["sites"]} | {"": _found(summary["total"])}
    height, width = picture.size_hw
    columns, rows = (int(np.clip(math.ceil(n * picture.gsd_m / _NODE_M) + 1, 2, _MOST_NODES)) for n in (width, height))
    px = np.stack(np.meshgrid(np.linspace(0, width, columns), np.linspace(0, height, rows)), axis=-1).reshape(-1, 2)
    a, b, c, d, e, f = picture.transform[:6]
    nodes = px @ np.array([[a, d], [b, e]]) + (c, f)
    if buildings.crs is not None:
        nodes = shapely.get_coordinates(to_degrees(shapely.linestrings(nodes[None]), buildings.crs))
    key = [summary["scene"]["sha256"], summary["model"]["sha256"], summary.get("run", {}).get("key", "")]
    return {
        "key": hashlib.sha256("".join(key).encode()).hexdigest()[:16],
        "file": CORRECTIONS,
        "next_id": int(buildings["id"].max()) + 1 if len(buildings) else 1,
        "north_deg": _north_deg(picture, buildings),
        "counts": found,
        "places": {
            "columns": columns,
            "rows": rows,
            "width": width,
            "height": height,
            "x": np.round(nodes[:, 0], 9).tolist(),
            "y": np.round(nodes[:, 1], 9).tolist(),
        },
    }


def _found(count: Mapping[str, Any]) -> dict[str, Any]:
    """What was found in a site, which follows from its buildings alone."""
    return {
        "buildings": found_of(count["buildings"]),
        "by_stage": {stage: found_of(value) for stage, value in count["by_stage"].items()},
        "dormitory_like": found_of(count["dormitory_like"]),
        "beds": {when: found_of(count["beds"][when]) for when in ("now", "when_complete")},
    }


def _order_of_interest(buildings: gpd.GeoDataFrame) -> pd.Index:
    order = doubt(buildings).index
    table = buildings.loc[order, ["dormitory_like", "site"]].assign(place=np.arange(len(order)))
    listed, like, inside = table["place"] < CHECK_ME, table["dormitory_like"].astype(bool), table["site"].notna()
    return order[np.lexsort((table["place"], ~inside & ~listed, ~like & ~listed, ~listed))]


def _columns(buildings: gpd.GeoDataFrame, transform: Affine) -> dict[str, list[Any]]:
    """Column → list, which takes half the bytes of records; with packed outlines, and the place of each building."""
    table = buildings[list(BUILDING_COLUMNS)]
    columns = {name: [None if v is None or v != v else v for v in table[name].tolist()] for name in table}
    geometries = geometries_of(buildings)
    degrees = np.full((len(buildings), 2), np.nan)
    if buildings.crs is not None and len(buildings):
        degrees = shapely.get_coordinates(shapely.point_on_surface(to_degrees(geometries, buildings.crs)))
        degrees[:, 0] = (degrees[:, 0] + 180) % 360 - 180
    for name, values in zip(("longitude", "latitude"), degrees.T, strict=True):
        columns[name] = [None if math.isnan(v) else round(float(v), 6) for v in values]
    return columns | {"rings": [_packed(g, ~transform) for g in geometries]}


def _outlines(table: gpd.GeoDataFrame, transform: Affine, label: str) -> list[dict[str, Any]]:
    """Each polygon of a table with its label; a multipolygon gives several, and a line that repairing a ring left gives none."""
    parts = table.explode(index_parts=False)
    parts = parts[parts.geom_type == "Polygon"]
    return [
        {label: name, "rings": _rings(g, ~transform)} for name, g in zip(parts[label].tolist(), geometries_of(parts), strict=True)
    ]


def _rings(polygon: shapely.Polygon, to_px: Affine) -> list[list[list[float]]]:
    """Outer ring and holes as [x, y] pairs, without the point that closes a ring, to a tenth of a pixel."""
    return [(at / 10).tolist() for at in _tenths(polygon, to_px)]


def _packed(polygon: shapely.Polygon, to_px: Affine) -> list[list[int]]:
    """Outer ring and holes as [x, y, dx, dy, dx, dy, …] in tenths of a pixel, which takes a third of the bytes; see ``outlines.js``."""
    return [np.diff(at, axis=0, prepend=0).ravel().tolist() for at in _tenths(polygon, to_px)]


def _tenths(polygon: shapely.Polygon, to_px: Affine) -> Iterator[NDArray[np.int64]]:
    """Corners (n, 2) of the outer ring and of each hole, in tenths of a pixel."""
    for ring in (polygon.exterior, *polygon.interiors):
        at = np.stack(to_px * shapely.get_coordinates(ring)[:-1].T, axis=1)
        yield np.rint(10 * at).astype(np.int64)


def _north_deg(picture: Picture, buildings: gpd.GeoDataFrame) -> float | None:
    """Direction of true north in the picture, degrees clockwise from its top; None where the scene has no place on Earth."""
    if buildings.crs is None:
        return None
    x, y = north_px(picture.transform, picture.size_hw, buildings.crs)
    return round(math.degrees(math.atan2(x, -y)), 1)


def _tops(summary: Mapping[str, Any]) -> dict[str, float]:
    """The values at which the bars are full, at least 1."""
    beds = [c["high"] for site in summary["sites"] for c in site["beds"].values() if c is not None]
    return {
        "buildings": max([1, *(site["buildings"]["estimate"] for site in summary["sites"])]),
        "beds": max([1, *beds]),
    }
