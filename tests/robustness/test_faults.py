"""Kills between any two steps of the swap, full disks, servers that fail: nothing is lost or half-written, and one line says why."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from detect.base.errors import DetectError, InputError
from detect.base.files import exchange, refuse_input
from detect.evaluation.footprints import evaluate
from detect.results import folder as module
from detect.results.folder import ResultFolder
from detect.runs.track import OUTPUTS as TRACKED
from detect.runs.track import free_folder
from detect.scene.sources import sources
from detect.scene.tiles import download

MOST_STEPS = 10


def write(folder: Path, key: str = "one") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "summary.json").write_text(json.dumps({"run": {"key": key}, "scene": {}}))
    return folder


def key(folder: Path) -> str:
    return str(ResultFolder(folder).summary("run.key")["run"]["key"])


# The swap.


@pytest.fixture
def result(tmp_path: Path) -> Path:
    """A result with a user's own file, folder, link and pipe in it, and another result beside it."""
    folder = write(tmp_path / "out/scene")
    (folder / "mask.tif").write_text("old")
    (folder / "notes.txt").write_text("mine")
    (folder / "mine").mkdir()
    (folder / "mine/deep.txt").write_text("mine too")
    (folder / "gone").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    write(tmp_path / "out/other")
    return folder


def is_whole(folder: Path) -> bool:
    own = (folder / "notes.txt").read_text(), (folder / "mine/deep.txt").read_text(), os.readlink(folder / "gone")
    return own == ("mine", "mine too", "nowhere") and (folder / "pipe").is_fifo()


