"""Every command in the documentation works, in the order of its page, with the shipped weights.

The pages are read, so a command that is added there runs here. Every file that a command writes is opened.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import cv2
import geopandas as gpd
import onnx
import pandas as pd
import pyogrio
import pytest
import rasterio
import yaml

from detect.cli import main as cli
from detect.network.weights import load_weights
from scripts import docs_pictures
from tests.smoke.placeholders import ROOT, provide

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "weights/*.md", "tests/*.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
README = ROOT / "README.md"

NOT_RUN = {
    "make demo": "downloads a scene",
    "make test": "is what runs this",
    "pip install *": "downloads packages",
    "detect predict * --device cuda": "needs a GPU; tests/unit/network/test_pipeline.py has one on the CPU",
    "detect predict --stac *": "needs a STAC API; tests/smoke/test_web.py runs one",
    "detect predict Esri.WorldImagery *": "reads tiles from the internet; tests/unit/scene/tiles has what it does",
}
"""Patterns of commands that a user can type and no test can run, and why."""

SHORTENED = {
    "fit": ("data.samples=4", "data.batch=2", "data.chip_px=96", "data.workers=0", "validate_every=2",
            "trainer.accelerator=cpu", "trainer.precision=32-true"),
    "adapt": ("--way=last-layer",),
}  # fmt: skip
"""What is put behind a documented training run, which takes minutes to days, so that it takes two steps on a CPU; ``adapt`` does without
the fine-tuning that takes minutes."""
SHORTENED["test"] = SHORTENED["fit"]

BEYOND_THE_PAGES = """
detect predict scene.tif --out more --propose-sites --structure warehouse --device cpu --bands 3,2,1 -q
detect predict scene.tif --out more --sun-elevation 52 --sun-azimuth 141 --min-area 20 --threshold 0.5 --block-size 256 --overwrite
detect predict item.json --asset visual --allow-remote --out more --json
detect predict scene.tif --out few --outputs mask.tif -q
detect predict january.tif april.tif --out dated -q
detect collect dated --out all
detect collect dated --out all --native-geometry --overwrite -q
detect track dated --out tracked --json -q
detect track dated --out tracked --since 2026-01-05 --overwrite
detect census more/scene --sites plots.geojson --structure configs/structures/barracks.yaml --json
detect census more/scene --structure configs/structures/dormitory.yaml
detect adapt out/scene --review corrected.gpkg --checked labelled_area.geojson --weights deep --device cpu --workers 1 --overwrite --json -q
detect profile more/scene --ids 4,7,9 --name barracks --structure configs/structures/barracks.yaml --out mine.yaml
detect evaluate more/scene reference.geojson --area labelled_area.geojson --out metrics.json --json
detect evaluate tracked reference.gpkg --track
detect doctor --json
detect simulate --out drawn --compounds 1 --dormitories 5 --storeys 3 --gap 6 --gsd 1 --bands 4
detect simulate --out series --dates 2 --sun-elevation 40 --sun-azimuth 150 --gsd 1
detect simulate --out rows --preset rows --seed 3
detect prepare spacenet2 path/to/spacenet2 chips --licence CC-BY-4.0 --licences permissive --drop black,cloud -q
detect fit --config configs/fit/smoke.yaml --licences open
detect fit --config configs/fit/smoke.yaml --licences open --resume last
detect test --config configs/fit/smoke.yaml --weights deep
detect export deep --out tiles.onnx --tile 512
"""
"""Commands with the options that `--help` names and no page shows."""

OPTIONS_NOT_RUN = {
    **{
        ("predict", name): "needs a STAC API; tests/smoke/test_web.py runs one"
        for name in ("--stac", "--collection", "--max-items")
    },
    ("prepare", "--gsd"): "only for the data sets whose images lie nowhere; tests/unit/datasets has them",
}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The command lines of a shell block; a Python block is one command. None of what is only shown."""
        if self.language == "python":
            return [self.text]
        if self.language not in ("sh", "bash", "console"):
            return []
        lines = [line.strip().removeprefix("$ ") for line in self.text.replace("\\\n", " ").splitlines()]
        parts = [part for line in lines for part in re.sub(r"(^|\s)#.*", "", line).split("&&")]
        return [" ".join(part.split()) for part in parts if part.strip()]


