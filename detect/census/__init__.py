"""From buildings to counts: likeness to a known type, rows, plots, ground, and numbers with intervals."""
