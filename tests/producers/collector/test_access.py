"""Who may send: tokens by gateway, rotation, revocation, and what is open without them."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from producers.collector.serving import EVENT, Topic, counted, export, running_collector, span
from tokentide_producers.collector.access import Access, AccessError
from tokentide_producers.collector.problems import ProblemError
from tokentide_producers.collector.tokens import TokenFileError, Tokens, create, load, revoke

NOW = dt.datetime(2025, 1, 31, tzinfo=dt.UTC)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def test_a_token_opens_the_door_and_names_the_gateway(topic: Topic, tmp_path: Path, wait_until: Any) -> None:
    path = tmp_path / "tokens.json"
    token, _ = create(path, "eu-1", NOW)
    topic.take()
    with running_collector(topic.bootstrap_servers, token_file=path) as client:
        for headers in ({}, bearer("wrong"), {"authorization": f"Basic {token}"}, bearer(token[:-1])):
            refused = client.post("/v1/events", json=EVENT, headers=headers)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer")
        assert client.post("/v1/events", json=EVENT, headers=bearer(token)).status_code == 200
        named = {**EVENT, "gateway": "its own"}
        assert client.post("/v1/events", json=named, headers=bearer(token)).status_code == 200
        call = {"gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.request.model": "gpt-5"}
        assert client.post("/v1/traces", json=export(span(call)), headers=bearer(token)).status_code == 200
        second, entry = create(path, "eu-1", NOW)
        wait_until(lambda: client.post("/v1/traces", json={}, headers=bearer(second)).status_code == 200)
        assert client.post("/v1/traces", json={}, headers=bearer(token)).status_code == 200, "rotation: both are valid"
        revoke(path, entry.id)
        wait_until(lambda: client.post("/v1/traces", json={}, headers=bearer(second)).status_code == 401)
        assert client.get("/healthz").status_code == 200
    assert sorted(one["gateway"] for one in counted(topic.take())) == ["eu-1", "eu-1", "its own"]


def test_a_token_is_nowhere_in_its_file(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "tokens.json"
    token, entry = create(path, "eu-1", NOW)
    assert token.removeprefix("tokentide_") not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert load(path) == (entry,)
    with pytest.raises(TokenFileError, match="no token"):
        revoke(path, "00000000")
    with pytest.raises(TokenFileError, match="gateway's name"):
        create(path, "a\nb", NOW)


def test_beyond_loopback_a_collector_without_tokens_does_not_start(tmp_path: Path) -> None:
    for path in (None, tmp_path / "absent.json"):
        with pytest.raises(AccessError, match="tokentide collect token create"):
            Access("0.0.0.0", path)
    create(tmp_path / "tokens.json", "eu-1", NOW)
    assert not Access("0.0.0.0", tmp_path / "tokens.json").is_open


def test_without_tokens_this_machine_may_send_but_no_page_in_its_browser(collector: httpx.Client) -> None:
    assert collector.post("/v1/events", json=EVENT).status_code == 200
    headers = {"origin": "http://elsewhere.example"}
    assert collector.post("/v1/events", json=EVENT, headers=headers).status_code == 403


def test_once_there_was_a_token_the_door_stays_closed(tmp_path: Path, clock: Callable[[], float]) -> None:
    path = tmp_path / "tokens.json"
    access = Access("127.0.0.1", path)
    access._tokens = Tokens(path, clock)
    assert access.gateway_of({}) == ""
    token, _ = create(path, "eu-1", NOW)
    assert access.gateway_of(bearer(token)) == "eu-1"
    path.unlink()
    with pytest.raises(ProblemError):
        access.gateway_of(bearer(token))
    with pytest.raises(ProblemError):
        access.gateway_of({})


def test_a_damaged_file_stops_a_start_and_leaves_a_running_collector_alone(
    tmp_path: Path, clock: Callable[[], float], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "tokens.json"
    token, _ = create(path, "eu-1", NOW)
    tokens = Tokens(path, clock)
    path.write_text('{"tokens": [{"id": "half')
    os.utime(path, ns=(1, 1))
    assert tokens.gateway_of(token) == "eu-1"
    assert "damaged" in caplog.text
    with pytest.raises(TokenFileError, match="damaged"):
        Tokens(path)


@pytest.fixture
def clock() -> Callable[[], float]:
    """Ten seconds later at each look."""
    now_s = [0.0]

    def look() -> float:
        now_s[0] += 10.0
        return now_s[0]

    return look
