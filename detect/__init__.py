"""Buildings in satellite images: masks, footprints, construction stages, and a count of dormitory-like ones.

The way of the data, each word a folder::

    scene → network → buildings → census → results            one date: runs/predict.py
                                     └→ tracks → results      two or more dates: runs/track.py
    datasets, simulate → training → weights (network)         how the network came to be
    results → evaluation                                      how good it is

``cli`` turns a command line into a call; ``base`` holds the nouns that all share. A folder imports only folders to its left;
pyproject.toml has the contracts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.base.quiet import switch_off

switch_off()  # before anything imports the libraries that it silences

if TYPE_CHECKING:
    from detect.evaluation.footprints import evaluate
    from detect.network.weights import load_weights as load_model
    from detect.results.result import Result
    from detect.runs.adapt import adapt
    from detect.runs.collect import collect
    from detect.runs.predict import predict
    from detect.runs.track import track

__all__ = ["Result", "adapt", "collect", "evaluate", "load_model", "predict", "track"]

_WHERE = {
    "adapt": ("detect.runs.adapt", "adapt"),
    "predict": ("detect.runs.predict", "predict"),
    "collect": ("detect.runs.collect", "collect"),
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
