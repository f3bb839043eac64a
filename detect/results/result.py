"""The result of one scene, and of all scenes of a call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd

from detect.base.errors import DetectError, InputError


@dataclass(frozen=True)
class Result:
    """What predict found in one scene; all of it is also in ``folder``."""

    folder: Path
    buildings: gpd.GeoDataFrame
    sites: gpd.GeoDataFrame
    summary: dict[str, Any]
    url: str | None = None
    """Where it was copied to, if that is not a local folder."""

    @property
    def failed(self) -> bool:
        """Whether a part of the scene could not be predicted; the summary names it."""
        return bool(self.summary["blocks"]["failed"])


@dataclass(frozen=True)
class Run:
    """What one call did with its scenes."""

    results: list[Result]
    """In the order of the scenes, without those that failed."""
    errors: list[DetectError]
    """One per scene, or per group of scenes that share ground, that failed."""

    @property
    def error(self) -> DetectError | None:
        """All errors as one, an InputError if all of them are; None if nothing failed."""
        if len(self.errors) < 2:
            return self.errors[0] if self.errors else None
        kind = InputError if all(isinstance(e, InputError) for e in self.errors) else DetectError
        return kind("; ".join(str(e) for e in self.errors))

    def all_done(self) -> list[Result]:
        """The results, if nothing failed.

        Raises:
            DetectError: ``error``; its ``results`` are those of the other scenes.
        """
        error = self.error
        if error is not None:
            error.results = self.results
            raise error
        return self.results