def killed_at(step: int, work: Callable[[], None], *places: tuple[Any, str]) -> bool:
    """Run work in a copy of this process that ends without a word before its ``step``-th call of any of these functions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of fork beside threads, from Python 3.12 on
        process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 9
    calls = [0]

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **more: Any) -> Any:
            if calls[0] == step:
                os._exit(9)
            calls[0] += 1
            return function(*arguments, **more)

        return call

    try:
        for owner, name in places:
            setattr(owner, name, counted(getattr(owner, name)))
        work()
    finally:
        os._exit(0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
@pytest.mark.parametrize("can_exchange", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("way", ["lock", "find", "wait"])
def test_a_kill_before_any_step_loses_nothing(
    result: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool, way: str
) -> None:
    if not can_exchange:
        monkeypatch.setattr(module, "exchange", lambda one, other: False)
    steps = [
        (module, "exchange"),
        (module, "take_over"),
        (module, "_take_own"),
        (shutil, "rmtree"),
        (Path, "rename"),
        (Path, "mkdir"),
    ]
    one = ResultFolder(result)

    def swap() -> None:
        with one.lock("detect census"), one.swap() as target:
            (target / "summary.json").write_text(json.dumps({"run": {"key": "two"}, "scene": {}}))

    kills = 0
    for step in range(MOST_STEPS + 6):
        kills += killed_at(step, swap, *steps)
        if can_exchange:
            assert key(result) in ("one", "two") and is_whole(result), "there is a result at any instant"
        if way == "lock":
            with one.lock("detect predict"):
                pass
            assert {p.name for p in result.parent.iterdir()} == {"scene", "other"}
        else:
            found = ResultFolder.find(result.parent, wait_for="detect census" if way == "wait" else None)
            assert [f.path.name for f in found] == ["other", "scene"]
        assert key(result) in ("one", "two") and is_whole(result)
        with one.lock("detect census"), one.swap() as target:
            write(target)
        assert {p.name for p in result.parent.iterdir()} == {"scene", "other"}
    assert kills >= MOST_STEPS


def test_folders_exchange_their_names_in_one_step(tmp_path: Path) -> None:
    one, two = write(tmp_path / "a", "one"), write(tmp_path / "b", "two")
    if exchange(one, two):
        assert (key(one), key(two)) == ("two", "one")
    else:
        assert (key(one), key(two)) == ("one", "two")


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_first_result_needs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, can_exchange: bool) -> None:
    if not can_exchange:
        monkeypatch.setattr(module, "exchange", lambda one, other: False)
    one = ResultFolder(tmp_path / "out/scene")
    for number in ("one", "two"):
        with one.lock("detect predict"), one.swap() as target:
            write(target, number)
        assert key(one.path) == number and [p.name for p in one.path.parent.iterdir()] == ["scene"]


def test_own_files_stay_the_same_files(result: Path) -> None:
    before = {name: (result / name).stat().st_ino for name in ("notes.txt", "mine/deep.txt")}
    with ResultFolder(result).lock("detect census"), ResultFolder(result).swap() as target:
        write(target, "two")
        (result / "late.txt").write_text("put there meanwhile")
    assert {name: (result / name).stat().st_ino for name in before} == before
    assert is_whole(result) and key(result) == "two" and (result / "late.txt").exists()


def test_an_own_file_that_has_the_name_of_an_output_stays(result: Path) -> None:
    summary = json.loads((result / "summary.json").read_text())
    (result / "summary.json").write_text(json.dumps({**summary, "files": {"summary.json": ""}}))
    (result / "overview.png").write_text("mine")
    with pytest.raises(InputError, match=r"its overview.png is not of a result"), ResultFolder(result).swap() as target:
        write(target, "two")
        (target / "overview.png").write_text("drawn")
    assert key(result) == "one" and (result / "overview.png").read_text() == "mine"
    with ResultFolder(result).swap() as target:
        write(target, "two")
    assert key(result) == "two" and (result / "overview.png").read_text() == "mine"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_named_and_the_earlier_result_stays(result: Path, code: int) -> None:
    with (
        pytest.raises(
            DetectError, match=r"(no space is left|a quota or a limit on file sizes is reached) in .*stays as it was"
        ) as error,
        ResultFolder(result).lock("detect census"),
        ResultFolder(result).swap() as target,
    ):
        write(target, "half")
        try:
            raise OSError(code, os.strerror(code))
        except OSError as cause:
            raise RuntimeError("a library says something else") from cause
    assert "\n" not in str(error.value)
    assert key(result) == "one" and is_whole(result) and {p.name for p in result.parent.iterdir()} == {"scene", "other"}


# What --overwrite and --out may replace.


@pytest.mark.parametrize(
    ("files", "refused"),
    [
        ({}, False),
        ({"notes.txt": "mine"}, False),
        ({"summary.json": '{"run": {}, "scene": {}}', "mask.tif": "x"}, False),
        ({"mask.tif": "mine"}, True),
        ({"summary.json": '{"run": {}, "scene": {}, "files": {"mask.tif": ""}}', "mask.tif": "x"}, False),
        ({"summary.json": '{"run": {}, "scene": {}, "files": {"mask.tif": ""}}', "mask.tif": "x", "overview.png": "mine"}, True),
        ({"summary.json": "{}"}, True),
        ({"summary.json": "[" * 100_000}, True),
        ({"summary.json": '{"series": {}}', "report.html": "of track"}, True),
    ],
)
def test_overwrite_means_results_of_the_same_command(tmp_path: Path, files: dict[str, str], refused: bool) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    if refused:
        with pytest.raises(InputError, match=r"is not of a result of this command"):
            ResultFolder(tmp_path).refuse_others()
    else:
        ResultFolder(tmp_path).refuse_others()


def test_track_replaces_no_result_of_predict(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is not of a result of this command"):
        free_folder(write(tmp_path / "scene"), TRACKED, "summary.json", ("series",), True)


@pytest.mark.parametrize("out", ["reference.geojson", "plots.json", "scene/summary.json", "nowhere/m.json"])
def test_metrics_replace_nothing_else(tmp_path: Path, out: str) -> None:
    write(tmp_path / "scene")
    for name in ("reference.geojson", "plots.json"):
        (tmp_path / name).write_text('{"type": "FeatureCollection", "features": []}')
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*json")}
    with pytest.raises(InputError, match=r"would be replaced|something else than metrics|does not exist"):
        evaluate(tmp_path / "scene", tmp_path / "reference.geojson", out=tmp_path / out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*json")} == before


def test_links_to_an_input_are_seen_through(tmp_path: Path) -> None:
    (tmp_path / "a.json").touch()
    (tmp_path / "b.json").symlink_to(tmp_path / "a.json")
    with pytest.raises(InputError, match="would be replaced"):
        refuse_input(tmp_path / "b.json", None, tmp_path / "a.json")
    refuse_input(tmp_path / "c.json", tmp_path / "a.json")


# Servers.


@contextmanager
def server(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except OSError:  # the reader has gone
                self.close_connection = True

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads, running.block_on_close = True, False
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()
        running.server_close()


def send(handler: BaseHTTPRequestHandler, body: bytes, length: int | None) -> None:
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()
    handler.wfile.write(body)


def stall(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"{", 100)
    time.sleep(2)


def drip(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", 10_000)
    for _ in range(40):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def endless(handler: BaseHTTPRequestHandler) -> None:
    send(handler, b"", None)
    while True:
        handler.wfile.write(bytes(1 << 16))


FAULTS = {
    "stalled": (stall, "cannot be reached"),
    "dripping": (drip, "bytes a second"),
    "endless": (endless, "sends more than"),
    "terabytes": (lambda handler: send(handler, b"{", 10**12), "sends more than"),
    "cut off": (lambda handler: send(handler, b"{}", 100), "ended after 2 of 100 bytes"),
    "no http": (lambda handler: handler.wfile.write(b"\x00\x01\x02\r\n"), "cannot be reached"),
    "bad json": (lambda handler: send(handler, b"<html>", 6), "cannot be read as a STAC document"),
    "not utf-8": (lambda handler: send(handler, b"\xff\xfe\x00", 3), "cannot be read as a STAC document"),
    "gone": (lambda handler: handler.send_error(404), "no such document on the server"),
    "forbidden": (lambda handler: handler.send_error(403), "the server refuses"),
    "broken": (lambda handler: handler.send_error(500), "answers 500"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    answer, words = FAULTS[fault]
    for name, value in {"FIRST_WAIT_S": 0.001, "TIMEOUT_S": 0.3, "PATIENCE_S": 1.0}.items():
        monkeypatch.setattr(download, name, value)
    with server(answer) as address, pytest.raises(DetectError, match=words) as error:
        sources([f"{address}/item.json?token=SECRET"])
    assert "\n" not in str(error.value) and "SECRET" not in str(error.value)


def test_a_flaky_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.001)
    tries: list[str] = []

    def flaky(handler: BaseHTTPRequestHandler) -> None:
        tries.append(handler.path)
        if len(tries) == 1:
            handler.send_error(503)
        elif len(tries) == 2:
            send(handler, b"[", 2)  # one byte too few
        else:
            send(handler, b'{"a": 1}', 8)

    with server(flaky) as address:
        assert download.get(f"{address}/a b/ü.json") == b'{"a": 1}'
    assert tries[0] == "/a%20b/%C3%BC.json" and len(tries) == 3
