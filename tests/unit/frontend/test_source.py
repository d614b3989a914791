# SPDX-License-Identifier: BSD-2-Clause
"""What kinds of source there are, and the check of an import against its source."""

import numpy as np
import pytest

from pysnn_hw.errors import ModelError
from pysnn_hw.frontend import ImportedModel, import_model, list_unsupported
from pysnn_hw.frontend.compare import compare
from pysnn_hw.ir.ann import AnnGraph, Input, Linear
from tests.unit.frontend.models import onnx, save_onnx, small_net, small_onnx

FACTORY = """
from torch import nn

def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 3))

def broken():
    raise RuntimeError("first line" + chr(10) + "second line")

def wrong():
    return 5

number = 7
"""


@pytest.fixture
def factory(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(FACTORY)
    return path


def test_factory(factory):
    imported = import_model(f"{factory}:build", (1, 4, 4))
    assert isinstance(imported, ImportedModel)
    assert [n.name for n in imported.graph.nodes][1:] == ["0", "1"]
    assert imported.images == 9


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("broken", "raises RuntimeError: first line$"),
        ("wrong", "is a int, not a torch module"),
        ("number", "defines no function 'number'"),
        ("missing", "defines no function 'missing'"),
    ],
)
def test_bad_factories(factory, name, match):
    with pytest.raises(ModelError, match=match):
        import_model(f"{factory}:{name}", (1, 4, 4))


def test_code_that_does_not_parse(tmp_path):
    (tmp_path / "net.py").write_text("def build(:")
    with pytest.raises(ModelError, match="raises SyntaxError"):
        import_model(f"{tmp_path / 'net.py'}:build", (1, 4, 4))


def test_shape_of_a_module_must_be_known_and_fit():
    with pytest.raises(ModelError, match="give the input shape"):
        import_model(small_net())
    with pytest.raises(ModelError, match=r"torch\.export fails on an input \(3, 2, 8, 8\)"):
        import_model(small_net(), (2, 8, 8))
    with pytest.raises(ModelError, match="cannot take images"):
        import_model(small_net(), (8, 8))


def test_shape_that_contradicts_the_file(tmp_path):
    path = save_onnx(small_onnx(), tmp_path)
    with pytest.raises(ModelError, match=r"takes images \(1, 6, 6\), not \(1, 8, 8\)"):
        import_model(path, (1, 8, 8))


@pytest.mark.parametrize("source", [5, None, object()])
def test_something_else(source):
    with pytest.raises(ModelError, match="not a torch module"):
        import_model(source, (1, 4, 4))


def test_half_precision_is_refused():
    with pytest.raises(ModelError, match=r"model\.float"):
        import_model(small_net().half(), (1, 8, 8))


def test_opset_and_function_limits(tmp_path):
    model = small_onnx()
    model.opset_import[0].version = 6
    with pytest.raises(ModelError, match="opset 7"):
        import_model(save_onnx(model, tmp_path))


def test_several_outputs_are_refused(tmp_path):
    model = small_onnx()
    model.graph.output.append(onnx.helper.make_tensor_value_info("relu", 1, None))
    with pytest.raises(ModelError, match="2 outputs"):
        import_model(save_onnx(model, tmp_path))


def test_list_unsupported_of_a_damaged_file_is_an_error(tmp_path):
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(ModelError):
        list_unsupported(tmp_path / "a.onnx")


class TestCompare:
    """The graph is ``y = W x``; references deviate from it."""

    W = np.array([[1.0, 2.0], [3.0, -1.0]])
    GRAPH = AnnGraph((Input("input", (), (2, 1, 1)), Linear("y", ("input",), W)), "y")

    def check(self, reference, tolerance=1e-4):
        return compare(self.GRAPH, reference, batch=3, tolerance=tolerance, where="model")

    def exact(self, x):
        return x.reshape(3, 2) @ self.W.T

    def test_equal(self):
        assert self.check(self.exact).max_relative_difference < 1e-6

    def test_difference_is_measured_relative_to_the_image(self):
        got = self.check(lambda x: self.exact(x) * 1.01, tolerance=0.1)
        assert got.max_relative_difference == pytest.approx(0.01 / 1.01, rel=1e-3)
        assert got.max_abs_difference > 1

    def test_one_deviating_output_is_refused(self):
        def reference(x):
            y = self.exact(x)
            y[2, 1] += 0.001 * np.abs(y[2]).max()
            return y

        with pytest.raises(ModelError, match=r"differs from it by 0\.00\d+ \(relative\)"):
            self.check(reference)

    def test_not_finite(self):
        with pytest.raises(ModelError, match="NaN"):
            self.check(lambda x: self.exact(x) * np.nan)

    def test_wrong_size(self):
        with pytest.raises(ModelError, match="gives an output"):
            self.check(lambda x: self.exact(x)[:, :1])

    def test_failing_reference(self):
        def reference(x):
            raise RuntimeError("one\ntwo")

        with pytest.raises(ModelError, match=r"cannot be evaluated: one$"):
            self.check(reference)
