"""Public building-footprint data sets as training chips.

``registry``  which data sets there are
``images``    how an adapter describes a data set and its images; label arrays
``cutting``   images → chips, and problems of chips
``chips``     the chip store: PNG chips and one index, what training reads
The other modules are adapters, one per data set; each knows one published folder layout and nothing else.
"""

from detect.datasets.registry import format_data_sets, format_report, prepare

__all__ = ["format_data_sets", "format_report", "prepare"]