def blocks_of(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [Block(*found) for found in re.findall(r"^ *```(\w*)\n(.*?)^ *```", text, flags=re.DOTALL | re.MULTILINE)]


def commands_of(page: Path) -> list[tuple[str, str]]:
    """(language, command) of a page, in order."""
    return [(block.language, command) for block in blocks_of(page.read_text(encoding="utf-8")) for command in block.commands]


def reason_not_run(command: str) -> str | None:
    return next((why for pattern, why in NOT_RUN.items() if fnmatch(command, pattern)), None)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


PAGES_WITH_COMMANDS = [page for page in PAGES if commands_of(page)]


# Running one of them.


@dataclass
class Place:
    """A folder in which the commands of a page run, with what stands in for other machines."""

    folder: Path
    server: str
    names: dict[str, object]
    """Of the page's Python blocks."""

    def run(self, language: str, command: str) -> str | None:
        """What is wrong with a command; None where it worked and its files open."""
        before = self._files()
        try:
            wrong = self._python(command) if language == "python" else self._shell(command)
            return wrong or self._wrong_files(command, before)
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def _python(self, code: str) -> str | None:
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                provide(node.value, self.folder)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(code, "page", "exec"), self.names)
        return None

    def _shell(self, command: str) -> str | None:
        if not command.startswith("detect ") or re.search(r"[|<>$;`]", command):
            return "is not a plain detect command: make it one, or list it in NOT_RUN"
        words = [self._here(word) for word in shlex.split(command)[1:]]
        for word in words:
            if f"{word} ".startswith(self.server):
                provide(word.removeprefix(self.server), self.folder / "server")
            elif words[words.index(word) - 1] != "--out":
                provide(word, self.folder)
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            more = [word for word in SHORTENED.get(words[0], ()) if word.partition("=")[0] not in words]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*: undoes ")  # the commands of a page review one result again and again
                code = cli.main([*words, *more])
        if code != 0:
            return f"ended with {code}: {err.getvalue().strip().splitlines()[-1:]}"
        if "--json" in words:
            json.loads(out.getvalue())
        if not (out.getvalue().strip() or words[0] == "verify"):
            return "said nothing"
        return None

    def _here(self, word: str) -> str:
        """Places on other machines become places on this one."""
        for there, here in (
            ("https://example.org/", self.server),
            ("s3://", f"file://{self.folder}/bucket/"),
            ("/shared/", f"{self.folder}/shared/"),
        ):
            word = here + word.removeprefix(there) if word.startswith(there) else word
        return scheduler() if word.startswith("tcp://") else word

    def _files(self) -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in self.folder.rglob("*") if path.is_file()}

    def _wrong_files(self, command: str, before: dict[Path, int]) -> str | None:
        written = [path for path, moment in self._files().items() if before.get(path) != moment]
        if re.search(r"--out\b", command) and not written:
            return "wrote nothing"
        for path in written:
            try:
                open_file(path)
            except Exception as error:
                return f"left {path.relative_to(self.folder)}, which does not open: {error}"
        return None


def open_file(path: Path) -> None:
    """Read a file as its user would.

    Raises:
        Exception: of whichever library reads it, or AssertionError.
    """
    assert path.stat().st_size or path.suffix == ".lock", "is empty"
    match path.suffix:
        case ".gpkg":
            layers = pyogrio.list_layers(path)[:, 0]
            assert len(layers)
            for layer in layers:
                pyogrio.read_dataframe(path, layer=layer)
        case ".parquet":
            assert len(pd.read_parquet(path).columns)
        case ".geojson":
            assert len(gpd.read_file(path))
        case ".png":
            assert cv2.imread(str(path)) is not None
        case ".tif" | ".vrt":
            with rasterio.open(path) as raster:
                raster.read()
        case ".json":
            json.loads(path.read_text(encoding="utf-8"))
        case ".html":
            assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
        case ".csv":
            assert len(pd.read_csv(path))
        case ".yaml":
            assert yaml.safe_load(path.read_text(encoding="utf-8")) is not None
        case ".onnx":
            onnx.checker.check_model(onnx.load(path))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ends the Dask cluster that a command may have needed."""
    yield
    while _CLUSTERS:
        _CLUSTERS.pop().close()


_CLUSTERS: list = []


def scheduler() -> str:
    """The address of a Dask cluster of one worker, for the one that a page assumes somewhere."""
    import distributed

    if not _CLUSTERS:
        _CLUSTERS.append(
            distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0")
        )
    return str(_CLUSTERS[0].scheduler_address)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: None) -> Iterator[Place]:
    """An empty folder, but for the recipes, as in a clone of the repository; the commands run there."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    (tmp_path / "server").mkdir()
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(tmp_path / "server")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        port = re.search(r"port (\d+)", server.stdout.readline())
        assert port is not None
        yield Place(tmp_path, f"http://127.0.0.1:{port[1]}/", {})
        server.kill()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS, ids=name_of)
def test_commands_of_the_page_work(page: Path, place: Place) -> None:
    wrong = [
        f"{command}\n    {problem}"
        for language, command in commands_of(page)
        if reason_not_run(command) is None and (problem := place.run(language, command)) is not None
    ]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.slow
