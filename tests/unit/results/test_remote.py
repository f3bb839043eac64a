"""Results behind a URL: copied whole, summary last, another's never overwritten unasked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from detect.base.errors import DetectError, InputError
from detect.cli import main as cli
from detect.results.files import OUTPUTS
from detect.results.remote import STAGING, RemoteFolder, is_remote
from detect.runs.predict import predict


@pytest.fixture
def memory() -> Iterator[Any]:
    files = fsspec.filesystem("memory")
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def result(folder: Path, key: str) -> Path:
    """A folder as predict leaves it, with three files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps({"run": {"key": key}}))
    (folder / "mask.tif").write_text(f"mask of {key}")
    (folder / "a.txt").write_text("a")
    return folder


@pytest.mark.parametrize(("out", "remote"), [("s3://bucket/a", True), ("memory://x", True), ("out", False), ("/a/b", False)])
def test_which_are_urls(out: str, remote: bool) -> None:
    assert is_remote(out) is remote
    assert is_remote(Path("out")) is False


def test_predict_writes_to_a_url(tiny_scene: Path, memory: Any, capsys: pytest.CaptureFixture) -> None:
    assert cli.main(["predict", str(tiny_scene), "--out", "memory://bucket/results", "-q"]) == 0
    assert "memory://bucket/results/tiny/report.html" in capsys.readouterr().out
    assert {Path(p).name for p in memory.ls("/bucket/results/tiny", detail=False)} == set(OUTPUTS)
    (local,) = STAGING.glob("*/tiny")
    for name in OUTPUTS:
        assert memory.cat_file(f"/bucket/results/tiny/{name}") == (local / name).read_bytes()
    # The same call again copies nothing.
    before = memory.modified("/bucket/results/tiny/summary.json")
    (again,) = predict([tiny_scene], "memory://bucket/results")
    assert again.url == "memory://bucket/results/tiny" and memory.modified("/bucket/results/tiny/summary.json") == before


def test_another_result_stays_unless_asked(tmp_path: Path, memory: Any) -> None:
    there = RemoteFolder("memory://bucket/")
    there.store(result(tmp_path / "one" / "scene", "first"))
    other = result(tmp_path / "two" / "scene", "second")
    with pytest.raises(InputError, match="--overwrite"):
        there.store(other)
    assert memory.cat_file("/bucket/scene/mask.tif") == b"mask of first"
    assert there.store(other, overwrite=True) == "memory://bucket/scene"
    assert memory.cat_file("/bucket/scene/mask.tif") == b"mask of second"


def test_a_copy_that_breaks_off_has_no_summary_and_is_made_good(
    tmp_path: Path, memory: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, folder = RemoteFolder("memory://bucket"), result(tmp_path / "scene", "key")
    put = type(memory).put_file

    def breaks(self: Any, source: str, target: str, **options: Any) -> None:
        if target.endswith("mask.tif"):
            raise ConnectionError("the line is down")
        put(self, source, target, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(memory), "put_file", breaks)
        with pytest.raises(DetectError, match="the same command copies it again"):
            there.store(folder)
    assert not memory.exists("/bucket/scene/summary.json"), "what is not whole has no summary"
    there.store(folder)
    assert memory.cat_file("/bucket/scene/mask.tif") == b"mask of key"


@pytest.mark.parametrize("url", ["nosuch://bucket/a", "gs-nothing://x"])
def test_protocols_that_nobody_knows_are_refused_before_the_work(
    tiny_scene: Path, url: str, capsys: pytest.CaptureFixture
) -> None:
    assert cli.main(["predict", str(tiny_scene), "--out", url, "-q"]) == 2
    assert url in capsys.readouterr().err and not STAGING.exists()


def test_other_outputs_of_the_same_result_are_copied_too(tmp_path: Path, memory: Any) -> None:
    def run(key: str, *files: str, overwrite: bool = False) -> set[str]:
        folder = tmp_path / "scene"
        folder.mkdir(exist_ok=True)
        for name in files:
            (folder / name).write_text(key)
        (folder / "summary.json").write_text(json.dumps({"run": {"key": key}, "files": dict.fromkeys(files, "")}))
        RemoteFolder("memory://bucket/r").store(folder, overwrite=overwrite)
        for name in files:
            (folder / name).unlink()
        return {Path(p).name for p in memory.ls("/bucket/r/scene", detail=False)}

    assert run("a", "mask.tif") == {"mask.tif", "summary.json"}
    assert run("a", "mask.tif", "report.html") == {"mask.tif", "report.html", "summary.json"}
    assert run("b", "mask.tif", overwrite=True) == {"mask.tif", "summary.json"}, "nothing of the result that is replaced stays"


def test_what_the_same_result_has_at_the_url_stays_listed(tmp_path: Path, memory: Any) -> None:
    for name in ("mask.tif", "stage.tif"):  # from two machines
        folder = tmp_path / name.partition(".")[0] / "scene"
        folder.mkdir(parents=True)
        (folder / name).write_text("a")
        facts = {"run": {"key": "a"}, "files": {name: "a file"}, "contents": {name: "its digest"}}
        (folder / "summary.json").write_text(json.dumps(facts))
        RemoteFolder("memory://bucket/s").store(folder)
    summary = json.loads(memory.cat_file("/bucket/s/scene/summary.json"))
    assert set(summary["files"]) == set(summary["contents"]) == {"mask.tif", "stage.tif"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_at_the_url_are_neither_replaced_nor_removed(tmp_path: Path, memory: Any, overwrite: bool) -> None:
    memory.pipe_file("/bucket/t/scene/summary.json", json.dumps({"files": ["data.csv", "../keep.txt"]}).encode())
    memory.pipe_file("/bucket/t/scene/data.csv", b"mine")
    memory.pipe_file("/bucket/t/keep.txt", b"mine")
    with pytest.raises(InputError, match="is not of a result"):
        RemoteFolder("memory://bucket/t").store(result(tmp_path / "one" / "scene", "key"), overwrite=overwrite)
    assert memory.cat_file("/bucket/t/scene/data.csv") == memory.cat_file("/bucket/t/keep.txt") == b"mine"
    there = RemoteFolder("memory://bucket/u")
    memory.pipe_file(
        "/bucket/u/scene/summary.json", json.dumps({"run": {"key": "key"}, "files": ["stage.tif", "../keep.txt"]}).encode()
    )
    memory.pipe_file("/bucket/u/scene/mask.tif", b"mine")
    memory.pipe_file("/bucket/u/keep.txt", b"mine")
    other = result(tmp_path / "two" / "scene", "another")
    with pytest.raises(InputError, match=r"mask\.tif" if overwrite else "another result"):
        there.store(other, overwrite=overwrite)
    assert memory.cat_file("/bucket/u/scene/mask.tif") == b"mine"
    memory.rm_file("/bucket/u/scene/mask.tif")
    there.store(result(tmp_path / "three" / "scene", "another"), overwrite=True)
    assert memory.cat_file("/bucket/u/keep.txt") == b"mine", "a list of files names none outside the result"
