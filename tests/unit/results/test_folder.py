"""How a result is found, read, locked and swapped, on folders with a file or two."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from detect.base.errors import DetectError, InputError
from detect.results import folder as module
from detect.results.folder import ResultFolder, is_simulated

REPOSITORY = Path(__file__).resolve().parents[3]


def write(folder: Path, key: str = "one") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps({"run": {"key": key}}))
    return folder


def key(folder: Path) -> str:
    return str(ResultFolder(folder).summary("run.key")["run"]["key"])


def start(script: str, *arguments: Path) -> subprocess.Popen[str]:
    """A process that runs Python lines with the folder of a result as ``one``, the arguments as ``given``."""
    head = "import os, shutil, signal, sys, time; from pathlib import Path; from detect.results.folder import ResultFolder\n"
    head += "given = [Path(a) for a in sys.argv[1:]]; one = ResultFolder(given[0])\n"
    command = [sys.executable, "-c", head + script, *map(str, arguments)]
    return subprocess.Popen(
        command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lock of ``tmp_path / "scene"`` until it is killed."""
    process = start("with one.lock('detect predict'): print('locked', flush=True); time.sleep(600)", tmp_path / "scene")
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.communicate()


# Find and read.


def test_a_folder_is_a_result_or_holds_some(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden"):
        write(tmp_path / "out" / name)
    (tmp_path / "out" / "notes").mkdir()
    assert [f.path.name for f in ResultFolder.find(tmp_path / "out")] == ["a", "b"]
    assert [f.path for f in ResultFolder.find(tmp_path / "out" / "a")] == [tmp_path / "out" / "a"]
    write(tmp_path / "out" / "a" / "below")
    assert [f.path.name for f in ResultFolder.find(tmp_path / "out" / "a")] == ["a"], "what lies in a result is the user's own"


def test_a_series_beside_the_results_is_not_one_of_them(tmp_path: Path) -> None:
    for name in ("june", "tracked"):
        write(tmp_path / name)
    (tmp_path / "tracked" / "tracks.gpkg").touch()
    assert [f.path.name for f in ResultFolder.find(tmp_path)] == ["june"]
    for allow_none in (False, True):
        with pytest.raises(InputError, match=r"tracked: is a result of detect track .*; give those of detect predict"):
            ResultFolder.find(tmp_path / "tracked", allow_none=allow_none)
    (tmp_path / "tracked" / "buildings.gpkg").touch()
    (tmp_path / "june" / "tracks.gpkg").touch()
    (tmp_path / "june" / "buildings.gpkg").touch()
    assert [f.path.name for f in ResultFolder.find(tmp_path)] == ["june", "tracked"], "a file of your own makes no series"


def test_what_is_no_result_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such folder"):
        ResultFolder.find(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"holds no result of detect predict \(a\.gpkg and summary\.json\)"):
        ResultFolder.find(tmp_path, ("a.gpkg", "summary.json"))
    assert ResultFolder.find(tmp_path, allow_none=True) == []
    assert ResultFolder.find("/", ("no such file",), allow_none=True) == []


def test_one_is_neither_none_nor_two(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds 0 predicted scenes"):
        ResultFolder.find_one(tmp_path, "summary.json")
    write(tmp_path / "a")
    assert ResultFolder.find_one(tmp_path, "summary.json").path == tmp_path / "a"
    write(tmp_path / "b")
    with pytest.raises(InputError, match=r"holds 2 predicted scenes; .*summary\.json"):
        ResultFolder.find_one(tmp_path, "summary.json")


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '"run"', "[" * 100_000, '{"run": []}', '{"run": {"other": 1}}'])
def test_a_summary_that_is_none_is_one_line(tmp_path: Path, content: str) -> None:
    write(tmp_path / "a")
    (tmp_path / "a" / "summary.json").write_text(content)
    with pytest.raises(InputError, match=r"a/summary\.json: is not of .*; run it again") as caught:
        key(tmp_path / "a")
    assert "\n" not in str(caught.value)


