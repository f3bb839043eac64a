"""Any scene with any building outlines: your own, OpenStreetMap's, Overture's, Google's, Microsoft's.

Layout: georeferenced rasters (.tif, .tiff, .vrt, .jp2) in one folder, each with a vector file of its own name
(``town.tif``, ``town.gpkg``), or one vector file of any name for all of them. ``labelled_area.geojson``, or another vector
file of that name, bounds the ground where every visible building is outlined; without it each scene counts as completely mapped,
and every gap in the map teaches that a building is background. Vector files: GeoPackage, GeoJSON, Shapefile, FlatGeobuf,
GeoParquet or Parquet with native geometries, KML, File Geodatabase (a folder ``.gdb``), ``.osm.pbf``, ``.osm``, GeoJSON lines
(``.geojsonl``, ``.jsonl``) and CSV with WKT in ``geometry`` or ``WKT``, the last two also as ``.gz``. Put the parts of a ``.vrt``
into another folder.

Of several rasters, a fifth validate; of a single one, the eastern fifth of its labelled ground.

Outlines in a file with the scene's name, or with a labelled area, count as drawn on the scene; others as a metre or two off
(loose).

OpenStreetMap: cut the area out of an extract of download.geofabrik.de,

    osmium extract --bbox WEST,SOUTH,EAST,NORTH -o town.osm.pbf nepal-latest.osm.pbf

or export ``building=*`` and ``landuse=construction`` from overpass-turbo.eu as GeoJSON. Find the part where it is complete and
draw ``labelled_area.geojson`` around it. The output of ``ogr2ogr town.gpkg town.osm.pbf multipolygons`` is read too. Tags are
read from columns with their names, else from ``other_tags`` or ``tags``:

- ``building=construction`` is incomplete; ``building=no`` and ``location=underground`` are dropped; any other building is
  kept, also ``dormitory``, its stage unknown;
- ``landuse=construction`` is unknown ground, except for the outlines on it; other things without ``building`` are
  dropped.

Detected outlines: if ``confidence`` (Google, Microsoft), or that of ``sources`` (Overture), is below 0.7, the ground is unknown;
Microsoft's -1 means no confidence given. Overture's ``is_underground`` are dropped.

Your own outlines: a column ``stage`` (foundation, incomplete, complete, or empty), and ``unknown`` (true or
yes) for ground that must not train. Their names may have capitals, and so may ``confidence``, ``sources`` and
``is_underground``; OpenStreetMap's keys are in lower case.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pyogrio

from detect.base import parquet, text_tables
from detect.base.errors import InputError
from detect.base.files import listed
from detect.base.stages import CODES
from detect.base.texts import NO, YES, read_text, shortened
from detect.base.vectors import read_vector
from detect.datasets.images import VAL_SHARE, DataSet, LabelledImage, Outlines, vector

AREA = "labelled_area"
RASTERS = (".tif", ".tiff", ".vrt", ".jp2")
VECTORS = (
    *(".gpkg", ".geojson", ".json", ".geojson.gz", ".shp", ".fgb", ".gdb", ".kml", ".kmz", ".osm.pbf", ".osm"),
    *parquet.SUFFIXES,
    *text_tables.SUFFIXES,
)
LAYOUT = "rasters, each with a vector file of its own name or one for all, and perhaps labelled_area.geojson"
SURE = 0.7
"""Confidence from which a detected outline counts as a building."""
OSM_AREAS = "multipolygons"
"""The layer in which GDAL gathers the areas of an OpenStreetMap extract."""
_COLUMNS = ("stage", "unknown", "confidence", "sources", "is_underground")
"""Columns that are read however their names are capitalised. OpenStreetMap has other keys that differ from its own in capitals only."""
_HSTORE = re.compile(r'"((?:[^"\\]|\\.)*)"=>"((?:[^"\\]|\\.)*)"')


def images(source: Path) -> Iterator[LabelledImage]:
    """Every raster of the folder, each a place."""
    rasters = [p for p in listed(source) if p.suffix.lower() in RASTERS]
    if not rasters:
        raise InputError(f"{source}: holds no raster ({', '.join(RASTERS)}); generic is read as {LAYOUT}")
    stems = [p.stem for p in rasters]
    if twice := next((s for s in stems if stems.count(s) > 1), None):
        raise InputError(f"{source / twice}: is the name of two rasters; rename one")
    own, shared, areas = _vectors(source, stems)
    if len(areas) > 1:
        raise InputError(f"{areas[1]}: is the second labelled area beside {areas[0].name}; leave one")
    if shared and own.keys() >= set(stems):
        warnings.warn(
            f"{source}: not read, since each raster has a vector file of its own name: {', '.join(shared)}", stacklevel=2
        )
    area = vector(areas[0]) if areas else None
    for path in rasters:
        yield LabelledImage(
            path=path,
            place=path.stem,
            label=Outlines(own.get(path.stem) or _only(shared, path)),
            label_kind="outlines" if path.stem in own or area else "loose",
            split="train" if len(rasters) == 1 else None,
            val_east=VAL_SHARE if len(rasters) == 1 else 0.0,
            area=area,
        )


Read = Callable[[], gpd.GeoDataFrame]


def _vectors(source: Path, stems: list[str]) -> tuple[dict[str, Read], dict[str, Read], list[Path]]:
    """The folder's vector files by name: those of single rasters, and shared ones, which stay in memory; and labelled areas."""
    own: dict[str, Read] = {}
    shared: dict[str, Read] = {}
    areas: list[Path] = []
    for path in (p for p in listed(source) if p.name.lower().endswith(VECTORS)):
        if path.suffix.lower() == ".json" and (path.stem not in stems or '"stac_version"' in read_text(path)):
            continue  # about an image, or about something else
        suffix = max((s for s in VECTORS if path.name.lower().endswith(s)), key=len)
        stem = path.name[: -len(suffix)]
        if stem.lower() == AREA:
            areas.append(path)
            continue
        if stem in own:
            raise InputError(f"{path}: is the second vector file of {stem}; leave one")
        read = partial(_buildings, path)
        if stem in stems:
            own[stem] = read
        else:
            shared[path.name] = cache(read)
    return own, shared, areas


