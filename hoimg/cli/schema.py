"""``hoimg schema``: the JSON Schema of ``report.json``."""

from __future__ import annotations

import json


def schema() -> None:
    """Print the JSON Schema of report.json on standard output.

    \b
    Example:
      hoimg schema > report.schema.json
    """
    import typer

    from hoimg.results import Report

    content = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(mode="serialization"),
    }
    typer.echo(json.dumps(content, indent=2))
