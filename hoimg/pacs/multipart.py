"""``multipart/related`` with DICOM files in it (PS3.18 8.7.1), as bytes that nobody re-encodes."""

from __future__ import annotations

import hashlib
from email.message import Message

from hoimg.pacs.errors import PacsError

DICOM_TYPE = "application/dicom"


def encode(data: bytes) -> tuple[bytes, str]:
    """One DICOM file as the body of a request, and its content type.

    The boundary is a hash of the file, so that it cannot stand in the file and is the same in
    every run.
    """
    boundary = f"hoimg-{hashlib.sha256(data).hexdigest()[:40]}"
    head = f"--{boundary}\r\nContent-Type: {DICOM_TYPE}\r\n\r\n".encode()
    body = b"".join((head, data, f"\r\n--{boundary}--\r\n".encode()))
    return body, f'multipart/related; type="{DICOM_TYPE}"; boundary="{boundary}"'


def decode(body: bytes, content_type: str) -> bytes:
    """The one DICOM file in an answer.

    Args:
        body: All of the answer.
        content_type: Its header.

    Raises:
        PacsError: when it is no multipart message with exactly one whole part. A plain
            ``application/dicom`` answer is taken as it is.
    """
    said = Message()
    said["Content-Type"] = content_type
    if said.get_content_type() == DICOM_TYPE:
        return body
    boundary = said.get_param("boundary")
    if said.get_content_maintype() != "multipart" or not isinstance(boundary, str) or not boundary:
        raise PacsError("the archive did not answer with a DICOM file", "bad_answer")
    mark = b"--" + boundary.encode("latin-1", "replace")
    start = body.find(mark)
    head_end = body.find(b"\r\n\r\n", start)
    # Pixels may hold anything, but not the mark: the archive had to choose one that they lack.
    end = body.find(b"\r\n" + mark, head_end)
    if start < 0 or head_end < 0 or end < 0:
        raise PacsError("the archive's answer ends before its DICOM file does", "broken_off")
    if body[end + 2 + len(mark) :].strip() != b"--":
        raise PacsError("the archive answered with several files for one", "bad_answer")
    return body[head_end + 4 : end]