def test_commands_beyond_the_pages_work(place: Place) -> None:
    wrong = [f"{line}\n    {problem}" for line in BEYOND_THE_PAGES.split("\n") if line and (problem := place.run("sh", line))]
    assert not wrong, "\n" + "\n".join(wrong)


# What is shown, looked at without running it.


def test_the_pages_show_every_verb() -> None:
    lines = [command for page in PAGES_WITH_COMMANDS for _, command in commands_of(page)]
    assert {"make demo", "make test"} <= {command for _, command in commands_of(README)}
    assert {line.split()[1] for line in lines if line.startswith("detect ")} == set(cli.VERBS)


def test_what_is_not_run_is_still_shown() -> None:
    lines = [command for page in PAGES_WITH_COMMANDS for _, command in commands_of(page)]
    assert [pattern for pattern in NOT_RUN if not any(fnmatch(line, pattern) for line in lines)] == []


def test_every_block_says_what_it_holds() -> None:
    # A block in another language is shown and not run: no command may hide there.
    for page in PAGES:
        for block in blocks_of(page.read_text(encoding="utf-8")):
            assert block.commands or not re.search(r"^\s*(\$ )?(detect|make|pip|docker) ", block.text, re.MULTILINE), block.text


def _options() -> dict[tuple[str, str], tuple[str, ...]]:
    """(verb, option) → all ways to write it; positional arguments are left out."""
    verbs = next(action for action in cli._parser()._actions if action.choices and "predict" in action.choices)
    return {
        (verb, action.option_strings[-1]): tuple(action.option_strings)
        for verb, parser in verbs.choices.items()  # type: ignore[union-attr]
        for action in parser._actions
        if action.option_strings and "--help" not in action.option_strings
    }


def test_every_option_is_run() -> None:
    run = [command for page in PAGES_WITH_COMMANDS for _, command in commands_of(page) if reason_not_run(command) is None]
    given: set[tuple[str, str]] = set()
    for line in (*run, *BEYOND_THE_PAGES.splitlines()):
        if line.startswith("detect "):
            _, verb, *words = shlex.split(line)
            given |= {(verb, word) for word in words}
    absent = {key for key, spelt in _options().items() if not any((key[0], way) in given for way in spelt)}
    assert absent == set(OPTIONS_NOT_RUN)


SPANS = [
    pytest.param(span, id=f"{name_of(page)}: {span}")
    for page in PAGES
    for span in dict.fromkeys(
        re.findall(r"`((?:detect [a-z]|--)[^`]*)`", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.S))
    )
]


@pytest.mark.parametrize("span", SPANS)
def test_what_the_text_names_exists(span: str) -> None:
    known = _options()
    words = span.replace("|", " ").replace("[", " ").replace("]", " ").split()
    verbs = {words[1]} if words[0] == "detect" else {verb for verb, _ in known}
    assert verbs <= set(cli.VERBS)
    ways = {way for (verb, _), spelt in known.items() if verb in verbs for way in spelt} | {"--help"}
    assert {word for word in words if word.startswith("-") and word[1:2].isalpha() | word.startswith("--")} <= ways


LINKS = [
    pytest.param(page.parent / target, id=f"{name_of(page)}: {target}")
    for page in PAGES
    for target in sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))))
]


@pytest.mark.parametrize("target", LINKS)
def test_linked_file_exists(target: Path) -> None:
    assert target.exists()


PATHS = [
    pytest.param(path, id=f"{name_of(page)}: {path}")
    for page in PAGES
    for path in sorted(
        set(re.findall(r"`((?:detect|scripts|benchmarks|configs|docs|tests)/[\w./-]+)`", page.read_text(encoding="utf-8")))
    )
    if "NAME" not in path and not path.startswith("benchmarks/results")
]


@pytest.mark.parametrize("path", PATHS)
def test_named_file_of_the_repository_exists(path: str) -> None:
    assert (ROOT / path).exists()


def test_each_picture_is_drawn_by_the_script_and_shown_on_a_page() -> None:
    stored = {path.name for path in (ROOT / "docs" / "images").iterdir()}
    shown = {Path(name).name for page in PAGES for name in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))}
    assert stored == {f"{name}.jpg" for name in docs_pictures.PICTURES} == shown & stored


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    named = {name for text in texts for name in re.findall(r"(?:^|`)make ([a-z]+)", text, flags=re.MULTILINE)}
    assert named and named <= targets


def test_accuracy_is_that_of_the_card() -> None:
    from scripts.docs_reference import replaced
    from scripts.publish_metrics import PAGES as MEASURED

    metrics = load_weights().card["metrics"]
    texts = {page: (ROOT / page).read_text(encoding="utf-8") for page in MEASURED}
    assert texts == {page: replaced(text, "accuracy", MEASURED[page](metrics)) for page, text in texts.items()}
