"""The order of the steps of each command; the algorithms are in the subpackages that it calls."""
