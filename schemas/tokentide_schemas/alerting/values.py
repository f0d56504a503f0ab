"""Plain types of the alerts file: durations, instants, names."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from tokentide_schemas.alerts import AlertKind
from tokentide_schemas.catalogue.entries import UtcInstant

_UNITS_S: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def parse_duration_s(value: object) -> int:
    """Seconds of `90s`, `5m`, `1h30m` or `2d`; 0 for `0`. Anything else is a ValueError."""
    text = str(value).strip()
    if text == "0":
        return 0
    if isinstance(value, bool) or not re.fullmatch(r"(?:\d{1,6}[smhd])+", text):
        raise ValueError(f"{text!r} is not a duration (write 90s, 5m, 1h30m or 2d)")
    return sum(int(count) * _UNITS_S[unit] for count, unit in re.findall(r"(\d+)([smhd])", text))


def duration_text(seconds: int) -> str:
    """5400 -> 1h30m."""
    parts = []
    for unit, size in reversed(_UNITS_S.items()):
        count, seconds = divmod(seconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0"


Duration = Annotated[int, BeforeValidator(parse_duration_s), Field(ge=0, le=366 * 86_400)]
"""Whole seconds."""
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
Label = Annotated[str, StringConstraints(max_length=256)]
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]{0,63}$")]
Instant = UtcInstant


class Section(BaseModel):
    """Base of everything in the file: immutable, and unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Match(Section):
    """Which alerts are meant: every given part must fit, an empty one fits all.

    rules, kinds: one of these. keys: the alert names one of these. labels: the alert has all of these.
    """

    rules: tuple[Name, ...] = ()
    kinds: tuple[AlertKind, ...] = ()
    keys: tuple[Label, ...] = ()
    labels: dict[LabelName, Label] = Field(default_factory=dict)

    def fits(self, rule: str, kind: AlertKind, keys: tuple[str, ...], labels: dict[str, str]) -> bool:
        """Whether an alert with these properties is meant."""
        return (
            (not self.rules or rule in self.rules)
            and (not self.kinds or kind in self.kinds)
            and (not self.keys or not set(self.keys).isdisjoint(keys))
            and all(labels.get(name) == value for name, value in self.labels.items())
        )
