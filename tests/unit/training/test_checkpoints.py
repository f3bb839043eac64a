"""What --resume takes: tensors and plain values, nothing that could run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from detect.base.errors import InputError
from detect.training.fit import fit

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "fit" / "smoke.yaml"


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def resume(path: Path) -> None:
    fit(CONFIG, resume=str(path), overrides=[f"out={path.parent / 'run'}"])


@pytest.mark.parametrize("where", ["alone", "among tensors"])
def test_code_is_refused_and_does_not_run(where: str, tmp_path: Path) -> None:
    made, path = tmp_path / "made", tmp_path / "poisoned.ckpt"
    payload = Payload(made)
    torch.save(payload if where == "alone" else {"state_dict": {"a": torch.zeros(2)}, "loops": payload}, path)
    with pytest.raises(InputError, match=r"poisoned\.ckpt: is not a checkpoint .* it was not loaded"):
        resume(path)
    assert not made.exists()


@pytest.mark.parametrize("content", [b"", b"no pickle", b"PK\x03\x04 no zip"])
def test_another_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "other.ckpt").write_bytes(content)
    with pytest.raises(InputError, match=r"other\.ckpt: is not a checkpoint"):
        resume(tmp_path / "other.ckpt")


def test_tensors_of_something_else_are_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="it lacks loops, optimizer_states"):
        resume(tmp_path / "other.ckpt")
