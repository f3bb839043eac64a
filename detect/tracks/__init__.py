"""The same buildings at several dates: what is new, what advanced, what is gone.

What flows where, each line a module::

    series      predict results of one place → dated snapshots in one plane
    align       the shift between them, estimated and removed
    link        footprints found once on the whole series; what each date shows of each
    histories   stage by date, smoothed by a hidden Markov model
    events      started, finished, change since a date, forecast of completion
    counts      buildings, sites, timeline, summary
    page        report.html
    run         all of the above, in this order

``detect.evaluation`` scores them.
"""
