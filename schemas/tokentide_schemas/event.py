"""The usage event: one row for each attempt of an LLM request. The one definition of its fields."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Final, get_args
from uuid import UUID

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo

from tokentide_schemas import columns as c
from tokentide_schemas.columns import Column, TextEnum

SCHEMA_VERSION: Final = "1.0"
"""`tokentide-schema` header: major.minor. Minors only add optional fields of flat types."""

MAX_LABEL_CHARS: Final = 256
MAX_COUNT32: Final = 2**32 - 1
MAX_COUNT16: Final = 2**16 - 1
EARLIEST_OCCURRED_AT: Final = dt.datetime(2015, 1, 1, tzinfo=dt.UTC)
"""Before this no LLM gateway existed: an older time is a mistaken unit (seconds read as milliseconds)."""
_DATE_AND_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")


class Outcome(TextEnum):
    """How the attempt ended: answered, failed, or given up by the client."""

    OK = "ok"
    ERROR = "error"
    CANCELLED = "cancelled"


class Source(TextEnum):
    """Which kind of producer sent the event."""

    SDK = "sdk"
    LITELLM = "litellm"
    OPENAI = "openai"
    OTLP = "otlp"
    OPENROUTER = "openrouter"
    HTTP = "http"
    IMPORT = "import"
    REPLAY = "replay"
    SIMULATOR = "simulator"


class CategorySource(TextEnum):
    """Who put the category label on the request."""

    GATEWAY = "gateway"
    RULE = "rule"
    CLASSIFIER = "classifier"
    NONE = "none"


class CostSource(TextEnum):
    """Where `cost_nanousd` comes from."""

    REPORTED = "reported"
    COMPUTED = "computed"
    UNKNOWN = "unknown"


def _instant(value: object) -> object:
    """Numbers, also as text, are refused: their unit would be a guess."""
    if isinstance(value, dt.datetime) or (isinstance(value, str) and _DATE_AND_TIME.match(value)):
        return value
    raise ValueError("give an RFC 3339 time with its zone such as 2026-01-31T12:00:00.123Z, not a number")


def _floor_to_ms(value: dt.datetime) -> dt.datetime:
    try:
        utc = value.astimezone(dt.UTC)
    except OverflowError:
        raise ValueError("the time is outside the calendar in UTC") from None
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000)


def _hash(value: object) -> object:
    """Accept 32 hexadecimal digits (JSON) or 16 bytes (Arrow); None and '' mean unknown."""
    if value is None or value == "":
        return c.NO_HASH
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9a-fA-F]{32}", value):
            raise ValueError("give a keyed hash as 32 hexadecimal digits, never the identifier itself")
        return bytes.fromhex(value)
    return value


def _no_control_characters(value: str) -> str:
    if any(ord(char) < 32 for char in value):
        raise ValueError("control characters are not allowed")
    return value


def _uuid(value: object) -> object:
    return UUID(bytes=value) if isinstance(value, bytes) and len(value) == 16 else value


def _not_nil(value: UUID) -> UUID:
    if value.int == 0:
        raise ValueError("the nil UUID identifies nothing; leave event_id out to have one derived")
    return value


_Text = Annotated[str, StringConstraints(max_length=MAX_LABEL_CHARS), AfterValidator(_no_control_characters)]
Label = Annotated[_Text, c.LABEL]
RequiredLabel = Annotated[_Text, StringConstraints(min_length=1), c.LABEL]
WideLabel = Annotated[_Text, c.WIDE_LABEL]
Text = Annotated[_Text, c.TEXT]
_HASH_IN_JSON: Final = {"anyOf": [{"type": "string", "pattern": "^([0-9a-fA-F]{32})?$"}, {"type": "null"}]}
Hash = Annotated[
    bytes, BeforeValidator(_hash), Field(min_length=16, max_length=16), WithJsonSchema(_HASH_IN_JSON), c.HASH16
]
Tokens = Annotated[int, Field(ge=0, le=MAX_COUNT32), c.COUNT32]
Instant = Annotated[AwareDatetime, BeforeValidator(_instant), AfterValidator(_floor_to_ms), c.INSTANT_MS]
EventId = Annotated[UUID, BeforeValidator(_uuid), AfterValidator(_not_nil), c.UUID16]
Flag = Annotated[bool, c.FLAG]


class UsageEvent(BaseModel):
    """One attempt of one LLM request, as metadata only: never prompt or completion text, never a plain user identifier.

    Token buckets are disjoint and sum to the request's total. Fields without a default must be given: an empty object
    is not an event. Unknown text is '', unknown numbers are null.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)

    # identity
    event_id: EventId | None = Field(
        None, description="UUID, version 7 preferred; derived from the record's Kafka position when absent."
    )
    request_id: Text = Field("", description="The gateway's own id of the request, the same for all its attempts.")
    attempt: Annotated[int, Field(ge=0, le=255), c.COUNT8] = Field(0, description="0 for the first attempt, then 1, 2.")
    is_final_attempt: Flag = Field(True, description="The attempt whose answer the client got.")
    session_hash: Hash = Field(c.NO_HASH, description="Keyed hash of the session or conversation.")
    source: Annotated[Source, c.LABEL] = Field(Source.HTTP, description="Kind of producer.")
    gateway: Label = Field("", description="Name of the gateway node.")
    gateway_region: Label = Field("", description="Region of the gateway node.")
    # time
    occurred_at: Instant = Field(description="When the response was complete (UTC, milliseconds).")
    # what
    operation: RequiredLabel = Field(
        "chat", description="OpenTelemetry gen_ai.operation.name: chat, text_completion, embeddings, ..."
    )
    request_model: RequiredLabel = Field(description="The model as the client asked for it.")
    model: Label = Field("", description="Canonical model id; request_model when the producer did not resolve it.")
    provider: RequiredLabel = Field(description="Who served the request.")
    # category
    category: Label = Field("", description="Root category; '' when the request has no label.")
    subcategory: Label = Field("", description="Category below the root.")
    category_source: Annotated[CategorySource, c.LABEL] = Field(CategorySource.NONE, description="Who labelled it.")
    category_confidence: Annotated[float | None, c.OPTIONAL_RATIO] = Field(
        None, ge=0, le=1, description="The labeller's confidence, 0 to 1."
    )
    category_weight: Annotated[float, c.RATIO] = Field(
        1.0, ge=0, le=1e9, description="Inverse sampling rate of the labeller: 1 when every request is labelled."
    )
    # who
    app: WideLabel = Field("", description="Application that sent the request.")
    tenant: WideLabel = Field("", description="Customer, team or workspace that pays.")
    user_hash: Hash = Field(c.NO_HASH, description="Keyed hash of the end user.")
    api_key_hash: Hash = Field(c.NO_HASH, description="Keyed hash of the API key.")
    country: Annotated[str, StringConstraints(pattern=r"^([A-Z]{2})?$"), c.LABEL] = Field(
        "", description="ISO 3166-1 alpha-2 country of billing."
    )
    language: Annotated[str, StringConstraints(pattern=r"^([a-z]{2})?$"), c.LABEL] = Field(
        "", description="ISO 639-1 language of the request."
    )
    # tokens
    input_uncached_tokens: Tokens = Field(description="Prompt tokens that no cache served or stored.")
    input_cache_read_tokens: Tokens = Field(0, description="Prompt tokens read from a cache.")
    input_cache_write_tokens: Tokens = Field(0, description="Prompt tokens written to a cache.")
    output_tokens: Tokens = Field(description="Visible completion tokens, without reasoning.")
    output_reasoning_tokens: Tokens = Field(0, description="Reasoning tokens of the completion.")
    audio_tokens: Tokens = Field(0, description="Audio tokens, in and out, not counted in the other buckets.")
    image_tokens: Tokens = Field(0, description="Image tokens, in and out, not counted in the other buckets.")
    usage_reported: Flag = Field(description="False when the provider gave no usage: token counts are unknown.")
    # money
    cost_nanousd: Annotated[int | None, c.MONEY] = Field(
        None, ge=-(2**62), le=2**62, description="Cost in nano-USD (1e-9 USD); null when unknown."
    )
    cost_source: Annotated[CostSource, c.LABEL] = Field(CostSource.UNKNOWN, description="Where the cost comes from.")
    price_version: Label = Field("", description="The catalogue's price row that a computed cost used.")
    is_byok: Flag = Field(False, description="The client brought its own provider key.")
    # outcome
    outcome: Annotated[Outcome, c.LABEL] = Field(description="ok, error or cancelled.")
    finish_reason: Label = Field("", description="stop, tool_calls, length, content_filter, error, ...")
    error_type: Label = Field("", description="OpenTelemetry error.type when the outcome is error.")
    http_status: Annotated[int, Field(ge=0, le=MAX_COUNT16), c.COUNT16] = Field(0, description="0 when unknown.")
    streamed: Flag = Field(False, description="The response was streamed.")
    tools_offered: Annotated[int, Field(ge=0, le=MAX_COUNT16), c.COUNT16] = Field(0, description="Tools offered.")
    tool_calls: Annotated[int, Field(ge=0, le=MAX_COUNT16), c.COUNT16] = Field(0, description="Tools called.")
    # speed
    time_to_first_token_ms: Annotated[int | None, c.OPTIONAL_COUNT32] = Field(
        None, ge=0, le=MAX_COUNT32, description="Milliseconds from the request to the first token; null when unknown."
    )
    latency_ms: Annotated[int | None, c.OPTIONAL_COUNT32] = Field(
        None, ge=0, le=MAX_COUNT32, description="Milliseconds from the request to the end of the response."
    )


