"""The callback in the real LiteLLM proxy with two workers, against what the provider reported."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from producers.litellm import environment, proxy, upstream
from tokentide_producers.hashing import IdentifierHasher
from tokentide_schemas.columns import NO_HASH
from tokentide_schemas.envelope import Record
from tokentide_schemas.event import TOKEN_BUCKETS

pytestmark = pytest.mark.long


Row = dict[str, Any]
HASHED = IdentifierHasher("a-secret-of-the-tests")
BURST = 60


@dataclass(frozen=True)
class Run:
    """Rows by app, in the order of their attempts. replies: the proxy's status by app."""

    rows: dict[str, list[Row]]
    replies: dict[str, int]
    call_ids: dict[str, str]
    log: str
    status: int
    records: list[Record]

    def one(self, app: str) -> Row:
        (row,) = self.rows[app]
        return row


def _drive(running: Any, marker: str) -> tuple[dict[str, int], dict[str, str]]:
    replies: dict[str, int] = {}
    call_ids: dict[str, str] = {}

    def note(app: str, reply: Any) -> None:
        replies[app], call_ids[app] = reply.status_code, reply.headers.get("x-litellm-call-id", "")

    session = {"session_id": "session-9", "tags": ["country:DE"]}
    note("chat", running.chat("assistant", "chat", marker, metadata=session))
    note("cached", running.chat("cheap", "cached", marker))
    usage = {"stream": True, "stream_options": {"include_usage": True}}
    note("streamed", running.chat("assistant", "streamed", marker, **usage))
    note("streamed_plainly", running.chat("assistant", "streamed_plainly", marker, stream=True))
    note("fallen_back", running.chat("down", "fallen_back", marker))
    for app in ("flaky", "limited", "locked", "slow"):
        note(app, running.chat(app, app, marker))
    note("broken", running.chat("breaking", "broken", marker, stream=True))
    endless = proxy.body("endless", "cancelled", marker, stream=True)
    with running.client.stream("POST", "/v1/chat/completions", json=endless) as open_stream:
        next(open_stream.iter_lines())
    vectors = {"model": "vectors", "input": [marker], "metadata": {"app": "embedded"}}
    note("embedded", running.client.post("/v1/embeddings", json=vectors))
    said = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": marker}]}
    said |= {"litellm_metadata": {"app": "messages"}}
    note("messages", running.client.post("/v1/messages", json=said))
    note("unserved", running.chat(f"{marker}-model", "unserved", marker))
    wrong = {"Authorization": f"Bearer {marker}"}
    refused = running.client.post("/v1/chat/completions", json=proxy.body("assistant", "denied", marker), headers=wrong)
    note("denied", refused)
    with ThreadPoolExecutor(12) as pool:
        burst = pool.map(lambda n: running.chat("assistant", "burst", f"{marker} {n}").status_code, range(BURST))
        replies |= {f"burst-{number}": status for number, status in enumerate(burst)}
    return replies, call_ids


