"""Stages smoothed over time."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import product

import numpy as np
import pytest

from detect.tracks import histories
from detect.tracks.histories import ABSENT, COMPLETE, DEMOLISHED, FOUNDATION, INCOMPLETE, Evidence, found_rates, smooth

WORDS = {"f": FOUNDATION, "i": INCOMPLETE, "c": COMPLETE, ".": ABSENT, "x": DEMOLISHED}


def days(count: int, step: int = 30) -> list[str]:
    return [(date(2024, 1, 1) + timedelta(days=step * t)).isoformat() for t in range(count)]


def seen_as(*stories: str, score: float = 0.9, sure: float = 0.9) -> Evidence:
    """One letter a date: f, i, c found at that stage, . not found, ? not seen."""
    shape = (len(stories), len(stories[0]))
    letters = np.array([list(s) for s in stories])
    p = np.full((*shape, 3), (1 - sure) / 2)
    for k, letter in enumerate("fic"):
        p[letters == letter, k] = sure
    found = np.isin(letters, list("fic"))
    return Evidence(letters != "?", found, np.where(found, score, np.nan), p, np.zeros(shape, bool))


def told(state: np.ndarray) -> str:
    names = {code: letter for letter, code in WORDS.items()}
    return "".join(names[int(s)] for s in state)


@pytest.mark.parametrize(
    ("story", "history"),
    [
        ("cccccc", "cccccc"),
        ("c.cc.c", "cccccc"),  # misses
        ("cccc.?", "cccccc"),  # a miss and a cloud at the end
        ("cc??cc", "cccccc"),
        ("cc????", "cccccc"),
        ("..ffic", "..ffic"),
        ("?.ffic", "..ffic"),
        ("f???i??cc", "ffffiiicc"),  # under the clouds it stays as it was last seen
        ("ffcicc", "ffiicc"),  # one stage out of order
        ("cciccc", "cccccc"),  # never back
        ("cccc......", "ccccxxxxxx"),  # razed
        ("ccc?......", "cccc" + "xxxxxx"),  # not under the cloud: at the first date that sees bare ground
        ("cc......ffiicc", "ccxxxxxxffiicc"),  # and built anew
    ],
)
def test_stories(story: str, history: str) -> None:
    # Nine more that are found each time, so that the rate of finds is known.
    evidence = seen_as(story, *["c" * len(story)] * 9)
    assert told(smooth(evidence, days(len(story))).state[0]) == history


def test_a_find_at_a_single_date_with_a_low_score_was_none() -> None:
    evidence = seen_as(".....c......", *["c" * 12] * 9)
    evidence.score[0, 5] = 0.5
    assert not smooth(evidence, days(12)).standing[0].any()


def test_a_bare_probability_map_makes_a_demolition_sure_sooner() -> None:
    story = "cccccc.."
    silent = seen_as(story, *["c" * 8] * 9)
    told_bare = seen_as(story, *["c" * 8] * 9)
    told_bare.score[0, 6:] = 0.01
    told_built = seen_as(story, *["c" * 8] * 9)
    told_built.score[0, 6:] = 0.4
    gone = [smooth(e, days(8)).state_p[0, -1, DEMOLISHED] for e in (told_built, silent, told_bare)]
    assert gone[0] < gone[1] < gone[2]
    assert gone[0] < 0.2
    assert gone[2] > 0.8


def test_long_gaps_allow_more_than_short_ones() -> None:
    evidence = seen_as("f.", "fc")
    short, long = (smooth(evidence, days(2, step)).state_p[1, 1, COMPLETE] for step in (10, 700))
    assert short < long


def test_probabilities_sum_to_one_and_cover_the_path() -> None:
    smoothed = smooth(seen_as("..ffic", "c.cc.c"), days(6))
    np.testing.assert_allclose(smoothed.state_p.sum(axis=2), 1)
    chosen = np.take_along_axis(smoothed.state_p, smoothed.state[..., None], axis=2)
    assert chosen.min() > 0.2


def test_probabilities_are_those_of_all_paths_together() -> None:
    evidence, dates = seen_as("fic.", "..ic", "c?..", sure=0.6), days(4, 60)
    rates = histories.found_rates(evidence, histories.ASSUMED_FOUND)
    likelihood = histories._likelihood(evidence, rates)
    paths = np.array(list(product(range(5), repeat=4)))
    step = histories.transition(60)
    chance = histories.START[paths[:, 0]] * np.prod([step[paths[:, t], paths[:, t + 1]] for t in range(3)], axis=0)
    weight = chance * likelihood[:, np.arange(4), paths].prod(axis=2)  # (buildings, paths)
    weight /= weight.sum(axis=1, keepdims=True)
    expected = np.stack([(weight @ (paths == k)) for k in range(5)], axis=2)
    np.testing.assert_allclose(smooth(evidence, dates).state_p, expected, atol=1e-12)


def test_rates_are_counted_on_what_stood() -> None:
    # 20 buildings that stand throughout; the third date finds 5 of them, the others all.
    stories = ["cc" + ("c" if i < 5 else ".") + "cc" for i in range(20)]
    rates = found_rates(seen_as(*stories), prior=0.75)
    assert rates[2] < 0.55 < 0.75 < rates[1]
    assert rates[0] == rates[4]  # nothing stood before the first date or after the last one for sure


def test_a_hazy_date_razes_nothing() -> None:
    stories = ["cccc." + "c" * 3] * 30 + ["cccccccc"] * 3
    assert not (smooth(seen_as(*stories), days(8)).state == DEMOLISHED).any()
