"""Bodies as OpenAI, OpenRouter and Anthropic send them. Every text in them holds the marker."""

from __future__ import annotations

from typing import Any

MARKER = "MARKER-5f1c"
MESSAGES: Any = [{"role": "user", "content": f"question {MARKER}"}]
TOOLS: Any = [
    {"type": "function", "function": {"name": f"tool_{n}", "description": MARKER, "parameters": {"type": "object"}}}
    for n in ("a", "b", "c")
]
OPENAI_USAGE = {
    "prompt_tokens": 1100,
    "completion_tokens": 90,
    "total_tokens": 1190,
    "prompt_tokens_details": {"cached_tokens": 1000, "audio_tokens": 4},
    "completion_tokens_details": {"reasoning_tokens": 60, "audio_tokens": 6, "accepted_prediction_tokens": 0},
}
OPENAI_BUCKETS = {
    "input_uncached_tokens": 96,
    "input_cache_read_tokens": 1000,
    "input_cache_write_tokens": 0,
    "output_tokens": 24,
    "output_reasoning_tokens": 60,
    "audio_tokens": 10,
    "image_tokens": 0,
    "usage_reported": True,
}
OPENROUTER_USAGE = {
    **OPENAI_USAGE,
    "prompt_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 100, "audio_tokens": 0, "video_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 60},
    "cost": 0.00123456,
    "is_byok": True,
    "cost_details": {"upstream_inference_cost": 0.0246},
    "server_tool_use_details": {"web_search_requests": 0},
}
NO_USAGE = {
    "input_uncached_tokens": 0,
    "input_cache_read_tokens": 0,
    "output_tokens": 0,
    "output_reasoning_tokens": 0,
    "usage_reported": False,
}


def tool_call(number: int) -> dict[str, Any]:
    function = {"name": f"tool_{number}", "arguments": f'{{"q": "{MARKER}"}}'}
    return {"id": f"call-{number}", "index": number, "type": "function", "function": function}


def completion(**over: Any) -> dict[str, Any]:
    """A chat completion; `finish`, `message` and any top-level field may be given."""
    message = {"role": "assistant", "content": f"answer {MARKER}", **over.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": over.pop("finish", "stop"), "logprobs": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1738324800,
        "model": "gpt-4o-2024-08-06",
        "choices": [choice],
        "usage": OPENAI_USAGE,
        "system_fingerprint": "fp",
        "something_new": {"x": [1]},
        **over,
    }


def chunk(delta: dict[str, Any] | None, finish: str | None = None, **over: Any) -> dict[str, Any]:
    """A piece of a chat completion; without a delta one without choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
    common = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    return {**common, "choices": choices, **over}


def chunks(usage: Any = OPENAI_USAGE) -> list[Any]:
    """A streamed chat completion: role, three tokens, the end, and usage where it is given."""
    text = [chunk({"content": f"{MARKER}-{n}"}) for n in range(3)]
    last = [] if usage is None else [chunk(None, usage=usage)]
    return [chunk({"role": "assistant", "content": ""}), *text, chunk({}, "stop"), *last]


def response(**over: Any) -> dict[str, Any]:
    """An answer of the responses API with a reasoning item, a message and two calls of functions."""
    content = [{"type": "output_text", "text": f"answer {MARKER}", "annotations": []}]
    call = {
        "type": "function_call",
        "call_id": "c",
        "name": "tool_a",
        "arguments": f'"{MARKER}"',
        "status": "completed",
    }
    output = [
        {"type": "reasoning", "id": "rs", "summary": []},
        {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content},
        *({**call, "id": f"f{n}"} for n in range(2)),
    ]
    usage = {
        "input_tokens": 1100,
        "input_tokens_details": {"cached_tokens": 1000},
        "output_tokens": 90,
        "output_tokens_details": {"reasoning_tokens": 60},
        "total_tokens": 1190,
    }
    return {
        "id": "resp-1",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5-2025-08-07",
        "status": "completed",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        **over,
    }


def response_events(last: str = "completed", **over: Any) -> list[Any]:
    """A streamed answer of the responses API."""
    begun = response(status="in_progress", output=[], usage=None)
    place = {"item_id": "m", "output_index": 0, "content_index": 0}
    item = {"type": "message", "id": "m", "role": "assistant", "status": "in_progress"}
    part = {"type": "output_text", "text": "", "annotations": []}
    pieces = [
        {"type": "response.created", "response": begun},
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "content": []}},
        {"type": "response.content_part.added", **place, "part": part},
        {"type": "response.output_text.delta", **place, "delta": MARKER, "logprobs": []},
        {"type": "response.new_kind_of_event", "text": MARKER},
        {"type": "response.output_text.delta", **place, "delta": MARKER, "logprobs": []},
        {"type": f"response.{last}", "response": response(status=last, **over)},
    ]
    return [{**piece, "sequence_number": number} for number, piece in enumerate(pieces)]


ANTHROPIC_USAGE = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 200,
    "cache_read_input_tokens": 1000,
    "output_tokens": 90,
    "cache_creation": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 0},
    "service_tier": "standard",
    "output_tokens_details": {"thinking_tokens": 30},
}
ANTHROPIC_BUCKETS = {
    "input_uncached_tokens": 50,
    "input_cache_read_tokens": 1000,
    "input_cache_write_tokens": 200,
    "output_tokens": 60,
    "output_reasoning_tokens": 30,
    "usage_reported": True,
}


def message(**over: Any) -> dict[str, Any]:
    """A message of Anthropic with text and a call of a tool."""
    content = [
        {"type": "text", "text": f"answer {MARKER}"},
        {"type": "tool_use", "id": "tu", "name": "tool_a", "input": {"q": MARKER}},
    ]
    return {
        "id": "msg-1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-20250514",
        "content": content,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": ANTHROPIC_USAGE,
        **over,
    }


def message_events() -> list[Any]:
    """A streamed message of Anthropic."""
    first = {**ANTHROPIC_USAGE, "output_tokens": 1}
    del first["output_tokens_details"]
    block = {"type": "tool_use", "id": "tu", "name": "tool_a", "input": {}}
    return [
        {"type": "message_start", "message": message(content=[], stop_reason=None, usage=first)},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": MARKER}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": MARKER}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": block},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 90, "output_tokens_details": {"thinking_tokens": 30}},
        },
        {"type": "message_stop"},
    ]
