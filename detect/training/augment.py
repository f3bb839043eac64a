"""What a chip goes through before the network sees it. Every step is drawn from the sample's own generator.

albumentations does the photometry; this is the one module that knows it (2.0.8 is its last MIT release).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import albumentations as A
import cv2
import numpy as np
import shapely
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from detect.datasets.chips import UNKNOWN, Chip
from detect.simulate import CAMP, STAGES, TERRACES, TOUCHING, Layout, Sun, draw_plot, render, render_on, surround

MOST_COARSER = 1.4
"""By which a resampled batch may lose resolution along an axis."""
COARSENED = 0.35
"""Share of samples that imitate a coarser sensor."""
TRIES = 12
"""Squares of a chip that are drawn until one shows enough known ground and, where it must, a building."""
LEAST_KNOWN = 0.3
"""Share of a square that must have a label, if one of the tries has it."""
STYLES = ((CAMP, 0.65), (TERRACES, 0.25), (TOUCHING, 0.1))
"""Of rows painted on samples, and their shares."""
BLURRED = 0.2
"""Share of the samples with painted rows that are blurred as a coarser sensor would."""
COARSEST_M = 1.2
"""Pixel of the coarsest sensor that such a sample imitates."""


def photometry() -> A.Compose:
    """Colour, contrast and sensor noise, as they differ between satellites, drones, seasons and archives."""
    return A.Compose(
        [
            A.RandomBrightnessContrast(brightness_limit=0.15, contrast_limit=0.3, p=0.6),
            A.RandomGamma(gamma_limit=(75, 135), p=0.35),
            A.HueSaturationValue(hue_shift_limit=12, sat_shift_limit=35, val_shift_limit=10, p=0.5),
            # 11-bit archives are stretched band by band, which tints them.
            A.RGBShift(r_shift_limit=14, g_shift_limit=14, b_shift_limit=14, p=0.4),
            A.RandomToneCurve(scale=0.12, p=0.25),
            A.ToGray(p=0.15),
            A.OneOf([A.GaussianBlur(sigma_limit=(0.4, 1.3)), A.MotionBlur(blur_limit=5)], p=0.25),
            A.GaussNoise(std_range=(0.01, 0.05), p=0.3),
            A.ImageCompression(quality_range=(45, 95), p=0.3),
        ]
    )


def strong_photometry() -> A.Compose:
    """What archives elsewhere may look like: any tint, very dark or blown out, grey, blurred, noisy, red and blue swapped."""
    return A.Compose(
        [
            A.RandomBrightnessContrast(brightness_limit=0.35, contrast_limit=(-0.5, 0.5), p=0.7),
            A.RandomGamma(gamma_limit=(45, 220), p=0.5),
            A.HueSaturationValue(hue_shift_limit=30, sat_shift_limit=70, val_shift_limit=20, p=0.6),
            A.RGBShift(r_shift_limit=45, g_shift_limit=45, b_shift_limit=45, p=0.5),
            A.RandomToneCurve(scale=0.25, p=0.3),
            A.ChannelShuffle(p=0.06),
            A.ToGray(p=0.2),
            A.OneOf([A.GaussianBlur(sigma_limit=(0.4, 2.2)), A.MotionBlur(blur_limit=7)], p=0.35),
            A.OneOf([A.GaussNoise(std_range=(0.01, 0.1)), A.ISONoise(intensity=(0.1, 0.6))], p=0.4),
            A.ImageCompression(quality_range=(30, 95), p=0.4),
        ]
    )


def cut(
    rng: np.random.Generator,
    chip: Chip,
    chip_gsd_m: float,
    gsd_m: float,
    size_px: int,
    *,
    turned: float = 0.0,
    built: float = 0.6,
    around_rc: tuple[int, int] | None = None,
) -> Chip:
    """A square of ``size_px`` at about ``gsd_m`` (± 30 %) from a chip, turned and mirrored; the share ``built`` seeks a building.

    With ``around_rc`` the square lies anywhere around that pixel of the chip.

    All turn by right angles; the share ``turned`` by any angle too, slightly stretched, as a change of coordinate system would: what the
    network finds must not hang on how a scene was resampled. What lies beyond the chip is mirrored and unknown.
    """
    height, width = chip.footprint.shape
    side = min(size_px * gsd_m * np.exp(rng.uniform(-0.3, 0.3)) / chip_gsd_m, height, width)
    side = max(8, int(side))
    wants_building = rng.random() < built
    low, high = (0, 0), (height - side, width - side)
    if around_rc is not None:
        low = (max(0, around_rc[0] - side + 1), max(0, around_rc[1] - side + 1))
        high = (min(high[0], around_rc[0]), min(high[1], around_rc[1]))
    for _ in range(TRIES):
        row, col = (int(rng.integers(a, b + 1)) for a, b in zip(low, high, strict=True))
        window = (slice(row, row + side), slice(col, col + side))
        known = chip.footprint[window]
        if (known != UNKNOWN).mean() > LEAST_KNOWN and (not wants_building or (known == 1).any()):
            break
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
    any_angle = turned > 0 and rng.random() < turned
    resample = _turned(rng, (height, width), (row, col), side, size_px) if any_angle else _straight(window, side, size_px)

    def turn(array: NDArray) -> NDArray:
        array = np.rot90(array, turns)
        return np.ascontiguousarray(array[:, ::-1] if mirrored else array)

    return Chip(
        turn(resample(chip.image, None)),
        turn(resample(chip.instances, 0)),
        turn(resample(chip.footprint, UNKNOWN)),
        turn(resample(chip.stage, 0)),
    )


Resample = Callable[[NDArray, int | None], NDArray]
"""(array of a chip, what a label holds beyond it or None for an image) → the square that is cut."""


def _straight(window: tuple[slice, slice], side: int, size_px: int) -> Resample:
    def resample(array: NDArray, beyond: int | None) -> NDArray:
        smooth = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
        how = smooth if beyond is None else cv2.INTER_NEAREST_EXACT
        return cv2.resize(array[window], (size_px, size_px), interpolation=how)

    return resample


def _turned(rng: np.random.Generator, size_hw: tuple[int, int], corner_rc: tuple[int, int], side: int, size_px: int) -> Resample:
    """Shrunk or enlarged first, as predict reads, then turned by up to 45° and stretched by up to 8 % between pixels."""
    angle, stretch = rng.uniform(-np.pi / 4, np.pi / 4), np.exp(rng.uniform(-0.08, 0.08))
    smooth = int(rng.choice([cv2.INTER_LINEAR, cv2.INTER_CUBIC]))
    margin = math.ceil(side * 0.3)
    low = [max(0, c - margin) for c in corner_rc]
    high = [min(n, c + side + margin) for n, c in zip(size_hw, corner_rc, strict=True)]
    window = (slice(low[0], high[0]), slice(low[1], high[1]))
    around_hw = [max(1, round((b - a) * size_px / side)) for a, b in zip(low, high, strict=True)]
    scales = [n / (b - a) for n, a, b in zip(around_hw, low, high, strict=True)]
    middle = np.array([(c + side / 2 - a) * s for c, a, s in zip(corner_rc, low, scales, strict=True)])[::-1]  # x, y
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * [stretch, 1 / stretch]
    # Pixel centres lie at half numbers in ours and at whole ones in OpenCV's.
    to_around = np.column_stack([axes, middle - 0.5 - axes @ np.full(2, (size_px - 1) / 2)])

    def resample(array: NDArray, beyond: int | None) -> NDArray:
        shrunk = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
        around = cv2.resize(
            array[window], tuple(around_hw[::-1]), interpolation=shrunk if beyond is None else cv2.INTER_NEAREST_EXACT
        )
        return cv2.warpAffine(
            around,
            to_around,
            (size_px, size_px),
            flags=(smooth if beyond is None else cv2.INTER_NEAREST) | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REFLECT_101 if beyond is None else cv2.BORDER_CONSTANT,
            borderValue=beyond or 0,
        )

    return resample


def draw_sun(rng: np.random.Generator) -> Sun:
    """The one sun of a sample."""
    return Sun(elevation_deg=rng.uniform(25, 75), azimuth_deg=rng.uniform(0, 360))


def drawn(rng: np.random.Generator, gsd_m: float, size_px: int, sun: Sun) -> Chip:
    """Drawn ground with roads, fields, trees and a few drawn buildings, all of it known; a camp comes on top with ``add_rows``.

    A fifth show a graded yard on which nothing stands yet: open ground is no building, however neat its edges.
    """
    side_m = size_px * gsd_m
    layout = Layout((side_m, side_m))
    if rng.random() < 0.2:
        plot = draw_plot(rng, CAMP, "yard")
        layout.add(Layout((0.0, 0.0), yards=[plot.sites[0].corners_m], walls=plot.walls), rng.uniform(0.15, 0.85, 2) * side_m)
    surround(rng, layout)
    ground, sensor = (int(seed) for seed in rng.integers(2**31, size=2))
    image = np.ascontiguousarray(render(layout, gsd_m, sun, 0.0, ground, [sensor])[..., :3])
    chip = Chip(image, *(np.zeros((size_px, size_px), t) for t in (np.uint16, np.uint8, np.uint8)))
    _label(chip, layout, gsd_m)
    return chip


def add_rows(rng: np.random.Generator, chip: Chip, gsd_m: float, sun: Sun) -> tuple[Chip, NDArray[np.bool_]]:
    """Rows of simulated blocks or terraces painted on a sample, their labels with them; and where they decide the label."""
    size_hw = chip.footprint.shape
    style = STYLES[rng.choice(len(STYLES), p=[share for _, share in STYLES])][0]
    layout = Layout((size_hw[0] * gsd_m, size_hw[1] * gsd_m))
    layout.add(draw_plot(rng, style, "plot"), rng.uniform(0.15, 0.85, 2) * layout.size_m[::-1])
    image = render_on(chip.image, layout, gsd_m, sun, rng)
    if rng.random() < BLURRED and gsd_m < COARSEST_M:
        image = coarsen(image, gsd_m, min(COARSEST_M, gsd_m * rng.uniform(1.3, 2.5)))
    painted = Chip(image, chip.instances.copy(), chip.footprint.copy(), chip.stage.copy())
    ground = np.zeros(size_hw, bool)
    for yard in layout.yards:
        ground |= _filled(yard / gsd_m, size_hw)
    for line, width_m, _ in layout.roads:
        ground |= _filled(shapely.get_coordinates(shapely.LineString(line / gsd_m).buffer(width_m / 2 / gsd_m)), size_hw)
    _forget(painted, ground)
    painted.instances[ground], painted.footprint[ground], painted.stage[ground] = 0, 0, 0
    return painted, ground | _label(painted, layout, gsd_m)


def _label(chip: Chip, layout: Layout, gsd_m: float) -> NDArray[np.bool_]:
    """Write the buildings of a layout into the labels of a sample; returns the pixels that they cover."""
    first, covered = int(chip.instances.max()) + 1, np.zeros(chip.footprint.shape, bool)
    for number, structure in enumerate(layout.structures, start=first):
        stage = structure.stage(0.0)
        if stage is None:
            continue
        inside = _filled(structure.corners_m / gsd_m, chip.footprint.shape)
        _forget(chip, inside & (chip.instances < first))
        chip.instances[inside], chip.footprint[inside], chip.stage[inside] = number, 1, STAGES.index(stage) + 1
        covered |= inside
    return covered


def _forget(chip: Chip, painted: NDArray[np.bool_]) -> None:
    """Make unknown what is left of buildings that were painted over in part: slivers would have labels of their own."""
    for older in np.unique(chip.instances[painted]):
        if older:
            rest = chip.instances == older
            chip.footprint[rest], chip.instances[rest], chip.stage[rest] = UNKNOWN, 0, 0


def tint_roofs(rng: np.random.Generator, chip: Chip) -> Chip:
    """The roofs of a sample in another tone, most of them darker, half of them with a side in shade as pitched roofs have.

    Slate, dark tiles and steep roofs are rare where labels are plenty.
    """
    roofs = cv2.GaussianBlur((chip.footprint == 1).astype(np.float32), (0, 0), 0.8)[..., None]
    tone = np.exp(rng.uniform(np.log(0.3), np.log(1.2))) * rng.uniform(0.88, 1.12, 3)
    factors = np.ones(int(chip.instances.max()) + 1)
    factors[1:] = np.exp(rng.normal(0, 0.08, len(factors) - 1))  # neighbours are alike, not the same
    light = factors[chip.instances]
    if rng.random() < 0.5:
        azimuth, contrast = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.45)
        light = light * np.where(_leans_away(chip.instances, azimuth), 1 - contrast, 1 + contrast / 3)
    tinted = chip.image * (tone * light[..., None])
    image = chip.image * (1 - roofs) + tinted * roofs
    return replace(chip, image=np.clip(image + 0.5, 0, 255).astype(np.uint8))


def recolour_roofs(rng: np.random.Generator, chip: Chip) -> Chip:
    """The roofs of a sample in colours from anywhere on the circle: tin, tarpaulin, rust, paint. Light and shade on them stay.

    Half of the samples get one colour for all roofs, as one builder would; the others one per building. Some roofs stay as they are.
    """
    roofs = cv2.GaussianBlur((chip.footprint == 1).astype(np.float32), (0, 0), 0.8)[..., None]
    count = int(chip.instances.max())
    colours = np.empty((count + 1, 3), np.float32)
    own = 1 if rng.random() < 0.5 else count + 1
    colours[:] = vivid(rng, own)
    coloured = rng.random(count + 1) < 0.8
    light = chip.image.mean(axis=2, keepdims=True)
    painted = np.where(coloured[chip.instances][..., None], light * colours[chip.instances], chip.image.astype(np.float32))
    image = chip.image * (1 - roofs) + painted * roofs
    return replace(chip, image=np.clip(image + 0.5, 0, 255).astype(np.uint8))


def vivid(rng: np.random.Generator, count: int) -> NDArray[np.float32]:
    """(count, 3): factors of red, green and blue of any hue, by which a grey of the same light is coloured."""
    hsv = np.stack([rng.uniform(0, 360, count), rng.uniform(0.1, 0.8, count), np.ones(count)], axis=1).astype(np.float32)
    rgb = cv2.cvtColor(hsv[None], cv2.COLOR_HSV2RGB)[0].reshape(count, 3)
    factors = rgb / rgb.mean(axis=1, keepdims=True) * np.exp(rng.uniform(-0.5, 0.4, (count, 1)))
    return factors.astype(np.float32)


def _leans_away(instances: NDArray[np.uint16], azimuth: float) -> NDArray[np.bool_]:
    """Pixels on the side of each building's long axis that looks away from the sun."""
    away = np.zeros(instances.shape, bool)
    for label, window in enumerate(ndimage.find_objects(instances), start=1):
        if window is None:
            continue
        own = instances[window] == label
        rows, cols = np.nonzero(own)
        rows, cols = rows - rows.mean(), cols - cols.mean()
        axis = np.arctan2(2 * (rows * cols).mean(), (cols**2).mean() - (rows**2).mean()) / 2
        normal = np.array([-np.sin(axis), np.cos(axis)])  # x, y
        if normal @ [np.cos(azimuth), np.sin(azimuth)] < 0:
            normal = -normal
        away[window][own] = cols * normal[0] + rows * normal[1] > 0
    return away


