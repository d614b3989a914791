# SPDX-License-Identifier: BSD-2-Clause
"""Reads utilisation and timing from nextpnr's own report."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pysnn_hw.errors import ToolError

__all__ = ["Report", "Usage", "count_cells", "read_report"]


@dataclass(frozen=True)
class Usage:
    """How much of one resource a design takes, and how much there is."""

    used: int
    available: int


@dataclass(frozen=True)
class Report:
    """What nextpnr says of a routed design.

    Attributes
    ----------
    fmax_mhz
        Highest frequency of each clock, by the name that the clock has in the design's top
        module. Clocks that drive no register-to-register path are absent.
    utilisation
        Usage by nextpnr's name of the resource.
    """

    fmax_mhz: Mapping[str, float]
    utilisation: Mapping[str, Usage]

    def fmax_of(self, clock: str) -> float:
        """Highest frequency of one clock in MHz.

        Raises
        ------
        ToolError
            If the report does not hold that clock.
        """
        try:
            return self.fmax_mhz[clock]
        except KeyError:
            have = ", ".join(self.fmax_mhz) or "none"
            raise ToolError(
                "nextpnr", f"reported no clock {clock!r}", f"reported: {have}"
            ) from None

    def usage(self, resources: Mapping[str, int]) -> Usage:
        """Usage of a resource that goes by several names.

        Parameters
        ----------
        resources
            nextpnr's names, and how many of the first one each takes; none if the device has no
            such resource.
        """
        if not resources:
            return Usage(0, 0)
        found = {name: self.utilisation.get(name, Usage(0, 0)) for name in resources}
        used = sum(usage.used * resources[name] for name, usage in found.items())
        return Usage(used, found[next(iter(resources))].available)


def read_report(path: Path) -> Report:
    """Reads the file that ``nextpnr --report`` writes.

    Raises
    ------
    ToolError
        If the file is missing or not such a report.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        return Report(
            {_short_name(name): clock["achieved"] for name, clock in fields["fmax"].items()},
            {
                name: Usage(usage["used"], usage["available"])
                for name, usage in fields["utilization"].items()
            },
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ToolError("nextpnr", f"left no usable report in {path} ({error})") from error


def _short_name(clock: str) -> str:
    # nextpnr renames a clock that it moves to a global net, either way round.
    return clock.removeprefix("$glbnet$").split("$")[0].rsplit(".", 1)[-1]


def count_cells(netlist: Mapping[str, Any]) -> Counter[str]:
    """Number of cells of each type in the top module of a yosys JSON netlist."""
    tops = [m for m in netlist["modules"].values() if "top" in m.get("attributes", {})]
    return Counter(cell["type"] for top in tops for cell in top["cells"].values())