def _only(shared: dict[str, Read], raster: Path) -> Read:
    if not shared:
        raise InputError(
            f"{raster.with_suffix('.geojson')}: missing; {raster.name} needs outlines, a vector file of its name or one for all"
        )
    if len(shared) > 1:
        raise InputError(f"{raster}: which of {', '.join(shared)} holds its outlines? Give that file the raster's name")
    return next(iter(shared.values()))


def _buildings(path: Path) -> gpd.GeoDataFrame:
    """A vector file in the form of ``Outlines``: building outlines with ``stage``, and ``unknown`` ground."""
    table = _with_known_names(_read(path), path)
    if table.crs is None:
        raise InputError(f"{path}: names no coordinate system; assign it (ogr2ogr -a_srs EPSG:4326)")
    building, site = _tag(table, "building"), _tag(table, "landuse") == "construction"
    stage = _stages(table, path)
    unknown = _true(table, "unknown", path) | site | (_confidence(table) < SURE)
    kept = (_tag(table, "location") != "underground") & ~_true(table, "is_underground", path)
    if (
        building.notna().any() or site.any() or not {"other_tags", "tags"}.isdisjoint(table.columns)
    ):  # the file is from OpenStreetMap
        built = building.notna() & (building != "no")
        kept &= built | site
        unknown &= ~(built & site)  # a building that is also tagged as a site is a building
    stage = stage.mask(building == "construction", "incomplete")
    return gpd.GeoDataFrame({"stage": stage, "unknown": unknown}, geometry=table.geometry)[kept]


def _with_known_names(table: gpd.GeoDataFrame, path: Path) -> gpd.GeoDataFrame:
    """The table with the columns that are read under their names in lower case.

    Raises:
        InputError: two columns differ in capitals only, so that nobody knows which one is meant.
    """
    found: dict[str, Any] = {}
    for column in table.columns:
        name = str(column).strip().lower()
        if name in _COLUMNS and found.setdefault(name, column) != column:
            raise InputError(
                f"{path}: has the columns '{found[name]}' and '{column}'; rename or delete the one that is not meant"
            )
    return table.rename(columns={column: name for name, column in found.items()})


