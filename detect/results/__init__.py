"""Write and read the files of a result: tables, rasters, pictures, pages, and the hashes that verify them."""
