"""A real Chromium for tests of the page, and what its canvases show."""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ARGUMENTS = (
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
COLOURS = {
    "mature": (0x56, 0xB4, 0xE9),
    "immature": (0xF0, 0xA0, 0x00),
    "excluded": (224, 140, 192),
}


@contextmanager
def chromium() -> Iterator[Callable[..., Any]]:
    """Starts Debian's Chromium, headless, with more arguments; a skip where it is not there."""
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium on this machine: scripts/system-packages.sh chromium=chromium")
    # As root (containers) Chromium's own sandbox cannot start.
    root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_api.sync_playwright() as playwright:

        def start(*more: str) -> Any:
            arguments = [*ARGUMENTS, *root, *more]
            return playwright.chromium.launch(executable_path=program, args=arguments)

        yield start


class Watched:
    """A page with everything that it asked for, said or did wrong."""

    def __init__(
        self, browser: Any, file: Path | str, width: int = 1280, height: int = 900
    ) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.requests: list[str] = []
        self.faults: list[str] = []
        self.blocked: list[str | None] = []
        self.page.on("request", lambda r: self.requests.append(r.url))
        self.page.on("requestfailed", lambda r: self.blocked.append(r.failure))
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.on("console", lambda m: self.faults.append(m.text) if m.type == "error" else None)
        self.page.on("dialog", lambda d: (self.faults.append("dialog"), d.dismiss()))
        self.page.on("popup", lambda _: self.faults.append("popup"))
        self.page.goto(file if isinstance(file, str) else file.as_uri())

    def painted(self, *, by: Any = None) -> None:
        """Wait until the viewer has drawn what was asked for, if need be once more."""
        root = self.page.locator("#viewer-root")
        before = root.get_attribute("data-painted") if by is not None else None
        if by is not None:
            by()
        self.page.wait_for_function(
            "before => { const n = document.querySelector('#viewer-root').dataset.painted;"
            " return n && n !== before; }",
            arg=before,
        )

    def control(self, name: str) -> Any:
        return self.page.locator(f"#viewer-root [data-c={name}]")

    def canvas(self, plane: str, beside: int = 0) -> np.ndarray:
        """Pixels of one picture of the viewer, ``[row, column, rgb]``."""
        return self.pixels(
            f"#viewer-root [data-plane={plane}] figure:nth-child({beside + 1}) canvas"
        )

    def pixels(self, selector: str) -> np.ndarray:
        uri = self.page.evaluate("s => document.querySelector(s).toDataURL()", selector)
        picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        return np.asarray(picture.convert("RGB")).astype(np.int16)


def of_colour(pixels: np.ndarray, label: str, within: int = 40) -> np.ndarray:
    """Where a picture has the colour of a label."""
    return np.asarray((np.abs(pixels - np.array(COLOURS[label])) <= within).all(axis=-1))
