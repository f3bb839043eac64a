"""Pairs of buildings: each in one pair at most, the best first, whatever the order of the tables."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from shapely import Polygon, box

from detect.base.matching import best_match, connected, covered_by, match, overlaps

law = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 2**32 - 1)
thresholds = st.sampled_from([0.05, 0.3, 0.5, 0.75])


def draw(rng: np.random.Generator, most: int = 14) -> list[Polygon]:
    """Rectangles that overlap one another often."""
    corners, sizes = rng.uniform(0, 30, (int(rng.integers(0, most)), 2)), rng.uniform(3, 14, (most, 2))
    return [box(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=False)]


def jittered(rng: np.random.Generator, shapes: list[Polygon]) -> list[Polygon]:
    """The same rectangles, not quite in place."""
    edges = [np.array(s.bounds) + rng.uniform(-1, 1, 4) for s in shapes]
    return [box(*e) for e in edges]


@law
@given(seed=seeds, threshold=thresholds)
def test_one_to_one_symmetric_and_free_of_order(seed: int, threshold: float) -> None:
    rng = np.random.default_rng(seed)
    ours = draw(rng)
    theirs = jittered(rng, ours) + draw(rng)
    pairs = overlaps(ours, theirs)
    assume(len(np.unique(pairs[2].round(9))) == len(pairs[2]))  # among equal overlaps the order decides
    left, right, values = match(pairs, threshold)
    assert len(set(left.tolist())) == len(left) and len(set(right.tolist())) == len(right)
    assert (values >= threshold).all() and (np.diff(values) <= 0).all()
    found = set(zip(left.tolist(), right.tolist(), strict=True))

    turned = match(overlaps(theirs, ours), threshold)
    assert {(j, i) for i, j in zip(turned[0].tolist(), turned[1].tolist(), strict=True)} == found

    a, b = rng.permutation(len(ours)), rng.permutation(len(theirs))
    shuffled = match(overlaps([ours[i] for i in a], [theirs[j] for j in b]), threshold)
    assert {(int(a[i]), int(b[j])) for i, j in zip(shuffled[0], shuffled[1], strict=True)} == found

    # Nothing is left over: a pair that was not chosen has a side in a better one.
    for i, j, value in zip(*pairs, strict=True):
        if value >= threshold and (i, j) not in found:
            assert max(values[(left == i) | (right == j)]) > value


@law
@given(seed=seeds)
def test_overlaps_are_all_pairs_that_share_ground(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = draw(rng, 8), draw(rng, 8)
    known = {}
    for i, p in enumerate(ours):
        for j, q in enumerate(theirs):
            if p.intersection(q).area > 0:
                known[i, j] = p.intersection(q).area / p.union(q).area
    left, right, values = overlaps(ours, theirs)
    assert dict(zip(zip(left.tolist(), right.tolist(), strict=True), values.tolist(), strict=True)) == pytest.approx(known)


@law
@given(seed=seeds)
def test_a_higher_threshold_never_finds_more(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ours = draw(rng)
    pairs = overlaps(ours, jittered(rng, ours))
    counts = [len(match(pairs, t)[0]) for t in (0.05, 0.5, 0.7, 0.9, 1.0)]
    assert counts == sorted(counts, reverse=True)
    assert len(match(overlaps(ours, ours), 1 - 1e-9)[0]) == len(ours)


def test_the_best_pair_goes_first() -> None:
    house = box(0, 0, 10, 10)
    ours = [box(0, 0, 10, 6), box(0, 0, 10, 9)]  # 0.6 and 0.9 of it
    left, right, values = match(overlaps(ours, [house]))
    assert (left.tolist(), right.tolist()) == ([1], [0])
    assert values.tolist() == pytest.approx([0.9])


def test_the_threshold_itself_counts() -> None:
    pairs = overlaps([box(0, 0, 10, 10)], [box(0, 0, 10, 5)])
    assert pairs[2].tolist() == [0.5]
    assert len(match(pairs, 0.5)[0]) == 1
    assert len(match(pairs, 0.500001)[0]) == 0


def test_touching_walls_are_no_overlap() -> None:
    assert len(overlaps([box(0, 0, 10, 10)], [box(10, 0, 20, 10), box(10, 10, 20, 20)])[0]) == 0


@pytest.mark.parametrize(("ours", "theirs"), [([], []), ([box(0, 0, 1, 1)], []), ([], [box(0, 0, 1, 1)])])
def test_an_empty_side_has_no_pairs(ours: list[Polygon], theirs: list[Polygon]) -> None:
    left, right, values = match(overlaps(ours, theirs))
    assert len(left) == len(right) == len(values) == 0
    assert left.dtype == right.dtype == np.int64
    assert covered_by(ours, theirs).tolist() == [False] * len(ours)


def test_covered_is_a_share_of_the_smaller_one() -> None:
    block = box(0, 0, 100, 10)
    inside, at_edge, outside = box(2, 2, 6, 6), box(97, 0, 107, 10), box(200, 0, 210, 10)
    assert covered_by([inside, at_edge, outside], [block]).tolist() == [True, False, False]
    assert covered_by([at_edge], [block], share=0.3).tolist() == [True]
    assert covered_by([block], [inside]).tolist() == [True]


@law
@given(seed=seeds, share=st.floats(0.1, 0.9))
def test_covered_says_the_same_of_every_order(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    ours, theirs = draw(rng), draw(rng)
    known = [any(p.intersection(q).area >= share * min(p.area, q.area) for q in theirs) for p in ours]
    order = rng.permutation(len(ours))
    assert covered_by(ours, theirs, share).tolist() == known
    assert covered_by([ours[i] for i in order], theirs[::-1], share).tolist() == [known[i] for i in order]


def test_connected_sets_are_numbered_by_their_first_member() -> None:
    pairs = np.array([[5, 1, 3], [2, 3, 1]])
    assert connected(pairs, 6).tolist() == [0, 1, 2, 1, 3, 2]
    assert connected(pairs[:, :0], 3).tolist() == [0, 1, 2]
    assert connected(pairs[:, :0], 0).tolist() == []


@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40))
@settings(max_examples=50)
def test_connected_sets_are_those_of_scipy(count: int, links: list[tuple[int, int]]) -> None:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    pairs = np.array([(a % count, b % count) for a, b in links], np.int64).reshape(-1, 2).T
    graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(count, count))
    assert connected(pairs, count).tolist() == connected_components(graph, directed=False)[1].tolist()


def test_pairs_without_rivals_need_no_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    import scipy.optimize

    solve, sizes = scipy.optimize.linear_sum_assignment, []

    def counting(rewards: np.ndarray, **how: bool) -> object:
        sizes.append(rewards.shape)
        return solve(rewards, **how)

    monkeypatch.setattr(scipy.optimize, "linear_sum_assignment", counting)
    left, right = np.append(np.arange(1000), [0, 1]), np.append(np.arange(1000), [1, 0])
    reward = np.append(np.full(1000, 0.5), [0.9, 0.9])
    chosen = dict(zip(*(side.tolist() for side in best_match(left, right, reward)), strict=True))
    assert chosen == {0: 1, 1: 0} | {i: i for i in range(2, 1000)}
    assert sizes == [(2, 2)]
