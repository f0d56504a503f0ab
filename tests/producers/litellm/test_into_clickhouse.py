"""From the real LiteLLM SDK through Kafka into ClickHouse: each column is what the provider reported."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from end_to_end.harness import Stack, wait_until
from end_to_end.stored_rows import SOME, expect_stored
from producers.litellm import environment, upstream
from tokentide_producers.hashing import IdentifierHasher

pytestmark = [pytest.mark.long, pytest.mark.embedded]
GATEWAY = "litellm-end-to-end"
HASHED = IdentifierHasher("a-secret-of-the-tests")
OK: dict[str, Any] = {"outcome": "ok", "http_status": 200, "finish_reason": "stop", "usage_reported": True}
UNKNOWN: dict[str, Any] = {"input_uncached_tokens": 0, "output_tokens": 0, "usage_reported": False}
PLAIN: dict[str, Any] = {"input_uncached_tokens": 123, "output_tokens": 45}
STREAMED: dict[str, Any] = {"streamed": True, "time_to_first_token_ms": SOME}
DOWN: dict[str, Any] = {**UNKNOWN, "outcome": "error", "error_type": "InternalServerError", "http_status": 500}
CACHED: dict[str, Any] = {"input_uncached_tokens": 40, "input_cache_read_tokens": 3000, "input_cache_write_tokens": 500}
COST: dict[str, Any] = {"cost_nanousd": 757_500, "cost_source": "reported"}
LABELS: dict[str, Any] = {"category": "programming", "category_source": "gateway", "language": "de"}
HASHES: dict[str, Any] = {"user_hash": HASHED("alice@example.org"), "session_hash": HASHED("session-1")}

GPT: dict[str, Any] = {"request_model": "openai/gpt-4o", "model": "openai/gpt-4o"}
EXPECTED: dict[str, list[dict[str, Any]]] = {
    "chat": [{**GPT, **PLAIN, **OK, **COST, **LABELS, **HASHES}],
    "streamed": [{**GPT, **PLAIN, **OK, **COST, **STREAMED}],
    "anthropic": [
        {
            **CACHED,
            **OK,
            "request_model": "anthropic/claude-3-5-sonnet-20241022",
            "model": "anthropic/claude-3.5-sonnet",
            "provider": "anthropic",
            "output_tokens": 25,
        }
    ],
    "cached": [
        {
            **OK,
            "request_model": "openai/gpt-4o-mini",
            "model": "openai/gpt-4o-mini",
            "output_tokens": 60,
            "input_uncached_tokens": 464,
            "input_cache_read_tokens": 1536,
        }
    ],
    "reasoning": [
        {
            **OK,
            "request_model": "openai/o3-mini",
            "model": "openai/o3-mini",
            "input_uncached_tokens": 70,
            "output_tokens": 80,
            "output_reasoning_tokens": 320,
        }
    ],
    "tools": [
        {
            **OK,
            "request_model": "openai/gpt-4.1",
            "model": "openai/gpt-4.1",
            "input_uncached_tokens": 210,
            "output_tokens": 30,
            "tool_calls": 2,
            "tools_offered": 3,
            "finish_reason": "tool_calls",
        }
    ],
    "silent": [{**OK, **UNKNOWN, "request_model": "openai/silent", "model": "silent"}],
    "cancelled": [
        {
            **UNKNOWN,
            "request_model": "openai/endless",
            "model": "endless",
            "outcome": "cancelled",
            "finish_reason": "cancelled",
            "streamed": True,
        }
    ],
    "error_429": [
        {
            **UNKNOWN,
            "request_model": "openai/down-429",
            "model": "down-429",
            "outcome": "error",
            "error_type": "RateLimitError",
            "http_status": 429,
        }
    ],
    "fallen_back": [
        {**DOWN, "request_model": "first", "model": "down-500", "is_final_attempt": False},
        {**DOWN, "request_model": "first", "model": "down-500", "attempt": 1, "is_final_attempt": False},
        {**OK, **PLAIN, "request_model": "first", "model": "openai/gpt-4o", "attempt": 2},
    ],
}


def test_stored_rows_have_in_each_column_what_the_provider_reported(stack: Stack) -> None:
    with upstream.Upstream() as provider:
        script = Path(__file__).with_name("sdk_calls.py")
        command = [environment.litellm_environment() / "python", script, provider.url, *EXPECTED]
        variables = environment.variables(stack.kafka, TOKENTIDE_LITELLM_GATEWAY=GATEWAY)
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0 and "faults 0" in done.stdout, done.stderr[-3000:]
    attempts = sum(map(len, EXPECTED.values()))
    counted = f"SELECT count() FROM events WHERE gateway = '{GATEWAY}'"
    wait_until(lambda: stack.value(counted) >= attempts, f"{attempts} attempts", 120)
    common = {"source": "litellm", "gateway": GATEWAY, "provider": "openai", "request_id": SOME, "latency_ms": SOME}
    for app, wanted in EXPECTED.items():
        rows = [{**common, "app": app, **row} for row in wanted]
        expect_stored(stack, f"gateway = '{GATEWAY}' AND app = '{app}'", rows)
    assert stack.value(counted) == attempts
    ids = f"SELECT uniqExact(request_id) FROM events WHERE gateway = '{GATEWAY}' AND app = 'fallen_back'"
    assert stack.value(ids) == 1
    stack.verify()
