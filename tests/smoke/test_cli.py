"""The commands as a user types them, above all the mistakes: one line, the right exit code, nothing left behind."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest

from detect.base.errors import DetectError, InputError
from detect.cli import main as cli
from detect.cli.progress import Progress
from detect.results.result import Result, Run

ROOT = Path(__file__).resolve().parents[2]
WriteScene = Callable[..., Path]


def run_detect(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``python -m detect`` in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "detect", *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


def assert_one_line(stderr: str, *words: str) -> None:
    assert stderr.startswith("detect: error: "), stderr
    assert stderr.count("\n") == 1, stderr
    assert "Traceback" not in stderr
    for word in words:
        assert word in stderr


def write_tiff_without_bands(path: Path) -> None:
    """A TIFF by the book whose one image has no sample per pixel."""
    entries = [
        (256, 3, 160),
        (257, 3, 96),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 0),
        (278, 3, 96),
        (279, 4, 0),
    ]
    packed = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + packed + struct.pack("<I", 0))


# The mistakes of a user. Each line: what it is called, how the scene is made, words the message must hold.


def _missing(folder: Path, write: WriteScene) -> Path:
    return folder / "nowhere.tif"


def _text(folder: Path, write: WriteScene) -> Path:
    (folder / "notes.tif").write_text("not a picture\n")
    return folder / "notes.tif"


def _no_bands(folder: Path, write: WriteScene) -> Path:
    write_tiff_without_bands(folder / "empty.tif")
    return folder / "empty.tif"


def _container(folder: Path, write: WriteScene) -> Path:
    # GDAL opens it, and it has no band of its own: its two rasters are subdatasets.
    write(name="two.gpkg", driver="GPKG", RASTER_TABLE="june")
    return write(name="two.gpkg", driver="GPKG", RASTER_TABLE="july", APPEND_SUBDATASET="YES")


def _complex(folder: Path, write: WriteScene) -> Path:
    return write(np.ones((1, 96, 160), np.complex64), name="radar.tif")


def _coarse(folder: Path, write: WriteScene) -> Path:
    return write(name="sentinel.tif", gsd_m=10.0)


def _no_place(folder: Path, write: WriteScene) -> Path:
    return write(name="screenshot.tif", crs=None)


MISTAKES = [
    pytest.param(_missing, ["nowhere.tif"], id="missing file"),
    pytest.param(_text, ["notes.tif"], id="text named .tif"),
    pytest.param(_no_bands, ["empty.tif"], id="no band"),
    pytest.param(_container, ["two.gpkg", "bands"], id="no band of its own"),
    pytest.param(_complex, ["radar.tif", "complex"], id="complex numbers"),
    pytest.param(_coarse, ["sentinel.tif", "10", "3"], id="coarser than 3 m"),
    pytest.param(_no_place, ["screenshot.tif", "--gsd"], id="no georeference"),
]


@pytest.mark.parametrize(("make", "words"), MISTAKES)
@pytest.mark.filterwarnings("ignore:.*no geotransform")  # rasterio, while the test writes its picture without a place
def test_wrong_scene_ends_with_one_line(
    make: Callable[[Path, WriteScene], Path],
    words: list[str],
    write_scene: WriteScene,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    scene, out = make(tmp_path, write_scene), tmp_path / "out"
    assert cli.main(["predict", str(scene), "--out", str(out), "-q"]) == 2
    captured = capfd.readouterr()
    assert_one_line(captured.err, *words)
    assert captured.out == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--sites", "nowhere.geojson"], ["nowhere.geojson"]),
        (["--structure", "nowhere.yaml"], ["nowhere.yaml"]),
        (["--weights", "no-such-weights"], ["no-such-weights"]),
        (["--gsd", "0.5"], ["--gsd"]),
        (["--bands", "7,8,9"], ["--bands"]),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_wrong_option_value_ends_with_one_line(
    options: list[str], words: list[str], tiny_scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["predict", str(tiny_scene), "--out", str(out), "-q", *options]) == 2
    assert_one_line(capfd.readouterr().err, *words)
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", ["VERB"]),
        ("frobnicate", ["frobnicate", "predict"]),
        ("predict", ["--out"]),
        ("predict a.tif", ["--out"]),
        ("predict a.tif --out o --frobnicate", ["--frobnicate", "detect predict --help"]),
        ("predict a.tif --out o --overw", ["--overw"]),
        ("predict a.tif --out o --bands 1,2", ["--bands", "1,2"]),
        ("predict a.tif --out o --bands 0,1,2", ["--bands", "0,1,2"]),
        ("predict a.tif --out o --date 2024-02-30", ["--date", "2024-02-30"]),
        ("predict a.tif --out o --date 24-2-3", ["--date"]),
        ("predict a.tif --out o --date 2099-01-01", ["--date", "2099-01-01", "from 1940 to today"]),
        ("predict a.tif --out o --gsd 0", ["--gsd"]),
        ("predict a.tif --out o --gsd nan", ["--gsd"]),
        ("predict a.tif --out o --threshold 50", ["--threshold", "between 0 and 1"]),
        ("predict a.tif --out o --min-area -1", ["--min-area"]),
        ("predict a.tif --out o --workers 0", ["--workers"]),
        ("predict a.tif --out o --workers 1.5", ["--workers"]),
        ("predict a.tif --out o --block-size big", ["--block-size", "big"]),
        ("predict a.tif --out o --device tpu", ["--device", "tpu"]),
        ("predict a.tif --out o --device cuda:", ["--device"]),
        ("evaluate only-one", ["REFERENCE"]),
        ("fit", ["--config"]),
        ("simulate --seed 1", ["--out"]),
        ("prepare samples here", ["DST"]),
        ("export name", ["--out"]),
    ],
)
def test_wrong_command_line_ends_with_one_line(line: str, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(line.split()) == 2
    captured = capsys.readouterr()
    assert_one_line(captured.err, *words, "--help")
    assert captured.out == ""


def test_missing_file_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = run_detect("predict", str(tmp_path / "nowhere.tif"), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert_one_line(done.stderr, "nowhere.tif")
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_unknown_option_in_a_process_of_its_own(tmp_path: Path) -> None:
    done = run_detect("predict", "a.tif", "--out", str(tmp_path / "out"), "--frobnicate")
    assert done.returncode == 2
    assert_one_line(done.stderr, "--frobnicate")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_help_of_each_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([verb, "--help"]) == 0
    assert verb in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    # What `detect --help` must not wait for; benchmarks/startup.py has the times.
    code = (
        "import sys; from detect.cli.main import main; main(['--help'])\n"
        "print([name for name in ('numpy', 'rasterio', 'torch', 'geopandas', 'onnxruntime', 'tqdm') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


# What a verb raises, and what becomes of it.


def _raising(error: BaseException) -> Callable[..., int]:
    def verb(_: object) -> int:
        raise error

    return verb


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (DetectError("two\nlines"), 1, ["two lines"]),
        (ValueError("a surprise"), 1, ["ValueError: a surprise", "DETECT_DEBUG=1"]),
        (ModuleNotFoundError("no torch", name="torch"), 2, ["pip install 'detect-buildings[train]'"]),
        (ModuleNotFoundError("no typo", name="detect.typo"), 1, ["DETECT_DEBUG=1"]),
        (MemoryError(), 1, ["MemoryError"]),
        (KeyboardInterrupt(), 130, ["interrupted"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_end_is_one_line(
    error: BaseException,
    code: int,
    words: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv(cli.DEBUG_VARIABLE, raising=False)
    monkeypatch.setitem(cli.VERBS, "evaluate", (_raising(error), *cli.VERBS["evaluate"][1:]))
    assert cli.main(["evaluate", "a", "b"]) == code
    assert_one_line(capsys.readouterr().err, *words)


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv(cli.DEBUG_VARIABLE, "1")
    monkeypatch.setitem(cli.VERBS, "evaluate", (_raising(ValueError("a surprise")), *cli.VERBS["evaluate"][1:]))
    assert cli.main(["evaluate", "a", "b"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_progress_without_a_terminal_is_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(sys.stderr) as progress:
        for done in range(101):
            progress("blocks", done, 100)
    assert capsys.readouterr().err == "blocks: 0/100\nblocks: 100/100\n"


# What predict shows of its results; the work itself is stood in for.


def _stand_in(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr("detect.runs.predict.predict_scenes", lambda scenes, out, options: run)


def _result(scene: str, *, failed: bool = False) -> Result:
    blocks = {"failed": [{"index": 0}] if failed else []}
    return Result(Path("o") / scene, gpd.GeoDataFrame(), gpd.GeoDataFrame(), {"scene": scene, "blocks": blocks})


def _scenes_shown(output: str) -> object:
    shown = json.loads(output)
    return [summary["scene"] for summary in shown] if isinstance(shown, list) else shown["scene"]


def test_several_scenes_give_a_list(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    _stand_in(monkeypatch, Run([_result("a"), _result("b")], []))
    assert cli.main(["predict", "a", "b", "--out", "o", "--json"]) == 0
    assert _scenes_shown(capsys.readouterr().out) == ["a", "b"]


def test_a_failed_block_is_exit_1_and_the_summary_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _stand_in(monkeypatch, Run([_result("a", failed=True)], []))
    assert cli.main(["predict", "a", "--out", "o", "--json"]) == 1
    captured = capsys.readouterr()
    assert _scenes_shown(captured.out) == "a"
    assert_one_line(captured.err, "o/a", "summary.json")


@pytest.mark.parametrize(
    ("errors", "code"),
    [
        ([DetectError("b: is broken")], 1),
        ([DetectError("b: is broken"), InputError("c: is wrong")], 1),
        ([InputError("b: is wrong")], 2),
    ],
)
def test_a_failed_scene_does_not_hide_the_others(
    errors: list[DetectError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _stand_in(monkeypatch, Run([_result("a")], errors))
    assert cli.main(["predict", "a", "b", "c", "--out", "o", "--json"]) == code
    captured = capsys.readouterr()
    assert _scenes_shown(captured.out) == ["a"]
    assert_one_line(captured.err, *map(str, errors))


def test_options_that_contradict_each_other_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["predict", "a.tif", "--out", str(tmp_path / "out"), "--sites", "plots.geojson", "--propose-sites"]
    assert cli.main(line) == 2
    assert_one_line(capsys.readouterr().err, "--sites", "--propose-sites")
    assert not (tmp_path / "out").exists()


# The main job.

FILES = {
    "mask.tif", "probability.tif", "stage.tif", "buildings.gpkg", "buildings.parquet", "buildings.kmz", "summary.json", "report.html",
    "overview.png",
    "item.json",
}  # fmt: skip


def test_predict_writes_every_file_and_prints_the_table(tiny_scene: Path, tmp_path: Path) -> None:
    done = run_detect("predict", str(tiny_scene), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "out" / "tiny"
    assert FILES <= {path.name for path in folder.iterdir()}
    assert str(folder / "buildings.gpkg") in done.stdout
    assert "Traceback" not in done.stderr
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert len(gpd.read_file(folder / "buildings.gpkg", layer="buildings")) == summary["total"]["buildings"]["found"]


def test_predict_prints_json_alone(tiny_scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(tiny_scene), "--out", str(tmp_path / "out"), "--json", "-q"]) == 0
    captured = capfd.readouterr()
    assert captured.err == ""
    assert json.loads(captured.out) == json.loads((tmp_path / "out" / "tiny" / "summary.json").read_text(encoding="utf-8"))


def test_scene_without_buildings_is_no_error(empty_scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["predict", str(empty_scene), "--out", str(tmp_path / "out"), "--json", "-q"]) == 0
    assert json.loads(capfd.readouterr().out)["total"]["buildings"]["estimate"] == 0
    folder = tmp_path / "out" / "empty"
    assert FILES <= {path.name for path in folder.iterdir()}
    for table in (gpd.read_file(folder / "buildings.gpkg", layer="buildings"), gpd.read_parquet(folder / "buildings.parquet")):
        assert len(table) == 0
        assert {"id", "site", "stage", "area_m2", "dormitory_like", "beds"} <= set(table.columns)


def test_one_bad_scene_does_not_stop_the_others(tiny_scene: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "nowhere.tif"
    assert cli.main(["predict", str(missing), str(tiny_scene), "--out", str(tmp_path / "out"), "-q"]) in (1, 2)
    assert_one_line(capfd.readouterr().err, "nowhere.tif")
    assert (tmp_path / "out" / "tiny" / "summary.json").exists()
    assert not (tmp_path / "out" / "nowhere").exists()
