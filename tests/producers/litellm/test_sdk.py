"""The callback in the real LiteLLM SDK, each case once in one process, against what the provider reported."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from producers.litellm import environment, upstream
from producers.litellm.environment import rows_by_app
from tokentide_producers.hashing import IdentifierHasher
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.envelope import Record

pytestmark = pytest.mark.slow

Row = dict[str, Any]
HASHED = IdentifierHasher("a-secret-of-the-tests")
BUCKETS = (
    "input_uncached_tokens",
    "input_cache_read_tokens",
    "input_cache_write_tokens",
    "output_tokens",
    "output_reasoning_tokens",
    "audio_tokens",
    "image_tokens",
)


@dataclass(frozen=True)
class Run:
    """What one process sent: rows by case, in the order of their attempts; its output."""

    rows: dict[str, list[Row]]
    records: list[Record]
    output: str
    errors: str

    def one(self, case: str) -> Row:
        (row,) = self.rows[case]
        return row


@pytest.fixture(scope="module")
def run(broker_for_module: Any) -> Run:
    executables = environment.litellm_environment()
    with upstream.Upstream() as provider:
        command = [executables / "python", Path(__file__).with_name("sdk_calls.py"), provider.url]
        done = subprocess.run(
            command,
            env=environment.variables(broker_for_module.servers),
            capture_output=True,
            text=True,
            timeout=500,
        )
    assert done.returncode == 0, done.stderr[-3000:]
    records = broker_for_module.records()
    return Run(rows_by_app(records), records, done.stdout, done.stderr)


def buckets(row: Row) -> list[int]:
    assert row["usage_reported"] is True
    return [row[name] for name in BUCKETS]


def test_every_case_has_run_and_no_hook_failed(run: Run) -> None:
    assert "faults 0" in run.output
    assert "tokentide" not in run.errors.replace("/tokentide", "")
    assert all(row["source"] == "litellm" and row["gateway"] == "litellm" for rows in run.rows.values() for row in rows)


@pytest.mark.parametrize("case", ["chat", "sync_chat", "streamed", "sync_streamed"])
def test_a_chat_has_the_providers_numbers_however_it_is_called(run: Run, case: str) -> None:
    row = run.one(case)
    assert buckets(row) == [123, 0, 0, 45, 0, 0, 0]
    assert (row["operation"], row["provider"], row["model"]) == ("chat", "openai", "openai/gpt-4o")
    assert (row["outcome"], row["finish_reason"], row["http_status"]) == ("ok", "stop", 200)
    assert (row["attempt"], row["is_final_attempt"], row["error_type"]) == (0, True, "")
    # LiteLLM's own prices: 2.50 and 10 dollars a million.
    assert (row["cost_nanousd"], row["cost_source"]) == (123 * 2500 + 45 * 10000, "reported")
    assert row["streamed"] is ("streamed" in case)
    assert (row["time_to_first_token_ms"] is not None) is row["streamed"]
    assert row["latency_ms"] >= (row["time_to_first_token_ms"] or 0)


def test_labels_come_from_metadata_and_tags_and_identifiers_are_keyed_hashes(run: Run) -> None:
    row = run.one("chat")
    assert (row["category"], row["category_source"], row["language"]) == ("programming", "gateway", "de")
    assert (row["user_hash"], row["session_hash"]) == (HASHED("alice@example.org"), HASHED("session-1"))
    assert run.one("sync_chat")["user_hash"] == HASHED("alice@example.org")
    assert run.one("tools")["user_hash"] == NO_HASH


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("cached", [2000 - 1536, 1536, 0, 60, 0, 0, 0]),
        ("reasoning", [70, 0, 0, 400 - 320, 320, 0, 0]),
        ("audio", [300 - 200, 0, 0, 90 - 60, 0, 200 + 60, 0]),
        ("anthropic", [40, 3000, 500, 25, 0, 0, 0]),
        ("anthropic_streamed", [40, 3000, 500, 25, 0, 0, 0]),
        ("embedding", [17, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_token_buckets_are_disjoint_and_sum_to_what_the_provider_reported(
    run: Run, case: str, expected: list[int]
) -> None:
    assert buckets(run.one(case)) == expected


def test_an_embedding_is_one(run: Run) -> None:
    row = run.one("embedding")
    assert (row["operation"], row["model"], row["finish_reason"]) == ("embeddings", "openai/text-embedding-3-small", "")


@pytest.mark.parametrize(("case", "offered"), [("tools", 3), ("tools_streamed", 1)])
def test_tools_are_counted(run: Run, case: str, offered: int) -> None:
    row = run.one(case)
    assert (row["tools_offered"], row["tool_calls"], row["finish_reason"]) == (offered, 2, "tool_calls")
    assert buckets(row)[:4] == [210, 0, 0, 30]


def test_an_answer_that_was_cut_off_says_so(run: Run) -> None:
    assert run.one("length")["finish_reason"] == "length"


@pytest.mark.parametrize(
    "case", ["silent", "silent_streamed", "silent_streamed_and_estimated", "streamed_without_asking_for_usage"]
)
def test_usage_that_the_provider_did_not_report_is_unknown_and_costs_nothing_known(run: Run, case: str) -> None:
    row = run.one(case)
    assert row["usage_reported"] is False and not any(row[name] for name in BUCKETS)
    assert (row["cost_nanousd"], row["cost_source"], row["outcome"]) == (None, "unknown", "ok")


@pytest.mark.parametrize(
    ("case", "error_type", "status"),
    [
        ("error_401", "AuthenticationError", 401),
        ("error_429", "RateLimitError", 429),
        ("error_500", "InternalServerError", 500),
        ("sync_error", "InternalServerError", 500),
        ("timeout", "Timeout", 408),
        ("broken_stream", "APIConnectionError", 0),
    ],
)
def test_a_failure_has_its_class_and_status_and_no_numbers(run: Run, case: str, error_type: str, status: int) -> None:
    row = run.one(case)
    assert (row["outcome"], row["error_type"], row["http_status"]) == ("error", error_type, status)
    assert row["usage_reported"] is False and row["cost_nanousd"] is None
    assert (row["attempt"], row["is_final_attempt"]) == (0, True)


@pytest.mark.parametrize("case", ["cancelled", "cancelled_task"])
def test_a_stream_that_its_caller_let_go_of_is_cancelled(run: Run, case: str) -> None:
    row = run.one(case)
    assert (row["outcome"], row["streamed"], row["usage_reported"]) == ("cancelled", True, False)
    assert row["error_type"] == "" and row["cost_nanousd"] is None


@pytest.mark.parametrize(
    ("case", "outcomes", "asked", "models"),
    [
        ("retried", ["error", "error", "ok"], "group", ["flaky"] * 3),
        ("fallen_back", ["error", "error", "ok"], "first", ["down-500", "down-500", "openai/gpt-4o"]),
        ("all_failed", ["error", "error"], "group", ["down-500"] * 2),
        ("sync_all_failed", ["error", "error"], "group", ["down-500"] * 2),
        ("sdk_fallback", ["error", "ok"], "openai/down-500", ["down-500", "openai/gpt-4o"]),
    ],
)
def test_retries_and_fallbacks_are_attempts_of_one_request(
    run: Run, case: str, outcomes: list[str], asked: str, models: list[str]
) -> None:
    rows = run.rows[case]
    assert [row["outcome"] for row in rows] == outcomes
    assert [row["model"] for row in rows] == models
    assert [row["attempt"] for row in rows] == list(range(len(outcomes)))
    assert [row["is_final_attempt"] for row in rows] == [False] * (len(outcomes) - 1) + [True]
    assert len({row["request_id"] for row in rows}) == 1 and rows[0]["request_id"]
    assert {row["request_model"] for row in rows} == {asked}


def test_a_price_of_ones_own_makes_the_cost(run: Run) -> None:
    assert run.one("priced")["cost_nanousd"] == 123 * 1000 + 45 * 3000


def test_a_cost_of_nothing_for_want_of_a_price_is_unknown(run: Run) -> None:
    assert (run.rows["retried"][-1]["cost_nanousd"], run.rows["retried"][-1]["cost_source"]) == (None, "unknown")


def test_litellms_own_cache_costs_nothing_and_no_provider_worked(run: Run) -> None:
    asked, found = run.rows["cache_hit"]
    assert (asked["provider"], buckets(asked)[:4]) == ("openai", [123, 0, 0, 45])
    assert (found["provider"], buckets(found), found["cost_nanousd"]) == ("litellm-cache", [0] * 7, 0)
    assert (found["cost_source"], found["outcome"], found["model"]) == ("reported", "ok", "openai/gpt-4o")


def test_no_content_and_no_identifier_leaves_the_process(run: Run) -> None:
    sent = b"".join(record.value or b"" for record in run.records) + repr([r.headers for r in run.records]).encode()
    stored = json.dumps(run.rows, default=repr).encode()
    for secret in (upstream.MARKER, "alice@example.org", "session-1", "sk-upstream"):
        assert secret.encode() not in sent + stored
    # Compressed inside Kafka's records, not in their values: the values are what was sent.
    assert b"programming" in sent
