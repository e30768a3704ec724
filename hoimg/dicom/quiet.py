"""pydicom without its remarks: our own checks judge the values."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager


class _Quiet:
    """Who is inside :func:`quiet_pydicom`, and how to undo it."""

    lock = threading.Lock()
    inside = 0
    undo = ExitStack()


@contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Keep pydicom's remarks about invalid values off stderr.

    Logger, warning filters and validation mode belong to the process, and exams are read on
    threads: the first one in sets them, the last one out puts them back.
    """
    with _Quiet.lock:
        if _Quiet.inside == 0:
            _Quiet.undo = _silence()
        _Quiet.inside += 1
    try:
        yield
    finally:
        with _Quiet.lock:
            _Quiet.inside -= 1
            if _Quiet.inside == 0:
                _Quiet.undo.close()


def _silence() -> ExitStack:
    from pydicom import config

    log = logging.getLogger("pydicom")
    undo = ExitStack()
    undo.callback(log.setLevel, log.level)
    mode = config.settings.reading_validation_mode
    undo.callback(setattr, config.settings, "reading_validation_mode", mode)
    undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    log.setLevel(logging.CRITICAL)
    config.settings.reading_validation_mode = config.IGNORE
    return undo
