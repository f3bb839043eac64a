"""Verbs for scenes and their results: predict, track, collect, verify, census, profile, evaluate; and doctor, for the installation."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from detect.base import checks
from detect.base.errors import DetectError
from detect.cli.progress import Progress
from detect.cli.values import add_options, argument, options_from
from detect.cli.verbs import EXIT_DONE, EXIT_FAILED, Verb, print_json, quiet_option
from detect.runs.options import STRUCTURES, AdaptOptions, CensusOptions, CollectOptions, PredictOptions, TrackOptions


def _predict(arguments: argparse.Namespace) -> int:
    from detect.runs.predict import predict_scenes

    with Progress(sys.stderr, quiet=arguments.quiet) as progress:
        options = options_from(arguments, PredictOptions, progress=progress)
        run = predict_scenes(arguments.scenes, arguments.out, options)
    _print_results(run.results, arguments, as_list=len(arguments.scenes) > 1)
    if run.error is not None:  # raised after the last scene; those that worked are still shown
        raise run.error
    failed = [str(result.folder) for result in run.results if result.failed]
    if failed:
        raise DetectError(f"{', '.join(failed)}: some blocks failed; summary.json names them; the same command tries them again")
    return EXIT_DONE


def _print_results(results: Sequence[Any], arguments: argparse.Namespace, *, as_list: bool = False) -> None:
    """The results of one command, on stdout; ``as_list``: as a JSON list even if there is only one."""
    if arguments.json and results:
        summaries = [result.summary for result in results]
        print_json(summaries if as_list or len(summaries) > 1 else summaries[0])
        return
    for result in results:
        _print_result(result)


def _print_result(result: Any) -> None:
    from detect.results.terminal import format_table

    print(format_table(result.summary))
    where = result.url or result.folder
    for what, file in (("buildings: ", "buildings.gpkg"), ("report:    ", "report.html"), ("overview:  ", "overview.png")):
        if file in result.summary["files"]:
            print(f"{what}{where}/{file}")


def _track(arguments: argparse.Namespace) -> int:
    from detect.runs.track import track
    from detect.tracks.terminal import format_table

    with Progress(sys.stderr, quiet=arguments.quiet) as progress:
        options = options_from(arguments, TrackOptions, progress=progress)
        tracks = track(arguments.results, arguments.out, **vars(options))
    if arguments.json:
        print_json(tracks.summary)
        return EXIT_DONE
    print(format_table(tracks.summary))
    print(f"buildings: {tracks.folder}/tracks.gpkg")
    print(f"page:      {tracks.folder}/report.html")
    return EXIT_DONE


def _collect(arguments: argparse.Namespace) -> int:
    from detect.base.texts import number_of
    from detect.runs.collect import collect

    with Progress(sys.stderr, quiet=arguments.quiet) as progress:
        options = options_from(arguments, CollectOptions, progress=progress)
        collected = collect(arguments.results, arguments.out, **vars(options))
    for line in collected.left_out:
        print(f"left out: {line}")
    count = len(collected.scenes)
    print(f"{number_of(len(collected.buildings), 'building')} of {number_of(count, 'scene')}")
    if again := int(collected.scenes["shown_elsewhere"].sum()):
        print(
            f"on overlaps: {number_of(again, 'building')} that several scenes show {'is' if again == 1 else 'are'} counted once"
        )
    if gone := int(collected.scenes["deleted_elsewhere"].sum()):
        where = f"{'is' if gone == 1 else 'are'} left out: deleted in another one"
        print(f"on overlaps: {number_of(gone, 'building')} of one scene {where}")
    if (dates := collected.scenes["date"].dropna().nunique()) > 1:
        print(f"of {dates} dates: a building that several dates show is there once for each")
    for line in collected.notes:
        print(f"warning: {line}")
    print(f"map:       {collected.folder}/map.html")
    print(f"table:     {collected.folder}/buildings.parquet")
    print(f"catalogue: {collected.folder}/collection.json")
    return EXIT_DONE


def _verify(arguments: argparse.Namespace) -> int:
    from detect.results.seal import verify

    findings = verify(arguments.folder)
    for finding in findings:
        print(finding)
    return EXIT_FAILED if findings else EXIT_DONE


def _census(arguments: argparse.Namespace) -> int:
    options = options_from(arguments, CensusOptions)
    if arguments.explain is None or options != CensusOptions():  # to explain a result as it stands, nothing is counted again
        from detect.runs.recount import recount

        results = recount(arguments.folder, **vars(options))
        if arguments.explain is None or not arguments.json:  # one document
            _print_results(results, arguments)
    if arguments.explain is not None:
        from detect.runs.explain import explain_result, in_words

        explained = explain_result(arguments.folder, arguments.explain)
        if arguments.json:
            print_json(explained.round(4).to_dict(orient="index"))
        else:
            print(in_words(explained, arguments.explain))
    return EXIT_DONE


def _adapt(arguments: argparse.Namespace) -> int:
    from detect.runs.adapt import adapt

    with Progress(sys.stderr, quiet=arguments.quiet) as progress:
        options = options_from(arguments, AdaptOptions, scenes=tuple(arguments.scenes), progress=progress)
        adapted = adapt(arguments.folder, arguments.review, **vars(options))
    if arguments.json:
        facts = {"kept": adapted.kept, "why": adapted.why, "folder": str(adapted.result.folder), "adapted": adapted.facts}
        print_json(facts | {"weights": None if adapted.weights is None else str(adapted.weights)})
        return EXIT_DONE
    if adapted.kept:
        for result in (adapted.result, *adapted.more):
            _print_result(result)
        print(f"weights:   {adapted.weights}")
    print(adapted.why)
    return EXIT_DONE


def _profile(arguments: argparse.Namespace) -> int:
    from detect.census.learn import learn
    from detect.results.folder import buildings_file

    learn(buildings_file(arguments.buildings), arguments.ids, arguments.out, name=arguments.name, structure=arguments.structure)
    print(arguments.out)
    return EXIT_DONE


def _evaluate(arguments: argparse.Namespace) -> int:
    score: Callable[..., dict[str, Any]]
    if arguments.track:
        from detect.evaluation import tracks

        score, in_words = tracks.evaluate_tracks, tracks.format_table
    else:
        from detect.evaluation import footprints

        score, in_words = footprints.evaluate, footprints.format_table
    try:
        metrics = score(arguments.predicted, arguments.reference, area=arguments.area, out=arguments.out)
    except DetectError as error:
        for partial in error.results if not arguments.json else ():  # what was predicted, where the reference lies elsewhere
            print(in_words(partial))
        raise
    if arguments.json:
        print_json(metrics)
    else:
        print(in_words(metrics))
    return EXIT_DONE


def _doctor(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from detect.runs.doctor import examine

    findings = examine()
    problems = [finding for finding in findings if finding.problem]
    if arguments.json:
        print_json([asdict(finding) for finding in findings])
        return EXIT_FAILED if problems else EXIT_DONE
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        print(f"{finding.what:<{width}}  {finding.found}".rstrip())
    for finding in problems:
        print(f"problem: {finding.what}: {finding.problem}")
    print("nothing would go wrong" if not problems else f"{len(problems)} problem{'s' if len(problems) > 1 else ''}")
    return EXIT_FAILED if problems else EXIT_DONE


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def _predict_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "scenes",
        nargs="*",
        metavar="SCENE",
        help="a georeferenced image: a file or URL of any raster GDAL opens, map tiles, a quoted pattern, a .txt list, or a STAC item or "
        "collection",
    )
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="results go to DIR/<scene name>/; DIR may be a URL such as s3://bucket/results",
    )
    add_options(parser, PredictOptions)
    add("--json", action="store_true", help="print summary.json instead of the table; a list when several scenes are given")
    quiet_option(parser)


def _track_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("results", nargs="+", metavar="DIR", help="folders that predict wrote, or a folder that holds several; in any order")
    add("--out", required=True, metavar="DIR", help="tracks.gpkg, timeline.csv, report.html and summary.json go there")
    add_options(parser, TrackOptions)
    add("--json", action="store_true", help="print summary.json instead of the table")
    quiet_option(parser)


def _collect_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("results", nargs="+", metavar="DIR", help="folders that predict wrote, or a folder that holds several")
    add("--out", required=True, metavar="DIR", help="map.html, buildings.parquet, collection.json and others go there")
    add_options(parser, CollectOptions)
    quiet_option(parser)


def _verify_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="a folder that predict wrote, or one that holds several")


def _census_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", metavar="DIR", help="what detect predict wrote: the folder of one scene, or --out with a folder per scene")
    add_options(parser, CensusOptions)
    add(
        "--explain",
        metavar="SITE",
        help="print what makes the intervals of a site wide, also as --json; alone, it changes nothing",
    )
    add("--json", action="store_true", help="print summary.json instead of the table; a list when there are several scenes")


def _adapt_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", metavar="DIR", help="the result that was corrected: a folder of one scene that detect predict wrote")
    add(
        "--review",
        required=True,
        metavar="FILE",
        help="its buildings as you corrected them in QGIS; a layer checked in the file holds windows in which all is right",
    )
    add("--scenes", nargs="+", default=(), metavar="SCENE", help="further scenes of the place to read with what was learnt")
    add_options(parser, AdaptOptions)
    add("--json", action="store_true", help="print what was learnt and gained as JSON")
    quiet_option(parser)


def _profile_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("buildings", metavar="BUILDINGS", help="folder of a predicted scene, or a vector file with a column id")
    add("--ids", required=True, type=argument(checks.ids), metavar="4,7,9", help="the examples")
    add("--out", required=True, metavar="FILE.yaml", help="the profile")
    add("--name", metavar="TEXT", help="name of the type; default: the name of the file")
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


VERBS = {
    "predict": Verb(_predict, "scenes → buildings, construction stages, dormitory census, maps", _predict_options),
    "track": Verb(
        _track, "results of several dates → what is new, what advanced, what is gone; timeline, forecast", _track_options
    ),
    "collect": Verb(_collect, "many results → one map, one table, one STAC collection", _collect_options),
    "verify": Verb(_verify, "are the outputs whole, unchanged, and do they cover the scene", _verify_options),
    "census": Verb(
        _census, "count again: other plots, another profile, corrected buildings; the model does not run again", _census_options
    ),
    "adapt": Verb(_adapt, "learn a place from corrected buildings, and read its scenes again", _adapt_options),
    "profile": Verb(_profile, "a structure profile learnt from examples", _profile_options),
    "evaluate": Verb(_evaluate, "predicted footprints against reference outlines", _evaluate_options),
    "doctor": Verb(
        _doctor, "versions, coordinate systems, formats, weights, devices, and what would go wrong with them", _doctor_options
    ),
}
