"""Sheets: scenes of one date that meet, as pieces of one picture do; which they are, and what their results warn of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyproj
import shapely
from shapely import Polygon

from detect.base.geometry import beside, moved, smallest_rectangle_sides, to_degrees
from detect.scene.scene import Scene

_REACH_PX = 1.0
"""How far outlines are grown to find out whether they meet; cutting and tagging may leave a gap of a pixel."""
_SHORTEST_SEAM_PX = 16.0
"""Sheets that touch along less, such as at a corner, have no building in common."""
_LONGEST_BUILDING_M = 100.0
"""Where two scenes share a strip wider than this, one of them shows nearly every building whole."""
_MARGIN = 0.02
"""Share of the side of a scene by which its outline is grown to find what may meet it."""
_NAMED = 3  # sheets that a warning names


@dataclass(frozen=True)
class Meeting:
    """Two scenes whose outlines touch or overlap."""

    first: int
    second: int
    """Their numbers, ``first`` < ``second``."""
    width_m: float
    """Narrow side of the ground that both show; 0 or less where they only touch."""

    @property
    def cuts(self) -> bool:
        """Whether a building on the seam may be whole in neither."""
        return self.width_m < _LONGEST_BUILDING_M


def meetings(scenes: Sequence[Scene]) -> list[Meeting]:
    """Pairs of scenes that may be of one date and touch or overlap; pictures without georeference meet none."""
    placed = [i for i, scene in enumerate(scenes) if scene.crs is not None]
    if len(placed) < 2:
        return []
    degrees = np.array([_outline_deg(scenes[i]) for i in placed], dtype=object)
    degrees = beside(degrees, degrees[0].centroid.x)
    grown = shapely.buffer(
        degrees, _MARGIN * np.sqrt(shapely.area(degrees))
    )  # lines that are straight on the map bend in degrees
    found = []
    for one, two in sorted(shapely.STRtree(grown).query(grown, predicate="intersects").T.tolist()):
        first, second = scenes[placed[one]], scenes[placed[two]]
        if one < two and (first.date == second.date or None in (first.date, second.date)):
            width_m = _shared_width_m(first, second)
            if width_m is not None:
                found.append(Meeting(placed[one], placed[two], width_m))
    return found


def warned(scenes: Sequence[Scene], met: Sequence[Meeting], reasons: Mapping[tuple[int, int], str] | None = None) -> list[Scene]:
    """The scenes, with a warning in each that others meet, where buildings are cut and may count twice.

    Args:
        scenes: of one call.
        met: result of ``meetings``.
        reasons: of pairs that should have been joined: why they cannot. None: nobody wanted to join any.
    """
    others: list[dict[str, list[str]]] = [{} for _ in scenes]
    for meeting in met:
        pair = meeting.first, meeting.second
        effect = "; buildings on the seam are cut and may count twice" if meeting.cuts else ""
        if reasons is None and meeting.cuts:
            text = f"{effect}; --join takes such sheets as one scene"
        elif reasons is not None and pair in reasons:
            text = f" and cannot be joined with it ({reasons[pair]}){effect}"
        else:
            continue
        for one, other in (pair, pair[::-1]):
            others[one].setdefault(text, []).append(scenes[other].name)
    return [
        replace(scene, warnings=(*scene.warnings, *(_sentence(names, text) for text, names in near.items())))
        for scene, near in zip(scenes, others, strict=True)
    ]


def _sentence(names: Sequence[str], text: str) -> str:
    return f"sheets: {listed(names)} meet{'s' if len(names) == 1 else ''} this scene{text}"


def listed(names: Sequence[str]) -> str:
    """Names as words of a sentence; of many the first few and how many more there are."""
    shown = [*names[:_NAMED], f"{len(names) - _NAMED} more"] if len(names) > _NAMED + 1 else list(names)
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def _outline_deg(scene: Scene) -> Polygon:
    assert scene.crs is not None
    outline: Polygon = to_degrees(np.array([scene.outline]), scene.crs)[0]
    return outline


def _shared_width_m(first: Scene, second: Scene) -> float | None:
    """Narrow side of the ground that two scenes share, metres, 0 or less where they touch; None if they do not meet along a seam.

    Measured in pixels of the first one, so that sheets of one grid meet exactly.
    """
    other = second.outline
    if second.crs != first.crs:
        transformer = pyproj.Transformer.from_crs(second.crs, first.crs, always_xy=True)
        other = shapely.segmentize(other, max(other.length / 64, 1e-9))
        other = shapely.transform(other, transformer.transform, interleaved=False)
    reach_px = _REACH_PX * max(1.0, second.gsd_m / first.gsd_m)
    outlines_px = [moved(outline, ~first.transform) for outline in (first.outline, other)]
    shared = shapely.intersection(*(shapely.buffer(outline, reach_px, join_style="mitre") for outline in outlines_px))
    if not shapely.is_valid(shared) or shared.area == 0:
        return None
    narrow_px, long_px = sorted(np.hypot(*smallest_rectangle_sides(np.array([shared]))[0].T).tolist())
    return (narrow_px - 2 * reach_px) * first.gsd_m if long_px - 2 * reach_px >= _SHORTEST_SEAM_PX else None
