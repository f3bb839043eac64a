"""The wheel as it is installed elsewhere: all that commands need is in it, and a user without rights predicts with it, without a network.

The steps are those of the Dockerfile, less the installation of dependencies: those of this environment are used.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534
OF_THE_IMAGE = {
    "libc",
    "libm",
    "libgcc_s",
    "libstdc++",
    "libz",
    "libdl",
    "librt",
    "libpthread",
    "ld-linux-x86-64",
    "ld-linux-aarch64",
}
"""Libraries that python:3.x-slim has beside those of Python itself; it has neither libexpat nor libGL nor libgomp."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from what the Dockerfile copies."""
    if importlib.util.find_spec("hatchling") is None:
        pytest.skip("hatchling is not installed")
    source = tmp_path_factory.mktemp("source")
    for name in re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE):
        for part in name.split():
            there = ROOT / part
            if there.is_dir():
                shutil.copytree(there, source / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(there, source)
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(source / "dist")],
        cwd=source,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    [file] = (source / "dist").glob("*.whl")
    return file


def test_the_wheel_holds_what_commands_need(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, packed in (("detect", "detect"), ("weights", "detect/_weights"), ("configs", "detect/_configs")):
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                assert f"{packed}/{file.relative_to(ROOT / folder).as_posix()}" in names
    assert not [name for name in names if not name.startswith(("detect/", "detect_buildings-"))]


@pytest.mark.slow
def test_a_user_without_rights_predicts_with_the_wheel(wheel: Path, tiny_scene: Path, tmp_path: Path) -> None:
    site, data = tmp_path / "site", tmp_path / "data"
    zipfile.ZipFile(wheel).extractall(site)
    (site / "configs").mkdir()  # of another package
    data.mkdir()
    shutil.copy(tiny_scene, data / "scene.tif")
    user = {}
    if os.geteuid() == 0:
        user = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        for path in (data, data / "scene.tif"):
            os.chown(path, NOBODY, NOBODY)
        for path in (tmp_path, *tmp_path.parents[:2]):
            path.chmod(path.stat().st_mode | 0o055)
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}:{sysconfig.get_path('purelib')}", "HOME": "/nowhere"}
    for line in ("predict scene.tif --out out -q", "census out --structure warehouse", "verify out"):
        command = [sys.executable, "-s", "-m", "detect", *line.split()]
        try:
            done = subprocess.run(command, cwd=data, env=environment, capture_output=True, text=True, **user)
        except PermissionError:  # this Python lies in the home of another user
            done = subprocess.run(command, cwd=data, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (data / "out/scene/report.html").is_file()


def test_the_image_runs_as_a_user_without_rights() -> None:
    lines = (ROOT / "Dockerfile").read_text("utf-8").splitlines()
    stages = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    assert len(stages) == 3 and "USER detect" in lines[stages[-1] :]
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    copied = {part for line in lines if line.startswith("COPY ") and "--from" not in line for part in line.split()[1:-1]}
    assert {f"!{part}" for part in copied} <= set(ignored), "what is copied is in the build context"


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux")
def test_the_image_has_the_system_libraries_that_the_wheels_need() -> None:
    """What the packages of the core load from outside the environment and Python is in the image, or the Dockerfile installs it."""
    packages = (
        "rasterio.warp, pyogrio, pyproj, shapely, geopandas, pyarrow.parquet, onnxruntime, onnx, cv2, skimage, scipy.ndimage, PIL"
    )
    show = "print({line.split()[-1] for line in open('/proc/self/maps') if '.so' in line})"
    code = f"import bz2, ctypes, lzma, sqlite3, ssl, uuid, zlib; {show}; import {packages}; {show}"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    before, after = (ast.literal_eval(line) for line in done.stdout.splitlines())
    within = [
        Path(p).resolve() for p in (sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    ]
    loaded = {
        Path(name).name.partition(".")[0] for name in after - before if not any(Path(name).is_relative_to(p) for p in within)
    }
    stage = (ROOT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    installed = {re.sub(r"\d+$", "", name) for name in re.findall(r"\blib[\w+-]+", stage)}
    assert "libexpat" in loaded, "rasterio's wheel loads it; if it no longer does, the Dockerfile need not install it"
    assert loaded - OF_THE_IMAGE <= installed