@pytest.fixture(scope="module")
def run(broker_for_module: Any, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("litellm")
    more = {"TOKENTIDE_SPOOL_DIRECTORY": str(folder / "spool"), "TOKENTIDE_LITELLM_GATEWAY": "proxy-under-test"}
    variables = environment.variables(broker_for_module.servers, **more)
    executables = environment.litellm_environment()
    with upstream.Upstream() as provider, proxy.Proxy(folder, executables, provider.url, variables) as running:
        replies, call_ids = _drive(running, upstream.MARKER)
        # The last answers have just been given: their events are in memory only.
        status = running.terminate()
        log = running.log.read_text()
    assert list((folder / "spool").glob("*.spool")) == []
    records = broker_for_module.records()
    return Run(environment.rows_by_app(records), replies, call_ids, log, status, records)


def buckets(row: Row) -> list[int]:
    assert row["usage_reported"] is True
    return [row[name] for name in TOKEN_BUCKETS]


def test_every_request_got_the_answer_it_would_have_had(run: Run) -> None:
    expected = {"limited": 429, "locked": 401, "slow": 408, "unserved": 400, "denied": 401}
    wrong = {app: status for app, status in run.replies.items() if status != expected.get(app.partition("-")[0], 200)}
    assert wrong == {}


def test_sigterm_right_after_the_last_answer_loses_nothing(run: Run) -> None:
    assert run.status in (0, -15)
    assert len(run.rows["burst"]) == BURST == len({row["request_id"] for row in run.rows["burst"]})
    assert {tuple(buckets(row)) for row in run.rows["burst"]} == {(123, 0, 0, 45, 0, 0, 0)}


def test_each_worker_is_an_incarnation_of_its_own(run: Run) -> None:
    assert len({dict(record.headers)["tokentide-producer"] for record in run.records}) == 2


@pytest.mark.parametrize("app", ["chat", "streamed", "streamed_plainly"])
def test_a_chat_has_the_providers_numbers(run: Run, app: str) -> None:
    row = run.one(app)
    assert buckets(row) == [123, 0, 0, 45, 0, 0, 0]
    assert (row["request_model"], row["model"], row["provider"]) == ("assistant", "openai/gpt-4o", "openai")
    assert (row["cost_nanousd"], row["cost_source"]) == (123 * 2500 + 45 * 10000, "reported")
    assert (row["outcome"], row["finish_reason"], row["streamed"]) == ("ok", "stop", app != "chat")
    assert row["request_id"] == run.call_ids[app]


def test_team_key_end_user_session_and_tags(run: Run) -> None:
    row = run.one("chat")
    assert (row["tenant"], row["category"], row["country"]) == ("Search team", "programming", "DE")
    assert row["user_hash"] == HASHED("bob@example.org")
    assert row["session_hash"] == HASHED("session-9")
    keys = {row["api_key_hash"] for rows in run.rows.values() for row in rows if row["tenant"]}
    assert len(keys) == 1 and NO_HASH not in keys


def test_cached_tokens_and_anthropics_cache_are_apart(run: Run) -> None:
    assert buckets(run.one("cached")) == [2000 - 1536, 1536, 0, 60, 0, 0, 0]
    row = run.one("messages")
    assert buckets(row) == [40, 3000, 500, 25, 0, 0, 0]
    assert (row["operation"], row["provider"], row["request_model"]) == ("chat", "anthropic", "claude")


def test_an_embedding_is_one(run: Run) -> None:
    row = run.one("embedded")
    assert (row["operation"], buckets(row)[:4]) == ("embeddings", [17, 0, 0, 0])


@pytest.mark.parametrize(
    ("app", "models", "outcomes", "status"),
    [
        ("flaky", ["flaky"] * 3, ["error", "error", "ok"], 500),
        ("fallen_back", ["down-500"] * 3 + ["openai/gpt-4o"], ["error"] * 3 + ["ok"], 500),
        ("limited", ["down-429"] * 3, ["error"] * 3, 429),
        ("locked", ["down-401"], ["error"], 401),
        ("slow", ["slow"] * 3, ["error"] * 3, 408),
    ],
)
def test_attempts_of_one_request(run: Run, app: str, models: list[str], outcomes: list[str], status: int) -> None:
    rows = run.rows[app]
    assert [row["model"] for row in rows] == models
    assert [row["outcome"] for row in rows] == outcomes
    assert [row["attempt"] for row in rows] == list(range(len(outcomes)))
    assert [row["is_final_attempt"] for row in rows] == [False] * (len(outcomes) - 1) + [True]
    assert {row["request_id"] for row in rows} == {run.call_ids[app]}
    assert {row["http_status"] for row in rows if row["outcome"] == "error"} == {status}
    assert {row["request_model"] for row in rows} == {"down" if app == "fallen_back" else app}
    assert all(row["usage_reported"] is (row["outcome"] == "ok") for row in rows)


def test_a_stream_that_breaks_off_is_one_failure(run: Run) -> None:
    row = run.one("broken")
    assert (row["outcome"], row["is_final_attempt"], row["usage_reported"]) == ("error", True, False)


def test_a_client_that_goes_away_has_cancelled(run: Run) -> None:
    row = run.one("cancelled")
    assert (row["outcome"], row["usage_reported"], row["cost_nanousd"]) == ("cancelled", False, None)


def test_what_the_proxy_refuses_itself_is_its_own_error_and_no_model_of_the_clients_words(run: Run) -> None:
    unserved, denied = run.one("unserved"), run.rows["denied" if "denied" in run.rows else ""][0]
    assert (unserved["provider"], unserved["request_model"], unserved["http_status"]) == ("litellm", "unknown", 400)
    assert (denied["provider"], denied["outcome"], denied["http_status"]) == ("litellm", "error", 401)


def test_no_content_and_no_identifier_is_sent_or_in_our_log_lines(run: Run) -> None:
    sent = repr(run.rows) + repr([(record.value, record.headers) for record in run.records])
    ours = "\n".join(line for line in run.log.splitlines() if "usage event" in line or "tokentide_producers" in line)
    for secret in (upstream.MARKER, "bob@example.org", "carol", "session-9", "sk-of-the-team", "sk-upstream"):
        assert secret not in sent
        assert secret not in ours
    assert "was lost to a fault" not in run.log
