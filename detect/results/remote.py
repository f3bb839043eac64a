"""Copy results to object stores and other places that fsspec reaches.

Predict works in a folder where the command runs, so that a later call can continue; each finished result is then copied,
``summary.json`` last, so that a result with a summary is complete.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from detect.base.errors import DetectError, InputError
from detect.results.files import OUTPUTS
from detect.results.folder import SUMMARY, ResultFolder

STAGING = Path(".detect-work")
"""Name of the local folder, where the command runs."""


def is_remote(out: str | Path) -> bool:
    """Whether results go to a URL such as ``s3://bucket/results`` rather than to a folder."""
    return "://" in str(out)


class RemoteFolder:
    """A folder behind an fsspec URL, and the local folder that is used during the work."""

    def __init__(self, url: str) -> None:
        """Connect; nothing is written yet.

        Raises:
            InputError: fsspec or the package of this protocol is missing, or there is no such protocol.
        """
        try:
            import fsspec
        except ModuleNotFoundError as cause:
            raise InputError(f"--out {url}: needs fsspec; run: pip install 'detect-buildings[remote]'") from cause
        try:
            self._files, self._root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as cause:  # a missing package, an unknown protocol
            raise InputError(f"--out {url}: {' '.join(str(cause).split())}") from cause
        self.url = url.rstrip("/")
        self.local = STAGING / hashlib.sha256(self.url.encode()).hexdigest()[:12]

    def store(self, folder: Path, *, overwrite: bool = False) -> str:
        """Copy the folder of a result; an existing copy of the same result is left unchanged.

        Returns:
            Its URL.

        Raises:
            InputError: another result lies there, and ``overwrite`` is not set; or something that is no result of predict, or a file that
                the result does not list and that would be replaced.
            DetectError: the copy failed. The local folder stays in both cases.
        """
        there, summary = f"{self.url}/{folder.name}", self._summary(folder.name)
        here = ResultFolder(folder).summary()
        same = summary is not None and _key_of(summary) == _key_of(here)
        if same and _files_of(summary) >= _files_of(here):  # else other --outputs are wanted now
            return there
        if summary is not None and not _key_of(summary):
            raise InputError(
                f"{there}: its {SUMMARY} is not of a result of this command, so it is not replaced; give another --out"
            )
        if summary is not None and not same and not overwrite:
            raise InputError(
                f"{there}: holds another result; give --overwrite to replace it, or another --out (the new one lies in {folder})"
            )
        target = f"{self._root.rstrip('/')}/{folder.name}"
        names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name != SUMMARY)
        if _files_of(summary):  # results of earlier versions do not list them
            self._refuse_own(there, target, set(names) - _files_of(summary))
        try:
            if self._files.exists(f"{target}/{SUMMARY}"):  # while files are replaced, there must be no summary
                self._files.rm_file(f"{target}/{SUMMARY}")
            self._files.makedirs(target, exist_ok=True)
            for name in () if same else sorted(_files_of(summary) & set(OUTPUTS) - {*names, SUMMARY}):
                if self._files.exists(f"{target}/{name}"):  # of the result that is replaced
                    self._files.rm_file(f"{target}/{name}")
            for name in names:
                self._files.put_file(str(folder / name), f"{target}/{name}")
            if same:
                self._files.pipe_file(f"{target}/{SUMMARY}", json.dumps(_with_kept(here, summary), indent=1).encode())
            else:
                self._files.put_file(str(folder / SUMMARY), f"{target}/{SUMMARY}")
        except Exception as cause:  # each protocol has its own exceptions
            raise DetectError(
                f"{there}: cannot be written ({type(cause).__name__}: {' '.join(str(cause).split())[:200]}); "
                f"the result lies in {folder}, and the same command copies it again"
            ) from cause
        return there

    def _refuse_own(self, there: str, target: str, names: set[str]) -> None:
        """Refuse to replace a file that a result at the URL does not list: it is the user's own."""
        for name in sorted(names):
            if self._files.exists(f"{target}/{name}"):
                raise InputError(f"{there}: its {name} is not of a result of this command, so it is not replaced; move it")

    def _summary(self, name: str) -> Any:
        """The summary of the result at the URL, or what lies there instead; None if there is nothing."""
        path = f"{self._root.rstrip('/')}/{name}/{SUMMARY}"
        try:
            return json.loads(self._files.cat_file(path)) if self._files.exists(path) else None
        except (OSError, ValueError):
            return ""


def _key_of(summary: Any) -> str:
    try:
        return str(summary["run"]["key"])
    except (KeyError, TypeError):
        return ""


def _files_of(summary: Any) -> set[str]:
    try:
        return set(summary["files"])
    except (KeyError, TypeError):
        return set()


def _with_kept(here: dict[str, Any], there: dict[str, Any]) -> dict[str, Any]:
    """A summary that also lists what the same result has at the URL already, such as the files of other ``--outputs``."""
    return {**here, **{key: {**there.get(key, {}), **here[key]} for key in ("files", "contents") if key in here}}