def coarsen(image: NDArray[np.uint8], gsd_m: float, seen_m: float) -> NDArray[np.uint8]:
    """The image, whose pixel is ``gsd_m``, as a sensor with a pixel of ``seen_m`` would have seen it, enlarged again."""
    height, width = image.shape[:2]
    small = (max(8, int(width * gsd_m / seen_m)), max(8, int(height * gsd_m / seen_m)))
    return cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_LINEAR)


def mix(batch: dict[str, Tensor], share: float, seed: tuple[int, ...]) -> dict[str, Tensor]:
    """A batch in which a rectangle of some samples shows another sample's pixels and labels (CutMix, Yun et al. 2019, arXiv:1905.04899).

    Args:
        batch: tensors (N, …, H, W).
        share: of the samples that are mixed.
        seed: of the draw.
    """
    rng = np.random.default_rng(seed)
    count, (height, width) = len(batch["image"]), batch["image"].shape[-2:]
    foreign = torch.zeros((count, height, width), dtype=torch.bool)
    for sample in np.flatnonzero(rng.random(count) < share):
        size = [
            max(1, int(n * s))
            for n, s in zip(
                (height, width), np.sqrt(rng.uniform(0.1, 0.5)) * np.exp(rng.uniform(-0.3, 0.3) * np.array([1, -1])), strict=True
            )
        ]
        row, col = (int(rng.integers(0, max(1, n - s + 1))) for n, s in zip((height, width), size, strict=True))
        foreign[sample, row : row + size[0], col : col + size[1]] = True
    foreign = foreign.to(batch["image"].device)

    def mixed(own: Tensor) -> Tensor:
        return torch.where(foreign[:, None] if own.ndim == 4 else foreign, own.roll(1, dims=0), own)

    return {name: mixed(own) for name, own in batch.items()}


