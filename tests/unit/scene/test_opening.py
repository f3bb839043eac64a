"""What identifies a scene."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from detect.scene.scene import open_scene
from tests.conftest import WriteScene


@pytest.fixture
def archive(write_scene: WriteScene, tmp_path: Path) -> Path:
    """A ZIP with two scenes of one name and place."""
    path = tmp_path / "both.zip"
    with zipfile.ZipFile(path, "w") as both:
        for month, tone in (("june", 80), ("july", 120)):
            scene = write_scene(np.full((3, 64, 64), tone, np.uint8) + np.arange(64, dtype=np.uint8))
            both.write(scene, f"{month}/scene.tif")
    return path


def test_scenes_of_one_archive_are_not_the_same_wherever_it_lies(archive: Path, tmp_path: Path) -> None:
    june, july = (open_scene(f"/vsizip/{archive}/{month}/scene.tif").sha256 for month in ("june", "july"))
    assert june != july
    (tmp_path / "else where").mkdir()
    moved = shutil.copy(archive, tmp_path / "else where")
    assert open_scene(f"/vsizip/{moved}/june/scene.tif").sha256 == june
    assert open_scene(f"/vsizip/{{{moved}}}/june/scene.tif").sha256 == june
