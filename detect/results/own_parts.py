"""A user's own layers and columns in the table of a result, which a new table would not have."""

from __future__ import annotations

import warnings
from pathlib import Path

import pyogrio

from detect.base.errors import InputError
from detect.results.files import BUILDINGS
from detect.results.tables import BUILDING_COLUMNS, GROUND

_LAYERS = {"buildings", "rows", "sites", GROUND, "layer_styles"}


def refuse_to_lose(folder: Path) -> None:
    """Refuse to replace a table of buildings in which a user keeps layers of their own; warn of columns.

    Args:
        folder: of a result, which need not be there.

    Warns:
        UserWarning: the layer of buildings has columns of the user's own.

    Raises:
        InputError: there is such a layer.
    """
    table = folder / BUILDINGS
    if not table.is_file():
        return
    try:
        own = [str(name) for name in pyogrio.list_layers(table)[:, 0] if name not in _LAYERS]
        fields = pyogrio.read_info(table, layer="buildings")["fields"]
    except (pyogrio.errors.DataSourceError, pyogrio.errors.DataLayerError):
        return  # damaged, or something else than a result, of which others say more
    if own:
        raise InputError(
            f"{table}: has layers of your own ({', '.join(own)}), which the new table would not have; move them to another file first"
        )
    if columns := [str(field) for field in fields if field not in BUILDING_COLUMNS]:
        warnings.warn(f"{table}: what its columns {', '.join(columns)} hold is not in the new table", stacklevel=2)
