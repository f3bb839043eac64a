"""How a pixel of the rasters stores a probability in one byte."""

from __future__ import annotations

TOP = 254
"""The byte of probability 1: a stored value is p × 254, rounded half up."""
NO_DATA = 255
"""The byte of a pixel that was not observed; also in mask.tif and stage.tif."""
