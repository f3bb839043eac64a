"""The page on formats says what is read: its tables are made anew, from files drawn for each row."""

from __future__ import annotations

from scripts import docs_formats


def test_each_row_of_the_page_is_as_it_is_read() -> None:
    there = docs_formats.PAGE.read_text(encoding="utf-8").splitlines()
    made = docs_formats.page().splitlines()
    rows = [line for line in made if line.startswith("| ")]
    assert len(rows) >= 60
    assert [line for line in there if line.startswith("| ")] == rows


def test_files_that_are_refused_say_what_to_do() -> None:
    rows = [line for line in docs_formats.PAGE.read_text(encoding="utf-8").splitlines() if "*refused:*" in line]
    assert rows and all(len(line.split("*refused:*")[1]) > 40 for line in rows)