def _word(value: Any) -> str:
    """A cell as a word in lower case; empty where it holds nothing."""
    return "" if pd.api.types.is_scalar(value) and pd.isna(value) else str(value).strip().lower()


def _stages(table: gpd.GeoDataFrame, path: Path) -> pd.Series:
    """The column ``stage``, however its values are capitalised; missing values where it is missing or empty.

    Raises:
        InputError: a value that is no stage, which would else train as unknown.
    """
    if "stage" not in table:
        return pd.Series(None, table.index, object)
    said = table["stage"].map(_word).astype(object)
    if wrong := sorted(set(said) - {"", *CODES}):
        raise InputError(f"{path}: stage is '{wrong[0]}'; it can be {', '.join(CODES)}, or be empty where it is not known")
    return said.where(said != "", None)


def _tag(table: gpd.GeoDataFrame, key: str) -> pd.Series:
    """Values of an OpenStreetMap tag; missing values where there is none."""
    found = pd.Series(None, table.index, object)
    for column in ("tags", "other_tags"):
        if column in table:
            found = table[column].map(lambda tags: _tags(tags).get(key)).astype(object).where(lambda s: s.notna(), found)
    return found if key not in table else table[key].astype(object).where(table[key].notna(), found)


def _tags(held: Any) -> dict[str, Any]:
    """The tags in a cell of ``tags`` or ``other_tags``: hstore text, JSON text, a mapping or its pairs."""
    if isinstance(held, str):
        return json.loads(held) if held.startswith("{") else dict(_HSTORE.findall(held))
    return dict(held) if isinstance(held, dict | list) else {}


def _true(table: gpd.GeoDataFrame, column: str, path: Path) -> pd.Series:
    """Whether a column says yes; False if it is missing or says nothing.

    Raises:
        InputError: a value that is neither yes nor no, which would else train as no.
    """
    if column not in table:
        return pd.Series(False, table.index)
    said = table[column].map(_word)
    if wrong := sorted(set(said) - {"", *YES, *NO}):
        raise InputError(
            f"{path}: {column} is '{shortened(wrong[0])}', which is neither yes nor no; write true or false, or leave it empty"
        )
    return said.isin(YES)


def _confidence(table: gpd.GeoDataFrame) -> pd.Series:
    """The confidence, 0–1; missing where none is given."""
    if "confidence" in table:
        stated = pd.to_numeric(table["confidence"], errors="coerce")
    elif "sources" in table:
        stated = table["sources"].map(_best_source).astype(float)
    else:
        stated = pd.Series(float("nan"), table.index)
    return stated.where(stated >= 0)


def _best_source(sources: Any) -> float:
    """The highest confidence among an Overture outline's sources."""
    if isinstance(sources, str):
        sources = json.loads(sources)
    stated = [] if sources is None or isinstance(sources, float) else [s.get("confidence") for s in sources]
    return max((float(c) for c in stated if c is not None), default=float("nan"))


def _read(path: Path) -> gpd.GeoDataFrame:
    """Every column of a vector file."""
    name = path.name.lower()
    if name.endswith((".gpkg", ".osm.pbf", ".osm")):
        return read_vector(path, OSM_AREAS if _has_osm_areas(path) else None)
    return vector(path)()


def _has_osm_areas(path: Path) -> bool:
    try:
        return any(layer == OSM_AREAS for layer, _ in pyogrio.list_layers(path))
    except pyogrio.errors.DataSourceError:
        return False  # the error is reported when the file is read


DATA_SET = DataSet(
    name="generic",
    title="any scene with outlines of your own, OpenStreetMap, Overture, Google or Microsoft",
    licence="your own",
    gsd_m="any",
    places="each raster",
    sensor="",
    labels="outlines; stages where tagged",
    source="your imagery; maps: download.geofabrik.de, overturemaps.org, sites.research.google/open-buildings",
    cite="as your imagery and map ask; © OpenStreetMap contributors",
    images=images,
    layout=LAYOUT,
)
