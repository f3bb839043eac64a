"""What an adaptation tells others about itself."""

from __future__ import annotations

from detect.adaptation.choose import Verdict
from detect.adaptation.facts import rates_with


def test_the_checked_ground_is_one_more_place() -> None:
    rates = [{"place": "elsewhere", "sites": [[9, 10, 0]]}, {"place": "here", "sites": [[1, 2, 0]], "simulated": True}]
    verdict = Verdict(True, "", None, numbers=(18, 20, 3))
    assert rates_with(rates, verdict, "here", simulated=True) == [
        rates[0],
        {"place": "here", "sites": [[18, 20, 3]], "simulated": True},
    ]
    assert rates_with(rates, verdict, "there", simulated=False) == [*rates, {"place": "there", "sites": [[18, 20, 3]]}]
    assert rates_with(rates, Verdict(False, "", None), "here", simulated=True) == rates, "nothing was counted"
