"""Map tiles and map services as scenes: only the ground that is wanted is read, into one GeoTIFF."""
