"""Requests to a review's server by raw HTTP, and a report to review."""

from __future__ import annotations

import http.client
import json
from dataclasses import replace
from typing import Any

import numpy as np

from hoimg.anatomy import Anatomy
from hoimg.image import Mask
from hoimg.results import ExamImages, PatientResult
from hoimg.review.server import ReviewServer

NOTE = {"kind": "note", "lesion": "L1", "note": "seen", "reader": "R."}


def with_anatomy(result: PatientResult) -> PatientResult:
    """The patient with what a report keeps of a run's anatomy: here nothing."""

    def nothing(images: ExamImages) -> Mask:
        return Mask(np.zeros(images.lesions.array.shape, bool), images.lesions.grid)

    images = {
        k: replace(v, anatomy=Anatomy(nothing(v), nothing(v), nothing(v)))
        for k, v in result.images.items()
    }
    return replace(result, images=images)


def ask(
    server: ReviewServer, method: str, target: str, body: bytes | None = None, **headers: Any
) -> tuple[int, dict[str, str], bytes]:
    """One request; a header given as None is left away."""
    port = server.guard.port
    own: dict[str, Any] = {
        "Host": f"127.0.0.1:{port}",
        "Cookie": f"{server.guard.cookie}={server.guard.key}",
    }
    if method == "POST":
        own |= {
            "Origin": f"http://127.0.0.1:{port}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/json",
            "Content-Length": len(body or b""),
        }
        if "If_Match" not in headers:
            own["If-Match"] = f'"{server.what.store.read()[1]}"'
    own |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    for name, value in own.items():
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                connection.putheader(name, one)
    connection.endheaders(body)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def decide(server: ReviewServer, asked: dict[str, Any], **headers: Any) -> tuple[int, Any]:
    status, _, body = ask(server, "POST", "/api/decide", json.dumps(asked).encode(), **headers)
    return status, json.loads(body)
