"""What changes when a file is replaced."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from detect.scene.versions import version_of


def test_a_file_and_the_archive_that_holds_it(tmp_path: Path) -> None:
    file, archive = tmp_path / "a.tif", tmp_path / "a.zip"
    file.write_bytes(b"12345")
    with zipfile.ZipFile(archive, "w") as packed:
        packed.write(file, "inside/a.tif")
    before = version_of([str(file)])
    assert before == [f"5 {file.stat().st_mtime_ns}"] == version_of([str(file), str(file)])
    os.utime(file, ns=(0, 7))
    assert version_of([str(file)]) == ["5 7"]
    for inside in (f"/vsizip/{archive}/inside/a.tif", f"/vsizip/{{{archive}}}/inside/a.tif"):
        assert version_of([inside]) == version_of([str(archive)]) != []


def test_what_lies_elsewhere_has_none(tmp_path: Path) -> None:
    assert version_of(["https://example.org/a.tif", "/vsicurl/https://example.org/a.tif", str(tmp_path / "none.tif")]) == []
