"""What the browser may say about a query: time range, points to draw, time zone, values of variables."""

from __future__ import annotations

import math
import re
import zoneinfo
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from tokentide_deploy.board.errors import RequestError

MAX_MS: Final = 32_503_680_000_000
"""The year 3000: later times overflow ClickHouse's DateTime64."""
MAX_VALUES: Final = 1000

_Name = Annotated[str, StringConstraints(pattern=r"^\w{1,64}$")]
_Value = Annotated[str, StringConstraints(max_length=500)]
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")


class View(BaseModel):
    """One reader's view of a dashboard. Times are milliseconds since 1970; `points`: how many fit the panel's width."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    from_ms: int = Field(ge=0, le=MAX_MS)
    to_ms: int = Field(ge=0, le=MAX_MS)
    points: int = Field(default=800, ge=10, le=10_000)
    timezone: str = "UTC"
    variables: dict[_Name, Annotated[list[_Value], Field(max_length=MAX_VALUES)]] = Field(
        default_factory=dict, max_length=100
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.from_ms >= self.to_ms:
            raise ValueError("the time range ends before it begins")
        if self.timezone not in zoneinfo.available_timezones():
            raise ValueError(f"the time zone {self.timezone[:60]!r} is not known")
        for name, values in self.variables.items():
            for value in values:
                # A macro inside a value would be expanded with the rest of the SQL and could end its string.
                if "$__" in value and value != "$__all":
                    raise ValueError(f"a value of {name} holds $__, which the SQL gives a meaning")
                if _CONTROL.search(value):
                    raise ValueError(f"a value of {name} holds a control character")
        return self


def view_from(body: bytes) -> View:
    """The view of a request's JSON body. Raises RequestError naming every problem."""
    try:
        return View.model_validate_json(body)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_input=False, include_url=False)[:5]
        )
        raise RequestError(f"the request cannot be read: {problems}") from error


_DURATION: Final = re.compile(r"^[<>]?\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w|M|y)$")
_UNIT_MS: Final = {
    "ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "M": 2_592_000_000,
    "y": 31_536_000_000,
}  # fmt: skip
_STEPS_MS: Final = tuple(
    int(_UNIT_MS[unit] * count)
    for unit, counts in {
        "ms": (1, 5, 10, 20, 50, 100, 200, 500),
        "s": (1, 2, 5, 10, 15, 20, 30),
        "m": (1, 2, 5, 10, 15, 20, 30),
        "h": (1, 2, 3, 6, 12),
        "d": (1, 7, 30),
        "y": (1,),
    }.items()
    for count in counts
)


def duration_ms(text: str) -> int:
    """Milliseconds of Grafana's notation, such as 10s, 1m, >1h. Raises RequestError."""
    found = _DURATION.match(text.strip())
    if not found:
        raise RequestError(f"the interval {text!r} is not a duration such as 30s, 1m or 1h")
    return math.ceil(float(found[1]) * _UNIT_MS[found[2]])


def interval_ms(view: View, least_ms: int = 1) -> int:
    """The width of one point: the first of Grafana's steps that gives at most `view.points` points; >= `least_ms`."""
    wanted = max((view.to_ms - view.from_ms) / view.points, 1)
    step = next((step for step in _STEPS_MS if step >= wanted), _STEPS_MS[-1])
    return max(step, least_ms)
