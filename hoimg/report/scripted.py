"""The page's own script, and the policy that lets it run and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

SCRIPTS = ("viewer_volume.js", "viewer_draw.js", "viewer.js", "surfaces.js", "films.js", "page.js")
STYLES = ("report.css", "viewer.css")


@cache
def script() -> str:
    """The whole script as one function that leaves no name behind."""
    return '"use strict";\n(() => {\n' + "\n".join(map(_text, SCRIPTS)) + "})();\n"


@cache
def style() -> str:
    """The whole style sheet."""
    return "\n".join(map(_text, STYLES))


def policy(with_script: bool) -> str:
    """The Content-Security-Policy of the report's page."""
    return policy_of(style(), script() if with_script else "")


def policy_of(style: str, script: str = "") -> str:
    """The Content-Security-Policy of a page with these texts, and no script without one.

    Nothing may be fetched, sent, framed or run; pictures are data in the page; of scripts and
    styles only those whose very text is hashed here. A file that was tampered with stands still.
    """
    parts = ["default-src 'none'", "img-src data:", f"style-src '{_digest(style)}'"]
    if script:
        parts.append(f"script-src '{_digest(script)}'")
    return "; ".join([*parts, "base-uri 'none'", "form-action 'none'"])


def json_in_page(content: Any) -> str:
    """JSON that stays data wherever in a page it stands: no character in it begins a tag."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _text(name: str) -> str:
    return files("hoimg.report").joinpath("templates", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
