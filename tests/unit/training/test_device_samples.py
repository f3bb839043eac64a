"""Samples drawn on the device, here torch's CPU: aligned, exact, and like those of the loader."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import albumentations.augmentations.pixel.functional as AF
import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from detect.base.errors import InputError
from detect.datasets.chips import UNKNOWN, Chip, ChipRow, read_index, write_chip, write_index
from detect.training import augment, heads
from detect.training.config import DataConfig, NetworkConfig, TrainConfig
from detect.training.data import TrainingSamples
from detect.training.device import colours, labels, looks, pixels, roofs
from detect.training.device.batches import DeviceBatches
from detect.training.device.cut import Cut, cut
from detect.training.device.pixels import ResidentPixels
from detect.training.device.plan import TRIES, Plan
from detect.training.losses import network_loss

CPU = torch.device("cpu")
PX = 64


def town(seed: int, size_hw: tuple[int, int], *, unknown: bool = True) -> Chip:
    """Rows of houses on ground with texture, some unfinished, a strip without labels."""
    rng = np.random.default_rng(seed)
    height, width = size_hw
    instances = np.zeros(size_hw, np.uint16)
    stage = np.zeros(size_hw, np.uint8)
    image = ndimage.gaussian_filter(rng.normal(0, 60, (*size_hw, 3)), (3, 3, 0)) + np.array([90, 110, 80])
    number = 0
    for row in range(6, height - 40, 48):
        for col in range(6, width - 30, 34 if row % 96 < 48 else 31):
            number += 1
            house = (slice(row, row + int(rng.integers(18, 36))), slice(col, col + int(rng.integers(14, 33))))
            instances[house] = number
            stage[house] = rng.choice([0, 1, 2, 3], p=[0.2, 0.1, 0.2, 0.5])
            image[house] += rng.uniform(20, 120, 3)
    footprint = (instances > 0).astype(np.uint8)
    if unknown:
        footprint[:, : width // 8], instances[:, : width // 8], stage[:, : width // 8] = UNKNOWN, 0, 0
    return Chip(np.clip(image, 0, 255).astype(np.uint8), instances, footprint, stage)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chips")
    rows = []
    for number, (kind, gsd_m, size_hw) in enumerate(
        [("outlines", 0.3, (300, 420)), ("outlines", 0.12, (500, 360)), ("merged", 0.5, (200, 260)), ("coarse", 0.8, (160, 200))]
    ):
        chip = town(number, size_hw)
        write_chip(folder, f"c{number}", chip)
        rows.append(
            ChipRow(f"c{number}", f"set_{number % 3}", f"p{number}", "train", kind, gsd_m, "CC0", "x.tif", known_m2=900.0,
                    buildings=9, unfinished=3 if number < 2 else 0, sha256=chip.sha256())
        )  # fmt: skip
    write_index(folder, rows)
    return folder


def recipe(store: Path, **data: object) -> TrainConfig:
    chosen = {"chips": str(store), "chip_px": PX, "batch": 40, "samples": 4000, "simulated": 0.0, "device": "gpu", "bank": 24}
    return TrainConfig("x", "out", seed=3, data=DataConfig(**(chosen | data)))  # type: ignore[arg-type]


@pytest.fixture
def batches(store: Path) -> Iterator[DeviceBatches]:
    config = recipe(store, simulated=0.3, drawn=0.1, tinted=0.3, recoloured=0.3, turned=0.5, unfinished=0.2, strong=0.5)
    made = DeviceBatches(config, read_index(store), CPU)
    yield made
    made.stop()


def plan(count: int, side_px: int, **changes: NDArray) -> Plan:
    """Whole squares of the first chip, as they lie."""
    none = np.zeros(count, bool)
    values = {
        "row": np.zeros(count, np.int64), "banked": none, "gsd_m": np.full(count, 0.3), "coarser": np.ones(count),
        "side_px": np.full(count, side_px), "corners_rc": np.zeros((count, TRIES, 2), np.int64), "built": none,
        "turn": np.tile(np.eye(2, dtype=np.float32), (count, 1, 1)), "tinted": none, "recoloured": none,
    }  # fmt: skip
    return Plan(**(values | changes))


def resident(chip: Chip, size_px: int = PX) -> ResidentPixels:
    return ResidentPixels([chip], ["outlines"], size_px, 0, CPU)


# Squares.


def coded() -> Chip:
    """Each building has a colour of its own, and so has the ground."""
    chip = town(5, (200, 240))
    image = np.stack([chip.instances * 5 % 256, chip.footprint * 80, chip.stage * 60], axis=-1).astype(np.uint8)
    return Chip(image, chip.instances, chip.footprint, chip.stage)


def test_labels_lie_where_the_image_shows_them() -> None:
    chip = coded()
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 7, 30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]).transpose(2, 0, 1).astype(np.float32)
    corners = rng.integers(-20, 150, (30, 1, 2)).repeat(TRIES, axis=1)
    seen = cut(resident(chip), plan(30, 60, corners_rc=corners.clip(0, 140), turn=turn))
    known = (seen.footprint != UNKNOWN) | (seen.image[:, 1] == 240)
    codes = torch.stack([seen.instances * 5 % 256, seen.footprint * 80, seen.stage * 60], dim=1)
    wrong = (codes - seen.image).abs().amax(dim=1) > 90
    edges = torch.from_numpy(
        np.stack([ndimage.grey_dilation(a, 3) - ndimage.grey_erosion(a, 3) > 0 for a in seen.image.sum(1).numpy()])
    )
    assert known.float().mean() > 0.5
    assert not (wrong & known & ~edges).any(), "away from edges, where colours blend"


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_right_angles_are_exact(turns: int, mirrored: bool) -> None:
    chip = town(1, (100, 90))
    matrix = np.linalg.matrix_power(np.array([[0, 1], [-1, 0]]), turns)[None] * ([[[1, -1]]] if mirrored else 1)
    corner = np.tile([11, 7], (1, TRIES, 1))
    seen = cut(resident(chip), plan(1, PX, corners_rc=corner, turn=matrix.astype(np.float32)))

    def wanted(array: NDArray) -> NDArray:
        turned = np.rot90(array[11 : 11 + PX, 7 : 7 + PX], turns)
        return turned[:, ::-1] if mirrored else turned

    np.testing.assert_array_equal(seen.image[0].permute(1, 2, 0).numpy(), wanted(chip.image))
    np.testing.assert_array_equal(seen.instances[0].numpy(), wanted(chip.instances))
    np.testing.assert_array_equal(seen.footprint[0].numpy(), wanted(chip.footprint))
    np.testing.assert_array_equal(seen.stage[0].numpy(), wanted(chip.stage))


@pytest.mark.parametrize("side_px", [40, 64, 90, 128, 150, 250])
def test_enlarged_and_reduced_squares_are_those_of_the_loader(side_px: int) -> None:
    chip = town(2, (260, 300))
    seen = cut(resident(chip), plan(1, side_px))
    how = cv2.INTER_AREA if side_px > PX else cv2.INTER_LINEAR
    wanted = cv2.resize(chip.image[:side_px, :side_px], (PX, PX), interpolation=how).astype(float)
    off = np.abs(seen.image[0].permute(1, 2, 0).numpy() - wanted)[1:-1, 1:-1]
    assert off.mean() < (0.5 if side_px in (40, 64, 128) else 2.5)
    nearest = cv2.resize(chip.footprint[:side_px, :side_px], (PX, PX), interpolation=cv2.INTER_NEAREST_EXACT)
    assert (seen.footprint[0].numpy() != nearest).mean() < 0.001


def test_beyond_a_chip_it_is_mirrored_and_unknown() -> None:
    chip = town(2, (PX, PX), unknown=False)
    seen = cut(resident(chip), plan(1, PX, turn=np.array([[[0.8, -0.6], [0.6, 0.8]]], np.float32)))
    beyond = seen.footprint[0] == UNKNOWN
    assert 0.02 < beyond.float().mean() < 0.3
    assert (seen.instances[0][beyond] == 0).all() and (seen.stage[0][beyond] == 0).all()
    assert seen.image[0][:, beyond].std() > 5


def test_the_first_square_that_shows_a_building_is_taken() -> None:
    chip = town(1, (200, 200), unknown=False)
    chip.footprint[:100], chip.instances[:100] = 0, 0
    chip.footprint[:, :30] = UNKNOWN
    corners = np.zeros((3, TRIES, 2), np.int64)
    corners[:, 1], corners[:, 2], corners[:, 3:] = [0, 100], [120, 90], [130, 130]
    built = np.array([False, True, True])
    corners[2, 2] = [0, 110]
    found = resident(chip).corners(plan(3, 40, corners_rc=corners, built=built))
    assert found.tolist() == [[0, 100], [120, 90], [130, 130]]
    assert (chip.footprint[:40, :40] != UNKNOWN).mean() < 0.3


# Labels.


@pytest.mark.parametrize("gsd_m", [0.2, 0.3, 0.45, 0.9])
def test_boundaries_and_gaps_are_those_of_the_loader(gsd_m: float) -> None:
    chips = [town(seed, (150, 170)) for seed in range(3)]
    truths = labels.Truths(
        *(torch.from_numpy(np.stack([getattr(c, name) for c in chips]).astype(t)) for name, t in
          (("instances", np.int32), ("footprint", np.uint8), ("stage", np.uint8))),
        exact=torch.ones(3, 150, 170, dtype=torch.bool), separated=torch.tensor([True, True, False])[:, None, None].expand(3, 150, 170),
        gsd_m=np.array([gsd_m, 0.25, gsd_m]),
    )  # fmt: skip
    loss = TrainConfig("x", "y").loss
    seen = {name: part for head in heads.TRAINED_HEADS for name, part in head.tensors(truths, loss).items()}
    for number, chip in enumerate(chips):
        size_hw = chip.footprint.shape
        truth = heads.Truth(chip, float(truths.gsd_m[number]), np.ones(size_hw, bool), np.full(size_hw, number < 2))
        wanted = {name: part for head in heads.TRAINED_HEADS for name, part in head.targets(truth, loss).items()}
        assert seen.keys() == wanted.keys()
        assert number == 2 or (wanted["boundary"] == 1).any()
        for name, part in wanted.items():
            np.testing.assert_array_equal(seen[name][number].numpy(), part, err_msg=name)
            assert torch.from_numpy(part).dtype == seen[name].dtype


# Roofs and colours.


def test_only_roofs_take_other_colours() -> None:
    chip = town(4, (112, 112), unknown=False)
    many = [chip] * 40
    for change in (roofs.tint, roofs.recolour):
        sample = Cut(
            *(torch.from_numpy(np.stack([getattr(c, name) for c in many]).astype(t)) for name, t in
              (("image", np.float32), ("instances", np.int32), ("footprint", np.uint8), ("stage", np.uint8))),
            exact=torch.ones(1), separated=torch.ones(1),
        )  # fmt: skip
        sample.image = sample.image.permute(0, 3, 1, 2).contiguous()
        before = sample.image.clone()
        change(np.random.default_rng(1), sample, torch.arange(30))
        off = (sample.image - before).abs().mean(dim=1).numpy()
        ground = cv2.dilate(chip.footprint, np.ones((7, 7), np.uint8)) == 0
        assert (off[:, ground] == 0).all() and (off[30:] == 0).all()
        assert off[:30][:, cv2.erode(chip.footprint, np.ones((5, 5), np.uint8)) == 1].mean() > 15
        assert set(np.unique(sample.image)) <= set(range(256))
    inside = [chip.instances == number for number in (1, 2)]
    tones = sample.image[:30].numpy()[:, :, inside[0]].mean(axis=2)
    assert {int(tone.argmax()) for tone in tones} == {0, 1, 2}
    others = sample.image[:30].numpy()[:, :, inside[1]].mean(axis=2)
    assert np.abs(tones - others).mean() > 10, "in half of the samples each roof has its own colour"


def picture(count: int = 4) -> torch.Tensor:
    return torch.from_numpy(np.stack([town(seed, (PX, PX)).image for seed in range(count)])).permute(0, 3, 1, 2).float()


def on_host(image: torch.Tensor) -> list[NDArray[np.uint8]]:
    return [np.ascontiguousarray(a) for a in image.permute(0, 2, 3, 1).byte().numpy()]


def test_colour_arithmetic_is_that_of_the_loader() -> None:
    image = picture()
    by = torch.tensor([20.0, -30.0, 12.0])[None, :, None, None].expand(4, 3, 1, 1)
    seen = colours.shift_hsv(image, by).permute(0, 2, 3, 1).numpy()
    wanted = np.stack([AF.shift_hsv(a, 20, -30, 12) for a in on_host(image)])
    assert np.abs(seen - wanted).mean() < 1.5, "OpenCV's hues are whole numbers"
    low, high = torch.full((4, 1, 1, 1), 0.4), torch.full((4, 1, 1, 1), 0.6)
    wanted = np.stack([AF.move_tone_curve(a, 0.4, 0.6) for a in on_host(image)])
    assert np.abs(colours.curve(image, low, high).permute(0, 2, 3, 1).numpy() - wanted).max() <= 0.51
    wanted = np.stack([cv2.cvtColor(a, cv2.COLOR_RGB2GRAY) for a in on_host(image)])
    assert np.abs(colours.grey(image)[:, 0].numpy() - wanted).max() <= 0.51


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_compression_loses_what_jpeg_loses(quality: int) -> None:
    image = picture()
    seen = colours.jpeg(image, torch.full((4,), float(quality))).round().permute(0, 2, 3, 1).numpy()
    for before, after in zip(on_host(image), seen, strict=True):
        code = cv2.imencode(".jpg", before[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        wanted = cv2.imdecode(code, cv2.IMREAD_COLOR)[..., ::-1].astype(float)
        assert np.abs(after - wanted).mean() < 0.3 * np.abs(before - wanted).mean() + 0.3


def test_a_coarser_sensor_is_that_of_the_loader() -> None:
    image = picture()
    seen = image.clone()
    looks.coarsen(seen, np.array([1, 3]), np.array([1.7, 3.2]))
    assert (seen[[0, 2]] == image[[0, 2]]).all()
    for number, times in ((1, 1.7), (3, 3.2)):
        wanted = augment.coarsen(on_host(image)[number], 0.3, 0.3 * times).astype(float)
        assert np.abs(seen[number].permute(1, 2, 0).numpy() - wanted).max() <= 1.01


@pytest.mark.parametrize(
    ("limits", "photometry"), [(looks.ORDINARY, augment.photometry), (looks.STRONG, augment.strong_photometry)]
)
def test_looks_differ_as_far_as_those_of_the_loader(limits: looks.Looks, photometry) -> None:  # type: ignore[no-untyped-def]
    image = picture(10).repeat(100, 1, 1, 1)
    seen = image.clone()
    looks.change(np.random.default_rng(0), torch.Generator().manual_seed(0), seen, np.arange(1000), limits)
    work = photometry()
    work.set_random_state(np.random.default_rng(0), random.Random(0))
    wanted = torch.from_numpy(np.stack([work(image=a)["image"] for a in on_host(image)])).permute(0, 3, 1, 2).float()
    assert (seen == seen.round()).all() and seen.min() >= 0 and seen.max() <= 255

    def facts(part: torch.Tensor) -> NDArray[np.float64]:
        fine = (part.diff(dim=3)).abs().mean(dim=(1, 2, 3))
        colour = part.std(dim=1).mean(dim=(1, 2))
        means = part.mean(dim=(1, 2, 3))
        change = (part - image).abs().mean(dim=(1, 2, 3))
        values = [means.mean(), means.std(), part.std(dim=(2, 3)).mean(), fine.mean(), colour.mean(), colour.std(), change.mean()]
        return torch.stack(values).double().numpy()

    np.testing.assert_allclose(facts(seen), facts(wanted), rtol=0.15)


# Whole batches.


def facts(batch: dict[str, torch.Tensor]) -> dict[str, float]:
    """Means over samples; building sizes are of connected pixels."""
    image = (batch["image"] * 0.5 + 0.5) * 255
    found = {f"mean {band}": float(image[:, band].mean()) for band in range(3)}
    found |= {f"deviation {band}": float(image[:, band].std()) for band in range(3)}
    found["texture"] = float(image.diff(dim=3).abs().mean())
    found["spread of lights"] = float(image.mean(dim=(1, 2, 3)).std())
    found["spread of contrasts"] = float(image.std(dim=(1, 2, 3)).std())
    found["colourfulness"] = float(image.std(dim=1).mean())
    for name, part, value in (
        ("built", "footprint", 1), ("unknown", "footprint", 3), ("boundary", "boundary", 1), ("no boundary known", "boundary", 3),
        ("foundation", "stage", 1), ("incomplete", "stage", 2), ("complete", "stage", 3),
    ):  # fmt: skip
        found[name] = float((batch[part] == value).float().mean())
    found["weight"] = float(batch["weight"].mean())
    sizes = [np.bincount(ndimage.label(a == 1)[0].ravel())[1:] for a in batch["footprint"].numpy()]
    found["building px"] = float(np.concatenate(sizes).mean())
    return found


TOLERANCE = {
    "mean": 0.04, "deviation": 0.06, "texture": 0.12, "spread": 0.08, "colourfulness": 0.08,
    "weight": 0.06, "unknown": 0.35, "boundary": 0.3, "foundation": 0.4,
}  # fmt: skip
"""Relative; of other facts 0.2. Some three standard errors of 1,000 samples from four chips."""


def test_the_distribution_is_that_of_the_loader(store: Path) -> None:
    config = recipe(store, simulated=0.3, drawn=0.1, tinted=0.3, recoloured=0.3, turned=0.5, unfinished=0.2, strong=0.5, bank=400)
    made = DeviceBatches(config, read_index(store), CPU)
    device = [made.batch(step, 0) for step in range(100, 125)]
    made.stop()
    samples = TrainingSamples(config, read_index(store), 0, 1000)
    host = [samples[number] for number in range(1000)]
    seen = facts({name: torch.cat([batch[name] for batch in device]) for name in device[0]})
    wanted = facts({name: torch.stack([sample[name] for sample in host]) for name in host[0]})
    off = {name: abs(seen[name] / wanted[name] - 1) for name in wanted}
    far = {name: (seen[name], wanted[name]) for name in off if off[name] > TOLERANCE.get(name.split()[0], 0.2)}
    assert not far, far


def test_a_step_has_one_batch(batches: DeviceBatches, store: Path) -> None:
    first = batches.batch(7, 0)
    again = DeviceBatches(batches._config, read_index(store), CPU)
    repeated = again.batch(7, 0)
    again.stop()
    assert first.keys() == repeated.keys()
    assert all(torch.equal(first[name], repeated[name]) for name in first)
    for step, rank in ((8, 0), (7, 1)):
        assert not torch.equal(first["image"], batches.batch(step, rank)["image"])


def test_batches_have_the_parts_of_the_loader(batches: DeviceBatches, store: Path) -> None:
    batch = batches.batch(0, 0)
    sample = TrainingSamples(batches._config, read_index(store), 0, 1)[0]
    assert {name: (part.shape[1:], part.dtype) for name, part in batch.items()} == {
        name: (part.shape, part.dtype) for name, part in sample.items()
    }
    assert float(batch["image"].abs().max()) <= 1
    assert torch.isfinite(network_loss(torch.zeros(40, 5, PX, PX), batch, batches._config.loss)["loss"])


def test_teachers_are_shown_the_colours_before_the_change(store: Path) -> None:
    changed, same = recipe(store, coloured=1.0, strong=1.0), recipe(store, coloured=0.0)
    plain = NetworkConfig(teachers=("deep",), plain_teachers=True)
    seen = []
    for config in (replace(changed, network=plain), same):
        made = DeviceBatches(config, read_index(store), CPU)
        seen.append(made.batch(3, 0))
        made.stop()
    assert torch.equal(seen[0]["plain"], seen[1]["image"]) and "plain" not in seen[1]
    assert not torch.equal(seen[0]["plain"], seen[0]["image"])


def test_a_step_waits_for_its_bank_and_hears_of_failures(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = DeviceBatches(recipe(store, simulated=1.0, bank=20), read_index(store), CPU)
    assert len(made._bank.gsd_m(0)) == 20
    made.stop()

    def fail(*_: object) -> None:
        raise InputError("chip c0: broken")

    monkeypatch.setattr(augment, "add_rows", fail)
    broken = DeviceBatches(recipe(store, simulated=1.0), read_index(store), CPU)
    with pytest.raises(InputError, match="c0: broken"):
        broken.batch(0, 0)
    broken.stop()


def test_chips_that_do_not_fit_are_refused_in_one_line(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "free_bytes", lambda _device: 1_000_000)
    with pytest.raises(InputError, match=r"the chips need 0\.0 GB on cpu, .* 60% may be used; set data\.device to cpu") as caught:
        DeviceBatches(recipe(store), read_index(store), CPU)
    assert "\n" not in str(caught.value)


def test_other_devices_are_refused(store: Path) -> None:
    with pytest.raises(InputError, match=r"CUDA devices, not on mps; set data\.device to cpu"):
        DeviceBatches(recipe(store), read_index(store), torch.device("mps"))


def test_a_store_without_unfinished_buildings_is_refused(tmp_path: Path) -> None:
    chip = town(0, (80, 80))
    chip.stage[:] = 0
    write_chip(tmp_path, "a", chip)
    write_index(
        tmp_path, [ChipRow("a", "s", "p", "train", "outlines", 0.3, "CC0", "x", known_m2=1.0, unfinished=1, sha256=chip.sha256())]
    )
    with pytest.raises(InputError, match=r"unfinished building; set data\.unfinished to 0"):
        DeviceBatches(recipe(tmp_path, unfinished=0.1), read_index(tmp_path), CPU)
