"""Every threshold of every stage: one model, a section per stage, TOML in, resolved TOML out.

Each threshold states its unit, what it means, where it comes from and its evidence status:
``established`` (in the literature, for this use), ``borrowed`` (measured, but elsewhere) or
``default`` (an engineering choice with no evidence behind it).
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from pathlib import Path

from pydantic import ValidationError

from hoimg.errors import UsageError
from hoimg.settings.batch import BatchSettings
from hoimg.settings.film import FilmSettings
from hoimg.settings.intake import IntakeSettings
from hoimg.settings.maturity import MaturitySettings
from hoimg.settings.measure import MeasureSettings
from hoimg.settings.segment import SegmentSettings
from hoimg.settings.serial import SerialSettings
from hoimg.settings.threshold import Section

__all__ = [
    "BatchSettings",
    "FilmSettings",
    "IntakeSettings",
    "MaturitySettings",
    "MeasureSettings",
    "SegmentSettings",
    "SerialSettings",
    "Settings",
    "read_settings",
    "with_gaps",
]


class Settings(Section):
    """All sections. Change a value in a TOML file given with ``--config``."""

    intake: IntakeSettings = IntakeSettings()
    segment: SegmentSettings = SegmentSettings()
    measure: MeasureSettings = MeasureSettings()
    serial: SerialSettings = SerialSettings()
    maturity: MaturitySettings = MaturitySettings()
    film: FilmSettings = FilmSettings()
    batch: BatchSettings = BatchSettings()

    @property
    def sha256(self) -> str:
        """Hash of every resolved value, independent of order and formatting.

        Without the section ``batch``, which says how far a run may go and changes no result.
        """
        canonical = json.dumps(self.model_dump(mode="json", exclude={"batch"}), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def to_toml(self) -> str:
        """The resolved settings as TOML; reading it back gives settings with equal results.

        The section ``batch`` is left out, as it is of the hash.
        """
        lines: list[str] = []
        for name, section in self.model_dump(mode="json", exclude={"batch"}).items():
            lines.append(f"[{name}]")
            # TOML has no null: a setting that is unset is left out.
            lines += [f"{k} = {json.dumps(v)}" for k, v in section.items() if v is not None]
            lines.append("")
        return "\n".join(lines)


def read_settings(path: Path | None) -> Settings:
    """Read a TOML file of settings; values left out keep their defaults.

    Args:
        path: The file, or None for the defaults.

    Raises:
        UsageError: when the file cannot be read, is no TOML, or names an unknown or bad value.
    """
    if path is None:
        return Settings()
    try:
        return Settings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(f"{path}: settings cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is no TOML file ({error})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: setting '{where}': {first['msg']}") from error


def with_gaps(settings: Settings, allow: bool) -> Settings:
    """The settings with ``intake.allow_gaps`` set where the command line asks for it."""
    if not allow:
        return settings
    intake = settings.intake.model_copy(update={"allow_gaps": True})
    return settings.model_copy(update={"intake": intake})
