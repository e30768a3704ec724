"""The report's page as it is served: itself, with a script for decisions and leave to run it."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from hoimg.errors import UsageError

_POLICY = re.compile(r'(<meta http-equiv="Content-Security-Policy" content=")([^"]*)(">)')
_QUOTE = "&#39;"


def served_page(page: str) -> bytes:
    """The page with the review's script and style.

    Its own policy is widened by the two texts' hashes and by requests to this server; nothing
    else may run or be asked for.

    Args:
        page: ``report.html`` as hoimg wrote it.

    Raises:
        UsageError: it has no policy, so that hoimg did not write it like this.
    """
    script, style = _text("review.js"), _text("review.css")
    found = _POLICY.search(page)
    if found is None or "</head>" not in page or "</body>" not in page:
        raise UsageError("report.html is no page of this version; make the report again")
    parts = [p.strip() for p in found[2].replace(_QUOTE, "'").split(";")]
    policy = "; ".join(_allow(_allow(parts, "style-src", style), "script-src", script))
    policy += "; connect-src 'self'"
    page = page.replace(found[0], found[1] + policy.replace("'", _QUOTE) + found[3], 1)
    page = page.replace("</head>", f"<style>{style}</style>\n</head>", 1)
    before, end, after = page.rpartition("</body>")
    return f"{before}<script>{script}</script>\n{end}{after}".encode()


def _allow(parts: list[str], name: str, text: str) -> list[str]:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    source = f"'sha256-{digest}'"
    if not any(p.startswith(f"{name} ") for p in parts):
        return [*parts, f"{name} {source}"]
    return [f"{p} {source}" if p.startswith(f"{name} ") else p for p in parts]


def _text(name: str) -> str:
    return files("hoimg.report").joinpath("templates", name).read_text(encoding="utf-8")
