"""The two real traces, replayed as the README says, give exactly their published counts everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from end_to_end.harness import Stack, wait_until

TRACES = Path(__file__).parents[1] / "data" / "azure-llm-2023"
# Requests, context tokens and generated tokens: tests/data/azure-llm-2023/README.md.
CODE = ("code.csv", "replay-test/code-model", "programming", 8_819, 18_059_974, 245_896)
CONVERSATION = ("conv.csv", "replay-test/chat-model", "roleplay", 19_366, 22_361_870, 4_088_665)


@pytest.mark.embedded
@pytest.mark.parametrize("trace", [CODE, CONVERSATION], ids=["code", "conversation"])
@pytest.mark.parametrize("keep_time", [False, True], ids=["shifted to now", "with its own times"])
def test_a_real_trace_is_counted_exactly(
    stack: Stack, trace: tuple[str, str, str, int, int, int], keep_time: bool
) -> None:
    name, model, category, requests, context, generated = trace
    model += "-2023" if keep_time else "-now"
    stack.run(
        "replay",
        str(TRACES / name),
        *("--timestamp-column", "TIMESTAMP", "--input-tokens-column", "ContextTokens"),
        *("--output-tokens-column", "GeneratedTokens", "--model", model, "--provider", f"azure-{keep_time}"),
        *("--category", category),
        *(["--keep-time"] if keep_time else []),
    )
    expected = (requests, context, generated, context + generated)
    sums = "sum(input_uncached_tokens), sum(output_tokens), sum(total_tokens)"
    wait_until(
        lambda: stack.rows(f"SELECT sum(requests), {sums} FROM rollup_1m WHERE model = '{model}'")[0] == expected,
        f"the rollup by model of {name}",
    )
    raw = f"SELECT count(), {sums} FROM usage WHERE model = '{model}'"
    wait_until(lambda: stack.rows(raw)[0] == expected, f"the raw events of {name}")
    by_category = stack.rows(
        f"SELECT category, sum(requests), {sums} FROM rollup_1m WHERE provider = 'azure-{keep_time}' "
        f"AND model = '{model}' GROUP BY category"
    )
    assert by_category == [(category, *expected)]
    top = json.loads(stack.run("top", "--once", "--all", "--by", "model", "--rows", "1000", "--format", "json").stdout)
    row = next(row for row in top["models"] if row["name"] == model)
    assert (row["requests"], row["tokens"]) == (requests, context + generated)
    stack.verify()
