"""The result of one scene, and of all scenes of a call."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas as gpd

from detect.base.errors import DetectError, InputError


@dataclass(frozen=True)
class Result:
    """What predict found in one scene; all of it is also in ``folder``.

    In a notebook it shows itself: the picture with coloured footprints, and the counts.

    Example:
        >>> import detect
        >>> result = detect.predict("scene.tif", "out", sites="plots.geojson")
        >>> again = detect.Result.read("out/scene")
        >>> list(again.sites["name"]), len(again.buildings) == len(result.buildings)
        (['plot'], True)
        >>> large = again.buildings[again.buildings["area_m2"] > 100]
        >>> large["stage"].isin(["foundation", "incomplete", "complete"]).all()
        np.True_
    """

    folder: Path
    buildings: gpd.GeoDataFrame
    sites: gpd.GeoDataFrame
    summary: dict[str, Any]
    url: str | None = None
    """Where it was copied to, if that is not a local folder."""

    def __fspath__(self) -> str:
        """Its folder, so that it can be given wherever a folder of a result can."""
        return str(self.folder)

    @classmethod
    def read(cls, place: str | Path) -> Result:
        """A result that predict or census has written.

        Args:
            place: its folder, a folder that holds one result, or the URL of a result's folder (of other kinds than http, such as s3, by
                fsspec).

        Raises:
            InputError: there is no result, or the URL cannot be read.
        """
        from detect.results.notebook import read_result

        return read_result(place)

    def _repr_html_(self) -> str:
        """The picture and the counts, for a notebook."""
        from detect.results.notebook import as_html

        return as_html(self)

    def plot(self, axes: Any = None) -> Any:
        """Draw footprints by stage, and the sites, with Matplotlib (``pip install 'detect-buildings[notebook]'``).

        Args:
            axes: Matplotlib axes to draw on; None: new ones.

        Returns:
            The axes, in the scene's coordinate system.

        Raises:
            InputError: Matplotlib is not installed.
        """
        from detect.results.notebook import plot

        return plot(self, axes)

    def explore(self, height_px: int = 700) -> Any:
        """The report, with its map, inside a notebook; corrections can be made and downloaded there. It needs no internet connection.

        Raises:
            InputError: the result has no ``report.html``.
        """
        from detect.results.notebook import explore

        return explore(self, height_px)

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
