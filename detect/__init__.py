"""Buildings in satellite images: masks, footprints, construction stages, and a count of dormitory-like ones.

What flows where, each line a module::

    scene           any GDAL raster → values and validity at the network's ground sampling distance
    blocks          tiles with a halo, grouped into blocks
    network         encoder, decoder and heads (training and torch); weights, backends: what runs it
    probabilities   a scene through the network, block by block
    instances       which pixels form one building
    footprints      polygons, squared where the building is square
    stages          foundation, incomplete, complete
    profiles        what a known type of building looks like from above; learn: from examples
    dormitories     rows, likeness to a profile
    sites           given or proposed plots
    rates, census   how often weights find and miss; counts and beds with intervals
    outputs, overview   files
    picture, page, report   the page: the scene in tiles, the layout that every page shares, what is on it
    catalogue       the STAC item
    pipeline        all of the above, in this order
    tracks          the results of several dates → the same buildings over time
    review, recount what a user corrected; the census again without the network

Shared nouns: ``grid``, ``geometry``, ``matching``, ``vectors``, ``errors``; ``quiet`` keeps libraries from phoning home. Beside the
flow: ``evaluation``, ``simulate``, ``datasets``, ``training``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.base.quiet import switch_off

switch_off()  # before anything imports the libraries that it silences

if TYPE_CHECKING:
    from detect.evaluation.footprints import evaluate
    from detect.network.weights import load_weights as load_model
    from detect.results.result import Result
    from detect.runs.predict import predict
    from detect.runs.track import track

__all__ = ["Result", "evaluate", "load_model", "predict", "track"]

_WHERE = {
    "predict": ("detect.runs.predict", "predict"),
    "Result": ("detect.results.result", "Result"),
    "evaluate": ("detect.evaluation.footprints", "evaluate"),
    "track": ("detect.runs.track", "track"),
    "load_model": ("detect.network.weights", "load_weights"),
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that ``detect --help`` need not wait for rasterio."""
    if name not in _WHERE:
        raise AttributeError(f"module 'detect' has no attribute '{name}'")
    from importlib import import_module

    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)
