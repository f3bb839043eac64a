"""What a chip goes through before the network sees it. Every step is drawn from the sample's own generator.

albumentations does the photometry; this is the one module that knows it (2.0.8 is its last MIT release, and it asks the network for
updates at import unless told not to).
"""

from __future__ import annotations

import os
from dataclasses import replace

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from detect.datasets.chips import UNKNOWN, Chip
from detect.simulate import CAMP, STAGES, TERRACE, TERRACE_RANGES, draw_compound, paint_compound

BOUNDARY_M = 1.75
"""Half the widest gap that counts as a boundary between neighbours: 3.5 m, some ten pixels."""


TERRACE_SHARE = 0.35
"""Of the simulated samples; the others show camps."""


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


def cut(rng: np.random.Generator, chip: Chip, chip_gsd_m: float, gsd_m: float, size_px: int) -> Chip:
    """A square of ``size_px`` at about ``gsd_m`` (± 30 %) from a chip, turned and mirrored; most hold a building."""
    height, width = chip.footprint.shape
    side = min(size_px * gsd_m * np.exp(rng.uniform(-0.3, 0.3)) / chip_gsd_m, height, width)
    side = max(8, int(side))
    wants_building = rng.random() < 0.6
    for _ in range(12):
        row, col = (int(rng.integers(0, n - side + 1)) for n in (height, width))
        window = (slice(row, row + side), slice(col, col + side))
        known = chip.footprint[window]
        if (known != UNKNOWN).mean() > 0.3 and (not wants_building or (known == 1).any()):
            break
    turns, mirrored = int(rng.integers(4)), rng.random() < 0.5

    def turn(array: NDArray) -> NDArray:
        array = np.rot90(array, turns)
        return np.ascontiguousarray(array[:, ::-1] if mirrored else array)

    def nearest(array: NDArray) -> NDArray:
        return turn(cv2.resize(array[window], (size_px, size_px), interpolation=cv2.INTER_NEAREST_EXACT))

    smooth = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
    image = turn(cv2.resize(chip.image[window], (size_px, size_px), interpolation=smooth))
    return Chip(image, nearest(chip.instances), nearest(chip.footprint), nearest(chip.stage))


def add_compound(rng: np.random.Generator, chip: Chip, gsd_m: float) -> tuple[Chip, NDArray[np.bool_]]:
    """Rows of simulated blocks or terraces painted on a sample, their labels with them; and where they decide the label."""
    height, width = chip.footprint.shape
    centre = (rng.uniform(0.15, 0.85) * width, rng.uniform(0.15, 0.85) * height)
    look, ranges = (TERRACE, TERRACE_RANGES) if rng.random() < TERRACE_SHARE else (CAMP, None)
    compound = draw_compound(rng, centre, gsd_m, ranges)
    image, has_yard = paint_compound(rng, chip.image, compound, gsd_m, look=look)
    instances, footprint, stage = chip.instances.copy(), chip.footprint.copy(), chip.stage.copy()
    decided = _filled(compound.yard_px, (height, width))
    if has_yard:
        instances[decided], footprint[decided], stage[decided] = 0, 0, 0
    # Old houses that a block covers in part would leave slivers with labels of their own; what is left of them is unknown.
    first = int(instances.max()) + 1
    for number, block in enumerate(compound.blocks):
        inside = _filled(block.corners_px, (height, width))
        for covered in np.unique(instances[inside]):
            if 0 < covered < first:
                rest = instances == covered
                footprint[rest], instances[rest], stage[rest] = UNKNOWN, 0, 0
        instances[inside] = first + number
        footprint[inside] = 1
        stage[inside] = STAGES.index(block.stage) + 1
        if not has_yard:
            decided |= inside
    return Chip(image, instances, footprint, stage), decided


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


def coarsen(rng: np.random.Generator, image: NDArray[np.uint8], gsd_m: float, max_gsd_m: float) -> NDArray[np.uint8]:
    """The image as a coarser sensor would have seen it, enlarged again."""
    seen_m = rng.uniform(gsd_m, max_gsd_m)
    height, width = image.shape[:2]
    small = (max(8, int(width * gsd_m / seen_m)), max(8, int(height * gsd_m / seen_m)))
    return cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_LINEAR)


def boundaries(instances: NDArray[np.uint16], gsd_m: float) -> NDArray[np.uint8]:
    """1 on gaps of up to 3.5 m between two buildings and on their shared walls, one pixel into each; else 0.

    A pixel counts when two grown buildings meet on it, unless it lies inside one of them.
    """
    reach = max(2, round(BOUNDARY_M / gsd_m))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    small = np.ones((3, 3), np.uint8)
    grown = np.zeros(instances.shape, np.uint8)
    interior = np.zeros(instances.shape, bool)
    height, width = instances.shape
    for label, found in enumerate(ndimage.find_objects(instances), start=1):
        if found is None:
            continue
        rows, cols = found
        window = (
            slice(max(0, rows.start - reach - 1), min(height, rows.stop + reach + 1)),
            slice(max(0, cols.start - reach - 1), min(width, cols.stop + reach + 1)),
        )
        mask = (instances[window] == label).astype(np.uint8)
        grown[window] += cv2.dilate(mask, kernel)
        interior[window] |= cv2.erode(mask, small).astype(bool)
    return ((grown >= 2) & ~interior).astype(np.uint8)


def gap_weights(footprint: NDArray[np.uint8], gsd_m: float, gap_m: float, weight: float) -> NDArray[np.float32]:
    """``weight`` on background within ``gap_m`` of a building, 1 elsewhere."""
    reach = max(1, round(gap_m / gsd_m))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = cv2.dilate((footprint == 1).astype(np.uint8), kernel).astype(bool) & (footprint == 0)
    return np.where(near, np.float32(weight), np.float32(1))


def _filled(corners_px: NDArray[np.float64], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(mask, [np.round((corners_px - 0.5) * 16).astype(np.int32)], 1, shift=4)
    return mask.astype(bool)
