"""Check that the outputs of predict are whole and unchanged, and cover the scene.

``sealed`` puts the SHA-256 of every file into the summary when a result is written (or rewritten), and hashes of the rows of the
GeoPackage and the pixels of the rasters; ``verify`` compares. A file whose bytes differ while its rows or pixels are the same is
unchanged. The summary has a hash of itself too, of its content without that hash.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import rasterio
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from detect.base.errors import InputError, said
from detect.base.files import sha256_of
from detect.base.texts import number_of
from detect.results.contents import content_hash, is_unchanged
from detect.results.files import FILES, OUTPUTS
from detect.results.folder import SUMMARY, ResultFolder
from detect.results.summary import Summary


def sealed(summary: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The summary with hashes of the files in a folder: of their bytes, and of itself, under ``files``; of their ``contents``."""
    paths = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name != SUMMARY]
    names = [path.name for path in paths]
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as threads:  # hashing and decompressing release Python's lock
        files = dict(zip(names, threads.map(sha256_of, paths), strict=True))
        hashes = zip(names, threads.map(lambda path: content_hash(path) if path.name in OUTPUTS else None, paths), strict=True)
        content = {**summary, "files": files, "contents": {name: found for name, found in hashes if found is not None}}
    return content | {"files": files | {SUMMARY: _own_hash(content)}}


def verify(folder: str | Path) -> list[str]:
    """List the faults of a result, or of each result in a folder; empty if there are none.

    Raises:
        InputError: there is no result of predict.
    """
    folder = Path(folder)
    half_done = ResultFolder.unfinished(folder)
    results = ResultFolder.find(folder, allow_none=bool(half_done))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a damaged raster may have lost its place
        findings = [finding for result in results for finding in _findings(result)]
    missing = [f"{p}: a run that was cut off, or is still at work; give its command again" for p in half_done]
    return findings + missing


def _findings(result: ResultFolder) -> Iterator[str]:
    folder = result.path
    try:
        summary = result.summary("files")
        known = Summary.from_json(summary, str(folder / SUMMARY))
    except InputError as cause:
        yield str(cause)
        return
    files, blocks = dict(known.files or {}), known.blocks
    own = files.pop(SUMMARY, None)
    if own != _own_hash({**summary, "files": files}):
        yield f"{folder / SUMMARY}: was changed after it was written"
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            yield f"{path}: is missing"
        elif not is_unchanged(path, expected, (known.contents or {}).get(name)):
            yield f"{path}: was changed after it was written (its SHA-256 differs)"
    for failed in blocks.failed:
        yield f"{folder}: block {failed['index']} failed ({failed['error']}); the same command tries it again"
    if blocks.done + len(blocks.failed) != blocks.blocks:
        yield f"{folder}: {blocks.done} of {blocks.blocks} blocks are done"
    for file in FILES:
        if file.is_raster and (folder / file.name).is_file():
            yield from _raster_findings(folder / file.name, known.run.work_size_px)
    tables = folder / "buildings.gpkg", folder / "buildings.parquet"
    if all(path.is_file() for path in tables):
        yield from _table_findings(*tables)


def _raster_findings(path: Path, size_hw: list[int]) -> Iterator[str]:
    """Whether a raster covers the scene and every block of it can be read."""
    try:
        with rasterio.open(path) as raster:
            if list(raster.shape) != list(size_hw):
                yield f"{path}: is {raster.height} × {raster.width} px, the scene needs {size_hw[0]} × {size_hw[1]}"
            for _, window in raster.block_windows(1):
                raster.read(1, window=window)
    except RasterioError as cause:
        yield f"{path}: cannot be read ({said(cause)})"


def _table_findings(gpkg: Path, parquet: Path) -> Iterator[str]:
    """Whether both tables can be read and hold the same number of buildings."""
    try:
        first = pyogrio.read_info(gpkg, layer="buildings", force_feature_count=True)["features"]
        second = pq.read_metadata(parquet).num_rows
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError, pa.ArrowException, OSError) as cause:
        yield f"{gpkg.parent}: its buildings cannot be read ({' '.join(str(cause).split())})"
        return
    if first != second:
        yield f"{gpkg}: holds {number_of(first, 'building')}, {parquet.name} {second}"


def _own_hash(summary: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(summary, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
