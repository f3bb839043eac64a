"""Which interval of the number of buildings holds the truth, and how wide it is: several ways, on places that had no part in them.

    python benchmarks/intervals.py --work DIR [--drawn DIR] [--compounds 40] [--data path/to/samples] [--weights NAME]

Held-out places are those of benchmarks/accuracy.py, cut into sites of 5 to 150 buildings (``detect.census.spread.squares``); drawn
compounds are the calibration ones of benchmarks/census.py. Each data set (each tenth of the compounds) is scored with rates, models and
spreads of all others. What was predicted stays in ``--work``, and that of drawn compounds in ``--drawn``, which may be the folder of
benchmarks/census.py. The ways:

- precision and recall: real, false and missed buildings drawn from rates by size; the estimate is what was found;
- spread of sites: what predict does; the estimate is what was found times the median of true / found in a new place;
- … 20 checked: the same once a reviewer has gone through the 20 buildings of the page's list: false ones deleted, merged ones split;
  those count as certain, the rest keeps its spread, and some may be missing beside both. On a site of no more buildings, the reviewer
  sees what is missing as well;
- candidates: as the spread of sites, but around the sum of expected true buildings over what was found and what a low threshold (0.2)
  finds beside it, by boosted trees on score, size, shape and neighbours;
- quantiles: the 5th and 95th percentile of true / found over the other places (conformal, each place counting once).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import cv2
import geopandas as gpd
import numpy as np
import pandas as pd
import rasterio
import shapely
from accuracy import held_out, pooled, predict_one
from census import CALIBRATION, compound
from numpy.typing import NDArray
from rasterio.features import rasterize, shapes
from sklearn.ensemble import HistGradientBoostingRegressor

from detect.base.geometry import measure
from detect.base.matching import match, overlaps
from detect.base.values import NO_DATA, TOP
from detect.base.vectors import equal_area_crs, geometries_of, polygons_only, read_vector
from detect.census.count import HIGH, LOW, take_census
from detect.census.draws import DRAWS
from detect.census.profiles import load_profile
from detect.census.rates import COUNT_IOU, count_rates
from detect.census.spread import SITE_BUILDINGS, SMALL_M2, draw_spread, inside, numbers_of, squares
from detect.results.observed import observed_ground
from detect.results.report import doubt

RESULTS = Path(__file__).parent / "results" / "intervals.json"
FAINT, FAINT_M2 = 0.2, 12.0
RIM = np.ones((5, 5), np.uint8)
"""Pixels this near a found building are its rim, not another building."""
NEAR_M = 15.0
CHECKS = 20
WORTH = 60
"""A data set counts at most as much as so many candidates."""
FEATURES = ("found", "odds", "size", "neighbours", "rectangularity", "p_complete")


@dataclass(frozen=True)
class Image:
    """What was found in one image, and the truth, both on the ground where the truth is complete."""

    place: str
    group: str
    """Scored together, without one another."""
    found: gpd.GeoDataFrame
    candidates: pd.DataFrame
    """``FEATURES`` and ``true``, the true buildings nearest to each; those found come first."""
    faint: gpd.GeoDataFrame
    truth: gpd.GeoDataFrame
    plot: bool
    """The image is one site."""

    @cached_property
    def stands_for(self) -> NDArray[np.int64]:
        """(n,) true buildings behind each one found: its match by ``COUNT_IOU``, and unmatched ones of which it holds a point."""
        ours, theirs = geometries_of(self.found), geometries_of(self.truth)
        a, b, _ = match(overlaps(ours, theirs), COUNT_IOU)
        number = np.bincount(a, minlength=len(ours))
        rest = np.delete(theirs, b)
        within, holders = shapely.STRtree(ours).query(shapely.point_on_surface(rest), predicate="within")
        _, first = np.unique(within, return_index=True)
        return number + np.bincount(holders[first], minlength=len(ours))

    @cached_property
    def by_doubt(self) -> NDArray[np.int64]:
        """(n,) position of each found building in the page's list."""
        order = doubt(self.found.reset_index(drop=True)).index.to_numpy()
        return np.argsort(order)


@dataclass(frozen=True)
class Site:
    """A site of an image."""

    image: int
    members: NDArray[np.int64]
    """Rows of the image's candidates."""
    found: int
    true: int
    small: int
    """Small ones among those found."""


