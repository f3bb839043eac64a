"""Any raster → values and validity, at any ground sampling distance; where it lies, when it was taken, where the sun stood."""
