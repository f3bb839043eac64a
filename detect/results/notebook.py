"""A result in a notebook: read from a folder or URL, as HTML, as a Matplotlib picture, and as the report in a frame.

The map of the report is used instead of folium's: it is in the result anyway, works offline and takes corrections, where folium loads
its scripts and tiles from servers.
"""

from __future__ import annotations

import base64
import html
import json
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from detect.base.errors import InputError, said
from detect.base.secrets import without_keys
from detect.base.stages import STAGES
from detect.base.texts import number_of
from detect.base.vectors import read_vector
from detect.results.folder import SUMMARY, ResultFolder
from detect.results.styles import STAGE_COLOURS_RGB
from detect.results.summary import every_warning, likeness

if TYPE_CHECKING:
    from detect.results.result import Result

TABLE, PAGE, OVERVIEW = "buildings.gpkg", "report.html", "overview.png"
_THUMBNAIL_PX = 640


def read_result(place: str | Path) -> Result:
    """A result from a folder or URL; see ``Result.read``."""
    from detect.results.result import Result

    if "://" in str(place):
        return _from_url(str(place).rstrip("/"))
    folder = ResultFolder.find_one(place, TABLE)
    summary = folder.summary("scene.name", "total.buildings", "sites")
    buildings, sites = (read_vector(folder.path / TABLE, layer) for layer in ("buildings", "sites"))
    return Result(folder.path, buildings, sites, summary)


def _from_url(url: str) -> Result:
    from detect.results.result import Result

    path, mark, query = url.partition("?")  # a signature follows the name of each file
    try:
        summary = json.loads(_bytes(f"{path}/{SUMMARY}{mark}{query}"))
        with TemporaryDirectory() as folder:
            table = Path(folder) / TABLE
            table.write_bytes(_bytes(f"{path}/{TABLE}{mark}{query}"))
            buildings, sites = (read_vector(table, layer) for layer in ("buildings", "sites"))
    except InputError:
        raise
    except Exception as cause:  # fsspec's back ends, urllib and GDAL raise classes of their own
        raise InputError(f"{without_keys(url)}: no result of detect predict can be read there ({said(cause)[:150]})") from cause
    return Result(Path(summary["scene"]["name"]), buildings, sites, summary, url)


def _bytes(url: str) -> bytes:
    if url.startswith(("http://", "https://")):
        with urllib.request.urlopen(url, timeout=60) as response:
            body: bytes = response.read()
            return body
    try:
        import fsspec
    except ModuleNotFoundError as cause:
        raise InputError(f"{without_keys(url)}: needs a package; run: pip install 'detect-buildings[remote]'") from cause
    with fsspec.open(url) as file:
        content: bytes = file.read()
        return content


def as_html(result: Result) -> str:
    """Picture and counts; no script, so that a notebook shows it without trust."""
    rows = [*result.summary["sites"], *([{**result.summary["total"], "name": "all sites"}] if len(result.sites) > 1 else [])]
    titles = ["site", "buildings", *STAGES, html.escape(likeness(result.summary)), "beds now", "beds when complete"]
    body = "".join(f"<tr><th>{html.escape(str(row['name']))}</th>{''.join(map(_cell, _counts(row)))}</tr>" for row in rows)
    warnings = every_warning(result.summary)
    noted = f"<p>{number_of(len(warnings), 'warning')}; see summary['warnings'] and those of each site.</p>" if warnings else ""
    scene = result.summary["scene"]
    return (
        f"<h4>{html.escape(scene['name'])}, {scene.get('date') or 'date unknown'}</h4>{_thumbnail(result.folder / OVERVIEW)}"
        f"<table><thead><tr>{''.join(f'<th>{title}</th>' for title in titles)}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>Estimate (90 % interval). {html.escape(str((result.url and without_keys(result.url)) or result.folder))}</p>{noted}"
    )


def _counts(row: dict[str, Any]) -> list[dict[str, Any]]:
    stages = [row["by_stage"][stage] for stage in STAGES]
    return [row["buildings"], *stages, row["dormitory_like"], row["beds"]["now"], row["beds"]["when_complete"]]


def _cell(count: dict[str, Any]) -> str:
    return f"<td>{count['estimate']:,}<br><small>({count['low']:,}–{count['high']:,})</small></td>"


def _thumbnail(path: Path) -> str:
    """The picture as an element of some 100 kB; nothing where there is none."""
    import cv2

    picture = cv2.imread(str(path)) if path.is_file() else None
    if picture is None:
        return ""
    scale = min(1.0, _THUMBNAIL_PX / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    code = base64.b64encode(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()).decode("ascii")
    return f'<img alt="The scene with footprints by stage" src="data:image/jpeg;base64,{code}">'


def plot(result: Result, axes: Any = None) -> Any:
    """Footprints by stage; see ``Result.plot``."""
    try:
        import matplotlib.pyplot as plt
        from matplotlib.patches import Patch
    except ModuleNotFoundError as cause:
        raise InputError("Result.plot: needs a package; run: pip install 'detect-buildings[notebook]'") from cause
    if axes is None:
        _, axes = plt.subplots(figsize=(8, 8))
    handles = []
    for stage in STAGES:
        colour = "#{:02x}{:02x}{:02x}".format(*STAGE_COLOURS_RGB[stage])
        own = result.buildings[result.buildings["stage"] == stage]
        if len(own):
            own.plot(
                ax=axes,
                facecolor=colour,
                edgecolor="black",
                linewidth=own["dormitory_like"].map({True: 1.6, False: 0.4}).tolist(),
            )
        handles.append(Patch(facecolor=colour, edgecolor="black", label=f"{stage} ({len(own):,})"))
    if len(result.sites):
        result.sites.boundary.plot(ax=axes, color="black", linewidth=1, linestyle="--")
    axes.legend(handles=handles, title=f"{result.summary['scene']['name']}; thick: {likeness(result.summary)}")
    axes.set_aspect("equal")
    return axes


@dataclass(frozen=True)
class Frame:
    """A page inside a notebook."""

    page: Path
    height_px: int

    def _repr_html_(self) -> str:
        content = html.escape(self.page.read_text(encoding="utf-8"), quote=True)
        style = f"width:100%;height:{self.height_px}px;border:1px solid #999"
        return f'<iframe title="Report" sandbox="allow-scripts allow-downloads allow-forms" style="{style}" srcdoc="{content}"></iframe>'


def explore(result: Result, height_px: int) -> Frame:
    """The report in a frame; see ``Result.explore``."""
    page = result.folder / PAGE
    if not page.is_file():
        raise InputError(f"{page}: no such file; give a result in a folder on this machine")
    return Frame(page, height_px)
