"""What predict returns for one scene."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd


@dataclass(frozen=True)
class Result:
    """What predict found in one scene; all of it is also in ``folder``."""

    folder: Path
    buildings: gpd.GeoDataFrame
    sites: gpd.GeoDataFrame
    summary: dict[str, Any]
    url: str | None = None
    """Where it was copied to, when that is no local folder."""

    @property
    def failed(self) -> bool:
        """Whether a part of the scene could not be predicted; the summary names it."""
        return bool(self.summary["blocks"]["failed"])