# Lock.


def test_the_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    one = ResultFolder(tmp_path / "deep" / "scene")
    with one.lock("detect predict"):
        assert [p.name for p in one.path.parent.iterdir()] == [".scene.detect-lock"]
    assert list(one.path.parent.iterdir()) == []


def test_who_waits_says_for_whom_and_goes_on_when_that_was_killed(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    killer = threading.Timer(1.5, holder.kill)
    killer.start()
    began = time.monotonic()
    expected = rf"scene: waiting for detect predict \(process {holder.pid} on .+, since 20\d\d-.+\)$"
    with pytest.warns(UserWarning, match=expected), ResultFolder(tmp_path / "scene").lock("detect census"):
        assert time.monotonic() - began > 1.0
        assert holder.wait() != 0
    assert list(tmp_path.iterdir()) == []


def test_a_short_wait_is_silent(tmp_path: Path) -> None:
    one, order = ResultFolder(tmp_path / "scene"), []

    def second() -> None:
        with one.lock("second"):
            order.append("second")

    with one.lock("first"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.2)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_link_and_its_folder_have_one_lock(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    (tmp_path / "scene").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "link").symlink_to(tmp_path / "scene")
    threading.Timer(1.5, holder.kill).start()
    with pytest.warns(UserWarning, match="waiting for"), ResultFolder(tmp_path / "elsewhere" / "link").lock("detect census"):
        assert holder.wait() != 0


def test_find_waits_for_what_another_command_writes(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    assert ResultFolder.find(tmp_path, allow_none=True) == [], "who only reads does not wait"

    def finish() -> None:
        write(tmp_path / "scene")
        holder.kill()

    threading.Timer(1.2, finish).start()
    with pytest.warns(UserWarning, match="waiting for detect predict"):
        assert [f.path for f in ResultFolder.find(tmp_path / "scene", wait_for="detect census")] == [tmp_path / "scene"]


def test_many_who_lock_at_once_are_never_two_inside(tmp_path: Path) -> None:
    """Each holder removes the lock's file; the next ones must not end up with different files of one name."""
    script = """
from detect.results import folder
folder.POLL_S = 0.001
print('ready', flush=True)
sys.stdin.readline()
for _ in range(100):
    with one.lock('detect predict'):
        os.close(os.open(given[1], os.O_CREAT | os.O_EXCL))
        time.sleep(0.001)
        given[1].unlink()
"""
    processes = [start(script, tmp_path / "scene", tmp_path / "inside") for _ in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [p.wait() for p in processes] == [0] * 4
    for process in processes:
        process.communicate()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_on_a_file_that_lost_its_name_is_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As over NFS, where a removed file that is still open keeps a link."""
    calls, sign = [], module._sign

    def first_is_lost(descriptor: int, file: Path, command: str) -> None:
        calls.append(command)
        if len(calls) == 1:
            file.rename(file.with_name(".nfs0001"))
        sign(descriptor, file, command)

    monkeypatch.setattr(module, "_sign", first_is_lost)
    with ResultFolder(tmp_path / "scene").lock("detect predict"):
        assert len(calls) == 2
        assert json.loads((tmp_path / ".scene.detect-lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_where_nothing_can_be_written_no_lock_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    write(tmp_path / "scene")
    _locking_fails(monkeypatch, code)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with warnings.catch_warnings(), ResultFolder(tmp_path / "scene").lock("detect predict"):
        assert key(tmp_path / "scene") == "one"


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    _locking_fails(monkeypatch, code)
    with (
        pytest.warns(UserWarning, match="scene: its file system knows no locks; run one command at a time there"),
        ResultFolder(tmp_path / "scene").lock("detect predict"),
    ):
        assert list(tmp_path.iterdir()) == []


def test_a_lock_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _locking_fails(monkeypatch, errno.ENOSPC)
    one = ResultFolder(tmp_path / "scene")
    with pytest.raises(DetectError, match=r"scene: cannot be locked \(No space left on device: .*detect-lock\)"), one.lock("x"):
        pass
    with pytest.raises(DetectError, match="cannot be locked"), ResultFolder(tmp_path / ("n" * 250)).lock("x"):
        pass


def _locking_fails(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(FileLock, "acquire", fail)


# Swap.


def test_a_swap_replaces_the_outputs_and_keeps_all_else(tmp_path: Path) -> None:
    folder, far = write(tmp_path / "scene"), tmp_path / "far"
    far.mkdir()
    (far / "big.tif").write_text("far away")
    (folder / "mask.tif").write_text("old")
    (folder / "notes.txt").write_text("mine")
    (folder / "mine").mkdir()
    (folder / "mine" / "link").symlink_to("../notes.txt")
    (folder / "far").symlink_to(far)
    (folder / "gone").symlink_to("nowhere")
    with ResultFolder(folder).swap() as target:
        write(target, "two")
        assert key(folder) == "one", "until all is written the earlier result stands"
    assert key(folder) == "two"
    assert not (folder / "mask.tif").exists(), "an output of the earlier run is none of this one"
    assert (folder / "notes.txt").read_text() == (folder / "mine" / "link").read_text() == "mine"
    assert os.readlink(folder / "mine" / "link") == "../notes.txt"
    assert (os.readlink(folder / "far"), os.readlink(folder / "gone")) == (str(far), "nowhere")
    assert (far / "big.tif").read_text() == "far away"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["far", "scene"]


def test_a_link_to_a_result_stays_a_link(tmp_path: Path) -> None:
    real = write(tmp_path / "disk" / "scene")
    (tmp_path / "out").mkdir()
    link = tmp_path / "out" / "other"
    link.symlink_to(real)
    with ResultFolder(link).lock("detect predict"), ResultFolder(link).swap() as target:
        write(target, "two")
    assert link.is_symlink()
    assert key(real) == key(link) == "two"
    assert [p.name for p in (*link.parent.iterdir(), *real.parent.iterdir())] == ["other", "scene"]


def test_folders_of_a_user_with_like_names_are_left(tmp_path: Path) -> None:
    names = [".scene.old", ".scene.new", "scene.old", ".scene.lock"]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    write(tmp_path / "scene")
    with ResultFolder(tmp_path / "scene").lock("detect predict"), ResultFolder(tmp_path / "scene").swap() as target:
        write(target, "two")
    assert all((tmp_path / name / "mine.txt").read_text() == "mine" for name in names)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, InputError])
def test_what_ends_early_leaves_the_earlier_result(tmp_path: Path, error: type[BaseException]) -> None:
    write(tmp_path / "scene")
    with pytest.raises(error), ResultFolder(tmp_path / "scene").swap() as target:
        (target / "mask.tif").write_text("half")
        raise error
    assert key(tmp_path / "scene") == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["scene"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_the_earlier_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    write(tmp_path / "scene")
    calls, rename = [], Path.rename

    def one_fails(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == failing:
            raise OSError(errno.EBUSY, "busy")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", one_fails)
    monkeypatch.setattr(module, "exchange", lambda one, other: False)
    with (
        pytest.raises(DetectError, match=r"scene: cannot be replaced and stays as it was .*busy"),
        ResultFolder(tmp_path / "scene").swap() as target,
    ):
        write(target, "two")
    assert key(tmp_path / "scene") == "one"
    assert [p.name for p in tmp_path.iterdir()] == ["scene"]


@pytest.mark.parametrize(
    ("scene", "warnings", "drawn"),
    [
        ({"simulated": True}, [], True),
        ({"simulated": False}, ["SIMULATED in a warning of something else"], False),
        ({}, ["SIMULATED: the scene is drawn and shows no real place"], True),  # earlier versions
        ({}, ["bands: SIMULATED is no band"], False),
    ],
)
def test_a_drawn_scene_is_known_as_such(scene: dict[str, bool], warnings: list[str], drawn: bool) -> None:
    assert is_simulated({"scene": scene, "warnings": warnings}) is drawn
