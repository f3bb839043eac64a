"""What the README tells the reader to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from detect.cli.main import main as cli
from detect.network.weights import load_weights

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _commands() -> list[str]:
    """Lines of the fenced shell blocks, continuation lines joined, comments dropped."""
    blocks = re.findall(r"```(?:sh|bash|console)\n(.*?)```", README, flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in (line.partition("  #")[0].strip() for line in lines) if line and not line.startswith("#")]


COMMANDS = _commands()


def test_the_main_commands_are_shown() -> None:
    assert {"make demo", "make test"} <= set(COMMANDS)
    shown = {shlex.split(command)[1] for command in COMMANDS if command.startswith("detect ")}
    assert shown == set(cli.VERBS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("detect ")])
def test_detect_command_is_accepted(command: str) -> None:
    arguments, unknown = cli._parser().parse_known_args(shlex.split(command)[1:])
    assert unknown == []
    recipe = getattr(arguments, "config", None)
    assert recipe is None or (ROOT / recipe).exists()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_target_exists(command: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert set(shlex.split(command)[1:]) <= targets


def test_nothing_else_is_shown() -> None:
    # A command of a kind that no test above looks at would go unchecked.
    assert {shlex.split(command)[0] for command in COMMANDS} <= {"detect", "make", "docker", "git", "cd", "pip"}


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!https?:|#)([^)#]+)", README))))
def test_linked_file_exists(target: str) -> None:
    assert (ROOT / target).exists()


def test_python_examples_compile() -> None:
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert examples
    for example in examples:
        compile(example, "README.md", "exec")


def test_accuracy_is_that_of_the_card() -> None:
    from scripts.publish_metrics import BEGIN, END, table

    shown = README.split(BEGIN)[1].split(END)[0].strip()
    assert shown == table(load_weights().card["metrics"])
