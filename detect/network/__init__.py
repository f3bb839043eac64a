"""From pixels to probabilities: weights, what runs them, and a scene read block by block."""
