from __future__ import annotations

import io
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from detect.base.errors import DetectError, InputError
from detect.base.secrets import without_keys
from detect.scene.tiles import download
from detect.scene.tiles.download import fetch, get
from tests.tile_server import serving


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.001)


def test_a_busy_server_is_asked_again() -> None:
    with serving(busy=2) as server:
        assert get(f"{server.url}/?request=GetCapabilities") is not None
        assert len(server.paths) == 3
        assert all(agent.startswith("detect-buildings/") for agent in server.agents)


def test_patience_ends() -> None:
    with serving(status=503) as server:
        with pytest.raises(DetectError, match="answers 503"):
            get(f"{server.url}/tile")
        assert len(server.paths) == download.TRIES


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_not_asked_again(status: int) -> None:
    with serving(status=status) as server:
        with pytest.raises(InputError, match="does the address lack a key"):
            get(f"{server.url}/tile?token=SECRET")
        assert len(server.paths) == 1


def test_what_is_missing_is_none() -> None:
    with serving() as server:
        assert get(f"{server.url}/xyz/18/0/0.png") is None


def test_no_server() -> None:
    with pytest.raises(DetectError, match="cannot be reached"):
        get("http://127.0.0.1:9/tile")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://t.org/{z}/{x}/{y}?key=S&style=sat", "https://t.org/{z}/{x}/{y}?key=…&style=sat"),
        ("https://t.org/?access_token=S&api-key=S&apikey=S&sig=S&X-Amz-Signature=S", None),
        ("https://user:S@t.org/{z}", "https://t.org/{z}"),
        ("https://t.org/{z}/{x}/{y}.jpg", "https://t.org/{z}/{x}/{y}.jpg"),
    ],
)
def test_keys_are_not_written_down(address: str, shown: str | None) -> None:
    found = without_keys(address)
    assert found == shown or (shown is None and "=S" not in found)


def test_what_fits_is_asked_of_the_disk_of_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").write_bytes(b"0123456789")
    free = {tempfile.gettempdir(): 1_000_000_009}
    monkeypatch.setattr(download.shutil, "disk_usage", lambda place: SimpleNamespace(free=free.get(place, 10**12)))
    with serving(folder=tmp_path) as server:
        with pytest.raises(InputError, match="sends more than 9 bytes"):
            fetch(f"{server.url}/a.tif", io.BytesIO())
        free[tempfile.gettempdir()] += 1
        assert fetch(f"{server.url}/a.tif", io.BytesIO())


def test_pauses_grow_and_heed_what_the_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(download.time, "sleep", pauses.append)
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.5)
    with serving(status=503) as server, pytest.raises(DetectError):
        get(f"{server.url}/tile")
    assert pauses == [0.5, 1.0, 2.0, 4.0]
    assert (download._seconds("7"), download._seconds("Wed, 21 Oct 2026 07:28:00 GMT"), download._seconds(None)) == (
        7.0,
        0.0,
        0.0,
    )


def test_keys_in_the_fragment_of_an_address_are_not_published() -> None:
    assert without_keys("https://h/x?a=1&key=s#access_token=abc&b=2") == "https://h/x?a=1&key=…#access_token=…&b=2"
