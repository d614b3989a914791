# SPDX-License-Identifier: BSD-2-Clause
"""The files of a project that are templates."""

from typing import Any

import jinja2

from pysnn_hw.resources import resource_dir

__all__ = ["fill"]


def fill(template: str, **values: Any) -> str:
    """A file of ``rtl_templates`` with its values; a missing one is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(resource_dir("rtl_templates")),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=jinja2.select_autoescape(("xml.j2",), default=False),
    )
    return environment.get_template(template).render(**values)
