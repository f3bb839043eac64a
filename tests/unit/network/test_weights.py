"""Weights: found by name, folder, card or file; refused where card and files disagree."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from detect.base.errors import InputError
from detect.base.files import sha256_of
from detect.network import weights as weights_module
from detect.network.lattice import Lattice
from detect.network.weights import load_weights
from tests.unit.network.test_card import least_card

CONTENT = {"onnx": b"graph", "safetensors": b"numbers"}


def write_weights(folder: Path, name: str = "tiny", kinds: tuple[str, ...] = ("onnx", "safetensors"), **changes: Any) -> Path:
    """A card that describes both files, and those of ``kinds`` beside it; returns the card."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        (folder / f"{name}.{kind}").write_bytes(CONTENT[kind])
    files = {k: {"name": f"{name}.{k}", "sha256": hashlib.sha256(v).hexdigest()} for k, v in CONTENT.items()}
    card = least_card() | {"name": name, "files": files}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(card | changes), encoding="utf-8")
    return path


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the weights that ship: ``small`` and the default, ``large``."""
    folder = tmp_path / "shipped"
    write_weights(folder, "small")
    write_weights(folder, "large")
    (folder / "default.txt").write_text("large\n")
    monkeypatch.setattr(weights_module, "resource_path", lambda relative: tmp_path / {"weights": "shipped"}[relative])
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.parametrize("given", ["", "tiny.json", "tiny.onnx", "tiny.safetensors"])
def test_weights_are_found_by_folder_card_or_file(tmp_path: Path, given: str) -> None:
    folder = write_weights(tmp_path / "mine").parent
    for found in (load_weights(folder / given), load_weights(str(folder / given))):
        assert found.name == "tiny"
        assert (found.onnx, found.safetensors) == (folder / "tiny.onnx", folder / "tiny.safetensors")


def test_weights_are_found_by_name_and_by_default(shipped: Path) -> None:
    assert load_weights("small").onnx == shipped / "small.onnx"
    assert load_weights().onnx == load_weights(None).onnx == shipped / "large.onnx"


def test_a_dot_in_a_name_is_no_suffix(shipped: Path) -> None:
    write_weights(shipped, "roofs-0.5m")
    assert load_weights("roofs-0.5m").name == "roofs-0.5m"


def test_an_unknown_name_is_answered_with_the_names_that_ship(shipped: Path) -> None:
    with pytest.raises(InputError, match=r"weights 'huge': no such name or file; shipped are: large, small"):
        load_weights("huge")


def test_nothing_shipped_is_said_so(shipped: Path) -> None:
    for file in shipped.iterdir():
        file.unlink()
    with pytest.raises(InputError, match="shipped are: none"):
        load_weights("small")


def test_the_card_gives_tiling_and_pixel_size(tmp_path: Path) -> None:
    found = load_weights(write_weights(tmp_path))
    assert found.lattice == Lattice(core_px=512, halo_px=128, stride_px=32)
    assert found.gsd_m == 0.5


@pytest.mark.parametrize(
    ("kinds", "named_by"), [(("onnx", "safetensors"), "onnx"), (("onnx",), "onnx"), (("safetensors",), "safetensors")]
)
def test_one_of_the_two_files_is_enough_and_the_hash_is_that_of_the_file_in_use(
    tmp_path: Path, kinds: tuple[str, ...], named_by: str
) -> None:
    found = load_weights(write_weights(tmp_path, kinds=kinds))
    assert [k for k in CONTENT if getattr(found, k)] == list(kinds)
    assert found.sha256 == hashlib.sha256(CONTENT[named_by]).hexdigest()


def test_a_card_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tiny\.json: its \.onnx does not lie beside it"):
        load_weights(write_weights(tmp_path, kinds=()))


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_a_file_that_the_card_does_not_describe_is_refused(tmp_path: Path, kind: str) -> None:
    card = write_weights(tmp_path)
    card.with_suffix(f".{kind}").write_bytes(CONTENT[kind] + b"!")
    with pytest.raises(InputError, match=rf"tiny\.{kind}: is not the {kind} file that tiny\.json describes"):
        load_weights(card)


@pytest.mark.parametrize("elsewhere", ["../secret.onnx", "/{tmp}/secret.onnx", "deeper/secret.onnx"])
def test_a_card_cannot_point_elsewhere_on_the_disk(tmp_path: Path, elsewhere: str) -> None:
    for folder in (tmp_path, tmp_path / "mine" / "deeper"):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "secret.onnx").write_bytes(b"secret")
    spec = {"name": elsewhere.format(tmp=tmp_path), "sha256": hashlib.sha256(b"secret").hexdigest()}
    card = write_weights(tmp_path / "mine", kinds=(), files={"onnx": spec})
    with pytest.raises(InputError, match=r"its \.onnx does not lie beside it"):
        load_weights(card)


@pytest.mark.parametrize("cards", [0, 2])
def test_a_folder_must_hold_exactly_one_card(tmp_path: Path, cards: int) -> None:
    for number in range(cards):
        write_weights(tmp_path, f"tiny{number}")
    with pytest.raises(InputError, match=rf"holds {cards} cards"):
        load_weights(tmp_path)


def test_a_file_without_its_card_is_refused(tmp_path: Path, shipped: Path) -> None:
    card = write_weights(tmp_path / "mine")
    card.unlink()
    with pytest.raises(InputError, match=r"its card tiny\.json does not lie beside it"):
        load_weights(card.with_suffix(".onnx"))


def test_sha256_of_a_file_is_that_of_its_content(tmp_path: Path) -> None:
    file = tmp_path / "abc"
    file.write_bytes(b"abc")
    assert sha256_of(file) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_stage_head_is_found_and_missed(tmp_path: Path) -> None:
    assert load_weights(write_weights(tmp_path / "plain")).stage_onnx is None
    files = {k: {"name": f"tiny.{k}", "sha256": hashlib.sha256(v).hexdigest()} for k, v in CONTENT.items()}
    files["stage"] = {"name": "tiny.stage.onnx", "sha256": hashlib.sha256(b"stages").hexdigest()}
    path = write_weights(tmp_path, files=files, stage_head={"gsds_m": [0.3], "crop_px": 64})
    with pytest.raises(InputError, match=r"tiny\.stage\.onnx does not lie beside it"):
        load_weights(path)
    (tmp_path / "tiny.stage.onnx").write_bytes(b"stages")
    found = load_weights(path)
    assert found.stage_onnx == tmp_path / "tiny.stage.onnx"
    assert found.stage_sha256 == files["stage"]["sha256"]
    path = write_weights(tmp_path, files=files)
    with pytest.raises(InputError, match="'stage_head' is missing"):
        load_weights(path)
