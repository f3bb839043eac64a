"""Labelled images → chips in a store, with problems of single chips."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import geopandas as gpd
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import signal

from detect.base.errors import InputError
from detect.base.geometry import span_outline, to_degrees
from detect.base.grid import Span
from detect.datasets.chips import INDEX, UNKNOWN, Chip, ChipRow, read_index, write_chip, write_index
from detect.datasets.images import DataSet, LabelledImage, Labels, inside, labels_of, with_splits
from detect.datasets.licences import allowed
from detect.scene.scene import Scene, WorkGrid, open_scene

STORE_GSD_M = 0.2
"""Finer images are reduced to this; coarser ones are stored unchanged, and training enlarges them as predict does."""
CHIP_PX = 1024
PROBLEMS = {
    "black": "hardly anything to see: black or without observation",
    "cloud": "mostly bright, grey and smooth, as clouds, snow and glare are",
    "shifted": "its outlines lie 1.5 m or more beside the edges in the picture",
}
SHIFTED_M = 1.5
_REACH_M = 5.0  # largest offset that is searched for
_CLEAR = 0.06  # correlation of outlines and edges below which an offset is chance


@dataclass
class Report:
    """The result of ``prepare_images``."""

    chips: int = 0
    buildings: int = 0
    problems: Counter[str] = field(default_factory=Counter)
    """Chips by problem, kept or left out."""
    dropped: int = 0
    images: int = 0
    other_licence: int = 0
    """Images left out because of their licence."""
    placed: set[int] = field(default_factory=set)
    """Readers (by ``id``) of outlines that touch an image."""
    elsewhere: dict[Path, tuple[int, str]] = field(default_factory=dict)
    """Images that their label does not touch: its reader, and how it lies."""
    unlabelled: list[Path] = field(default_factory=list)
    """Images of which nothing lies in the labelled area."""


def prepare_images(
    data_set: DataSet,
    source: Path,
    store: Path,
    drop: Collection[str] = (),
    *,
    licence: str | None = None,
    licences: str = "any",
    gsd_m: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Cut a data set into chips and add them to a store, which is created if there is none.

    Chips are written aside and appear with the index; the same source gives the same bytes.

    Args:
        data_set: the data set, from its adapter.
        source: folder in the published layout.
        store: folder of the chip store; may hold other data sets already.
        drop: keys of ``PROBLEMS``; such chips are counted but not kept.
        licence: licence of the imagery and labels, in place of the adapter's.
        licences: key of ``detect.datasets.licences.CHOICES``; images under other licences are left out.
        gsd_m: ground size of a pixel, metres, in place of the adapter's; only for images without georeference.
        progress: called with the number of finished images and of all images.

    Raises:
        InputError: a piece of the layout is missing, no image is under such a licence, the store holds this data set already, or
            holds something else.
    """
    known = _index_so_far(store)
    all_images = _split_images(data_set, source, licence, gsd_m)
    images = _admitted(all_images, data_set, source, licences)
    named = _named(images, source)
    if known is not None and (taken := set(known["data_set"]) & {i.data_set or data_set.name for i, _ in images}):
        raise InputError(f"{store}: holds {', '.join(sorted(taken))} already; give another folder for the chips")
    report = Report(images=len(images), other_licence=len(all_images) - len(images))
    aside = store.parent / f".{store.name}.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        rows = _cut_all(named, data_set, source, aside, report, drop, progress)
        _move_in(aside, store)
        write_index(store, rows, known)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    report.chips, report.buildings = len(rows), sum(row.buildings for row in rows)
    return report


def _index_so_far(store: Path) -> gpd.GeoDataFrame | None:
    """The index of a store that chips are added to; None for a new one."""
    if (store / INDEX).is_file():
        return read_index(store)
    if store.exists() and any(store.iterdir()):
        raise InputError(f"{store}: is not empty and holds no chip store; give a new folder for the chips")
    return None


