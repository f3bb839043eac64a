"""The options of predict, census and track: the command line and Python mean the same."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path

import pytest

import detect
from detect.base.errors import InputError
from detect.base.options import Options
from detect.cli.main import _parser
from detect.cli.values import options_from
from detect.runs.options import CensusOptions, PredictOptions, TrackOptions
from detect.runs.predict import predict
from detect.runs.recount import recount
from detect.runs.track import track

GIVEN = """--weights deep-int8 --structure house --device cuda:1 --workers 3 --dask local --asset visual --bands 3,2,1 --date 2024-02-29
--sun-elevation 40 --sun-azimuth 150 --gsd 0.5 --min-area 20 --threshold 0.6 --tta --block-size 512 --overwrite --allow-remote
--join --bbox 4,51,5,52 --zoom 18 --layer ortho --max-tiles 9
--stac http://s --collection a,b --max-items 3 --outputs mask.tif"""


@pytest.mark.parametrize(
    ("line", "options"),
    [("predict a.tif --out o", PredictOptions), ("track a b --out o", TrackOptions), ("census a", CensusOptions)],
)
def test_defaults_of_the_command_line_are_those_of_python(line: str, options: type[Options]) -> None:
    assert options_from(_parser().parse_args(line.split()), options) == options()


def test_every_option_of_the_command_line_arrives() -> None:
    arguments = _parser().parse_args(["predict", "a.tif", "--out", "o", *GIVEN.split()])
    expected = PredictOptions(
        weights="deep-int8", structure="house", device="cuda:1", workers=3, dask="local", asset="visual", bands=(3, 2, 1),
        date="2024-02-29", sun_deg=(40.0, 150.0), gsd_m=0.5, min_area_m2=20.0, threshold=0.6, tta=True, block_px=512, overwrite=True,
        allow_remote=True, join=True, bbox=(4.0, 51.0, 5.0, 52.0), zoom="18", layer="ortho", max_tiles=9,
        outputs=("mask.tif", "buildings.gpkg", "summary.json"), stac="http://s", collection=("a", "b"), max_items=3,
    )  # fmt: skip
    assert options_from(arguments, PredictOptions) == expected
    differ = {f.name for f in fields(PredictOptions) if getattr(expected, f.name) == f.default}
    apart = {"around", "scale_bar", "corners"}  # each excludes one of those above
    assert differ == {"sites", "propose_sites", "progress"} | apart, "all others are given above"


def test_options_that_exclude_each_other() -> None:
    arguments = _parser().parse_args("predict a.tif --out o --around 51,4,300 --corners 52,4,51,5".split())
    assert options_from(arguments, PredictOptions) == PredictOptions(around=(51.0, 4.0, 300.0), corners=(52.0, 4.0, 51.0, 5.0))
    assert PredictOptions(scale_bar="50m=100px").scale_bar == 0.5
    with pytest.raises(InputError, match="--gsd and --corners each say how large a pixel is"):
        PredictOptions(gsd_m=0.5, corners=(52, 4, 51, 5))
    with pytest.raises(InputError, match="give the box or the point"):
        PredictOptions(bbox=(4, 51, 5, 52), around=(51, 4, 300))


def test_python_values_need_not_be_text() -> None:
    assert PredictOptions(bands=[3, 2, 1], workers=2.0, weights=Path("w")) == PredictOptions(
        bands=(3, 2, 1), workers=2, weights=Path("w")
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 50}, {"min_area_m2": -1}, {"gsd_m": 0}, {"workers": 1.5}, {"block_px": "big"}, {"bands": (1, 2)},
        {"date": "24-2-3"}, {"device": "tpu"}, {"sun_deg": ("high", None)}, {"sites": "plots.gpkg", "propose_sites": True},
    ],
    ids=lambda wrong: next(iter(wrong)),
)  # fmt: skip
def test_a_wrong_option_is_refused_before_any_work(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"\({next(iter(wrong))}\)"):
        detect.predict(tmp_path / "nowhere.tif", tmp_path / "out", **wrong)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("function", "options"), [(predict, PredictOptions), (recount, CensusOptions), (track, TrackOptions)])
def test_signatures_show_the_options(function: object, options: type[Options]) -> None:
    shown = inspect.signature(function).parameters  # type: ignore[arg-type]
    assert [name for name, p in shown.items() if p.kind is p.KEYWORD_ONLY] == [f.name for f in fields(options)]
    with pytest.raises(TypeError, match="no option 'treshold'"):
        function("a", "b", treshold=0.5) if function is not recount else function("a", treshold=0.5)  # type: ignore[operator]
