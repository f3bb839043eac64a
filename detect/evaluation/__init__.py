"""Scores of a result against a reference.

footprints  pixels, single buildings, counts and stages of one date
tracks      a series: with scot for buildings (SpaceNet 7) and smart for sites (IARPA SMART)
"""
