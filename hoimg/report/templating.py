"""How every page of hoimg is rendered: escaped, strict, and cut where a text would break it."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

LONGEST_TEXT, LONGEST_WORD = 1500, 200
"""Characters of a text from the data, and of a run without spaces in it, that a page shows."""


@cache
def environment(package: str) -> Environment:
    """The templates of a package, with those of ``hoimg.report`` beside them.

    Args:
        package: With a folder ``templates``.
    """
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    packages = dict.fromkeys((package, "hoimg.report"))
    return Environment(
        loader=ChoiceLoader([PackageLoader(name, "templates") for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shortened,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shortened(value: Any) -> Any:
    """A text that no reader reads to its end is cut; report.json holds it whole.

    A header may hold kilobytes without a space, which would push the page's sides apart.
    """
    # What the code made itself is marked safe (Markup), or a picture.
    if type(value) is not str or value.startswith("data:image/"):
        return value
    if len(value) > LONGEST_TEXT:
        value = value[: LONGEST_TEXT - 1] + "…"
    return re.sub(rf"(\S{{{LONGEST_WORD - 1}}})\S+", r"\1…", value)
