# SPDX-License-Identifier: BSD-2-Clause
"""Where the spikes of each layer lie in a memory that layers share, and for how long.

A span is written at one step of a program and read for the last time at a later one. Spans whose
steps do not meet may lie on top of each other. One more case is legal: a layer that is fired word
by word in the order in which it reads another (the source of a residual sum) may take that one's
place.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Span:
    """``words`` that are in use from step ``first``, which writes them, to ``last``, inclusive."""

    name: str
    words: int
    first: int
    last: int

    def meets(self, other: Span) -> bool:
        """Whether both are in use at some step."""
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Placement:
    """First address of every span, and the words that all of them take together.

    ``least`` is a bound that no placement can fall below: what is in use at the busiest step.
    """

    base: dict[str, int]
    words: int
    least: int


def place(spans: Sequence[Span], in_place: Collection[tuple[str, str]] = ()) -> Placement:
    """Addresses for all spans, in as few words as one of a few orders of placing them needs.

    Parameters
    ----------
    spans
        With names that differ.
    in_place
        Pairs (old, new) of which the new may take the old one's place: it is written at the old
        one's last step, in the order of its reads, and is as long.
    """
    allowed = frozenset(in_place)
    least = _busiest(spans, allowed)
    orders: tuple[Callable[[Span], tuple[int, ...]], ...] = (
        lambda s: (-s.words, s.first),
        lambda s: (s.first, -s.words),
        lambda s: (s.first - s.last, -s.words),
        lambda s: (-s.last, -s.words),
    )
    best: Placement | None = None
    for order in orders:
        base: dict[str, int] = {}
        placed: list[Span] = []
        for span in sorted(spans, key=order):
            base[span.name] = _lowest(span, placed, base, allowed)
            placed.append(span)
        words = max((base[s.name] + s.words for s in spans), default=0)
        if best is None or words < best.words:
            best = Placement(base, words, least)
        if best.words == least:
            break
    return best if best is not None else Placement({}, 0, 0)


def _lowest(
    span: Span, placed: list[Span], base: dict[str, int], allowed: frozenset[tuple[str, str]]
) -> int:
    """Lowest address at which ``span`` is in nobody's way."""
    others = [s for s in placed if s.meets(span)]
    for address in sorted({0, *(base[s.name] for s in others), *_ends(others, base)}):
        if all(_apart(span, address, s, base[s.name], allowed) for s in others):
            return address
    return max(_ends(others, base), default=0)


def _ends(spans: list[Span], base: dict[str, int]) -> list[int]:
    return [base[s.name] + s.words for s in spans]


def _apart(a: Span, at: int, b: Span, bt: int, allowed: frozenset[tuple[str, str]]) -> bool:
    if at + a.words <= bt or bt + b.words <= at:
        return True
    return at == bt and (_replaces(a, b, allowed) or _replaces(b, a, allowed))


def _replaces(old: Span, new: Span, allowed: frozenset[tuple[str, str]]) -> bool:
    same = old.words == new.words and old.last == new.first
    return same and (old.name, new.name) in allowed


def _busiest(spans: Sequence[Span], allowed: frozenset[tuple[str, str]]) -> int:
    """Most words that are in use at one step, at best."""
    steps = sorted({s.first for s in spans} | {s.last for s in spans})
    most = 0
    for step in steps:
        live = [s for s in spans if s.first <= step <= s.last]
        gone = {
            old.name for old in live for new in live if old != new and _replaces(old, new, allowed)
        }
        most = max(most, sum(s.words for s in live if s.name not in gone))
    return most
