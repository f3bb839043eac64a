"""The order of one verb's work; the work itself is done by the rooms that it calls."""
