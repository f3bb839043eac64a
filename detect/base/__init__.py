"""Nouns and tools that all folders of the package share; imports none of them."""
