"""The typed errors that a user may see, and the exit code that each one ends with.

Every message names the file or folder, says what is wrong and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hoimg.results import Finding

WITH_FAILURES = 4
"""Exit code of a command that did all it could; what failed is told, the rest stands."""


class HoimgError(Exception):
    """Base of every error that hoimg raises on purpose; exit code 1."""

    exit_code = 1


class UsageError(HoimgError):
    """The command was asked something it cannot do as asked; exit code 2."""

    exit_code = 2


class PdfNotMade(HoimgError):
    """The page could not be printed to PDF; everything else of the report is written."""


class InputRefused(HoimgError):
    """The input failed a check and measuring it would give wrong numbers; exit code 3.

    Args:
        message: One line that names the input, what is wrong and how to mend it.
        code: The finding's code (see ``docs/findings.md``), for programs.
        findings: What may be said in a report, where the message may not (it can name a path).
    """

    exit_code = 3

    def __init__(
        self, message: str, code: str = "input_refused", findings: tuple[Finding, ...] = ()
    ) -> None:
        super().__init__(message)
        self.code = code
        self.findings = findings
