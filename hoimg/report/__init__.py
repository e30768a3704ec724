"""Results to files: JSON, CSV, label maps, a manifest and an illustrated HTML page."""

from hoimg.report.writer import write_report

__all__ = ["write_report"]
