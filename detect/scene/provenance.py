"""Where the pixels of a scene came from, if it was read from map tiles or cut from a larger picture; the file itself holds it, as a tag."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from detect.base.schema import SchemaError, read

TAG = "DETECT_PROVENANCE"
NOT_STATED = "not stated, ask the provider before you publish"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The source of a scene's pixels."""

    source: str
    """Address, without keys."""
    retrieved: str
    """ISO day on which it was read."""
    attribution: str
    terms: str
    """Conditions of use, as the source states them."""
    level: str
    """Zoom, or identifier of the tile matrix; empty for a part of a raster."""
    tiles: int = 0
    missing: int = 0
    """Tiles that the source does not have."""
    notes: list[str] = field(default_factory=list)
    """Lines on what is unusual."""

    def to_json(self) -> dict[str, Any]:
        """As ``summary.json`` holds it."""
        return asdict(self)

    def __str__(self) -> str:
        """As in a warning."""
        if not self.level:
            unknown = NOT_STATED if "://" in self.source else ""  # of a file of the user's own nobody asks
            named = (("credit", self.attribution or unknown), ("terms", self.terms or unknown))
            said = "".join(f"; {name}: {value}" for name, value in named if value)
            return f"source: a part of {self.source}, read on {self.retrieved}{said}"
        credit = self.attribution or NOT_STATED
        gaps = f"; {self.missing} of {self.tiles} tiles do not exist there" if self.missing else ""
        return (
            f"source: {self.source} at zoom {self.level}, read on {self.retrieved}; "
            f"credit: {credit}; terms: {self.terms or NOT_STATED}{gaps}"
        )


def provenance_in(tags: Mapping[str, str]) -> Provenance | None:
    """The provenance that the tags of a raster hold; None if they hold none."""
    try:
        found: Provenance = read(Provenance, json.loads(tags[TAG]))
    except (KeyError, ValueError, RecursionError, SchemaError):
        return None
    return found
