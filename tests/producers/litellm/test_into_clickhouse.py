"""From the real LiteLLM SDK through Kafka into ClickHouse: the stored rows have the provider's numbers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from end_to_end.harness import Stack, wait_until
from producers.litellm import environment, upstream

pytestmark = [pytest.mark.long, pytest.mark.embedded]
CASES = ("chat", "streamed", "anthropic", "fallen_back", "error_429")


def test_stored_rows_have_the_numbers_that_the_provider_reported(stack: Stack) -> None:
    with upstream.Upstream() as provider:
        script = Path(__file__).with_name("sdk_calls.py")
        command = [environment.litellm_environment() / "python", script, provider.url, *CASES]
        variables = environment.variables(stack.kafka, TOKENTIDE_LITELLM_GATEWAY="litellm-end-to-end")
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0 and "faults 0" in done.stdout, done.stderr[-3000:]
    mine = "gateway = 'litellm-end-to-end'"
    wait_until(lambda: stack.value(f"SELECT count() FROM events WHERE {mine}") == 7, "seven attempts", 120)
    columns = (
        "app, attempt, is_final_attempt, source, model, input_uncached_tokens, input_cache_read_tokens, "
        "input_cache_write_tokens, output_tokens, usage_reported, cost_source, outcome, http_status"
    )
    rows = stack.rows(f"SELECT {columns} FROM events WHERE {mine} ORDER BY app, attempt")
    gpt, claude = "openai/gpt-4o", "anthropic/claude-3.5-sonnet"
    assert [row[:10] for row in rows] == [
        ("anthropic", 0, True, "litellm", claude, 40, 3000, 500, 25, True),
        ("chat", 0, True, "litellm", gpt, 123, 0, 0, 45, True),
        ("error_429", 0, True, "litellm", "down-429", 0, 0, 0, 0, False),
        ("fallen_back", 0, False, "litellm", "down-500", 0, 0, 0, 0, False),
        ("fallen_back", 1, False, "litellm", "down-500", 0, 0, 0, 0, False),
        ("fallen_back", 2, True, "litellm", gpt, 123, 0, 0, 45, True),
        ("streamed", 0, True, "litellm", gpt, 123, 0, 0, 45, True),
    ]
    endings = [(row[11], row[12]) for row in rows]
    assert endings == [
        ("ok", 200),
        ("ok", 200),
        ("error", 429),
        ("error", 500),
        ("error", 500),
        ("ok", 200),
        ("ok", 200),
    ]
    assert stack.value(f"SELECT sum(cost_nanousd) FROM events WHERE {mine} AND model = '{gpt}'") == 3 * 757_500
    stack.verify()
