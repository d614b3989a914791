# SPDX-License-Identifier: BSD-2-Clause
"""Figures of other accelerators, read from ``peers.toml`` and checked."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from pysnn_hw.errors import DataError

PEERS = Path(__file__).with_name("peers.toml")

Basis = Literal["measured", "paper", "repository", "notes"]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(gt=0)]
Percent = Annotated[float, Field(gt=0, le=100)]
Text = Annotated[str, Field(min_length=1)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Peer(_Table):
    """One accelerator; what its source does not say is None. ``peers.toml`` explains the fields."""

    name: Text
    network: Text
    spiking: bool
    device: Text | None = None
    clock_mhz: Positive | None = None
    accuracy: Percent | None = None
    cycles: Count | None = None
    lut: Count | None = None
    lut_is: Literal["LUT4", "LUT6", "logic cells"] | None = None
    ff: Count | None = None
    bram36: Positive | None = None
    dsp: Annotated[int, Field(ge=0)] | None = None
    lanes: Count | None = None
    sop_per_cycle_lane: Positive | None = None
    tool: Text | None = None
    basis: Basis
    derived: list[str] = Field(default_factory=list)
    source: Text

    @model_validator(mode="after")
    def _whole(self) -> Peer:
        if (self.lut is None) != (self.lut_is is None):
            raise ValueError("lut and lut_is go together")
        unknown = [name for name in self.derived if getattr(self, name, None) is None]
        if unknown:
            raise ValueError(f"derived names {unknown[0]!r}, which it does not have")
        return self


class Placed(_Table):
    """One accelerator, placed and routed; ``cells`` are TRELLIS_COMB."""

    name: Text
    network: Text
    device: Text
    accuracy: Percent
    cycles: Count
    cells: Count
    bram: Count
    clock_mhz: Positive
    tool: Text
    basis: Basis
    source: Text


class Peers(_Table):
    """The whole file."""

    peer: list[Peer]
    placed: list[Placed]


def load_peers(path: Path = PEERS) -> Peers:
    """Read and check a file of figures.

    Raises
    ------
    DataError
        If it is not such a file; names the row and the field.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
        return Peers.model_validate(fields)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(str(path), f"cannot be read ({error})") from error
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(key) for key in fault["loc"])
        raise DataError(f"{path}: {where}", fault["msg"]) from error
