# SPDX-License-Identifier: BSD-2-Clause
"""Conversion methods side by side, on one page."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.api.conversion import calibration_images, preprocessing
from pysnn_hw.api.sample import spread
from pysnn_hw.api.stages.network import Source
from pysnn_hw.config import CompareOptions, CompileOptions, ModelOptions
from pysnn_hw.convert import METHODS, Method
from pysnn_hw.errors import ModelError
from pysnn_hw.explore import OWN, TRAINED, Candidate, Subject
from pysnn_hw.explore.comparison import Examined, examine
from pysnn_hw.explore.energy import ACCUMULATE_PJ, MAC_PJ
from pysnn_hw.pipeline.files import source_hash, tree_hash, write_json, write_text
from pysnn_hw.progress import Progress, silent
from pysnn_hw.report.comparison import ComparedLayer, ComparedPoint, Comparison, render_comparison

ROOMS = ("convert", "explore", "frontend", "golden", "ir")


@dataclass(frozen=True)
class Compared:
    """Answer of `compare`.

    Attributes
    ----------
    points
        Every method at every T and n; one that cannot be done has a ``problem``.
    detail
        The (T, n) at which the page looks at layers.
    left_out
        Methods that were not asked for.
    page, results
        The page, and what it shows as JSON; with the latter, a comparison goes on.
    """

    points: tuple[Examined, ...]
    detail: tuple[int, int]
    left_out: tuple[str, ...]
    page: Path
    results: Path


def compare(
    model: str | Path,
    data: str | Path,
    output: str | Path,
    *,
    source: ModelOptions | None = None,
    options: CompareOptions | None = None,
    progress: Progress = silent,
) -> Compared:
    """Convert ``model`` by several methods, each at every T and n, and make a page of it.

    Parameters
    ----------
    model
        An ``.onnx``, ``.pt2``, ``.keras`` or ``.h5`` file, or ``file.py:factory``.
    data
        As `pysnn_hw.data.load_dataset` takes it.
    output
        The page to write, ``.html``. A file of the same name that ends in ``.json`` keeps what was
        measured: a comparison that was interrupted, or asked for more, goes on from it.
    source, options
        How the model sees its input, and what to compare.
    progress
        Told how far the work is.

    Raises
    ------
    PysnnError
        If the model, the data set or the options are unusable.
    """
    source, options = source or ModelOptions(), options or CompareOptions()
    page = Path(output)
    results = page.with_suffix(".json")
    _check(options, page)
    methods = _methods(options)
    files = Source(CompileOptions(str(model), str(data), (), source))
    known = _Known(results, _fingerprint(files, options))
    wanted = [
        Candidate(m, t, n, options.weight_bits, OWN)
        for m in methods
        for t in options.timesteps
        for n in options.levels
    ]
    missing = [c for c in wanted if c not in known.points]
    if missing:
        subject = _subject(files, options)
        images = min(options.limit, len(subject.images))
        subject.original(images, progress)
        progress("compare", len(wanted) - len(missing), len(wanted))
        for k, candidate in enumerate(missing):
            found = examine(
                subject,
                candidate,
                images=images,
                detail_images=options.detail_images,
                progress=progress,
            )
            known.add(found)
            progress("compare", len(wanted) - len(missing) + k + 1, len(wanted))
    points = tuple(known.points[c] for c in wanted)
    if all(p.problem for p in points):
        raise ModelError(str(model), f"nothing could be converted: {points[0].problem}")
    answer = Compared(
        points,
        options.detail or telling(points),
        tuple(m for m in METHODS if m not in methods),
        page,
        results,
    )
    write_text(page, render_comparison(_comparison(answer, files, options)))
    return answer


def telling(points: Sequence[Examined]) -> tuple[int, int]:
    """The (T, n) at which layers tell most.

    Of those that most methods can do, and do at least half as well as the original network, where
    they differ most.
    """
    found: dict[tuple[int, int], list[float]] = defaultdict(list)
    for p in points:
        if not p.problem:
            share = p.accuracy / max(p.original_accuracy, 1e-9)
            found[p.candidate.timesteps, p.candidate.levels].append(share)

    def merit(place: tuple[int, int]) -> tuple[int, float]:
        shares = found[place]
        return sum(share >= 0.5 for share in shares), max(shares) - min(shares)

    return max(found, key=merit)


class _Known:
    """What was measured before, kept in a file that is whole at any time."""

    def __init__(self, path: Path, fingerprint: str) -> None:
        self.path, self.fingerprint = path, fingerprint
        self.points: dict[Candidate, Examined] = {}
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["fingerprint"] == fingerprint:
                found = [Examined.from_json(point) for point in document["points"]]
                self.points = {point.candidate: point for point in found}
        except (OSError, ValueError, KeyError, TypeError):
            # No such file, or not one of ours: it is written anew.
            return

    def add(self, point: Examined) -> None:
        """Keep another point."""
        self.points[point.candidate] = point
        points = [p.to_json() for p in self.points.values()]
        write_json(self.path, {"fingerprint": self.fingerprint, "points": points})


def _check(options: CompareOptions, page: Path) -> None:
    if page.suffix not in (".html", ".htm"):
        raise ModelError(str(page), "is not the name of a page", "let it end in .html")
    for name, values in (("timesteps", options.timesteps), ("levels", options.levels)):
        if not values or min(values) < 1:
            raise ModelError(name, f"must be positive numbers, not {list(values)}")
    for name, value in (
        ("limit", options.limit),
        ("detail images", options.detail_images),
        ("calibration images", options.calibration_images),
        ("training images", options.training_images),
    ):
        if value < 1:
            raise ModelError(name, f"must be at least 1, not {value}")
    steps, bits = options.detail or (options.timesteps[0], options.levels[0])
    if steps not in options.timesteps or bits not in options.levels:
        raise ModelError("detail", f"T = {steps}, n = {bits} is not among what is compared")


def _methods(options: CompareOptions) -> tuple[Method, ...]:
    if options.methods is None:
        return tuple(m for m in METHODS if m not in TRAINED)
    for method in options.methods:
        if method not in METHODS:
            raise ModelError("methods", f"{method!r} is unknown", f"use {', '.join(METHODS)}")
    return tuple(m for m in METHODS if m in options.methods)


def _fingerprint(files: Source, options: CompareOptions) -> str:
    parts = [
        tree_hash([*files.model_files, *files.data_files]),
        source_hash(ROOMS),
        asdict(files.options.source),
        [options.limit, options.detail_images, options.calibration_images, options.training_images],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _subject(files: Source, options: CompareOptions) -> Subject:
    data = files.dataset
    train = calibration_images(data, options.calibration_images)
    training, labels = train, None
    if data.x_train is not None and data.y_train is not None:
        training = spread(data.x_train, options.training_images)
        labels = spread(data.y_train, options.training_images)
    return Subject(
        files.imported.graph,
        preprocessing(files.options.source),
        train,
        training,
        labels,
        data.x_test,
        data.y_test,
    )


def _comparison(answer: Compared, files: Source, options: CompareOptions) -> Comparison:
    done = [p for p in answer.points if not p.problem]
    facts: list[tuple[str, Any]] = [
        ("data", Path(files.options.data).name),
        ("test images", f"{done[0].images:,}"),
        ("weights", f"{options.weight_bits} bits"),
        ("layers looked at on", f"{min(options.detail_images, done[0].images)} images"),
    ]
    return Comparison(
        title=Path(files.options.model).stem,
        facts=tuple(facts),
        original_accuracy=done[0].original_accuracy,
        original_energy_uj=done[0].original_energy_pj / 1e6,
        original_macs=done[0].macs,
        accumulate_pj=ACCUMULATE_PJ,
        mac_pj=MAC_PJ,
        detail=answer.detail,
        left_out=answer.left_out,
        points=tuple(map(_point, answer.points)),
    )


def _point(p: Examined) -> ComparedPoint:
    return ComparedPoint(
        method=p.candidate.method,
        timesteps=p.candidate.timesteps,
        levels=p.candidate.levels,
        problem=p.problem,
        accuracy=p.accuracy,
        sops=p.sops,
        spikes=p.spikes,
        energy_uj=p.energy_pj / 1e6,
        layers=tuple(
            ComparedLayer(
                name=layer.name,
                correlation=layer.snn_correlation,
                fixed_correlation=layer.fixed_correlation,
                error=layer.snn_rmse / layer.activation_rms if layer.activation_rms else 0.0,
                fixed_error=layer.fixed_rmse / layer.activation_rms
                if layer.activation_rms
                else 0.0,
            )
            for layer in p.layers
        ),
        rates=p.rates,
    )
