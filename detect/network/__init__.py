"""From pixels to probabilities: weights, the backends that run them, and reading a scene block by block."""