def resampled(image: Tensor, seed: tuple[int, ...]) -> Tensor:
    """A batch (N, 3, H, W) moved by up to half a pixel, scaled by up to 1 % and perhaps read a little coarser.

    That is what writing a scene in another coordinate system does to it; labels stay where they are. Each sample by cubic or linear
    interpolation.
    """
    rng = np.random.default_rng(seed)
    count, _, height, width = image.shape
    scale = 1 + rng.uniform(-0.01, 0.01, (count, 2))
    shift = rng.uniform(-0.5, 0.5, (count, 2)) * 2 / [width, height]  # in units of half the picture
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], shift
    with torch.autocast(image.device.type, enabled=False):  # in bfloat16, the grid would have steps of half a pixel
        grid = F.affine_grid(torch.from_numpy(theta).to(image), list(image.shape), align_corners=False)
    moved = torch.empty_like(image)
    cubic = torch.from_numpy(rng.random(count) < 0.5)
    for mode, chosen in (("bicubic", cubic), ("bilinear", ~cubic)):
        if chosen.any():
            moved[chosen] = F.grid_sample(image[chosen], grid[chosen], mode, "reflection", align_corners=False)
    if rng.random() < 0.5:
        coarse = [round(n / rng.uniform(1, MOST_COARSER)) for n in (height, width)]
        smaller = F.interpolate(moved, coarse, mode="bicubic", antialias=True)
        moved = F.interpolate(smaller, (height, width), mode="bicubic")
    return moved.clamp(-1, 1)  # the range of normalised pixels


def _filled(corners_px: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(mask, [np.round((corners_px - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)
