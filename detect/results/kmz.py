"""buildings.kmz: the buildings for Google Earth and other readers of KML 2.2 (OGC 07-147r2), coloured by stage, a folder per site.

A balloon shows the numbers of a building; buildings of known height stand up. KML has longitude and latitude only, so the file of a
scene without georeference holds its name and no building. Of more buildings than Google Earth can show it has those to look at first.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import geopandas as gpd
import numpy as np
import shapely

from detect.base.geometry import to_degrees
from detect.base.texts import number_of
from detect.base.vectors import geometries_of
from detect.results.report import to_look_at
from detect.results.styles import STAGE_COLOURS_RGB
from detect.results.summary import found_of

_NUMBERS = {
    "stage": "stage", "stage_score": "its probability", "area_m2": "area, m²", "length_m": "length, m", "width_m": "width, m",
    "orientation_deg": "direction, ° from north", "height_m": "height, m", "dormitory_score": "dormitory-likeness, 0–1",
    "dormitory_reasons": "reasons", "beds": "beds", "score": "score of detection, 0–1",
}  # fmt: skip
"""Columns of the balloon, and what they are called there."""
_FIELDS = tuple((name, f"<Data name={quoteattr(name)}><value>") for name in _NUMBERS)
_OUTSIDE = "outside all sites"
_FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # the same buildings give the same bytes


def write_kmz(path: Path, buildings: gpd.GeoDataFrame, sites: gpd.GeoDataFrame, summary: Mapping[str, Any]) -> None:
    """Write the KMZ.

    Args:
        path: the file.
        buildings: with the columns of the schema.
        sites: ``name`` and outline of each site, in the CRS of the buildings.
        summary: content of summary.json: name, date and counts.
    """
    info = zipfile.ZipInfo("doc.kml", _FIRST_DAY)
    info.compress_type = zipfile.ZIP_DEFLATED
    shown = to_look_at(buildings)
    document = "".join(_document(shown, sites, summary, _left_out(len(shown), len(buildings))))
    with zipfile.ZipFile(path, "w") as archive:  # at once: some readers know no sizes that follow their file (streamed, ZIP64)
        archive.writestr(info, document.encode("utf-8"))


def _left_out(shown: int, every: int) -> str:
    return (
        "" if shown == every else f" Of {every:,} buildings {shown:,} are here, those to look at first; buildings.gpkg has all."
    )


def _document(buildings: gpd.GeoDataFrame, sites: gpd.GeoDataFrame, summary: Mapping[str, Any], note: str) -> Iterator[str]:
    scene = summary["scene"]
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<kml xmlns="http://www.opengis.net/kml/2.2">\n<Document>\n'
    yield f"<name>{escape(scene['name'])}</name>\n<open>1</open>\n<description>{escape(_about(summary) + note)}</description>\n"
    yield from _styles()
    if buildings.crs is not None:
        outlines = dict(zip(sites["name"], to_degrees(geometries_of(sites), buildings.crs), strict=True))
        shapes = to_degrees(geometries_of(buildings), buildings.crs) if len(buildings) else np.array([], dtype=object)
        counts = {site["name"]: site for site in summary["sites"]}
        rows = buildings.drop(columns="geometry").to_dict("records")
        place = buildings["site"].fillna(_OUTSIDE).to_numpy()
        for name, outline in [*outlines.items(), *([(_OUTSIDE, None)] if (place == _OUTSIDE).any() else [])]:
            yield f"<Folder>\n<name>{escape(name)}</name>\n<description>{escape(_count(counts.get(name)))}</description>\n"
            if outline is not None:
                yield f"<Placemark><name>{escape(name)}</name><styleUrl>#site</styleUrl>{_multi(outline)}</Placemark>\n"
            for i in np.flatnonzero(place == name):
                yield _placemark(rows[i], shapes[i])
            yield "</Folder>\n"
    yield "</Document>\n</kml>\n"


def _about(summary: Mapping[str, Any]) -> str:
    scene = summary["scene"]
    parts = [
        f"{scene['date'] or 'date unknown'}, counted by detect with the weights {summary['model']['name']}.",
        "SIMULATED: the scene is drawn and shows no real place." if scene.get("simulated") else "",
        "The scene has no place on Earth, so nothing can be shown here." if scene["crs"] is None else "",
        f"Image: {scene['provenance']['attribution']}" if (scene.get("provenance") or {}).get("attribution") else "",
    ]
    return " ".join(part for part in parts if part)


def _count(site: Mapping[str, Any] | None) -> str:
    """Numbers of a site in words."""
    if site is None:
        return ""

    def interval(count: Mapping[str, int]) -> str:
        return f"{count['estimate']:,} ({count['low']:,}–{count['high']:,})"

    stages = ", ".join(f"{interval(count)} {stage}" for stage, count in site["by_stage"].items())
    return (
        f"{number_of(found_of(site['buildings']), 'building')} found. Estimates, with intervals of 90 %: "
        f"{interval(site['buildings'])} buildings, {stages}; beds now: {interval(site['beds']['now'])}."
    )


def _styles() -> Iterator[str]:
    """A style per stage, and one with thicker lines for dormitory-like buildings. Colours are alpha, blue, green, red."""
    rows = "".join(f"<tr><td>{text}</td><td>$[{column}]</td></tr>" for column, text in _NUMBERS.items())
    balloon = f"<BalloonStyle><text><![CDATA[<b>building $[name]</b><table>{rows}</table>]]></text></BalloonStyle>"
    for stage, (red, green, blue) in STAGE_COLOURS_RGB.items():
        colour = f"{blue:02x}{green:02x}{red:02x}"
        for like, fill, width in (("", 55, 1.5), ("-like", 140, 3)):
            yield (
                f'<Style id="{stage}{like}"><LineStyle><color>ff{colour}</color><width>{width}</width></LineStyle>'
                f"<PolyStyle><color>{fill:02x}{colour}</color></PolyStyle>{balloon}</Style>\n"
            )
    yield (
        '<Style id="site"><LineStyle><color>ffffffff</color><width>2</width></LineStyle><PolyStyle><fill>0</fill></PolyStyle></Style>\n'
    )


def _placemark(row: Mapping[str, Any], shape: shapely.Geometry) -> str:
    like = "-like" if row["dormitory_like"] else ""
    data = "".join(f"{start}{escape(_text(row[name]))}</value></Data>" for name, start in _FIELDS)
    height = float(row["height_m"])
    return (
        f"<Placemark><name>{row['id']}</name><styleUrl>#{row['stage']}{like}</styleUrl><ExtendedData>{data}</ExtendedData>"
        f"{_multi(shape, height if math.isfinite(height) else 0.0)}</Placemark>\n"
    )


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _multi(shape: shapely.Geometry, height_m: float = 0.0) -> str:
    polygons = [part for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    text = "".join(_polygon(shapely.orient_polygons(part), height_m) for part in polygons)
    return text if len(polygons) == 1 else f"<MultiGeometry>{text}</MultiGeometry>"


def _polygon(polygon: shapely.Polygon, height_m: float) -> str:
    standing = "<extrude>1</extrude><altitudeMode>relativeToGround</altitudeMode>" if height_m else ""
    holes = "".join(f"<innerBoundaryIs>{_ring(ring, height_m)}</innerBoundaryIs>" for ring in polygon.interiors)
    return f"<Polygon>{standing}<outerBoundaryIs>{_ring(polygon.exterior, height_m)}</outerBoundaryIs>{holes}</Polygon>"


def _ring(ring: shapely.LinearRing, height_m: float) -> str:
    """Coordinates to a millimetre; longitudes beyond 180° begin again at -180°."""
    lonlat = shapely.get_coordinates(ring)
    lonlat[:, 0] = (lonlat[:, 0] + 180) % 360 - 180
    up = f",{height_m:g}" if height_m else ""
    return f"<LinearRing><coordinates>{' '.join(f'{lon:.8f},{lat:.8f}{up}' for lon, lat in lonlat)}</coordinates></LinearRing>"
