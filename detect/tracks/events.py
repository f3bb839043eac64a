"""Events of a series: started, finished, changed since a date; and a forecast of when the rest will be finished.

The forecast treats the completion of buildings as a Poisson process with a constant rate: k buildings in T days give a rate
distributed as Gamma(k + ½, T) (Jeffreys' prior), and the time to finish the R that are left as Gamma(R, 1) over that rate (Gelman
et al. 2013, Bayesian Data Analysis, § 2.6). Its interval follows from the pace so far; it does not cover a change of pace.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date as Date
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detect.base.errors import InputError
from detect.tracks.histories import ABSENT, COMPLETE, DEMOLISHED

CHANGES = ("new", "advanced", "unchanged", "gone")
FEWEST_DATES = 4
DRAWS = 20_000
SEED = 20_240_601
FARTHEST_DAYS = 36_525
METHOD = "constant pace of finishing, Gamma-Poisson with Jeffreys' prior, 90 % interval (Gelman et al. 2013, § 2.6)"


def base_date(dates: Sequence[str], since: str | None) -> int:
    """Index of the latest date that is not after ``since``; 0 without ``since``.

    Raises:
        InputError: there is no such date, or it is the last one.
    """
    if since is None:
        return 0
    try:
        day = Date.fromisoformat(since).isoformat()
    except ValueError as cause:
        raise InputError(f"--since '{since}': not a date; write it as YYYY-MM-DD") from cause
    if not dates[0] <= day < dates[-1]:
        raise InputError(
            f"--since {day}: the dates go from {dates[0]} to {dates[-1]}; give a day from the first to before the last"
        )
    return max(t for t, d in enumerate(dates) if d <= day)


def changes(state: NDArray[np.int64], base: int) -> NDArray[np.object_]:
    """(N,) of ``CHANGES``: how each building changed between a date and the last one.

    A building that was demolished and rebuilt in between is new; one that was already gone at the base date is unchanged.
    """
    before, now = state[:, base], state[:, -1]
    razed = (state[:, base:] == DEMOLISHED).any(axis=1)
    stood, stands = (~np.isin(s, (ABSENT, DEMOLISHED)) for s in (before, now))
    kind = np.full(len(state), "unchanged", dtype=object)
    kind[stands & (now > before)] = "advanced"
    kind[stands & (~stood | razed)] = "new"
    kind[(now == DEMOLISHED) & (before != DEMOLISHED)] = "gone"
    return kind


def monthly(state: NDArray[np.int64], dates: Sequence[str]) -> dict[str, dict[str, float]]:
    """Buildings started and finished in each month of the series.

    Events between two dates are spread evenly over the days between them.
    """
    standing = ~np.isin(state, (ABSENT, DEMOLISHED))
    started = (standing[:, 1:] & ~standing[:, :-1]).sum(axis=0)
    finished = _finished(state)
    months: dict[str, dict[str, float]] = {}
    for t, (first, last) in enumerate(pairwise(dates)):
        days = _days_between(first, last)
        for month in days:
            kept = months.setdefault(month, {"started": 0.0, "finished": 0.0})
            kept["started"] += started[t] / len(days)
            kept["finished"] += finished[t] / len(days)
    return {m: {k: round(float(v), 2) for k, v in kept.items()} for m, kept in sorted(months.items())}


def _finished(state: NDArray[np.int64]) -> NDArray[np.int64]:
    """(T − 1,) buildings that became complete between each date and the next."""
    return np.asarray(((state[:, 1:] == COMPLETE) & (state[:, :-1] != COMPLETE)).sum(axis=0))


def _days_between(first: str, last: str) -> list[str]:
    """The month of each day after the first date, up to and including the last."""
    start = Date.fromisoformat(first)
    count = (Date.fromisoformat(last) - start).days
    return [(start + timedelta(days=i + 1)).isoformat()[:7] for i in range(count)]


def forecast(state: NDArray[np.int64], dates: Sequence[str], planned: float = np.nan, kind: str = "building") -> dict[str, Any]:
    """When all buildings of a site will be finished at the pace so far.

    Args:
        state: (N, T) of the site's buildings; of those of the type alone where ``planned`` is given, which counts these.
        dates: ISO days.
        planned: buildings planned on the site; NaN where unknown. Those that are not begun yet are part of ``remaining``.
        kind: what ``why`` calls one of the buildings.

    Returns:
        ``remaining`` buildings, ``finished_per_month``, ``completion`` with ``date`` (median), ``low`` and ``high``, ISO days, 90 %;
        ``completion`` is None if there can be no forecast, and ``why`` gives the reason.
    """
    now = state[:, -1] if len(state) else np.empty(0, np.int64)
    begun = int((~np.isin(now, (ABSENT, DEMOLISHED))).sum())
    done = int((now == COMPLETE).sum())
    whole = begun if np.isnan(planned) else max(begun, round(planned))
    remaining = whole - done
    days = Date.fromisoformat(dates[-1]).toordinal() - Date.fromisoformat(dates[0]).toordinal()
    count = int(_finished(state).sum()) if len(state) else 0
    found: dict[str, Any] = {
        "remaining": remaining,
        "finished_per_month": round(count / days * 365.25 / 12, 2),
        "completion": None,
        "why": None,
        "method": METHOD,
    }
    if len(dates) < FEWEST_DATES:
        found["why"] = f"{len(dates)} dates are too few for a pace; {FEWEST_DATES} are needed"
    elif not remaining:
        found["why"] = "all is finished" if whole else f"there is no {kind}"
    elif not count:
        found["why"] = f"no {kind} was finished between the first date and the last"
    else:
        found["completion"] = _completion(count, days, remaining, dates[-1])
    return found


def _completion(count: int, days: int, remaining: int, last: str) -> dict[str, str]:
    rng = np.random.default_rng(SEED)
    rate = rng.gamma(count + 0.5, 1 / days, DRAWS)
    needed = rng.gamma(remaining, 1.0, DRAWS) / rate
    low, middle, high = np.minimum(np.quantile(needed, [0.05, 0.5, 0.95]), FARTHEST_DAYS)
    start = Date.fromisoformat(last)
    return {k: (start + timedelta(days=round(d))).isoformat() for k, d in (("date", middle), ("low", low), ("high", high))}
