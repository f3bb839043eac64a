"""Write the parts of the documentation that the program knows itself: commands and options, and the data sets of `detect prepare`.

    python scripts/docs_reference.py            rewrite them
    python scripts/docs_reference.py --check    exit code 1 if a page is out of date; writes nothing

Each part stands in its page between ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.
"""

from __future__ import annotations

import argparse
import html
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Rewrite or check the pages; the exit code."""
    parser = argparse.ArgumentParser(description="Write the generated parts of the documentation.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    stale = [path for path, text in pages() if path.read_text(encoding="utf-8") != text]
    for path, text in pages() if not check else ():
        path.write_text(text, encoding="utf-8")
    if check and stale:
        print(
            f"{', '.join(str(path.relative_to(ROOT)) for path in stale)}: run python scripts/docs_reference.py", file=sys.stderr
        )
    return int(check and bool(stale))


def pages() -> Iterator[tuple[Path, str]]:
    """Each page with a generated part, and its text as it should be."""
    for name, (page, write) in PARTS.items():
        path = ROOT / page
        yield path, replaced(path.read_text(encoding="utf-8"), name, write())


def replaced(text: str, name: str, part: str) -> str:
    """A page with another text between the marks of a part.

    Raises:
        ValueError: the page has no such marks.
    """
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, mark, rest = text.partition(begin)
    _, other_mark, after = rest.partition(end)
    if not (mark and other_mark):
        raise ValueError(f"no {begin} … {end} in the page")
    return f"{before}{begin}\n\n{part}\n\n{end}{after}"


def commands() -> str:
    """Each command with its arguments and options."""
    from detect.cli.main import _parser

    verbs = next(action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    return "\n\n".join(_command(verb, parser) for verb, parser in verbs.choices.items())


def _command(verb: str, parser: argparse.ArgumentParser) -> str:
    formatter = parser._get_formatter()
    lines = [f"### detect {verb}", "", f"{_cell(parser.description or '')}.", "", "| | |", "|---|---|"]
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        value = str(action.metavar or "|".join(map(str, action.choices or ())))
        takes_value = bool(action.option_strings) and action.nargs != 0
        name = ", ".join(action.option_strings) or value
        need = " (required)" if action.required and action.option_strings else ""
        usage = html.escape(f"{name} {value}" if takes_value else name).replace(
            "|", "&#124;"
        )  # Markdown cannot escape it in code
        lines.append(f"| <code>{usage}</code> | {_cell(formatter._expand_help(action))}{need} |")
    return "\n".join(lines)


def data_sets() -> str:
    """A table of the data sets that ``detect prepare`` reads."""
    from detect.datasets.registry import ADAPTERS

    lines = ["| name | data set | pixel, m | licence | labels |", "|---|---|---|---|---|"]
    for name in ADAPTERS:
        one = import_module(f"detect.datasets.{name}").DATA_SET
        lines.append(f"| `{one.name}` | {' | '.join(_cell(str(v)) for v in (one.title, one.gsd_m, one.licence, one.labels))} |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that may stand in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "commands": ("docs/reference.md", commands),
    "data sets": ("docs/data-and-licences.md", data_sets),
}
"""Name of a part → its page and what writes it."""

if __name__ == "__main__":
    sys.exit(main())
