"""Nothing is sent anywhere, and nothing is written but the results: each command in a fresh process, watched.

Python's own guard, an audit hook, sees look-ups and connections that Python makes; where the machine has ``strace``, the calls of the whole
process are read too, those of the C and C++ libraries among them, and every path that it writes to. Where it has not, a network namespace
without a network (``unshare``) stands in, in which nothing can be reached.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.smoke.placeholders import ROOT, provide
from tests.smoke.test_docs_commands import SHORTENED

GUARD = """
import os, sys
log = os.open(os.environ["GUARD_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)

def guard(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[0] if event.startswith("socket.get") else arguments[1]
        if isinstance(address, (str, bytes)) and not event.startswith("socket.get"):
            return  # a Unix socket of this machine
        os.write(log, f"{event} {address!r}\\n".encode())
        raise OSError(f"the guard forbids {event} {address!r}")

sys.addaudithook(guard)
"""
CALLS = "connect,sendto,sendmsg,sendmmsg,open,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
DEVICES = ("/dev/", "/proc/", "/sys/")
"""Opened for writing, and no files."""


@cache
def _watcher() -> str | None:
    """The program that watches a whole process here; ptrace and namespaces are forbidden on some machines."""
    trials = {
        "strace": ["strace", "--seccomp-bpf", "-f", "-o", os.devnull, "true"],
        "unshare": ["unshare", "--net", "--map-root-user", "true"],
    }
    for name, trial in trials.items():
        if shutil.which(name) and subprocess.run(trial, capture_output=True).returncode == 0:
            return name
    return None


class Watched:
    """A folder to run commands in, beside an empty home."""

    def __init__(self, base: Path) -> None:
        self.base, self.work, self.home = base, base / "work", base / "home"
        self._log, self._calls, site = base / "guard.log", base / "calls", base / "site"
        self.temporary = self.home / "tmp"
        for folder in (self.work, self.temporary, self._calls, site):
            folder.mkdir(parents=True)
        (site / "sitecustomize.py").write_text(GUARD, encoding="utf-8")
        caches = {f"XDG_{name}_HOME": str(self.home / name.lower()) for name in ("CACHE", "CONFIG", "DATA", "STATE")}
        self._environment = caches | {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": f"{site}:{ROOT}",
            "PYTHONDONTWRITEBYTECODE": "1",  # Python's own files beside the code
            "GUARD_LOG": str(self._log),
        }

    def findings(self, command: list[str], *results: str) -> list[str]:
        """Run a command; what it reached for on the network, and what it wrote elsewhere.

        Args:
            command: what follows ``python``.
            results: files and folders of the working folder in which it may write, and beside them, under a name that begins with a dot
                and the same, what is not whole yet.
        """
        allowed = [
            str(path)
            for result in map(self.work.joinpath, results)
            for path in (result, result.with_name(f".{result.name}"), result.with_name(f".{result.stem}."))
        ]
        before = self._files(allowed)
        for old in self._calls.iterdir():
            old.unlink()
        self._log.unlink(missing_ok=True)
        watch = {
            "strace": [
                "strace",
                "--seccomp-bpf",
                "-ff",
                "-qq",
                "-y",
                "-s",
                "500",
                "-e",
                f"trace={CALLS}",
                "-o",
                str(self._calls / "of"),
            ],
            "unshare": ["unshare", "--net", "--map-root-user"],
            None: [],
        }[_watcher()]
        done = subprocess.run(
            [*watch, sys.executable, *command], cwd=self.work, env=self._environment, capture_output=True, text=True, timeout=300
        )
        # What a guard forbids may be taken for a dead network and passed over, so the log is looked at, and first.
        looked_up = self._log.read_text(encoding="utf-8").splitlines()
        left = [f"left {path}" for path, moment in self._files(allowed).items() if before.get(path) != moment]
        found = [*looked_up, *left, *self._seen([*allowed, str(self.temporary), str(self._log)])]
        assert found or done.returncode == 0, done.stderr
        return found

    def _files(self, allowed: list[str]) -> dict[Path, int]:
        """All that lies in the home, the temporary folder and the working folder, but for the results."""
        everything = [path for top in (self.home, self.work) for path in top.rglob("*") if path.is_file()]
        return {path: path.stat().st_mtime_ns for path in everything if not str(path).startswith(tuple(allowed))}

    def _seen(self, allowed: list[str]) -> list[str]:
        """Calls of the process and its children that reach for a network or write elsewhere; its temporary files may come and go."""
        lines = [line for calls in self._calls.iterdir() for line in calls.read_text("utf-8", errors="replace").splitlines()]
        found = [line for line in lines if re.search(r"sa_family=AF_INET6?\b", line)]
        for line in lines:
            written = _written(line, self.work)
            if written is not None and not written.startswith((*allowed, *DEVICES)):
                found.append(line)
        return found


def _written(line: str, work: Path) -> str | None:
    """The path that a call created or opened for writing; None for other calls, and for those that failed."""
    name, _, rest = line.partition("(")
    if " = -1 " in line or name in ("connect", "sendto", "sendmsg", "sendmmsg") or line.startswith(("+++", "---")):
        return None
    if name.startswith("open") and not re.search(r"O_WRONLY|O_RDWR|O_CREAT", rest):
        return None
    paths = re.findall(r'"((?:[^"\\]|\\.)*)"', rest)
    return os.path.normpath(work / paths[-1]) if paths else None


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    place = Watched(tmp_path_factory.mktemp("silence"))
    for name in ("january.tif", "june.tif", "plots.geojson", "reference.geojson", "path/to/spacenet2"):
        provide(name, place.work)
    return place


COMMANDS = [
    ("predict january.tif june.tif --out out -q", ["out"]),
    ("census out/june --sites plots.geojson", ["out/june"]),
    ("track out --out tracked -q", ["tracked"]),
    ("evaluate out/june reference.geojson --out metrics.json", ["metrics.json"]),
    ("prepare spacenet2 path/to/spacenet2 chips -q", ["chips"]),
    (f"fit --config {ROOT}/configs/fit/smoke.yaml {' '.join(SHORTENED['fit'])}", ["runs", "chips/decoded"]),
    ("export deep --out model.onnx", ["model."]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("command", "results"), COMMANDS, ids=[command.split()[0] for command, _ in COMMANDS])
def test_a_command_is_silent(command: str, results: list[str], watched: Watched) -> None:
    assert watched.findings(["-m", "detect", *command.split()], *results) == []


NOISE = {
    "look-up": "import socket\ntry: socket.getaddrinfo('example.org', 443)\nexcept OSError: pass",
    "connection": "import socket\ntry: socket.create_connection(('192.0.2.1', 443), 1)\nexcept OSError: pass",
    "file": "from pathlib import Path; (Path.home() / 'device_id').write_text('1')",
    "left in the temporary folder": "import tempfile; tempfile.mkstemp()",
}
BELOW_PYTHON = {
    "look-up": "import ctypes; ctypes.CDLL(None).gethostbyname(b'example.org')",
    "file": "import ctypes, os; p = os.path.expanduser('~/gone'); ctypes.CDLL(None).creat(p.encode(), 384); os.unlink(p)",
}
"""Seen by strace alone."""


@pytest.mark.parametrize("noise", NOISE)
def test_the_guard_hears_noise(noise: str, tmp_path: Path) -> None:
    assert Watched(tmp_path).findings(["-c", NOISE[noise]])


@pytest.mark.parametrize("noise", BELOW_PYTHON)
def test_the_guard_hears_libraries(noise: str, tmp_path: Path) -> None:
    if _watcher() != "strace":
        pytest.skip("no strace on this machine")
    assert Watched(tmp_path).findings(["-c", BELOW_PYTHON[noise]])
