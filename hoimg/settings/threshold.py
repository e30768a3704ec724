"""A threshold: a number with its unit, meaning, source and evidence status."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Evidence = Literal["established", "borrowed", "default"]


def threshold(
    default: Any, *, unit: str, meaning: str, source: str, status: Evidence, **limits: Any
) -> Any:
    """A settings field that carries its unit, meaning, source and evidence status."""
    extra: dict[str, Any] = {"unit": unit, "source": source, "status": status}
    return Field(default=default, description=meaning, json_schema_extra=extra, **limits)


class Section(BaseModel):
    """The settings of one stage: frozen, and nothing else than what is named."""

    model_config = ConfigDict(extra="forbid", frozen=True)
