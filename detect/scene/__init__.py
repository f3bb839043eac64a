"""Any raster → values and validity at any ground sampling distance; its place, its date, the position of the sun."""
