"""What a run leaves behind: tables, rasters, pictures, pages, and the seal that verifies them."""
