"""The files that pages are made of."""

from __future__ import annotations

from importlib.resources import files

import jinja2
from markupsafe import Markup

from bench.words import ROLES, count


def environment() -> jinja2.Environment:
    """Templates of the reports: what a value holds is escaped, what a value lacks is an error."""
    made = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip
    made.filters["count"], made.filters["role"] = count, ROLES.__getitem__
    return made


def asset(name: str) -> Markup:
    """A style sheet or script of the reports, to be put into a page as it is."""
    return Markup(_text(name))


def _text(name: str) -> str:
    return (files("bench.reports") / name).read_text(encoding="utf-8")
