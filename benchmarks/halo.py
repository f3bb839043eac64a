"""How wide the halo must be: tiles against the whole scene, for the weights as they were trained.

    python benchmarks/halo.py [--weights NAME] [--scene IMAGE --gsd METRES]

Predicts one scene in one piece and again in tiles of each halo, and prints how far the footprint probabilities of the kept cores differ:
the 99.9th percentile and the largest over all pixels, and the share of pixels that change sides at the card's threshold. Cost is the
pixels seen for each pixel kept, at the card's core. Without a scene, a simulated one. Writes benchmarks/results/halo.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detect.network.backends import OnnxBackend
from detect.network.weights import load_weights
from detect.scene.scene import open_scene
from detect.simulate import simulate_compounds

RESULTS = Path(__file__).parent / "results" / "halo.json"
HALOS_PX = (0, 32, 64, 96, 128, 192)
CORE_PX = 256
"""Smaller than the card's, so that a small scene has many seams."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights")
    parser.add_argument("--scene", type=Path)
    parser.add_argument("--gsd", type=float, help="of a scene without georeference")
    options = parser.parse_args()
    weights = load_weights(options.weights)
    backend = OnnxBackend(weights)
    threshold = weights.card["thresholds"]["footprint"]
    with tempfile.TemporaryDirectory() as temporary:
        path = options.scene or simulate_compounds(Path(temporary) / "drawn", seed=1, preset="rows", compounds=4)[0][0]
        scene = open_scene(path, gsd_m=options.gsd)
        grid = scene.work_grid(weights.read_gsd_m(scene.gsd_m))
        with scene.reader(grid) as reader:

            def tiled(core_px: int, halo_px: int) -> NDArray[np.float32]:
                """Footprint probabilities (H, W)."""
                whole = np.empty(grid.size_hw, np.float32)
                for block in replace(weights.lattice, core_px=core_px, halo_px=halo_px).blocks(grid.size_hw, core_px):
                    for tile in block.tiles:
                        whole[tile.core.slices()] = tile.of_answer(backend.predict(reader.read(tile.input)[0], tile.margins)[0])
                return whole

            stride = weights.lattice.stride_px
            reference = tiled(-(-max(grid.size_hw) // stride) * stride, max(HALOS_PX))
            rows = []
            for halo_px in HALOS_PX:
                found = tiled(CORE_PX, halo_px)
                apart = np.abs(found - reference)
                seen = (1 + 2 * halo_px / weights.lattice.core_px) ** 2
                rows.append(
                    {
                        "halo_px": halo_px,
                        "p99.9": float(np.quantile(apart, 0.999)),
                        "largest": float(apart.max()),
                        "changed": float(((found >= threshold) != (reference >= threshold)).mean()),
                        "cost": seen,
                    }
                )
    print(f"{'halo px':>8}{'99.9th':>9}{'largest':>9}{'changed':>10}{'cost':>7}")
    for row in rows:
        print(f"{row['halo_px']:>8}{row['p99.9']:>9.4f}{row['largest']:>9.4f}{row['changed']:>10.5%}{row['cost']:>7.2f}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(
        json.dumps({"weights": weights.name, "sha256": weights.sha256, "core_px": CORE_PX, "rows": rows}, indent=1)
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
