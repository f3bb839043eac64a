"""IARPA SMART Heavy Construction (JHU/APL 2025): dated construction sites, over your own imagery.

Published layout: ``annotations/primary_dataset/site_models/<region>_<number>.geojson`` (``AE_R001_0000.geojson``); an inner
folder may be given too. A site model has one feature for the site and one per observation: a day, one polygon for the site and
one for each part of it in another phase, and their phases. Imagery is not distributed. Put dated GeoTIFFs of 3 m or finer beside
``annotations``, in any folder, with the region and the day in path or name: ``images/AE_R001/2019-11-02.tif``,
``images/AE_R001_20191102.tif``.

What can be learnt: site polygons bound all ground of a building project, never its buildings, and nothing outside a site is
mapped. Under Active Construction some of the ground is a building, under Post Construction and No Activity any of it may be:
unknown. Only Site Preparation, where ground is cleared and shaped, is certain for every pixel: no building stands there yet. So
this set only gives negatives: bare ground of future sites, which is most easily mistaken for a foundation. It counts if the
observations before and after the day of the image (or on it) agree, without a rim of ten metres, because many outlines were drawn
on Sentinel-2.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date as Date
from functools import partial
from pathlib import Path

import geopandas as gpd
import shapely
from shapely.geometry.base import BaseGeometry

from detect.base.errors import InputError
from detect.base.files import listed
from detect.base.vectors import equal_area_crs
from detect.datasets.images import DataSet, LabelledImage, Outlines, files, require

TITLE = "IARPA SMART"
LAYOUT = "annotations/primary_dataset/site_models/<region>_*.geojson and dated images/<region>/<YYYY-MM-DD>.tif of your own"
CLEARED = "Site Preparation"
RIM_M = 10.0
"""Width of the rim of a site that is not used, because outlines are inexact."""
_REGION = re.compile(r"(?<![A-Z])[A-Z]{2}_R(?:\d{3}|xxx)")
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_]?(0[1-9]|1[0-2])[-_]?(0[1-9]|[12]\d|3[01])(?!\d)")


@dataclass(frozen=True)
class Observation:
    """A site on one day."""

    day: str
    """ISO."""
    cleared: BaseGeometry
    """Ground under Site Preparation, degrees."""
    other: BaseGeometry
    """The rest of the site."""


def images(source: Path) -> Iterator[LabelledImage]:
    """Every image of the user; a region is one place."""
    models = _models(source)
    rasters = [p for p in listed(source, "**/*") if p.suffix.lower() in (".tif", ".tiff", ".vrt", ".jp2")]
    if not rasters:
        raise InputError(f"{source}: no images; {TITLE} comes without, so add your own dated GeoTIFFs, as {LAYOUT}")
    for path in rasters:
        region, day = _REGION.search(path.relative_to(source).as_posix()), _DAY.search(path.stem)
        if region is None or day is None:
            wanted = "region such as AE_R001 in its path" if region is None else "day such as 2019-11-02 in its name"
            raise InputError(f"{path}: has no {wanted}; the sites are looked up by both")
        sites = files(models, f"{region.group()}_*.geojson", TITLE, LAYOUT)
        yield LabelledImage(
            path=path,
            place=region.group(),
            label=Outlines(_no_buildings),
            label_kind="coarse",
            area=partial(_cleared, sites, _iso(day, path)),
        )


def _models(source: Path) -> Path:
    tops = (source / "annotations" / "primary_dataset", source / "primary_dataset", source / "annotations", source)
    found = next((top / "site_models" for top in tops if (top / "site_models").is_dir()), None)
    return found or require(tops[0] / "site_models", TITLE, LAYOUT)


def _iso(day: re.Match[str], path: Path) -> str:
    try:
        return Date(*map(int, day.groups())).isoformat()
    except ValueError as cause:
        raise InputError(f"{path}: {day.group()} in its name is not a date; write it as YYYY-MM-DD") from cause


def _no_buildings() -> gpd.GeoDataFrame:
    return gpd.GeoDataFrame(geometry=[], crs=4326)


def _cleared(sites: list[Path], day: str) -> gpd.GeoDataFrame:
    """Ground that was being cleared on a day, without parts in another phase."""
    cleared, doubtful = [], []
    for path in sites:
        observations = _observations(path)
        before = [o for o in observations if o.day <= day]
        after = [o for o in observations if o.day >= day]
        if before and after:
            cleared.append(shapely.intersection(before[-1].cleared, after[0].cleared))
            doubtful += [before[-1].other, after[0].other]
    ground = shapely.difference(shapely.union_all(cleared), shapely.union_all(doubtful))
    table = gpd.GeoDataFrame(geometry=[ground], crs=4326).explode()
    if ground.is_empty:
        return table.iloc[:0]
    return table.to_crs(equal_area_crs(table)).assign(geometry=lambda t: t.buffer(-RIM_M))


def _observations(path: Path) -> list[Observation]:
    """The dated observations of a site model, by day."""
    try:
        features = json.loads(path.read_text(encoding="utf-8"))["features"]
        observed = [f for f in features if f["properties"].get("observation_date") and f["geometry"]]
        return sorted((_observation(f) for f in observed), key=lambda o: o.day)
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as cause:
        raise InputError(f"{path}: is not a readable site model; download it again") from cause


def _observation(feature: dict) -> Observation:
    """One observation: one polygon per phase; ``is_site_boundary`` marks the whole site, in which the others lie."""
    properties = feature["properties"]
    # Each polygon is read separately: parts overlap the site's own polygon, so one multipolygon would be invalid.
    polygons = shapely.make_valid(shapely.get_parts(shapely.from_geojson(json.dumps(feature["geometry"]))))
    phases = (properties.get("current_phase") or "").split(", ")
    bounds = (properties.get("is_site_boundary") or "").split(", ")
    if len(phases) == 1:
        polygons = [shapely.union_all(polygons)]
    parts = list(zip(polygons, phases, bounds, strict=True))
    within = shapely.union_all([p for p, phase, bound in parts if phase != CLEARED and bound == "False"])
    cleared = shapely.difference(shapely.union_all([p for p, phase, _ in parts if phase == CLEARED]), within)
    return Observation(properties["observation_date"], cleared, shapely.difference(shapely.union_all(polygons), cleared))


DATA_SET = DataSet(
    name="smart",
    title="IARPA SMART Heavy Construction: dated sites over imagery of your own",
    licence="MIT",
    gsd_m="any",
    places="24 regions on five continents, and single sites",
    sensor="",
    labels="ground under site preparation as not built; no buildings",
    source="https://github.com/pubgeo/IARPA-SMART (annotations/; no imagery)",
    cite="Goldberg et al. (2023), https://doi.org/10.1117/12.2663071",
    images=images,
    layout=LAYOUT,
)
