"""Read any raster as pixel values and a mask of valid pixels, at any pixel size; find its date and the position of the sun."""
