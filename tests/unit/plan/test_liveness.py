# SPDX-License-Identifier: BSD-2-Clause
from itertools import combinations, permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from pysnn_hw.plan.liveness import Placement, Span, place


def check(spans, found, in_place=()):
    for a, b in combinations(spans, 2):
        at, bt = found.base[a.name], found.base[b.name]
        if not a.meets(b) or at + a.words <= bt or bt + b.words <= at:
            continue
        old, new = (a, b) if a.last == b.first else (b, a)
        assert (old.name, new.name) in in_place
        assert (at, a.words, old.last) == (bt, b.words, new.first)
    assert found.words == max(found.base[s.name] + s.words for s in spans)
    assert found.least <= found.words


def smallest(spans):
    """Of all orders of placing them lowest first, which holds an optimum."""
    best = sum(s.words for s in spans)
    for order in permutations(spans):
        base: dict[str, int] = {}
        for span in order:
            others = [s for s in order if s.name in base and s.meets(span)]
            places = sorted({0, *(base[s.name] + s.words for s in others)})
            base[span.name] = next(
                p
                for p in places
                if all(
                    p + span.words <= base[s.name] or base[s.name] + s.words <= p for s in others
                )
            )
        best = min(best, max(base[s.name] + s.words for s in spans))
    return best


span = st.tuples(st.integers(1, 4), st.integers(0, 5), st.integers(0, 4))


@settings(max_examples=200, deadline=None)
@given(st.lists(span, min_size=1, max_size=5))
def test_small_cases_against_all_orders(drawn):
    spans = [
        Span(str(k), words, first, first + more) for k, (words, first, more) in enumerate(drawn)
    ]
    found = place(spans)
    check(spans, found)
    assert found.words <= smallest(spans) + max(s.words for s in spans) - 1


def chain(count, words=8):
    """A plain chain: layer k is written at step k and read at step k + 1."""
    return [Span(str(k), words, k, k + 1) for k in range(count)]


def test_a_chain_takes_two_places():
    spans = chain(9)
    found = place(spans)
    check(spans, found)
    assert (found.words, found.least) == (16, 16)


def residual(blocks):
    """x, h = f(x), y = g(h) + x, ...: the sum is written where x was."""
    spans, pairs = [Span("x0", 8, 0, 2)], []
    for k in range(blocks):
        spans.append(Span(f"h{k}", 8, 2 * k + 1, 2 * k + 2))
        spans.append(Span(f"x{k + 1}", 8, 2 * k + 2, 2 * k + 4))
        pairs.append((f"x{k}", f"x{k + 1}"))
    return spans, pairs


def test_a_residual_sum_takes_the_place_of_its_source():
    spans, pairs = residual(5)
    found = place(spans, pairs)
    check(spans, found, pairs)
    assert (found.words, found.least) == (16, 16)
    without = place(spans)
    check(spans, without)
    assert (without.words, without.least) == (24, 24)


def test_nothing_to_place():
    assert place([]) == Placement({}, 0, 0)
