"""A span as far as it is read: identity, times, status, and the wanted attributes. Content never gets in here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

Value = str | int | float | bool | list[str]
"""An attribute's value; of arrays only texts are kept."""

CLIENT_KIND: Final = 3
ERROR_STATUS: Final = 2


class OtlpError(Exception):
    """The request is not an OTLP export. The message says where and what is expected, and holds no value."""


@dataclass(slots=True)
class Span:
    """One span. Times in nanoseconds since 1970, 0 for absent; ids raw, b'' for absent.

    resource, scope: of the whole group. exception_type: class name of the latest exception event. tool_calls,
    tools_offered: counted by the names of content attributes, whose values stay unread. content_attributes: how many
    there were. first_token_ns: time of the first span event that marks a token.
    """

    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes
    name: str
    kind: int
    start_ns: int
    end_ns: int
    status: int
    resource: Mapping[str, Value]
    scope: str
    attributes: dict[str, Value] = field(default_factory=dict)
    exception_type: str = ""
    first_token_ns: int = 0
    tool_calls: int = 0
    tools_offered: int = 0
    content_attributes: int = 0


@dataclass(slots=True)
class Attributes:
    """What is taken from a list of attributes while it is read name by name."""

    values: dict[str, Any] = field(default_factory=dict)
    content: int = 0
    tool_calls: set[str] = field(default_factory=set)
    tools_offered: set[str] = field(default_factory=set)
