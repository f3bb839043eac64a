"""Whether another checkout of the code gives the same results: demo, drawn yardstick and three real scenes, through predict and census.

    python benchmarks/same_results.py record before.json --checkout ../other
    python benchmarks/same_results.py compare before.json

``record`` runs the commands with the code of a checkout and writes digests of what they left: the pixels of the rasters byte by byte, every
row and corner of every layer of ``buildings.gpkg``, and ``summary.json`` less the keys of ``UNSTABLE``. ``compare`` does the same with this
checkout and names what differs; exit code 1 if anything does. The real scenes are those of the tests (``tests/real_data.py``); scenes that
are absent are left out and named.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pyogrio
import rasterio

ROOT = Path(__file__).resolve().parents[1]
UNSTABLE = ("timings_s", "versions", "key", "path", "files", "contents", "recounted", "blocks")
"""Keys of summary.json, at any depth, that name the run and not what was found."""
REAL = {
    "vegas": "vegas/vegas_225.tif",
    "virac": "oam_chips/virac_1.tif",
    "rio": "rio/rio_57.tif",
}


def _digest(content: bytes | str) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.encode()).hexdigest()[:16]


def _without_unstable(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_unstable(v) for k, v in value.items() if k not in UNSTABLE}
    return [_without_unstable(v) for v in value] if isinstance(value, list) else value


def digests(folder: Path) -> dict[str, str]:
    """What a predict folder holds, by name; pixels and rows, not containers."""
    found: dict[str, str] = {}
    for name in ("mask.tif", "probability.tif", "stage.tif"):
        with rasterio.open(folder / name) as raster:
            found[name] = _digest(raster.read().tobytes())
            found[f"{name} place"] = _digest(f"{raster.crs} {raster.transform} {raster.shape}")
    found["mask.tif bytes"] = _digest((folder / "mask.tif").read_bytes())
    for layer, _ in sorted(map(tuple, pyogrio.list_layers(folder / "buildings.gpkg"))):
        if layer == "layer_styles":
            continue
        table = pyogrio.read_dataframe(folder / "buildings.gpkg", layer=layer)
        found[f"buildings.gpkg {layer}"] = _digest(
            table.drop(columns="geometry").to_csv() + "".join(table.geometry.to_wkb(hex=True))
        )
    summary = _without_unstable(json.loads((folder / "summary.json").read_text(encoding="utf-8")))
    found.update({f"summary.json {key}": _digest(json.dumps(value, sort_keys=True)) for key, value in summary.items()})
    return found


def run(checkout: Path, data: Path | None, demo: Path | None) -> dict[str, dict[str, str]]:
    """Digests by scene, of predict and of a census with another profile."""
    environment = {**os.environ, "PYTHONPATH": str(checkout), "ORT_DISABLE_TELEMETRY": "1"}

    def detect(*arguments: str | Path) -> None:
        subprocess.run([sys.executable, "-m", "detect", *map(str, arguments)], check=True, env=environment, cwd=checkout)

    results: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as work_text:
        work = Path(work_text)
        detect("simulate", "--preset", "yardstick", "--seed", "1", "--out", work / "yardstick")
        jobs: dict[str, list[str | Path]] = {
            "yardstick": [work / "yardstick/scene.tif", "--sites", work / "yardstick/truth.gpkg"]
        }
        if demo is not None:
            jobs["demo"] = [demo / "rotterdam.tif", "--sites", demo / "site.geojson"]
        for name, relative in REAL.items():
            if data is not None and (data / relative).exists():
                jobs[name] = [data / relative]
            else:
                print(f"{name}: left out, {relative} is absent", file=sys.stderr)
        for name, arguments in jobs.items():
            detect("predict", *arguments, "--out", work / name / "out", "-q")
            folder = next((work / name / "out").glob("[!.]*/summary.json")).parent
            results[f"{name} predict"] = digests(folder)
            detect("census", folder, "--structure", checkout / "configs/structures/house.yaml")
            results[f"{name} census"] = digests(folder)
    return results


def main() -> int:
    """Record or compare; 1 where anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("verb", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--checkout", type=Path, default=ROOT, help="whose code runs (default: this one)")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("DETECT_DATA", ROOT.parent / "shared" / "data")))
    parser.add_argument("--demo", type=Path, default=ROOT / "demo", help="folder that make demo filled")
    arguments = parser.parse_args()
    demo = arguments.demo if (arguments.demo / "rotterdam.tif").exists() else None
    now = run(arguments.checkout.resolve(), arguments.data if arguments.data.is_dir() else None, demo)
    if arguments.verb == "record":
        arguments.file.write_text(json.dumps(now, indent=1))
        return 0
    before = json.loads(arguments.file.read_text())
    differ = [
        f"{scene}: {key}: {before.get(scene, {}).get(key, 'absent')} before, {now.get(scene, {}).get(key, 'absent')} now"
        for scene in sorted(before.keys() | now.keys())
        for key in sorted(before.get(scene, {}).keys() | now.get(scene, {}).keys())
        if before.get(scene, {}).get(key) != now.get(scene, {}).get(key)
    ]
    print("\n".join(differ) or f"the same in all {sum(map(len, now.values()))} digests of {len(now)} results")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