def _split_images(data_set: DataSet, source: Path, licence: str | None, gsd_m: float | None) -> list[tuple[LabelledImage, str]]:
    """Every image of the source with its split, its licence and pixel size replaced by those that the caller states."""
    declared = (
        replace(i, licence=licence or i.licence, gsd_m=i.gsd_m if gsd_m is None else gsd_m) for i in data_set.images(source)
    )
    return list(with_splits(declared))


def _admitted(
    images: list[tuple[LabelledImage, str]], data_set: DataSet, source: Path, licences: str
) -> list[tuple[LabelledImage, str]]:
    """The images whose licence the choice allows.

    Raises:
        InputError: there are images, but none under such a licence.
    """
    admitted = [(i, split) for i, split in images if allowed(i.licence or data_set.licence, licences)]
    if images and not admitted:
        others = ", ".join(sorted({i.licence or data_set.licence for i, _ in images}))
        raise InputError(
            f"{source}: the licence of all of it is: {others}; --licences {licences} leaves that out (--licence NAME says what it is)"
        )
    return admitted


def _cut_all(
    images: dict[str, tuple[LabelledImage, str]],
    data_set: DataSet,
    source: Path,
    folder: Path,
    report: Report,
    drop: Collection[str],
    progress: Callable[[int, int], None] | None,
) -> list[ChipRow]:
    """Write the chips of all images into a folder and count problems in the report; returns the rows of the chips that are kept.

    Raises:
        InputError: no chip is left.
    """
    rows = []
    for number, (name, (image, split)) in enumerate(images.items(), start=1):
        for chip, row in chips_of(image, split, f"{data_set.name}_{name}", data_set, source, report):
            if row.problem:
                report.problems[row.problem] += 1
            if chip is None or row.problem in drop:
                report.dropped += 1
            else:
                write_chip(folder, row.chip, chip)
                rows.append(row)
        if progress:
            progress(number, len(images))
    _check_places(report)
    if not rows and report.unlabelled:
        raise InputError(f"{source}: gives no chips: nothing of {report.unlabelled[0].name} lies in its labelled area")
    if not rows:
        raise InputError(f"{source}: gives no chips; is it a whole {data_set.title}?")
    return rows


def _check_places(report: Report) -> None:
    """Refuse a data set none of whose labels touches its image, and name single images for which this is so.

    One file may hold the outlines of many images, some of which show none.
    """
    if not report.elsewhere:
        return
    path, (_, how) = next(iter(report.elsewhere.items()))
    if not report.placed:
        raise InputError(f"{path}: its outlines lie elsewhere, {how}; give the outlines of this place")
    lost = [p.name for p, (reader, _) in report.elsewhere.items() if reader not in report.placed]
    if lost:
        names = ", ".join(lost[:5]) + (f" and {len(lost) - 5} more" if len(lost) > 5 else "")
        warnings.warn(f"{names}: no outline lies on the image, and all of it counts as ground without buildings", stacklevel=2)


def _move_in(folder: Path, store: Path) -> None:
    """Move every file of a folder into the store, which is created if there is none."""
    store.mkdir(parents=True, exist_ok=True)
    for path in sorted(folder.iterdir()):
        path.replace(store / path.name)


def _named(images: list[tuple[LabelledImage, str]], source: Path) -> dict[str, tuple[LabelledImage, str]]:
    """The images by the name of their chips: the path below the source, without characters that are unsuitable in file names.

    Raises:
        InputError: two images get the same name.
    """
    named: dict[str, tuple[LabelledImage, str]] = {}
    for image, split in images:
        path = image.path.relative_to(source) if image.path.is_relative_to(source) else Path(image.path.name)
        name = "".join(c if c.isalnum() or c in "-." else "_" for c in path.with_suffix("").as_posix())
        if name in named:
            raise InputError(
                f"{image.path}: its chips would be named as those of {named[name][0].path.name}; rename one of the files"
            )
        named[name] = image, split
    return named


