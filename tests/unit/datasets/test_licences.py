"""Which licences may train what."""

import pytest

from detect.datasets.licences import allowed


@pytest.mark.parametrize(
    ("licence", "choices"),
    [
        ("CC0-1.0", {"any", "open", "permissive"}),
        ("CC-BY-4.0", {"any", "open", "permissive"}),
        ("CC-BY-4.0; ODbL-1.0", {"any", "open"}),
        ("CC-BY-SA-4.0", {"any", "open"}),
        ("CC-BY-NC-SA-4.0", {"any"}),
        ("research only", {"any"}),
        ("CC0-1.0; research only", {"any"}),
    ],
)
def test_the_strictest_part_decides(licence: str, choices: set[str]) -> None:
    assert {choice for choice in ("any", "open", "permissive") if allowed(licence, choice)} == choices
