# SPDX-License-Identifier: BSD-2-Clause
"""A tree that was cut computes what it did."""

import itertools
import random

import pytest

from pysnn_hw.build.lookup_trees import cut_trees

TABLES = ("INIT_L02", "INIT_L03", "INIT_L11", "INIT_L20")


def tree(contents, inputs, output):
    wires = {f"I{k}": bits for k, bits in enumerate(inputs)} | {"O": [output]}
    directions = {name: "output" if name == "O" else "input" for name in wires}
    return {
        "type": "CC_L2T5",
        "parameters": dict(zip(TABLES, contents, strict=True)),
        "attributes": {},
        "port_directions": directions,
        "connections": wires,
    }


def table(contents, a, b):
    """Of two inputs, ``a`` the lower bit of the index, as yosys's models have it."""
    return int(contents[::-1][2 * b + a])


def values(cells, known):
    """What all cells come to, in whatever order they stand."""
    known, left = dict(known), list(cells.values())
    while left:
        for cell in left:
            w, p = cell["connections"], cell["parameters"]
            ins = [known.get(w[i][0]) if w.get(i) else 0 for i in sorted(set(w) - {"O"})]
            if None not in ins:
                break
        left.remove(cell)
        if cell["type"] == "CC_LUT2":
            found = table(p["INIT"], *ins)
        else:
            names = ("INIT_L00", "INIT_L01", "INIT_L10", "") if len(ins) == 4 else TABLES
            first = (table(p[names[0]], *ins[:2]), table(p[names[1]], *ins[2:4]))
            found = table(p[names[2]], *first)
            if len(ins) == 5:
                found = table(p[names[3]], ins[4], found)
        known[w["O"][0]] = found
    return known


@pytest.mark.parametrize("seed", range(8))
def test_two_cells_compute_what_one_did(seed):
    rng = random.Random(seed)
    contents = ["".join(rng.choice("01") for _ in range(4)) for _ in range(8)]
    inputs = [[2], [3], [4], [] if seed % 2 else [5], [6]]
    # The second takes what the first makes: cells are cut that feed each other.
    cells = {"a": tree(contents[:4], inputs, 7), "b": tree(contents[4:], [[7], *inputs[1:]], 8)}
    netlist = {"modules": {"top": {"cells": dict(cells)}}}
    assert cut_trees(netlist) == 2
    cut = netlist["modules"]["top"]["cells"]
    assert sorted(c["type"] for c in cut.values()) == ["CC_L2T4"] * 2 + ["CC_LUT2"] * 2
    drivers = [c["connections"]["O"][0] for c in cut.values()]
    assert len(set(drivers)) == 4
    assert not set(drivers) & {2, 3, 4, 5, 6}
    for bits in itertools.product((0, 1), repeat=5):
        known = dict(zip((2, 3, 4, 5, 6), bits, strict=True))
        want, got = values(cells, known), values(cut, known)
        assert (got[7], got[8]) == (want[7], want[8])


def test_other_cells_stay():
    netlist = {"modules": {"top": {"cells": {}}}}
    assert cut_trees(netlist) == 0
