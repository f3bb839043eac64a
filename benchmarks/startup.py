"""How long `detect --help` takes, as a multiple of a bare Python start (a ratio, because machines differ)."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

REPEATS = 7
RESULTS = Path(__file__).parent / "results" / "startup.json"
COMMANDS = {
    "python -c pass": ["-c", "pass"],
    "detect --help": ["-m", "detect", "--help"],
    "detect predict --help": ["-m", "detect", "predict", "--help"],
}


def fastest_s(arguments: list[str]) -> float:
    """The shortest of some runs, seconds; the others were disturbed."""
    times_s = []
    for _ in range(REPEATS):
        start_s = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times_s.append(time.perf_counter() - start_s)
    return min(times_s)


def main() -> None:
    """Print the table and write it as JSON."""
    times_s = {name: fastest_s(arguments) for name, arguments in COMMANDS.items()}
    bare_s = times_s["python -c pass"]
    rows = [{"command": name, "seconds": round(s, 4), "times_bare_python": round(s / bare_s, 2)} for name, s in times_s.items()]
    for row in rows:
        print(f"{row['command']:24} {row['seconds']:8.3f} s {row['times_bare_python']:6.1f} ×")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
