"""Public building-footprint data sets as training chips.

``registry``  which data sets there are, and what is known of each
``samples``   the indexed sample folder: real imagery of several public data sets under one ``index.csv``
``chips``     the chip store: PNG chips and one index, what training reads
"""

from detect.datasets.registry import prepare

__all__ = ["prepare"]