def faint_groups(folder: Path, found: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Groups of pixels at ``FAINT`` or more that are no part of a found building: ``area_m2``, ``score``."""
    with rasterio.open(folder / "probability.tif") as source:
        p, transform = source.read(1), source.transform
    p[p == NO_DATA] = 0
    built = rasterize(found.geometry, p.shape, transform=transform, dtype="uint8") if len(found) else np.zeros_like(p)
    rest = ((p >= FAINT * TOP) & (cv2.dilate(built, RIM) == 0)).astype(np.uint8)
    rest = cv2.morphologyEx(rest, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (3, 3)))
    _, labels = cv2.connectedComponents(rest, connectivity=4)
    outlines = [(shapely.geometry.shape(g), int(v)) for g, v in shapes(labels, mask=rest > 0, transform=transform)]
    scores = np.bincount(labels.ravel(), weights=p.ravel()) / np.maximum(np.bincount(labels.ravel()), 1) / TOP
    table = gpd.GeoDataFrame({"score": [scores[v] for _, v in outlines]}, geometry=[g for g, _ in outlines], crs=found.crs)
    table = table.assign(area_m2=measure(list(table.geometry), table.crs)["area_m2"])
    return table[table["area_m2"] >= FAINT_M2].reset_index(drop=True)


def image_of(place: str, group: str, folder: Path, reference: Any, area: Any, *, plot: bool = False) -> Image:
    """The image of a result folder."""
    found = read_vector(folder / "buildings.gpkg", "buildings")
    faint = faint_groups(folder, found)
    truth = polygons_only(read_vector(reference) if isinstance(reference, Path) else reference)
    truth = truth if found.crs is None else truth.to_crs(found.crs)
    for ground in (area, observed_ground(folder)):
        if ground is None:
            continue
        within = shapely.union_all(geometries_of(ground if found.crs is None else ground.to_crs(found.crs)))
        found, faint, truth = (t[within.contains(t.representative_point())].reset_index(drop=True) for t in (found, faint, truth))
    truth = truth.assign(area_m2=measure(list(geometries_of(truth)), truth.crs)["area_m2"], stage=None)
    return Image(place, group, found, features(found, faint, truth), faint, truth, plot)


def features(found: gpd.GeoDataFrame, faint: gpd.GeoDataFrame, truth: gpd.GeoDataFrame) -> pd.DataFrame:
    """``Image.candidates``."""
    both = pd.concat([found, faint], ignore_index=True)
    if found.crs is not None and found.crs.is_geographic:
        plane = equal_area_crs(found)
        both, truth = both.to_crs(plane), truth.to_crs(plane)
    is_found = (np.arange(len(both)) < len(found)).astype(float)
    score = both["score"].to_numpy(float).clip(0.02, 0.98)
    odds, log_m2 = np.log(score / (1 - score)), np.log(both["area_m2"].to_numpy(float).clip(5, 5000))
    neighbours, true = np.zeros(len(both)), np.zeros(len(both), np.int64)
    if len(both):
        shapes_m = geometries_of(both)
        near, other = shapely.STRtree(shapes_m).query(shapes_m, predicate="dwithin", distance=NEAR_M)
        neighbours = np.log1p(np.bincount(near, weights=is_found[other], minlength=len(both)) - is_found)
        owners = shapely.STRtree(shapes_m).nearest(shapely.point_on_surface(geometries_of(truth)))
        true = np.bincount(owners, minlength=len(both))
    size = log_m2 - (np.median(log_m2[: len(found)]) if len(found) else log_m2)
    shape, complete = both.reindex(columns=["rectangularity", "p_complete"]).fillna(0.0).to_numpy(float).T
    values = (is_found, odds, size, neighbours, shape, complete)
    return pd.DataFrame(dict(zip(FEATURES, values, strict=True)) | {"true": true})


def real_images(data: Path, work: Path, scratch: Path, weights: str | None) -> Iterator[Image]:
    """Those of benchmarks/accuracy.py that have buildings; the network runs where it has not yet."""
    for held in held_out(data, scratch):
        if isinstance(held.reference, gpd.GeoDataFrame) and held.reference.empty:
            continue
        out = work / f"{held.place.replace('/', '_')}__{held.image.stem}"
        if not list(out.glob("*/summary.json")):
            predict_one(held.image, out, weights=weights, gsd_m=held.gsd_m, bands=held.bands)
        folder = next(out.glob("*/summary.json")).parent
        yield image_of(held.place, held.place.split("/")[0], folder, held.reference, held.area)


def drawn_images(seeds: range, work: Path, weights: str | None) -> Iterator[Image]:
    """The plots of drawn compounds."""
    for seed in seeds:
        _, truth, sites = compound(seed, work, weights)
        yield image_of(f"simulated/{seed}", str(seed % 10), work / str(seed) / "out/scene", truth, sites, plot=True)


def sites_of(images: list[Image]) -> list[Site]:
    """Sites with a number of true buildings that is scored."""
    sites = []
    for i, image in enumerate(images):
        for square in squares(image.truth)[: 1 if image.plot else None]:
            members = np.concatenate([inside(image.found, square), inside(image.faint, square)])
            numbers = numbers_of(image.found[members[: len(image.found)]], image.truth[inside(image.truth, square)])
            if SITE_BUILDINGS[0] <= numbers[1] <= SITE_BUILDINGS[1]:
                sites.append(Site(i, np.flatnonzero(members), *numbers))
    return sites


Intervals = dict[int, tuple[float, float, float]]
"""Estimate, low and high of sites, by their numbers."""


class Ways:
    """The ways to an interval, for one kind of places."""

    def __init__(self, images: list[Image]) -> None:
        self.images, self.sites = images, sites_of(images)
        self.groups = sorted({i.group for i in images})

    def found(self, n: int) -> float:
        """Number found on a site."""
        return self.sites[n].found

    def small(self, n: int) -> float:
        """Share of small ones among those found."""
        return self.sites[n].small / max(self.sites[n].found, 1)

    def of_group(self, group: str) -> dict[int, Site]:
        """Sites by their numbers."""
        return {n: s for n, s in enumerate(self.sites) if self.images[s.image].group == group}

    def numbers(self, without: str, estimate: Callable[[int], float]) -> dict[str, list[tuple[float, float, float]]]:
        """(estimate, true, small) of the sites of each place outside a group."""
        numbers: dict[str, list[tuple[float, float, float]]] = {}
        for n, site in enumerate(self.sites):
            image = self.images[site.image]
            if image.group != without:
                middle = max(estimate(n), 0.5)
                numbers.setdefault(image.place, []).append((middle, site.true, middle * self.small(n)))
        return numbers

    def by_rates(self, group: str) -> Intervals:
        """Intervals from precision and recall."""
        places: dict[str, list[dict[str, Any]]] = {}
        for image in self.images:
            if image.group != group:
                places.setdefault(image.place, []).append(count_rates(image.place, image.found, image.truth))
        rates = [pooled(records) | {"sites": []} for records in places.values()]
        plot = gpd.GeoDataFrame({"name": ["s"], "planned_buildings": [np.nan], "area_km2": [1.0]}, geometry=[shapely.Point(0, 0)])
        intervals: Intervals = {}
        for n, site in self.of_group(group).items():
            own = self.images[site.image].found.iloc[site.members[: site.found]].assign(site="s")
            counted = take_census(own, plot, load_profile(), rates)["total"]["buildings"]
            intervals[n] = (counted["estimate"], counted["low"], counted["high"])
        return intervals

    def by_spread(self, group: str, number: Callable[[int], float]) -> Intervals:
        """Intervals from the spread of true / number."""
        spread = draw_spread([{"sites": p} for p in self.numbers(group, number).values()], np.random.default_rng(1), DRAWS)
        assert spread is not None
        intervals: Intervals = {}
        for n in self.of_group(group):
            here = max(number(n), 1.0)
            low, high = np.quantile(spread.true_numbers(here, self.small(n)), [LOW, HIGH], method="inverted_cdf")
            middle = round(here * float(np.median(spread.factors(here, self.small(n)))))
            intervals[n] = (middle, min(low, middle), max(high, middle))
        return intervals

    def by_checks(self, group: str) -> Intervals:
        """Intervals after ``CHECKS`` buildings of each site were checked, the most doubtful first."""
        rates = [{"sites": numbers} for numbers in self.numbers(group, self.found).values()]
        spread = draw_spread(rates, np.random.default_rng(1), DRAWS)
        assert spread is not None
        intervals: Intervals = {}
        for n, site in self.of_group(group).items():
            image, own = self.images[site.image], site.members[: site.found]
            own = own[np.argsort(image.by_doubt[own])]
            certain, rest = int(image.stands_for[own[:CHECKS]].sum()), own[CHECKS:]
            small = float((image.found["area_m2"].to_numpy(float)[own] < SMALL_M2).mean()) if len(own) else 0.0
            draws, middle = np.array([site.true]), site.true
            if len(rest):
                factors = spread.factors(len(own), small)
                draws = np.rint(certain * np.maximum(factors, 1)) + np.rint(len(rest) * factors)
                middle = round(float(np.median(certain * np.maximum(factors, 1) + len(rest) * factors)))
            low, high = np.quantile(draws, [LOW, HIGH], method="inverted_cdf")
            intervals[n] = (middle, min(low, middle), max(high, middle))
        return intervals

    def by_quantiles(self, group: str) -> Intervals:
        """Intervals from quantiles of true / found."""
        numbers = self.numbers(group, self.found)
        logs = np.concatenate([[np.log(t / e) for e, t, _ in p] for p in numbers.values()])
        worth = np.concatenate([np.full(len(p), 1 / len(p)) for p in numbers.values()])
        order = np.argsort(logs)
        below = (np.cumsum(worth[order]) - 0.5 * worth[order]) / worth.sum()
        middle, low, high = np.exp(np.interp([0.5, LOW, HIGH], below, logs[order]))
        found = {n: max(s.found, 0.5) for n, s in self.of_group(group).items()}
        return {n: (round(f * middle), int(f * low), np.ceil(f * high)) for n, f in found.items()}

    def by_candidates(self, group: str) -> Intervals:
        """Nested: the estimate of another group's site comes from a model that saw neither that group nor the scored one."""

        @cache
        def model(without: frozenset[str]) -> Any:
            known = [(i.group, i.candidates) for i in self.images if i.group not in without]
            many = pd.Series([len(c) for _, c in known]).groupby([g for g, _ in known]).sum()
            worth = np.concatenate([np.full(len(c), min(1.0, WORTH / many[g])) for g, c in known])
            table = pd.concat([c for _, c in known])
            trees = HistGradientBoostingRegressor(loss="poisson", max_depth=3, max_iter=60, min_samples_leaf=30, random_state=0)
            return trees.fit(table[list(FEATURES)], table["true"], worth)

        def estimate(n: int) -> float:
            image = self.images[self.sites[n].image]
            own = image.candidates.iloc[self.sites[n].members]
            return float(model(frozenset({group, image.group})).predict(own[list(FEATURES)]).sum()) if len(own) else 0.0

        return self.by_spread(group, estimate)

    def all(self) -> dict[str, Callable[[str], Intervals]]:
        """By their names in the table: group to score → intervals of its sites, from all other groups."""
        return {
            "precision and recall": self.by_rates,
            "spread of sites": lambda group: self.by_spread(group, self.found),
            f"… {CHECKS} checked": self.by_checks,
            "quantiles": self.by_quantiles,
            "candidates": self.by_candidates,
        }


def scores(ways: Ways) -> dict[str, dict[str, float]]:
    """Coverage, width and error of each way over all sites, and coverage with each group counting once."""
    table = {}
    for name, way in ways.all().items():
        found = {n: i for group in ways.groups for n, i in way(group).items()}
        estimate, low, high = np.array([found[n] for n in range(len(ways.sites))], float).T
        true = np.array([s.true for s in ways.sites], float)
        width, held = (high - low) / estimate.clip(1), pd.Series((low <= true) & (true <= high))
        table[name] = {
            "coverage": float(held.mean()),
            "coverage_of_groups": float(held.groupby([ways.images[s.image].group for s in ways.sites]).mean().mean()),
            "median_width": float(np.median(width)),
            "width_90": float(np.quantile(width, 0.9)),
            "median_error": float(np.median(np.abs(estimate - true) / true)),
        }
        print(f"{name:<24}" + "".join(f"{v:>9.2f}" for v in table[name].values()), flush=True)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="keeps what was predicted")
    parser.add_argument("--drawn", type=Path, help="--work of benchmarks/census.py (default: a folder in --work)")
    parser.add_argument("--compounds", type=int, default=40)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--weights")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", ".*Geometry is in a geographic CRS.*")
    seeds = range(CALIBRATION, CALIBRATION + options.compounds)
    with tempfile.TemporaryDirectory() as scratch:
        kinds = {
            "held-out places": list(real_images(options.data, options.work, Path(scratch), options.weights)),
            "drawn compounds": list(drawn_images(seeds, options.drawn or options.work / "drawn", options.weights)),
        }
    results = {}
    for kind, images in kinds.items():
        ways = Ways(images)
        print(f"{kind}: {len(ways.sites)} sites\n{'':<24}{'covered':>9}{'groups':>9}{'width':>9}{'90 %':>9}{'error':>9}")
        results[kind] = scores(ways)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
