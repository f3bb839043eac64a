"""From buildings to counts: similarity to a known type, rows, plots, ground, and counts with intervals."""
