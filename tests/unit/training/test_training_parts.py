"""What training is made of: configuration, samples, losses, metrics."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler
from torch.utils.data import default_collate

from detect.base.errors import InputError
from detect.base.files import sha256_of
from detect.buildings.instances import InstanceParams
from detect.datasets.chips import UNKNOWN, Chip, ChipRow, mapped_chip, read_chip, read_index, write_chip, write_index
from detect.network.heads import HEADS
from detect.network.weights import load_weights
from detect.training import augment
from detect.training.config import LossConfig, load_config
from detect.training.data import ChipData, TrainingSamples
from detect.training.export import write_weights
from detect.training.fit import recipe_of
from detect.training.heads import TRAINED_HEADS, boundaries
from detect.training.losses import disagreement, distance, network_loss
from detect.training.metrics import Tally, at_gsd, coarse_sets, match_labels, scores_of
from detect.training.task import SegmentationTask, rate_factor, spare_depthwise

SMALL = "name: t\nout: o\ndata: {chips: c, chip_px: 64, batch: 2, samples: 8, simulated: 0.5, tinted: 0.5}\n"


def chip(size_hw: tuple[int, int] = (120, 160)) -> Chip:
    rng = np.random.default_rng(0)
    instances = np.zeros(size_hw, np.uint16)
    instances[20:60, 20:50] = 1
    instances[20:60, 54:90] = 2
    instances[80:100, 100:140] = 3
    image = np.where(instances[..., None] > 0, 190, 90) + rng.integers(-9, 9, (*size_hw, 3))
    stage = np.where(instances == 3, 2, 0).astype(np.uint8)
    return Chip(image.astype(np.uint8), instances, (instances > 0).astype(np.uint8), stage)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    rows = []
    for name, kind, split in (
        ("a", "outlines", "train"),
        ("b", "coarse", "train"),
        ("c", "merged", "train"),
        ("d", "outlines", "val"),
    ):
        write_chip(tmp_path, name, chip())
        rows.append(
            ChipRow(
                name,
                f"set_{name}",
                f"place_{name}",
                split,
                kind,
                0.4,
                "CC0",
                f"{name}.tif",
                known_m2=3000.0,
                buildings=3,
                unfinished=1 if name == "a" else 0,
                sha256=chip().sha256(),
            )
        )
    write_index(tmp_path, rows)
    return tmp_path


def samples(store: Path, tmp_path: Path, first: int = 0, count: int = 8, text: str = SMALL) -> TrainingSamples:
    (tmp_path / "c.yaml").write_text(text)
    config = load_config(tmp_path / "c.yaml", [f"data.chips={store}"])
    return TrainingSamples(config, read_index(store), first, count)


# Configuration.


def test_overrides_and_defaults(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(SMALL)
    config = load_config(tmp_path / "c.yaml", ["data.batch=4", "optimizer.ema=0.9", "trainer.accelerator=gpu"])
    assert load_config(tmp_path / "c.yaml", ["optimizer.encoder_lr=1e-4"]).optimizer.encoder_lr == 1e-4  # a text to YAML
    assert (config.data.batch, config.optimizer.ema, config.trainer, config.steps) == (4, 0.9, {"accelerator": "gpu"}, 2)
    assert (
        config.sha256()
        == load_config(tmp_path / "c.yaml", ["data.batch=4", "optimizer.ema=0.9", "trainer.accelerator=gpu"]).sha256()
    )
    assert config.sha256() != load_config(tmp_path / "c.yaml").sha256()


@pytest.mark.parametrize(
    ("override", "word"),
    [
        ("data.batches=4", "batches"), ("data.batch=big", "batch"), ("data.chip_px=70", "32"), ("data.samples=1", "samples"),
        ("optimizer.clip=nan", "clip"), ("optimizer.clip=.inf", "clip"), ("network.keep=2", "keep"),
        ("data.gsd_m=9", "gsd_m"),
        ("data.finest_gsd_m=0.5", "finest_gsd_m"), ("data.coloured=2", "coloured"),
        ("data.simulated=2", "simulated"), ("data.tinted=-1", "tinted"), ("data", "key.key=value"),
        ("name.x=1", "name"), ("data.batch=true", "batch"), ("loss.distil=1", "teachers"), ("data.mixed=2", "mixed"),
        ("network.plain_teachers=true", "teachers"),
        ("data.strong=2", "strong"), ("data.recoloured=-1", "recoloured"), ("optimizer.hold=0.95", "hold"),
        ("data.shares={fair_oam: much}", "data.shares.fair_oam"), ("data.shares={a: [", "not valid YAML"),
        ("data.device=tpu", "data.device"), ("data.bank=0", "data.bank"),
        ("data.workers=-1", "data.workers"), ("data.max_gsd_m=0.1", "data.max_gsd_m"),
        ("validate_every=0", "validate_every"), ("seed=-1", "seed"), ("optimizer.ema=2", "optimizer.ema"),
        ("optimizer.encoder_lr=-1", "encoder_lr"), ("optimizer.warmup=-1", "warmup"), ("loss.boundary=-1", "loss.boundary"),
        ("network.decoder_channels=[0]", "decoder_channels"), ("network.batch_norm_eps=-1", "batch_norm_eps"),
        ("name=../elsewhere", "name"), ("data.shares={fair_oam: -1}", "data.shares.fair_oam"),
    ],
)  # fmt: skip
def test_wrong_values_are_named(tmp_path: Path, override: str, word: str) -> None:
    (tmp_path / "c.yaml").write_text(SMALL)
    with pytest.raises(InputError, match=word) as caught:
        load_config(tmp_path / "c.yaml", [override])
    assert "\n" not in str(caught.value)


def test_missing_name_and_broken_yaml(tmp_path: Path) -> None:
    for text, word in (("out: o", "name"), ("a: [", "YAML"), ("words", "keys")):
        (tmp_path / "c.yaml").write_text(text)
        with pytest.raises(InputError, match=word):
            load_config(tmp_path / "c.yaml")


# The chip store.


def test_chips_come_back_as_they_were(store: Path) -> None:
    back = read_chip(store, "a")
    assert back.sha256() == chip().sha256() == read_index(store)["sha256"][0]
    (store / "a_truth.png").unlink()
    with pytest.raises(InputError, match="a_truth"):
        read_chip(store, "a")
    with pytest.raises(InputError, match="detect prepare"):
        read_index(store / "nowhere")


def test_a_chip_is_decoded_once_and_anew_when_it_has_changed(store: Path) -> None:
    first = mapped_chip(store, "a", chip().sha256())
    assert first.sha256() == chip().sha256()
    (store / "a_image.png").unlink()
    assert mapped_chip(store, "a", chip().sha256()).sha256() == chip().sha256(), "from the decoded file"
    with pytest.raises(InputError, match="a_image"):
        mapped_chip(store, "a", "f" * 64)
    other = replace(chip(), image=255 - chip().image)
    write_chip(store, "a", other)
    assert mapped_chip(store, "a", other.sha256()).sha256() == other.sha256()
    assert len(list((store / "decoded").iterdir())) == 1, "what was decoded before is gone"


# Samples.


def test_fine_chips_are_read_finer_where_the_recipe_says_so(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[float] = []
    cut = augment.cut
    monkeypatch.setattr(
        augment, "cut", lambda rng, chip, own, gsd_m, *a, **k: read.append(gsd_m) or cut(rng, chip, own, gsd_m, *a, **k)
    )
    text = SMALL.replace("chip_px", "gsd_m: 0.6, finest_gsd_m: 0.2, chip_px")
    drawn = samples(store, tmp_path, text=text, count=40)
    for i in range(40):
        drawn[i]
    assert len(read) == 40 and set(np.round(read, 6)) == {0.44, 0.6}, "the chips' pixel is 0.4 m; some imitate a coarser sensor"


def test_a_sample_is_the_same_wherever_the_run_was_resumed(store: Path, tmp_path: Path) -> None:
    whole = samples(store, tmp_path)
    later = samples(store, tmp_path, first=4, count=4)
    for i in (2, 0, 3):
        for key, value in later[i].items():
            assert torch.equal(value, whole[4 + i][key]), key
    assert not torch.equal(whole[0]["image"], whole[1]["image"])


def test_nothing_hangs_on_the_edge_of_a_loose_outline(store: Path, tmp_path: Path) -> None:
    index = read_index(store)
    index.loc[index["chip"] == "a", "label_kind"] = "loose"
    index.to_parquet(store / "index.parquet", index=False)
    text = SMALL.replace("simulated: 0.5", "simulated: 0.0, shares: {set_a: 1.0}")
    drawn = [samples(store, tmp_path, text=text)[i] for i in range(8)]
    assert all((s["weight"] == 1).all() for s in drawn)
    assert any((s["boundary"] == 1).any() for s in drawn)


def test_labels_that_fuse_say_nothing_of_gaps(store: Path, tmp_path: Path) -> None:
    text = SMALL.replace("simulated: 0.5", "simulated: 0.0, shares: {set_b: 1.0}")
    drawn = samples(store, tmp_path, text=text)
    for i in range(4):
        assert (drawn[i]["boundary"] == UNKNOWN).all()
        assert (drawn[i]["weight"] == 1).all()
    outlines = samples(store, tmp_path, text=text.replace("set_b", "set_a"))
    assert any((outlines[i]["boundary"] == 1).any() for i in range(8))
    assert any((outlines[i]["weight"] > 1).any() for i in range(8))


def test_boundary_lies_between_neighbours_only() -> None:
    found = boundaries(chip().instances, 0.5)
    assert found[40, 52] == 1
    assert found[40, 15] == 0 and found[90, 95] == 0, "a free wall is no boundary"
    assert found[40, 35] == 0


def test_cut_keeps_labels_on_their_pixels() -> None:
    rng = np.random.default_rng(4)
    for _ in range(10):
        part = augment.cut(rng, chip(), 0.4, 0.5, 64)
        assert part.image.shape == (64, 64, 3)
        bright = part.image.mean(axis=2) > 140
        assert (bright == (part.footprint == 1)).mean() > 0.93


def test_painted_rows_bring_their_own_labels() -> None:
    rng = np.random.default_rng(1)
    seen = 0
    stages: set[int] = set()
    for _ in range(12):
        part, decided = augment.add_rows(rng, chip((256, 256)), 0.4, augment.draw_sun(rng))
        new = part.instances > 3
        seen += len(np.unique(part.instances[new]))
        assert (part.footprint[new] == 1).all()
        assert (part.stage[new] > 0).all()
        assert decided[new].all()
        stages |= set(part.stage[new].tolist())
    assert seen > 20 and stages == {1, 2, 3}


def test_painted_yards_are_no_building_and_the_rest_of_an_older_one_is_unknown() -> None:
    rng = np.random.default_rng(3)
    whole = np.ones((256, 256), np.uint8)
    old = Chip(np.full((256, 256, 3), 120, np.uint8), whole.astype(np.uint16), whole, whole * 3)
    bare = 0
    for _ in range(8):
        part, decided = augment.add_rows(rng, old, 0.8, augment.draw_sun(rng))
        assert decided.any() and not decided.all()
        assert (part.footprint[~decided] == UNKNOWN).all() and (part.instances[~decided] == 0).all()
        assert ((part.footprint == 1) == (part.instances > 0)).all() and set(np.unique(part.footprint[decided])) <= {0, 1}
        bare += int((part.footprint == 0).sum())
    assert bare > 1000, "yards and strips"
    assert (old.footprint == 1).all(), "the sample that was given stays as it is"


def test_tinted_roofs_leave_the_ground_alone() -> None:
    plain = chip()
    tinted = augment.tint_roofs(np.random.default_rng(2), plain)
    change = np.abs(tinted.image.astype(int) - plain.image).mean(axis=2)
    inside = plain.instances > 0
    assert change[inside].mean() > 10
    assert np.median(change[~inside]) == 0
    assert tinted.instances is plain.instances


# Losses.


def batch(**changes: torch.Tensor) -> dict[str, torch.Tensor]:
    footprint = torch.zeros(1, 8, 12, dtype=torch.uint8)
    footprint[:, 2:6, 2:8] = 1
    known = {
        "footprint": footprint, "boundary": footprint.clone(), "stage": torch.where(footprint == 1, 2, 0).long(),
        "weight": torch.ones(1, 8, 12),
    }  # fmt: skip
    return known | changes


def test_recoloured_roofs_take_any_hue_and_leave_the_ground_alone() -> None:
    plain = chip()
    hues = set()
    for seed in range(60):
        seen = augment.recolour_roofs(np.random.default_rng(seed), plain)
        np.testing.assert_array_equal(seen.instances, plain.instances)
        ground = cv2.dilate(plain.footprint, np.ones((9, 9), np.uint8)) == 0
        np.testing.assert_array_equal(seen.image[ground], plain.image[ground])
        middle = seen.image[30:50, 27:43].reshape(-1, 3).mean(axis=0)
        if np.ptp(middle) > 20:
            hues.add(int(middle.argmax()))
    assert hues == {0, 1, 2}
    roof = augment.recolour_roofs(np.random.default_rng(1), plain).image[25:55, 25:45].astype(float).mean(axis=2)
    light = plain.image[25:55, 25:45].astype(float).mean(axis=2)
    assert np.corrcoef(roof.ravel(), light.ravel())[0, 1] > 0.9, "light and shade stay"


def test_strong_photometry_changes_more_and_only_where_the_recipe_says_so(store: Path, tmp_path: Path) -> None:
    def change(strong: float) -> torch.Tensor:
        pictures = []
        for coloured in (0.0, 1.0):
            extra = [f"chips={store}", "samples=64", "simulated=0", "tinted=0", f"strong={strong}", f"coloured={coloured}"]
            (tmp_path / "c.yaml").write_text(SMALL)
            recipe = load_config(tmp_path / "c.yaml", [f"data.{item}" for item in extra])
            samples = TrainingSamples(recipe, read_index(store), 0, 64)
            pictures.append(np.stack([samples[i]["image"].numpy() for i in range(64)]))
        return torch.from_numpy(np.abs(pictures[0] - pictures[1]).mean(axis=(1, 2, 3)))

    strong = change(1.0)
    assert strong.mean() > 1.5 * change(0.0).mean()
    assert (strong == 0).sum() <= 2, "ten changes with chances from 0.06 to 0.7 of their own leave few pictures as they were"


@pytest.mark.parametrize(("warmup", "hold"), [(0.1, 0.6), (0.08, 0.0), (0.0, 0.0)])
def test_the_rate_rises_stays_and_falls_as_torchs_schedules_do(tmp_path: Path, warmup: float, hold: float) -> None:
    (tmp_path / "c.yaml").write_text(SMALL)
    config = load_config(tmp_path / "c.yaml", ["data.samples=200", f"optimizer.warmup={warmup}", f"optimizer.hold={hold}"])
    factors = [rate_factor(config, step) for step in range(config.steps)]
    warm, stays = max(1, round(100 * warmup)), round(100 * hold)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    parts = [
        lr_scheduler.LinearLR(optimizer, 1 / warm, total_iters=warm - 1),
        lr_scheduler.ConstantLR(optimizer, 1.0, total_iters=stays),
        lr_scheduler.CosineAnnealingLR(optimizer, T_max=100 - warm - stays),
    ]
    if not stays:
        del parts[1]
    schedule = lr_scheduler.SequentialLR(optimizer, parts, [warm, warm + stays][: len(parts) - 1])
    rates = []
    for _ in range(config.steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert len(factors) == 100 and factors == pytest.approx(rates, abs=1e-9)
    assert factors[warm - 1] == 1.0


def test_the_encoder_has_a_rate_of_its_own(store: Path, tmp_path: Path) -> None:
    task = small_task(store, tmp_path, "norms_at_rest: false")
    schedule = task.configure_optimizers()["lr_scheduler"]["scheduler"]
    rates = task.config.optimizer
    assert schedule.base_lrs == [rates.encoder_lr, rates.decoder_lr]
    assert schedule.get_last_lr() == [lr * rate_factor(task.config, 0) for lr in schedule.base_lrs]


def test_each_channel_of_the_network_is_taught_by_one_head() -> None:
    taught = [channel for head in TRAINED_HEADS for channel in range(len(HEADS))[head.channels]]
    assert sorted(taught) == list(range(len(HEADS)))
    assert len({head.metric.key for head in TRAINED_HEADS}) == len({head.name for head in TRAINED_HEADS}) == len(TRAINED_HEADS)


def test_depthwise_convolutions_stay_in_single_precision_on_a_cpu() -> None:
    network = torch.nn.Sequential(torch.nn.Conv2d(8, 8, 3, groups=8), torch.nn.Conv2d(8, 4, 1))
    image = torch.randn(1, 8, 9, 9)
    names, expected = list(network.state_dict()), network(image)
    spare_depthwise(network)
    copied = deepcopy(network)  # as averages of weights are made
    with torch.no_grad():
        copied[0].weight.mul_(2)
    assert list(network.state_dict()) == names
    torch.testing.assert_close(network(image), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network[0](image).dtype == torch.float32 and network(image).dtype == torch.bfloat16
        assert not torch.equal(copied[0](image), network[0](image))


def test_the_truth_costs_nothing_and_its_opposite_much() -> None:
    right = batch()
    sign = torch.where(right["footprint"] == 1, 12.0, -12.0)
    stages = torch.stack([torch.zeros(1, 8, 12), torch.full((1, 8, 12), 12.0), torch.zeros(1, 8, 12)], dim=1)
    good = network_loss(torch.cat([sign[:, None], sign[:, None], stages], dim=1), right, LossConfig())
    bad = network_loss(torch.cat([-sign[:, None], -sign[:, None], -stages], dim=1), right, LossConfig())
    assert good["loss"] < 0.02 < 5 < bad["loss"]


@pytest.mark.parametrize(("part", "channels"), [("footprint", slice(0, 1)), ("boundary", slice(1, 2)), ("stage", slice(2, 5))])
def test_unknown_labels_pull_nothing(part: str, channels: slice) -> None:
    nothing = torch.zeros(1, 8, 12).long() if part == "stage" else torch.full((1, 8, 12), UNKNOWN, dtype=torch.uint8)
    logits = torch.randn(1, 5, 8, 12, requires_grad=True)
    network_loss(logits, batch(**{part: nothing}), LossConfig())["loss"].backward()
    assert logits.grad is not None
    assert (logits.grad[:, channels] == 0).all()
    others = torch.ones(5, dtype=torch.bool)
    others[channels] = False
    assert (logits.grad[:, others] != 0).any()


def test_gap_weight_counts() -> None:
    logits = torch.zeros(1, 5, 8, 12)
    heavy = batch()["weight"].clone()
    heavy[:, 0] = 4
    logits[:, 0, 0] = 3  # wrong where it weighs
    light = network_loss(logits, batch(), LossConfig())["footprint"]
    assert network_loss(logits, batch(weight=heavy), LossConfig())["footprint"] > light


# Metrics.


def test_labels_match_one_to_one() -> None:
    truth = chip().instances.astype(int)
    fused = np.where(truth > 0, np.where(truth == 3, 2, 1), 0).astype(np.int32)
    assert match_labels(truth.astype(np.int32), truth) == (3, 3, 3)
    # The fused pair covers 1,080 + 1,200 px of which neither is a majority at IoU 0.5 with the gap still open.
    assert match_labels(fused, truth)[1:] == (2, 3)
    assert match_labels(np.zeros_like(fused), truth) == (0, 0, 3)


def test_tally_of_a_perfect_and_a_blind_network() -> None:
    known = chip()
    known.footprint[:, 150:] = UNKNOWN
    heads = np.zeros((5, 120, 160), np.uint8)
    heads[0] = np.where(known.instances > 0, 240, 5)
    heads[3] = 200
    tally = Tally()
    tally.feed(heads, known, InstanceParams())
    assert (tally.iou, tally.f1) == (1, 1)
    assert tally.stages[1, 1] == (known.stage == 2).sum()
    more = Tally()
    more.feed(np.concatenate([heads, np.full_like(heads[:1], 254)]), known, InstanceParams())
    assert more.stage_answers == tally.stage_answers and (more.stages == tally.stages).all(), "a further head is no stage"
    blind = Tally()
    blind.feed(np.zeros_like(heads), known, InstanceParams())
    assert (blind.iou, blind.f1) == (0, 0)


def test_chips_are_seen_at_the_networks_pixel() -> None:
    small = at_gsd(chip(), 0.4, 0.8)
    assert small.image.shape == (60, 80, 3)
    assert set(np.unique(small.instances)) == {0, 1, 2, 3}
    assert replace(small).footprint.dtype == np.uint8


def test_places_are_pooled_by_data_set_and_coarse_ones_have_no_f1(store: Path) -> None:
    tallies = {
        "a/north": Tally(
            overlap=6, union=8, matched=3, predicted=4, reference=5, stages=np.array([[4, 2, 0], [0, 6, 0], [0, 0, 0]])
        ),
        "a/south": Tally(overlap=0, union=4, matched=0, predicted=1, reference=0),
        "b/town": Tally(overlap=9, union=10, matched=1, predicted=9, reference=2),
    }
    scores = scores_of(tallies, {"b"})
    assert list(scores["places"]) == ["a/north", "a/south", "b/town"]
    stage_f1 = pytest.approx((2 * 4 / (6 + 4) + 2 * 6 / (6 + 8)) / 2)  # of the two stages that occur
    assert scores["sets"]["a"] == {
        "iou": 6 / 12, "f1": 2 * 3 / (5 + 5), "stage_f1": stage_f1, "predicted": 5, "reference": 5, "matched": 3,
    }  # fmt: skip
    assert np.isnan(scores["sets"]["b"]["stage_f1"]) and scores["mean_stage_f1"] == stage_f1
    assert np.isnan(scores["sets"]["b"]["f1"])
    assert (scores["mean_iou"], scores["mean_f1"]) == (pytest.approx((0.5 + 0.9) / 2), 0.6)
    assert tallies["a/north"].predicted == 4, "pooling changes no place"
    assert coarse_sets(read_index(store)) == {"set_b"}


def test_one_side_of_a_pitched_roof_looks_away_from_the_sun() -> None:
    instances = np.zeros((40, 60), np.uint16)
    instances[10:20, 5:55] = 1  # long from west to east: a ridge along x, sides to the north and the south
    away = augment._leans_away(instances, azimuth=np.pi / 2)  # towards y
    assert away[15:20, 5:55].all() and not away[10:15].any()
    assert not away[instances == 0].any()


# Turned, drawn and resampled samples.


def test_a_turned_sample_keeps_labels_on_their_roofs() -> None:
    whole = chip((200, 220))
    turned = 0
    for seed in range(12):
        cut = augment.cut(np.random.default_rng(seed), whole, 0.4, 0.4, 96, turned=0.5)
        assert cut.image.shape == (96, 96, 3) and cut.footprint.shape == cut.instances.shape == (96, 96)
        assert ((cut.instances > 0) == (cut.footprint == 1)).all(), "both follow one geometry"
        if not (cut.footprint == 1).any():
            continue
        bright = cut.image.mean(axis=2) > 140
        known = cut.footprint != UNKNOWN
        assert (bright == (cut.footprint == 1))[known].mean() > 0.96, seed
        edges = np.diff((cut.footprint == 1).astype(int), axis=1) != 0
        turned += edges.any(axis=0).sum() > 12  # an edge at an angle crosses many columns
    assert turned >= 3


def test_samples_that_seek_the_unfinished_show_one(store: Path, tmp_path: Path) -> None:
    text = SMALL.replace("simulated: 0.5, tinted: 0.5", "simulated: 0, unfinished: 1, shares: {set_b: 1}")
    drawn = samples(store, tmp_path, text=text)
    assert all((drawn[i]["stage"] == 2).any() for i in range(8))
    index = read_index(store).assign(unfinished=0)
    with pytest.raises(InputError, match="unfinished"):
        TrainingSamples(load_config(tmp_path / "c.yaml", [f"data.chips={store}"]), index, 0, 8)


def test_mixed_samples_take_their_labels_along() -> None:
    number = torch.arange(8.0)[:, None, None].expand(8, 64, 96)
    batch = {"image": number[:, None].repeat(1, 3, 1, 1), "footprint": number.to(torch.uint8), "weight": number.clone()}
    mixed = augment.mix(batch, 0.5, (1, 2))
    assert all((mixed["image"][:, c] == mixed[name]).all() for c in range(3) for name in ("footprint", "weight"))
    foreign = mixed["weight"] != number
    share = foreign.float().mean(dim=(1, 2))
    assert 0 < int((share > 0).sum()) < 8 and share.max() < 0.75
    assert (mixed["weight"][foreign] == number.roll(1, dims=0)[foreign]).all()
    again = augment.mix(batch, 0.5, (1, 2))
    assert all((mixed[k] == again[k]).all() for k in batch)
    untouched = augment.mix(batch, 0.0, (1, 2))
    assert all((untouched[k] == batch[k]).all() for k in batch)


def test_a_pupil_who_says_what_teachers_say_has_nothing_to_learn() -> None:
    torch.manual_seed(0)
    teacher = torch.randn(2, 5, 8, 8)
    answer = torch.cat([teacher[:, :2].sigmoid(), teacher[:, 2:].softmax(dim=1)], dim=1)
    pupil = teacher.clone().requires_grad_()
    distance(pupil, answer, LossConfig()).backward()
    assert pupil.grad is not None and pupil.grad.abs().max() < 1e-6
    assert distance(-teacher, answer, LossConfig()) > distance(teacher, answer, LossConfig())


def test_teachers_are_listened_to_and_not_taught(store: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(SMALL)
    settings = [f"data.chips={store}", "network.pretrained=false", "network.teachers=[deep]", "loss.distil=1"]
    task = SegmentationTask(load_config(tmp_path / "c.yaml", settings), read_index(store))
    assert not any("teacher" in name for name, _ in task.named_parameters())
    batch = default_collate([samples(store, tmp_path)[i] for i in range(2)])
    losses = task.losses(batch, (0, 0, 0))
    parts = losses["footprint"] + 0.5 * losses["boundary"] + 0.2 * losses["stage"]
    assert losses["distil"] > 0
    assert losses["loss"].item() == pytest.approx((parts + losses["distil"]).item(), rel=1e-5)


def test_teachers_see_plain_samples_in_any_orientation(store: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(SMALL)
    settings = [
        f"data.chips={store}", "network.pretrained=false", "network.teachers=[deep]", "network.plain_teachers=true", "loss.distil=1",
        "data.coloured=1", "data.strong=1",
    ]  # fmt: skip
    config = load_config(tmp_path / "c.yaml", settings)
    task = SegmentationTask(config, read_index(store))
    sample = TrainingSamples(config, read_index(store), 0, 2)[0]
    assert sample["plain"].shape == sample["image"].shape and not torch.equal(sample["plain"], sample["image"])

    class ToRightAndBottom(
        torch.nn.Module
    ):  # says of each pixel what lies beside it, so that its answer tells how it saw the batch
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.cat([image.roll(-1, -1), image.roll(-1, -2)[:, :2]], dim=1)

    task._teachers = [ToRightAndBottom()]  # type: ignore[list-item]
    plain = sample["plain"][None]
    answers = [task._taught(plain, (7, step, 0)) for step in range(64)]
    moved = {
        side: torch.roll(plain, *by)
        for side, by in {"right": (-1, -1), "left": (1, -1), "below": (-1, -2), "above": (1, -2)}.items()
    }
    seen = {next(side for side, image in moved.items() if torch.equal(answer[:, :3], image)) for answer in answers}
    assert seen == set(moved), "turned back, the answers lie on the sample's pixels, and each orientation is drawn"
    assert len({answer.numpy().tobytes() for answer in answers}) == 8
    assert torch.equal(task._taught(plain, None)[:, :3], moved["right"]), "unasked, a teacher sees the batch as it is"


def test_beyond_a_turned_chip_nothing_is_known() -> None:
    small = chip((100, 100))
    found = [augment.cut(np.random.default_rng(seed), small, 0.4, 0.4, 96, turned=1.0).footprint for seed in range(20)]
    straight = [augment.cut(np.random.default_rng(seed), small, 0.4, 0.4, 96).footprint for seed in range(20)]
    assert not any((f == UNKNOWN).any() for f in straight), "nothing is turned unasked"
    corners = [f[[0, 0, -1, -1], [0, -1, 0, -1]] for f in found]
    assert any((c == UNKNOWN).all() for c in corners), "turned by tens of degrees, a square shows the ground beside it"


def test_drawn_ground_is_known_everywhere_and_its_houses_are_labelled() -> None:
    houses = 0
    for seed in range(6):
        drawn = augment.drawn(np.random.default_rng(seed), 0.4, 256, augment.Sun(40, 150))
        assert set(np.unique(drawn.footprint)) <= {0, 1}
        assert ((drawn.stage > 0) == (drawn.footprint == 1)).all()
        houses += int(drawn.instances.max())
    assert houses > 6


def test_resampling_moves_a_picture_by_less_than_a_pixel_and_is_repeatable() -> None:
    image = torch.rand(4, 3, 64, 80) * 2 - 1
    smooth = torch.nn.functional.avg_pool2d(image, 9, 1, 4)
    moved = augment.resampled(smooth, (1, 2, 3))
    assert torch.equal(moved, augment.resampled(smooth, (1, 2, 3)))
    assert not torch.equal(moved, augment.resampled(smooth, (1, 2, 4)))
    steepest = max(float(smooth.diff(dim=axis).abs().max()) for axis in (2, 3))
    assert 0 < float((moved - smooth)[..., 8:-8, 8:-8].abs().max()) < 3 * steepest


def test_resampling_is_as_exact_inside_autocast() -> None:
    smooth = torch.nn.functional.avg_pool2d(torch.rand(4, 3, 264, 264), 9, 1)
    expected = augment.resampled(smooth, (1, 2, 3))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(augment.resampled(smooth, (1, 2, 3)), expected, atol=1e-5, rtol=0)


def test_disagreement_is_nothing_between_equals() -> None:
    logits = torch.randn(3, 5, 8, 8)
    assert disagreement(torch.cat([logits, logits])) == 0
    assert disagreement(torch.cat([logits, -logits])) > 0.05


def test_licences_keep_chips_from_training_but_not_from_measuring(store: Path, tmp_path: Path) -> None:
    index = read_index(store)
    index["licence"] = ["CC0-1.0", "CC-BY-SA-4.0", "CC-BY-NC-4.0", "CC-BY-NC-4.0"]
    index.to_parquet(store / "index.parquet")
    (tmp_path / "c.yaml").write_text(SMALL)
    for choice, names in {"any": "abcd", "open": "abd", "permissive": "ad"}.items():
        config = load_config(tmp_path / "c.yaml", [f"data.chips={store}", f"data.licences={choice}"])
        assert "".join(ChipData(config).index["chip"]) == names


def test_the_encoder_rests_for_the_share_that_is_asked(store: Path, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(SMALL + "network: {freeze: 0.5, pretrained: false, decoder_channels: [16, 8, 8, 8, 8]}\n")
    task = SegmentationTask(load_config(tmp_path / "c.yaml", [f"data.chips={store}"]), read_index(store))
    for step, moves in ((0, False), (1, False), (2, True), (3, True)):  # of 8 / 2 = 4 steps
        task.train()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SegmentationTask, "global_step", step)
            task.on_train_batch_start(None, 0)
        encoder = task.network.encoder
        assert {p.requires_grad for p in encoder.parameters()} == {moves}
        assert encoder.training == moves and task.network.decoder.training


def small_task(store: Path, tmp_path: Path, network: str) -> SegmentationTask:
    (tmp_path / "c.yaml").write_text(SMALL + f"network: {{pretrained: false, decoder_channels: [16, 8, 8, 8, 8], {network}}}\n")
    return SegmentationTask(load_config(tmp_path / "c.yaml", [f"data.chips={store}"]), read_index(store))


def test_norms_at_rest_keep_their_statistics(store: Path, tmp_path: Path) -> None:
    for rest in (False, True):
        task = small_task(store, tmp_path, f"norms_at_rest: {str(rest).lower()}")
        before = {k: v.clone() for k, v in task.network.state_dict().items() if k.endswith(("running_mean", "running_var"))}
        task.train()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SegmentationTask, "global_step", 3)
            task.on_train_batch_start(None, 0)
        task.network(torch.rand(2, 3, 64, 64))
        after = task.network.state_dict()
        assert all(torch.equal(v, after[k]) for k, v in before.items()) == rest
        assert all(p.requires_grad for p in task.network.parameters())


def test_part_of_the_start_and_its_stage_head_are_kept(store: Path, tmp_path: Path) -> None:
    first = small_task(store, tmp_path, "")
    first.eval()
    recipe = recipe_of(first.config, read_index(store), seconds=0, steps=0)
    folder = write_weights(first.network, first.config, read_index(store), recipe, tmp_path / "start", {})
    card = json.loads((folder / "t.json").read_text())
    (folder / "t.stage.onnx").write_bytes(b"looks again")
    card["files"]["stage"] = {"name": "t.stage.onnx", "sha256": sha256_of(folder / "t.stage.onnx")}
    head = {"gsds_m": [0.3], "crop_px": 64, "sure_from": 0.9}
    earlier = {"data_set": "elsewhere", "licence": ["CC0-1.0"], "trained_on": ["a town"], "measured_on": [], "chips": 3}
    (folder / "t.json").write_text(json.dumps(card | {"stage_head": head, "data": [earlier, *card["data"]]}))
    task = small_task(store, tmp_path, f"start: {folder}, keep: 0.75")
    start = {k: v.clone() for k, v in task.network.state_dict().items()}
    with torch.no_grad():
        for value in task.network.parameters():
            value.add_(1.0)
    task.keep_of_start()
    for name, value in task.network.named_parameters():
        torch.testing.assert_close(value.data, start[name] + 0.25)
    left = load_weights(write_weights(task.network, task.config, read_index(store), recipe, tmp_path / "left", {}))
    assert left.stage_onnx is not None and left.stage_onnx.read_bytes() == b"looks again"
    assert left.card["stage_head"] == head | {"taken_from": "t"}
    assert left.card["data"] == [*card["data"], earlier | {"through": "t"}]
    with pytest.raises(InputError, match="name them in"):
        small_task(store, tmp_path, "keep: 0.5")
