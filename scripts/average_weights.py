"""The mean of weights that were trained from one start: flatter minima, better on places that none of them saw.

    python scripts/average_weights.py --config configs/fit/second.yaml --out runs/mean runs/first/weights runs/second/weights …

``--share 0.65 0.35`` weighs the first with 0.65 and the second with 0.35; without, all weigh the same. Writes weights named as the recipe
says, measured on the recipe's validation chips; their card lists what was averaged. Method: model soups (Wortsman et al. 2022,
arXiv:2203.05482).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detect.base.errors import DetectError, InputError
from detect.network.model import load_network
from detect.network.weights import load_weights
from detect.training.config import load_config
from detect.training.data import ChipData
from detect.training.export import write_weights
from detect.training.fit import recipe_of
from detect.training.task import SegmentationTask


def average(
    config: Path, sources: Sequence[str | Path], out: Path, overrides: Sequence[str] = (), shares: Sequence[float] = ()
) -> Path:
    """Write the mean of weights into a folder; the folder.

    Args:
        config: recipe of the result.
        sources: names or paths of weights.
        out: folder for the result.
        overrides: ``key.key=value`` each, of the recipe.
        shares: of each of the weights in the mean, together 1; equal ones without.

    Raises:
        InputError: weights that are not there, or of another architecture than the recipe's; not one share each, or not 1 together.
    """
    shares = shares or [1 / len(sources)] * len(sources)
    if len(shares) != len(sources) or abs(sum(shares) - 1) > 1e-6:
        raise InputError(
            f"--share {' '.join(map(str, shares))}: give one share for each of the {len(sources)} weights, together 1"
        )
    settings = load_config(config, overrides)
    data = ChipData(settings)
    task = SegmentationTask(settings, data.index)
    weights = [load_weights(source) for source in sources]
    wrapped: list[Any] = [load_network(w) for w in weights]
    states = [w.network.state_dict() for w in wrapped]
    mean = {k: sum(share * state[k].float() for share, state in zip(shares, states, strict=True)) for k in states[0]}
    try:
        task.network.load_state_dict(mean)
    except RuntimeError as cause:
        raise InputError(f"{config}: has another architecture than {', '.join(map(str, sources))}") from cause
    task.eval()
    recipe = recipe_of(settings, data.index, seconds=0, steps=max(w.card["recipe"]["steps"] for w in weights))
    recipe["averaged"] = [
        {"name": w.name, "share": share, "sha256": w.sha256, "recipe": w.card["recipe"]}
        for w, share in zip(weights, shares, strict=True)
    ]
    tallies = task.score(data.index[data.index["split"] == "val"])
    return write_weights(task.network, settings, data.index, recipe, out, tallies)


def main() -> int:
    """Average as the command line says; the exit code."""
    parser = argparse.ArgumentParser(description="Average weights that were trained from one start.")
    parser.add_argument("--config", type=Path, required=True, help="recipe of the result: its name, chips and architecture")
    parser.add_argument("--out", type=Path, required=True, help="folder for the result")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="replaces a value of the recipe")
    parser.add_argument(
        "--share", type=float, nargs="+", default=[], help="of each of the weights, in their order (write -- after it)"
    )
    parser.add_argument("weights", nargs="+", help="names or paths")
    options = parser.parse_args()
    try:
        print(average(options.config, options.weights, options.out, options.set, options.share))
    except DetectError as error:
        print(f"average_weights: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
