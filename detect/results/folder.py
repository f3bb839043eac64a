"""The folder of one result: how it is found, read, locked and swapped for a new one.

Beside a folder ``scene`` lie, while a command is at work: ``.scene.work`` (finished blocks, kept between runs),
``.scene.detect-lock`` (the command at work) and ``.scene.detect-new`` (the result being written, then the one that it has replaced: the
two exchange their names in one step). Where the file system cannot exchange names, ``.scene.detect-old`` is for a moment the one being
replaced.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from detect.base.errors import DetectError, InputError, full_disk, of_system, said
from detect.base.files import exchange, take_over
from detect.base.vectors import is_vector_folder
from detect.results.files import BUILDINGS as BUILDINGS
from detect.results.files import OUTPUTS, is_series
from detect.results.files import SUMMARY as SUMMARY

NOTICE_AFTER_S = 1.0
"""A shorter wait is not reported."""
POLL_S = 0.1
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
_WRITERS = ("rasterio", "pyogrio", "pyarrow", "sqlite3")
_LOGS = ("-wal", "-shm", "-journal")
"""Endings of the files that SQLite keeps beside an open database."""
_NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)


class _LostFileError(Exception):
    """The file that was locked no longer has the lock's name: the previous command removed it."""


def buildings_file(path: str | Path) -> Path:
    """The file of buildings of the single result in or at a folder; any other path unchanged, also a folder that is a vector file.

    Raises:
        InputError: a folder without a result, or with several.
    """
    path = Path(path)
    if not path.is_dir() or (is_vector_folder(path) and not ResultFolder.find(path, (BUILDINGS,), allow_none=True)):
        return path
    return ResultFolder.find_one(path, BUILDINGS).path / BUILDINGS


def is_simulated(summary: Mapping[str, Any]) -> bool:
    """Whether ``detect simulate`` drew the scene of a result; results of earlier versions say so only in a warning."""
    known: bool | None = summary["scene"].get("simulated")
    return any(w.startswith("SIMULATED") for w in summary["warnings"]) if known is None else known


