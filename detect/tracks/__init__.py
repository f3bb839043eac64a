"""The same buildings at several dates: what is new, what advanced, what is gone.

Data flows down this list of modules::

    series      predict results of one place → dated snapshots in one plane
    align       the shift between them, estimated and removed
    link        footprints found once on the whole series; what each date shows of each
    histories   stage by date, smoothed by a hidden Markov model
    events      started, finished, change since a date, forecast of completion
    counts      buildings, sites, timeline, summary
    page        report.html
``detect.runs.track`` calls them in this order, ``detect.evaluation`` scores the result.
"""
