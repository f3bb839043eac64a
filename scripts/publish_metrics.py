"""Put what benchmarks/accuracy.py measured into the card of shipped weights, and for the default ones into README.md and docs/accuracy.md.

    python benchmarks/accuracy.py --weights deep
    python benchmarks/census.py
    python scripts/publish_metrics.py deep

The card's ``metrics`` and ``rates`` then describe footprints as a user gets them, from the whole of predict. ``detect fit`` leaves those of
chips there.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from docs_reference import replaced

from detect.datasets.samples import DRAWN

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "accuracy.json"
CENSUS = ROOT / "benchmarks" / "results" / "census.json"


def main() -> int:
    """Rewrite the card and the pages; the exit code."""
    parser = argparse.ArgumentParser(description="Put measured accuracy into a card, README.md and docs/accuracy.md.")
    parser.add_argument("name", help="name of shipped weights")
    name = parser.parse_args().name
    card_path = ROOT / "weights" / f"{name}.json"
    card = json.loads(card_path.read_text(encoding="utf-8"))
    measured = json.loads(RESULTS.read_text(encoding="utf-8")).get(f"{name} at {card['gsd_m']:g} m")
    stage_sha256 = card["files"].get("stage", {}).get("sha256")
    if measured is None or (measured["sha256"], measured["stage_sha256"]) != (card["files"]["onnx"]["sha256"], stage_sha256):
        print(f"publish_metrics: error: {RESULTS} is not of these weights; run benchmarks/accuracy.py first", file=sys.stderr)
        return 1
    card["metrics"] = {"measured": "footprints, by benchmarks/accuracy.py", **_rounded(measured)}
    card["rates"] = [*real_rates(measured), *simulated_rates(card)]
    add_measured(card)
    card_path.write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    if name == (ROOT / "weights" / "default.txt").read_text(encoding="utf-8").strip():  # the pages show the default weights
        for page, write in PAGES.items():
            path = ROOT / page
            path.write_text(replaced(path.read_text(encoding="utf-8"), "accuracy", write(card["metrics"])), encoding="utf-8")
    return 0


def add_measured(card: dict[str, Any]) -> None:
    """Name every held-out place of the metrics under ``data``, also those that came after the training."""
    entries = {entry["data_set"]: entry for entry in card["data"]}
    licences = dict(DRAWN.values())
    for name in card["metrics"]["places"]:
        data_set, _, place = name.partition("/")
        if data_set not in entries:
            entries[data_set] = {
                "data_set": data_set,
                "licence": [licences[data_set]],
                "trained_on": [],
                "measured_on": [],
                "chips": 0,
            }
            card["data"].append(entries[data_set])
        if place not in entries[data_set]["measured_on"]:
            entries[data_set]["measured_on"] = sorted([*entries[data_set]["measured_on"], place])


def real_rates(measured: dict[str, Any]) -> list[dict[str, Any]]:
    """Per real place: buildings matched at IoU 0.5, and counts by size and stage (``detect.census.rates``)."""
    found = []
    for place, counts in measured["rates"].items():
        s = measured["places"].get(place)
        plain = {} if s is None or s["f1"] is None else {key: s[key] for key in ("matched", "predicted", "reference")}
        found.append({"place": place, **plain, **counts})
    return found


def simulated_rates(card: dict[str, Any]) -> list[dict[str, Any]]:
    """Per drawn compound, which tell of drawn scenes alone; those of the card where benchmarks/census.py has not run with these weights."""
    measured = json.loads(CENSUS.read_text(encoding="utf-8")) if CENSUS.is_file() else {}
    stage_sha256 = card["files"].get("stage", {}).get("sha256")
    if (measured.get("sha256"), measured.get("stage_sha256")) == (card["files"]["onnx"]["sha256"], stage_sha256):
        return measured["rates"]
    print("publish_metrics: the rates of drawn scenes stay as they were; run benchmarks/census.py for new ones", file=sys.stderr)
    return [rate for rate in card.get("rates") or [] if rate.get("simulated")]


def table(metrics: dict[str, Any]) -> str:
    """A row per data set, the mean over them, and the blocks that came out single."""
    lines = ["| data set | held-out places | footprint IoU | F1 at IoU 0.5 | found | true |", "|---|---|---|---|---|---|"]
    for name, s in metrics["sets"].items():
        places = ", ".join(place.partition("/")[2] for place in metrics["places"] if place.startswith(f"{name}/"))
        lines.append(f"| {name} | {places} | {_number(s['iou'])} | {_number(s['f1'])} | {s['predicted']} | {s['reference']} |")
    lines.append(f"| **mean over data sets** | | **{_number(metrics['mean_iou'])}** | **{_number(metrics['mean_f1'])}** | | |")
    lines += ["", "| long blocks in rows | came out as one building each |", "|---|---|"]
    lines += [f"| {name} | {a} of {b} ({a / b:.0%}) |" for name, (a, b) in metrics["separation"].items()]
    return "\n".join(lines)


def summary(metrics: dict[str, Any]) -> str:
    """Two lines: the means over data sets, and their range."""
    sets = metrics["sets"].values()
    ious, f1s = ([s[key] for s in sets if s[key] is not None] for key in ("iou", "f1"))
    return (
        f"- footprint IoU {_number(metrics['mean_iou'])} (mean over {len(ious)} data sets; {min(ious):.2f} to {max(ious):.2f})\n"
        f"- F1 of single buildings at IoU 0.5: {_number(metrics['mean_f1'])} (mean over {len(f1s)}; {min(f1s):.2f} to {max(f1s):.2f})"
    )


PAGES: dict[str, Callable[[dict[str, Any]], str]] = {"README.md": summary, "docs/accuracy.md": table}
"""Page with the part ``accuracy`` → what stands there."""


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items() if k not in ("images", "sha256", "stage_sha256", "rates")}
    return round(value, 4) if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