@dataclass(frozen=True)
class ResultFolder:
    """A folder that predict or track writes; it need not exist yet."""

    path: Path

    @classmethod
    def find(
        cls, path: str | Path, files: Sequence[str] = (SUMMARY,), *, allow_none: bool = False, wait_for: str | None = None
    ) -> list[ResultFolder]:
        """The result at a folder, or those in the folders directly below it, sorted by name; results of ``detect track`` are none.

        A result whose replacement was interrupted is restored first.

        Args:
            path: a folder that predict wrote, for one scene or with a folder per scene.
            files: files that a result holds.
            allow_none: return an empty list if there is no result.
            wait_for: the command, such as ``detect census``, that waits for results which another command is still writing.

        Raises:
            InputError: no such folder, or no result.
        """
        path = Path(path)
        for one in cls._unsettled(path, "detect-old", *(["detect-lock"] if wait_for else [])):
            with one.lock(wait_for or "detect"):
                pass
        if not path.is_dir():
            raise InputError(f"{path}: no such folder; give one that detect predict wrote")
        if is_series(path):
            raise InputError(
                f"{path}: is a result of detect track (detect evaluate --track); give those of detect predict behind it"
            )
        candidates = [path] if all((path / name).is_file() for name in files) else sorted(path.glob("[!.]*"))
        found = [cls(f) for f in candidates if all((f / name).is_file() for name in files) and not is_series(f)]
        if not found and not allow_none:
            raise InputError(
                f"{path}: holds no result of detect predict ({' and '.join(files)}), neither itself nor in a folder below; "
                "give the folder that --out named"
            )
        return found

    @classmethod
    def find_one(cls, path: str | Path, file: str) -> ResultFolder:
        """The only result at or in a folder, recognised by a file in it.

        Raises:
            InputError: no such folder, no result or several.
        """
        found = cls.find(path, (file,), allow_none=True)
        if len(found) != 1:
            raise InputError(f"{path}: holds {len(found)} predicted scenes; give the folder of one, which has a {file}")
        return found[0]

    @classmethod
    def _unsettled(cls, path: Path, *kinds: str) -> list[ResultFolder]:
        """Results at ``path`` or below it that do not exist, although a hidden folder of these kinds does."""
        beside = {kind: [cls(path).beside(kind), *path.glob(f".*.{kind}")] for kind in kinds}
        named = {p.with_name(p.name[1 : -len(kind) - 1]) for kind, neighbours in beside.items() for p in neighbours if p.exists()}
        return [cls(p) for p in sorted(named) if not p.exists()]

    @staticmethod
    def unfinished(path: Path) -> list[Path]:
        """Work folders in a folder with a result per scene, from runs that were interrupted or are still at work."""
        return [] if (path / SUMMARY).is_file() else sorted(p for p in path.glob(".*.work") if p.is_dir())

    @property
    def work(self) -> Path:
        """Folder of finished blocks, from which an interrupted run continues."""
        return self.beside("work")

    def beside(self, kind: str) -> Path:
        """A hidden neighbour; of a link, beside its target, so that all paths share one on the target's disk."""
        real = self.path.resolve()
        return real.parent / f".{real.name}.{kind}"

    def summary(self, *keys: str) -> dict[str, Any]:
        """What summary.json holds.

        Args:
            keys: required keys, such as ``run.key``.

        Raises:
            InputError: it cannot be read or lacks a key.
        """
        file = self.path / SUMMARY
        try:
            summary = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as cause:
            raise InputError(f"{file}: is not of detect predict ({' '.join(str(cause).split())}); run it again") from cause
        if not isinstance(summary, dict):
            raise InputError(f"{file}: is not of detect predict (it holds no object); run it again")
        for key in keys:
            try:
                reduce(lambda part, name: part[name], key.split("."), summary)
            except (KeyError, TypeError) as cause:
                raise InputError(f"{file}: is not of this version of detect predict (it lacks '{key}'); run it again") from cause
        return summary

    @contextmanager
    def lock(self, command: str) -> Iterator[None]:
        """Keep other commands away from the folder; a swap that a killed command left unfinished is completed or undone first.

        A command that finds the folder locked names the command at work and waits. The operating system holds the lock, so it
        ends with the process. A user who cannot write beside the folder cannot change it and needs no lock. On a file system
        without locks there is a warning.

        Args:
            command: name that waiting commands print, such as ``detect predict``.

        Raises:
            DetectError: the lock's file cannot be written.
        """
        file = self.beside("detect-lock")
        can_write = True
        with ExitStack() as held:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                self._acquire(file, command, held)
            except OSError as cause:
                if cause.errno in _NO_LOCKS:
                    file.unlink(missing_ok=True)
                    warnings.warn(f"{self.path}: its file system knows no locks; run one command at a time there", stacklevel=3)
                elif cause.errno in _READ_ONLY and not _is_writable(file.parent):
                    can_write = False
                elif isinstance(wrong := of_system(str(self.path), cause), InputError):
                    raise wrong from cause
                else:
                    raise DetectError(f"{self.path}: cannot be locked ({cause.strerror}: {file})") from cause
            if can_write:
                self._recover()
            yield

    def _acquire(self, file: Path, command: str, held: ExitStack) -> None:
        """Lock a file, waiting as long as needed; ``held`` removes and unlocks it."""
        lock = FileLock(
            file, poll_interval=POLL_S, fallback_to_soft=False, on_acquired=lambda descriptor: _sign(descriptor, file, command)
        )
        timeout_s = NOTICE_AFTER_S
        while True:
            try:
                lock.acquire(timeout=timeout_s)
                break
            except _LostFileError:
                continue
            except Timeout:
                timeout_s = -1
                warnings.warn(f"{self.path}: waiting for {_holder(file)}", stacklevel=4)
        held.callback(lock.release)
        held.callback(_remove, file)  # while it is still locked: see _sign

    def written(self, mark: str = SUMMARY) -> frozenset[str] | None:
        """Names of the files that a command has written here; None without a result, or with one that does not name them.

        Args:
            mark: the file that names them: summary.json, under ``files``, or a STAC document, by its assets.
        """
        content = _object(self.path / mark)
        files, assets = content.get("files"), content.get("assets")
        if isinstance(files, dict):
            return frozenset(files)
        if isinstance(assets, dict):
            links = [str(asset.get("href")) for asset in assets.values() if isinstance(asset, dict)]
            return frozenset([mark, *(link.rpartition("/")[2] for link in links)])
        return None

    def require(self, names: Sequence[str]) -> None:
        """Check that a result has files.

        Raises:
            InputError: one is missing; the error says which, and what writes it.
        """
        missing = [name for name in names if not (self.path / name).is_file()]
        written = self.written()
        left_out = [name for name in missing if written is not None and name not in written]
        if left_out:
            lacks = f"{self.path}: has no {' and no '.join(left_out)}, since --outputs left {'them' if len(left_out) > 1 else 'it'} out"
            if _object(self.path / SUMMARY).get("recounted"):
                raise InputError(
                    f"{lacks}; predict into another --out without --outputs, and give this result's detect census there"
                )
            wanted = f"--outputs {','.join(left_out)}"
            raise InputError(
                f"{lacks}; give the command of detect predict again with {wanted}, which keeps the files that are there"
            )
        if missing:
            raise InputError(f"{self.path}: {missing[0]} is missing; run detect predict again")

    def refuse_others(
        self, outputs: Sequence[str] = OUTPUTS, *, mark: str = SUMMARY, keys: Sequence[str] = ("run", "scene")
    ) -> None:
        """Refuse to replace files that are of the user, or of another command: ``--overwrite`` means results of this one.

        Args:
            outputs: names that would be replaced.
            mark: the file that every result of this command has.
            keys: what it holds.

        Raises:
            InputError: there is something of these names, and no such result, or it is not of that result.
        """
        content = _object(self.path / mark)
        is_ours = all(key in content for key in keys)
        there = self._own(outputs, mark) if is_ours else [name for name in outputs if os.path.lexists(self.path / name)]
        if there:
            raise InputError(
                f"{self.path}: its {there[0]} is not of a result of this command, so it is not replaced; move it, or give another --out"
            )

    def _own(self, outputs: Sequence[str], mark: str) -> list[str]:
        """Names of outputs under which a user's own files lie beside those of a result."""
        written = self.written(mark)
        return [] if written is None else [n for n in outputs if n not in {mark, *written} and os.path.lexists(self.path / n)]

    @contextmanager
    def swap(self, outputs: Sequence[str] = OUTPUTS, mark: str = SUMMARY) -> Iterator[Path]:
        """Yield a new folder that replaces this one when the context ends; the caller holds the ``lock``.

        Args:
            outputs: names that are replaced; everything else belongs to the user and is kept, the same files and links, and so is a file
                of such a name that the result does not list.
            mark: the file that lists them, see ``written``.

        Raises:
            InputError: a user's own file has the name of one that was written.
            DetectError: the folder cannot be replaced, or the disk is full; it stays as it was.
        """
        aside, old, real = self.beside("detect-new"), self.beside("detect-old"), self.path.resolve()
        aside.mkdir(parents=True)
        try:
            yield aside
            own = self._own(outputs, mark)
            self.refuse_others([name for name in own if (aside / name).exists()], mark=mark, keys=())
            outputs = [name for name in outputs if name not in own]
            try:
                if not real.exists():
                    aside.rename(real)
                else:
                    _take_own(real, aside, outputs)
                    if exchange(real, aside):
                        old = aside
                    else:
                        real.rename(old)
                        aside.rename(real)
            except (OSError, shutil.Error) as cause:
                raise DetectError(f"{self.path}: cannot be replaced and stays as it was ({cause})") from cause
        except BaseException as error:
            why = full_disk(real.parent, error) or _not_written(error)
            self._recover()
            if why:
                raise DetectError(f"{self.path}: {why}; what was there stays as it was") from error
            raise
        if old.exists():
            with suppress(OSError):  # the new result is in place
                _take_own(old, real, outputs)  # what was put there in the meantime
            shutil.rmtree(old, ignore_errors=True)

    def _recover(self) -> None:
        """Undo a swap that was interrupted before the new folder was in place; clean up after one that was interrupted later."""
        old, real = self.beside("detect-old"), self.path.resolve()
        if old.exists() and not real.exists():
            old.rename(real)
        for stale in (self.beside("detect-new"), old):
            shutil.rmtree(stale, ignore_errors=True)


