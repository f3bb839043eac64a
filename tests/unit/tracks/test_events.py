"""Started, finished, changed, forecast."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from detect.base.errors import InputError
from detect.tracks.events import base_date, changes, forecast, monthly
from tests.unit.tracks.test_histories import WORDS, days


def states(*stories: str) -> np.ndarray:
    return np.array([[WORDS[letter] for letter in story] for story in stories])


def test_changes() -> None:
    table = {
        "...f": "new",
        "..ic": "new",
        "fiic": "advanced",
        "cccc": "unchanged",
        "ffff": "unchanged",
        "ccxx": "gone",
        ".cxx": "gone",
    }
    table |= {"xxxx": "unchanged", "cxfi": "new"}
    assert changes(states(*table), 0).tolist() == list(table.values())
    assert changes(states("...f", ".iic", "ccxx", "cxxx"), 1).tolist() == ["new", "advanced", "gone", "unchanged"]


def test_base_date() -> None:
    dates = ["2024-01-01", "2024-02-01", "2024-03-01"]
    assert base_date(dates, None) == 0
    assert base_date(dates, "2024-02-01") == 1
    assert base_date(dates, "2024-02-20") == 1
    for wrong in ("2023-12-31", "2024-03-01", "2025-01-01"):
        with pytest.raises(InputError, match=r"--since .* the dates go from 2024-01-01 to 2024-03-01"):
            base_date(dates, wrong)
    with pytest.raises(InputError, match="'soon': not a date"):
        base_date(dates, "soon")


def test_what_happened_between_two_dates_is_spread_over_its_days() -> None:
    # From 21 January to 10 February: 10 days in January, 10 in February; one building started, two finished.
    months = monthly(states(".f", "ic", "fc", "cc"), ["2024-01-21", "2024-02-10"])
    assert months == {"2024-01": {"started": 0.5, "finished": 1.0}, "2024-02": {"started": 0.5, "finished": 1.0}}


def test_months_add_up() -> None:
    rng = np.random.default_rng(1)
    state = np.sort(rng.integers(0, 4, (40, 9)), axis=1)
    months = monthly(state, days(9, 37))
    assert sum(m["started"] for m in months.values()) == pytest.approx(((state[:, 0] == 0) & (state[:, -1] > 0)).sum(), abs=0.1)
    assert sum(m["finished"] for m in months.values()) == pytest.approx(((state[:, 0] < 3) & (state[:, -1] == 3)).sum(), abs=0.1)


def test_forecast_at_a_steady_pace() -> None:
    # Two of twelve finished every 30 days; 8 after four steps, so 4 are left: some 60 days more.
    state = states(*["i" * (t + 1) + "c" * (4 - t) for t in range(4) for _ in range(2)], *["iiiii"] * 4)
    told = forecast(state, days(5))
    assert told["remaining"] == 4
    assert told["finished_per_month"] == pytest.approx(2.03, abs=0.01)
    completion = told["completion"]
    last = date.fromisoformat(days(5)[-1])
    ahead = [(date.fromisoformat(completion[k]) - last).days for k in ("low", "date", "high")]
    assert ahead[0] < 60 < ahead[2]
    assert 40 < ahead[1] < 75


def test_the_last_building_may_take_longer_than_the_pace_says() -> None:
    # One every 5 days, whose waiting times are exponential: one in twenty takes more than 15 days.
    told = forecast(states(*["i" * (t + 1) + "c" * (4 - t) for t in range(4) for _ in range(6)], "iiiii"), days(5))
    high = date.fromisoformat(told["completion"]["high"]) - date.fromisoformat(days(5)[-1])
    assert told["remaining"] == 1 and 12 <= high.days <= 20


def test_planned_buildings_are_left_to_finish() -> None:
    told = forecast(states("iccc", "iicc", "iiic"), days(4), planned=10)
    assert told["remaining"] == 7
    assert told["completion"] is not None


@pytest.mark.parametrize(
    ("stories", "why"),
    [
        (("iic", "iii"), "3 dates are too few"),
        (("cccc",), "all is finished"),
        (("iiii",), "no building was finished"),
        (("....",), "there is no building"),
    ],
)
def test_no_forecast_says_why(stories: tuple[str, ...], why: str) -> None:
    told = forecast(states(*stories), days(len(stories[0])))
    assert told["completion"] is None
    assert why in told["why"]


def test_nine_in_ten_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(7)
    dates, held = days(7), 0
    for _ in range(200):
        finish = np.sort(rng.exponential(18.0, 25).cumsum())  # one every 18 days; seen at days 0, 30 … 180
        state = np.where(finish[:, None] <= np.arange(7) * 30, 3, 2)
        if (state[:, -1] == 3).all() or (state[:, -1] == 2).all():
            held += 1
            continue
        completion = forecast(state, dates)["completion"]
        last = date.fromisoformat(dates[-1]).toordinal()
        low, high = (date.fromisoformat(completion[k]).toordinal() - last + 180 for k in ("low", "high"))
        held += low <= finish[-1] + 1 and finish[-1] - 1 <= high
    assert 0.83 <= held / 200 <= 0.97
