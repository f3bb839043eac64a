"""The reference describes what the program has: every command and option, and every file, layer, column and key that it writes."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pyogrio
import pytest

from detect.cli import main as cli
from scripts.docs_reference import PARTS, ROOT, pages, replaced
from tests.smoke.placeholders import provide

REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
README = ROOT / "README.md"


@pytest.mark.parametrize(("page", "text"), [pytest.param(*found, id=name) for name, found in zip(PARTS, pages(), strict=True)])
def test_generated_part_is_current(page: Path, text: str) -> None:
    assert page.read_text(encoding="utf-8") == text, "run python scripts/docs_reference.py"


def test_only_the_part_between_the_marks_is_replaced() -> None:
    text = replaced("a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb", "x", "new")
    assert text == "a\n<!-- x: begin -->\n\nnew\n\n<!-- x: end -->\nb"
    with pytest.raises(ValueError, match="no <!-- y: begin -->"):
        replaced(text, "y", "new")


def test_generated_part_names_every_command_and_option() -> None:
    written = PARTS["commands"][1]()
    assert re.findall(r"^### detect (\w+)", written, re.MULTILINE) == list(cli.VERBS)
    assert {"--sites FILE", "--overwrite", "-q, --quiet", "SCENE"} <= set(re.findall(r"<code>([^<]*)</code>", written))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two dates, counted in plots, and their tracks."""
    folder = tmp_path_factory.mktemp("written")
    for name in ("january.tif", "june.tif", "plots.geojson"):
        provide(name, folder)
    scenes = [str(folder / f"{name}.tif") for name in ("january", "june")]
    plots, out, tracked = (str(folder / name) for name in ("plots.geojson", "out", "tracked"))
    assert cli.main(["predict", *scenes, "--sites", plots, "--out", out, "-q"]) == 0
    assert cli.main(["track", out, "--out", tracked, "-q"]) == 0
    return folder


def described(heading: str, column: int = 0) -> set[str]:
    """Names in code marks in a column of the first table below a heading."""
    section = REFERENCE.split(f"\n{heading}\n")[1].split("\n#")[0]
    rows = [line.split(" | ") for line in section.splitlines() if line.startswith("|")][2:]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row[column])}


def columns(path: Path, layer: str) -> set[str]:
    return set(pyogrio.read_info(path, layer=layer)["fields"])


def layers_described() -> dict[str, set[str]]:
    """The table of the other layers, whose first column is empty in rows that go on."""
    section = REFERENCE.split("\n### Other layers\n")[1].split("\n#")[0]
    found: dict[str, set[str]] = {}
    layer = ""
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and "`" in cells[1]:
            layer = cells[0].strip("`") or layer
            found.setdefault(layer, set()).update(re.findall(r"`([^`]+)`", cells[1]))
    return found


@pytest.mark.slow
def test_files_are_described(written: Path) -> None:
    result, tracked = written / "out" / "june", written / "tracked"
    assert described("## Files of predict and census") == {path.name for path in result.iterdir()}
    assert cli.main(["collect", str(written / "out"), "--out", str(written / "all"), "-q"]) == 0
    assert described("## Files of collect") == {path.name for path in (written / "all").iterdir()}
    assert described("## Files of track") == {path.name for path in tracked.iterdir()}


@pytest.mark.slow
def test_columns_are_described(written: Path) -> None:
    gpkg = written / "out" / "june" / "buildings.gpkg"
    assert described("### Layer `buildings`") == columns(gpkg, "buildings")
    layers = {name for name in pyogrio.list_layers(gpkg)[:, 0] if name not in ("buildings", "layer_styles")}
    assert layers_described() == {layer: columns(gpkg, layer) for layer in layers}
    tracks = written / "tracked" / "tracks.gpkg"
    dated = {re.sub(r"\d{4}_\d\d_\d\d", "YYYY_MM_DD", name) for name in columns(tracks, "buildings")}
    assert described("### Layer `buildings` of `tracks.gpkg`") == dated
    assert described("### Layer `sites` of `tracks.gpkg`") == columns(tracks, "sites")


@pytest.mark.slow
def test_columns_of_the_timeline_are_described(written: Path) -> None:
    with (written / "tracked" / "timeline.csv").open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file))
    assert described("### Columns of `timeline.csv`") == {re.sub("_(low|high)$", "", name) for name in header}


@pytest.mark.slow
def test_keys_of_the_summary_are_described(written: Path) -> None:
    summary = json.loads((written / "out" / "june" / "summary.json").read_text(encoding="utf-8"))
    assert described("### Keys of `summary.json`") == set(summary)
    assert set(summary["sites"][0]) - {"name"} <= described("### Keys of `summary.json`", 1) | {"warnings"}


def test_readme_fits_a_screen() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 120] == []
