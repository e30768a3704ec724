"""pydicom without its remarks: our own checks judge the values."""

from __future__ import annotations

import logging
import sys
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
    """Keep pydicom's remarks about invalid values off stderr: they quote them, names among them.

    What matters of a header is checked here by other means; the rest is passed on as it is.

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
    log = logging.getLogger("pydicom")
    undo = ExitStack()
    # A filter too, because pydicom sets its logger's level when it is imported, perhaps later. To
    # import it here would cost half a second, which a scan of regular files never needs.
    log.addFilter(_nothing)
    undo.callback(log.removeFilter, _nothing)
    undo.callback(log.setLevel, log.level)
    log.setLevel(logging.CRITICAL)
    undo.enter_context(warnings.catch_warnings())
    warnings.simplefilter("ignore")
    if "pydicom" in sys.modules:
        from pydicom import config

        for way in ("reading_validation_mode", "writing_validation_mode"):
            undo.callback(setattr, config.settings, way, getattr(config.settings, way))
            setattr(config.settings, way, config.IGNORE)
    return undo


def _nothing(_record: logging.LogRecord) -> bool:
    return False
