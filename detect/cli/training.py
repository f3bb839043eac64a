"""Verbs that make weights: prepare, simulate, fit, test, export."""

from __future__ import annotations

import argparse
import sys

from detect.base import checks
from detect.base.errors import InputError
from detect.cli.progress import Progress
from detect.cli.values import argument
from detect.cli.verbs import EXIT_DONE, Verb, quiet_option


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
    from detect.simulate import simulate_compounds

    given = {
        "bands": arguments.bands,
        "dates": arguments.dates,
        "storeys": arguments.storeys,
        "sun_elevation_deg": arguments.sun_elevation,
        "sun_azimuth_deg": arguments.sun_azimuth,
    }
    scenes, truth = simulate_compounds(
        arguments.out,
        seed=arguments.seed,
        preset=arguments.preset,
        compounds=arguments.compounds,
        dormitories=arguments.dormitories,
        gap_m=arguments.gap,
        gsd_m=arguments.gsd,
        **{name: value for name, value in given.items() if value is not None},
    )
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


def _fit_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--config", required=True, metavar="FILE", help="recipe, such as configs/fit/smoke.yaml")
    add("--resume", metavar="last|CHECKPOINT", help="continue from the run's last checkpoint, or from this one")
    _licences_option(
        parser,
        default=None,
        help_text="train only on chips under these licences (data.licences); open: stated, and no use forbidden",
    )
    _overrides_option(parser)


def _licences_option(parser: argparse.ArgumentParser, *, default: str | None, help_text: str) -> None:
    choices = ("any", "open", "permissive")  # detect.datasets.licences.CHOICES
    parser.add_argument("--licences", choices=choices, default=default, help=f"{help_text}; permissive: open and not share-alike")


def _test_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", required=True, metavar="FILE", help="recipe whose validation places are used")
    parser.add_argument("--weights", metavar="NAME|PATH", help="default: the weights that detect fit wrote for the recipe")
    _overrides_option(parser)


def _overrides_option(parser: argparse.ArgumentParser) -> None:
    help_text = "replaces a value of the recipe, such as data.batch=8"
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help=help_text)


def _simulate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--out", required=True, metavar="DIR", help="scene.tif and truth.gpkg go there")
    add("--seed", type=argument(checks.seed), default=0, metavar="N", help="the same seed draws the same scene (default: 0)")
    add(
        "--preset",
        choices=("compound", "rows", "yardstick"),
        default="compound",
        help="compound: dormitories at all stages with their surroundings (default); rows: long blocks and a few houses, to train on; "
        "yardstick: three plots of 1.39 km² together, 50 dormitories at mixed stages, 100 planned",
    )
    add("--compounds", type=argument(checks.whole_number), default=1, metavar="N", help="compounds in the scene (default: 1)")
    add(
        "--dormitories",
        type=argument(checks.whole_number),
        metavar="N",
        help="dormitories in each compound; default: drawn from 5 to 40, with --preset rows from 3 to 18",
    )
    add(
        "--storeys", type=argument(checks.whole_number), metavar="N", help="storeys of the dormitories, 128 beds each; default: 2"
    )
    add("--gap", type=argument(checks.positive), metavar="METRES", help="distance between neighbouring blocks; default: drawn")
    add("--gsd", type=argument(checks.positive), default=0.5, metavar="METRES", help="ground size of a pixel (default: 0.5)")
    add("--bands", type=int, choices=(1, 2, 3, 4), help="1 panchromatic, 2 with infrared, 3 colour (default), 4 with infrared")
    add(
        "--dates",
        type=argument(checks.whole_number),
        metavar="K",
        help="draw K dates, 60 days apart, between which construction continues (default: 1)",
    )
    add(
        "--sun-elevation",
        type=argument(checks.positive),
        metavar="DEG",
        help="elevation of the sun above the horizon; default: drawn from 30 to 65",
    )
    add(
        "--sun-azimuth",
        type=argument(checks.not_negative),
        metavar="DEG",
        help="azimuth of the sun, clockwise from north; default: drawn from 100 to 260",
    )


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", metavar="WEIGHTS", help="name, card, ONNX file or folder")
    parser.add_argument("--out", required=True, metavar="FILE.onnx", help="the model; its card is written beside it")
    help_text = (
        "for GeoDeep and QGIS Deepness: tiles of one size, such as 512, pictures of 0 to 1, classes background and building"
    )
    parser.add_argument("--tile", type=argument(checks.whole_number), metavar="PX", help=help_text)


def _prepare_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("dataset", nargs="?", metavar="DATASET", help="name of a public data set, see --list")
    add("src", nargs="?", metavar="SRC", help="folder that holds it in its published layout")
    add(
        "dst",
        nargs="?",
        metavar="DST",
        help="folder for the training chips; if it holds chips of other data sets, these are added",
    )
    add(
        "--list",
        action="store_true",
        help="show the data sets: licence, pixel, places, labels; with DATASET also where to get it",
    )
    add("--licence", metavar="NAME", help="licence of the images and labels, such as CC-BY-4.0, if it is not the published one")
    add("--gsd", type=argument(checks.positive), metavar="METRES", help="ground size of a pixel, for images without georeference")
    _licences_option(parser, default="any", help_text="leave out images under other licences; open: stated, and no use forbidden")
    add(
        "--drop",
        type=argument(checks.names),
        default=(),
        metavar="black,cloud,shifted",
        help="leave out chips with these problems",
    )
    quiet_option(parser)


VERBS = {
    "fit": Verb(_fit, "train weights from a recipe", _fit_options),
    "test": Verb(_test, "measure weights on places they were not trained on", _test_options),
    "prepare": Verb(_prepare, "a public data set → training chips", _prepare_options),
    "simulate": Verb(_simulate, "draw worker compounds with known truth, at one date or several", _simulate_options),
    "export": Verb(_export, "weights → a deployable ONNX model", _export_options),
}