def chips_of(
    image: LabelledImage, split: str, name: str, data_set: DataSet, source: Path, report: Report | None = None
) -> Iterator[tuple[Chip | None, ChipRow]]:
    """The chips of one image, with their rows of the index; None where hardly anything was observed.

    ``report`` gets whether the label touches the image.
    """
    scene = open_scene(image.path, gsd_m=image.gsd_m, bands=image.bands, coarsest_gsd_m=np.inf)
    grid = scene.work_grid(max(STORE_GSD_M, scene.gsd_m))
    labels = labels_of(image, scene, grid)
    if report is not None:
        _note_place(report, image, labels)
    validates = None if image.val_area is None else inside(image.val_area, scene, grid)
    if image.val_east:
        validates = _eastern(labels.footprint != UNKNOWN, image.val_east)
    path = image.path.relative_to(source) if image.path.is_relative_to(source) else image.path
    row = ChipRow(
        chip="", data_set=image.data_set or data_set.name, place=image.place, split=split, label_kind=image.label_kind,
        gsd_m=grid.gsd_m, licence=image.licence or data_set.licence, source=path.as_posix(),
        sensor=image.sensor or data_set.sensor,
    )  # fmt: skip
    for span, values, valid in spans_of(scene, grid):
        if valid.mean() < 0.1:
            yield None, replace(row, problem="black")
            continue
        seen = np.where(valid, labels.footprint[span.slices()], np.uint8(UNKNOWN))
        parts = {split: seen}
        if validates is not None:  # ground of the other split is unknown
            here = validates[span.slices()]
            parts = {s: np.where(here == (s == "val"), seen, np.uint8(UNKNOWN)) for s in ("train", "val")}
        for part, known in parts.items():
            if (known != UNKNOWN).sum() < min(64 * 64, grid.size_hw[0] * grid.size_hw[1] // 16):
                continue
            chip = chip_from(values, labels.instances[span.slices()], known, labels.stage[span.slices()])
            suffix = "" if validates is None else f"_{part}"
            named = replace(row, split=part, chip=f"{name}_{span.row0}_{span.col0}{suffix}")
            yield chip, described(named, chip, scene, grid, span)


def _note_place(report: Report, image: LabelledImage, labels: Labels) -> None:
    if labels.placed:
        report.placed.add(id(image.label.read))
    elif labels.elsewhere:
        report.elsewhere[image.path] = id(image.label.read), labels.elsewhere
    if image.area is not None and (labels.footprint == UNKNOWN).all():
        report.unlabelled.append(image.path)


def _eastern(known: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """(H, W): the columns on the right that hold this share of the known ground."""
    west_of = np.cumsum(known.sum(axis=0))
    return np.broadcast_to(west_of > (1 - share) * west_of[-1], known.shape)


def spans_of(scene: Scene, grid: WorkGrid) -> Iterator[tuple[Span, NDArray[np.float32], NDArray[np.bool_]]]:
    """Chip-sized parts of a scene's work grid, row by row: span, values (3, H, W) in 0–1, validity (H, W)."""
    with scene.reader(grid) as reader:
        for row0 in range(0, grid.size_hw[0], CHIP_PX):
            for col0 in range(0, grid.size_hw[1], CHIP_PX):
                span = Span(row0, col0, min(row0 + CHIP_PX, grid.size_hw[0]), min(col0 + CHIP_PX, grid.size_hw[1]))
                yield span, *reader.read(span)


def chip_from(
    values: NDArray[np.float32], instances: NDArray[np.int32], known: NDArray[np.uint8], stage: NDArray[np.uint8]
) -> Chip:
    """A chip; stage and instances are empty where the footprint is not known to be a building."""
    kept = instances * (known == 1)
    if kept.max(initial=0) > np.iinfo(np.uint16).max:  # the range of a PNG of the store; one chip has far fewer buildings
        _, numbers = np.unique(np.append(0, kept.ravel()), return_inverse=True)
        kept = numbers[1:].reshape(kept.shape)
    image = np.round(values.transpose(1, 2, 0) * 255).astype(np.uint8)  # (H, W, 3)
    return Chip(image, kept.astype(np.uint16), known, stage * (known == 1))


def described(row: ChipRow, chip: Chip, scene: Scene, grid: WorkGrid, span: Span) -> ChipRow:
    """The row completed with counts, problem, place on the ground and hash of the chip."""
    offset_m = offset_of(chip, grid.gsd_m) if row.label_kind in ("outlines", "loose") else float("nan")
    problem = _unseen(chip) or ("shifted" if offset_m >= SHIFTED_M else "")
    return replace(
        row,
        known_m2=float((chip.footprint != UNKNOWN).sum() * grid.gsd_m**2),
        buildings=len(np.unique(chip.instances[chip.instances > 0])),
        unfinished=unfinished_in(chip)[1],
        offset_m=offset_m,
        problem=problem,
        bounds_wkb=_on_the_ground(scene, grid, span),
        sha256=chip.sha256(),
    )


def unfinished_in(chip: Chip) -> tuple[NDArray[np.int32], int]:
    """Label image of connected pixels known as foundation or incomplete, and the number of labels."""
    count, labels = cv2.connectedComponents(np.isin(chip.stage, (1, 2)).astype(np.uint8), connectivity=4)
    return labels, count - 1


def _unseen(chip: Chip) -> str:
    """``black``, ``cloud`` or an empty text."""
    grey = chip.image.mean(axis=2)
    if (chip.image.max(axis=2) <= 8).mean() > 0.9:
        return "black"
    spread = cv2.blur(grey**2, (9, 9)) - cv2.blur(grey, (9, 9)) ** 2
    bright = (chip.image.min(axis=2) > 200) & (np.ptp(chip.image, axis=2) < 25) & (spread < 36)
    return "cloud" if bright.mean() > 0.5 else ""


def offset_of(chip: Chip, gsd_m: float) -> float:
    """The shift that would move the outlines onto edges in the picture, metres; NaN if it is not clear.

    The offset within 5 m at which outlines lie on the strongest edges, found by cross-correlation of gradient and outline.
    """
    if len(np.unique(chip.instances)) < 6:  # 0 and five buildings
        return float("nan")
    grey = cv2.GaussianBlur(chip.image.mean(axis=2).astype(np.float32), (0, 0), max(0.6, 0.5 / gsd_m))
    gradient = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    gradient = np.minimum(gradient, np.percentile(gradient, 98))
    outline = (cv2.dilate(chip.instances, np.ones((3, 3))) != cv2.erode(chip.instances, np.ones((3, 3)))).astype(np.float32)
    reach = max(2, round(_REACH_M / gsd_m))
    inner = (slice(reach, -reach), slice(reach, -reach))
    if min(outline.shape) < 4 * reach or not outline[inner].any():
        return float("nan")
    template = outline[inner] - outline[inner].mean()
    scores = signal.fftconvolve(gradient - gradient.mean(), template[::-1, ::-1], mode="valid")  # (2·reach + 1) squared
    row, col = np.unravel_index(int(scores.argmax()), scores.shape)
    window = gradient[row : row + template.shape[0], col : col + template.shape[1]]
    if scores[row, col] < _CLEAR * np.linalg.norm(template) * np.linalg.norm(window - window.mean()):
        return float("nan")
    return float(np.hypot(row - reach, col - reach) * gsd_m)


def _on_the_ground(scene: Scene, grid: WorkGrid, span: Span) -> bytes | None:
    """The chip's outline in EPSG:4326, as WKB; None without georeference."""
    if scene.crs is None:
        return None
    return shapely.to_wkb(to_degrees(np.array([span_outline(grid.transform, span)], dtype=object), scene.crs)[0])
