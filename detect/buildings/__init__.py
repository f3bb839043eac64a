"""From probabilities to polygons: which pixels are one building, and its outline."""