TOKEN_BUCKETS: Final = (
    "input_uncached_tokens",
    "input_cache_read_tokens",
    "input_cache_write_tokens",
    "output_tokens",
    "output_reasoning_tokens",
    "audio_tokens",
    "image_tokens",
)
"""The disjoint buckets; a request's total is their sum."""

CONTENT_FIELDS: Final = frozenset(
    {
        *("prompt", "prompts", "completion", "completions", "messages", "message", "choices", "delta", "system"),
        *("input", "inputs", "output", "outputs", "content", "contents", "text", "texts", "instructions"),
        *("response", "responses", "request", "request_body", "response_body", "system_prompt", "user_input"),
        *("reasoning_content", "tool_arguments", "arguments", "gen_ai.prompt", "gen_ai.completion"),
        *("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"),
    }
)
"""Field names that carry prompt or completion text elsewhere: an event that has one is refused by name, unread."""


def column_of(info: FieldInfo) -> Column:
    """The `Column` in a field's annotation. Raises TypeError when it has none or more than one."""
    found = [item for item in info.metadata if isinstance(item, Column)]
    for argument in get_args(info.annotation):
        found += [item for item in getattr(argument, "__metadata__", ()) if isinstance(item, Column)]
    if len(found) != 1:
        raise TypeError(f"{info!r} needs exactly one Column in its annotation, it has {len(found)}")
    return found[0]


COLUMNS: Final[dict[str, Column]] = {name: column_of(info) for name, info in UsageEvent.model_fields.items()}
REQUIRED: Final = frozenset(name for name, info in UsageEvent.model_fields.items() if info.is_required())
CLOSED_LABELS: Final[dict[str, frozenset[str]]] = {
    "outcome": frozenset(Outcome),
    "source": frozenset(Source),
    "category_source": frozenset(CategorySource),
    "cost_source": frozenset(CostSource),
}
"""Label fields with a closed set of values."""


def default_of(name: str) -> Any:
    """The default of an optional field, as a plain value."""
    default = UsageEvent.model_fields[name].default
    return str(default) if isinstance(default, TextEnum) else default
