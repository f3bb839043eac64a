"""Corrections of one place → weights for it: what was checked, what it teaches, whether that is a gain."""