def _object(file: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _not_written(error: BaseException) -> str:
    """That a library could not write a file, for one of those that do not say why (a limit, a quota); empty for other errors."""
    if isinstance(error, DetectError) or type(error).__module__.partition(".")[0] not in _WRITERS:
        return ""
    return f"a file could not be written ({said(error)[:200]}); look for a full disk, a quota or a limit on file sizes"


def _take_own(folder: Path, target: Path, outputs: Sequence[str]) -> None:
    """Give what is the user's own in a folder a second name in another one, where there is nothing of this name."""
    # The logs of an open GeoPackage belong to the file that is replaced, and would spoil the new one.
    replaced = {name + log for name in outputs for log in ("", *_LOGS)}
    for entry in folder.iterdir():
        if entry.name not in replaced and not os.path.lexists(target / entry.name):
            take_over(entry, target / entry.name)


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or in the nearest one above that exists."""
    existing = next(p for p in (folder, *folder.parents) if p.exists())
    return os.access(existing, os.W_OK)


def _sign(descriptor: int, file: Path, command: str) -> None:
    """Write the holder's name into a file that was just locked.

    The holder removes the file before it unlocks it. A command that had opened it before then locks a file without a name, which
    protects nothing.

    Raises:
        _LostFileError: this has happened.
    """
    try:
        same = os.path.samestat(os.fstat(descriptor), file.stat())
    except FileNotFoundError:
        same = False
    if not same:
        raise _LostFileError
    since = datetime.now().astimezone().isoformat(timespec="seconds")
    note = {"command": command, "pid": os.getpid(), "host": socket.gethostname(), "since": since}
    with suppress(OSError):  # on a full disk the lock holds without a name
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(note).encode())


def _holder(file: Path) -> str:
    """The holder of a lock, in words."""
    try:
        note = json.loads(file.read_text(encoding="utf-8"))
        return f"{note['command']} (process {note['pid']} on {note['host']}, since {note['since']})"
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return "another command"


def _remove(file: Path) -> None:
    with suppress(OSError):  # Windows removes it when it is unlocked
        file.unlink()
