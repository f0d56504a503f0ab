"""`deliver` against real servers: once, and without telling secrets to anybody."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Callable

import pytest

from sinks.notify.alerts_world import FakeReceiver, an_alert
from tokentide_schemas.alerting.receivers import AlertmanagerReceiver, LogReceiver, SlackReceiver, WebhookReceiver
from tokentide_sinks.notify import deliver
from tokentide_sinks.notify.answers import Verdict
from tokentide_sinks.notify.requests import SIGNATURE_HEADER, signature

NOW = dt.datetime(2026, 11, 22, 22, 15, tzinfo=dt.UTC)
MakeReceiver = Callable[..., FakeReceiver]


def test_each_kind_of_receiver_gets_its_own_format_at_its_own_path(receiver: MakeReceiver) -> None:
    server = receiver()
    environment = {"SECRET": "s3", "SLACK": f"{server.url}/services/T0/B0/token"}
    receivers = (
        WebhookReceiver(name="hook", url=f"{server.url}/hook", secret_env="SECRET"),
        AlertmanagerReceiver(name="manager", url=f"{server.url}/"),
        SlackReceiver(name="slack", url_env="SLACK"),
    )
    for one in receivers:
        result = deliver(one, an_alert(), now=NOW, environment=environment)
        assert result.is_delivered and result.http_status == 200, result
    assert [told.path for told in server.got] == ["/hook", "/api/v2/alerts", "/services/T0/B0/token"]
    hook = server.got[0]
    assert hook.headers[SIGNATURE_HEADER] == signature(b"s3", int(NOW.timestamp()), hook.body)
    assert hook.headers["Idempotency-Key"].endswith("/firing")
    assert json.loads(server.got[1].body)[0]["labels"]["alertname"] == "model-share"
    assert json.loads(server.got[2].body)["blocks"]


def test_a_redirect_is_not_followed(receiver: MakeReceiver) -> None:
    target = receiver()
    server = receiver(lambda _before: (307, {"Location": f"{target.url}/elsewhere"}))
    result = deliver(WebhookReceiver(name="hook", url=server.url), an_alert(), now=NOW)
    assert result.verdict is Verdict.REFUSED and "redirect" in result.error
    assert target.got == []


def test_what_a_busy_receiver_asks_for_is_heard(receiver: MakeReceiver) -> None:
    server = receiver(lambda _before: (429, {"Retry-After": "17"}))
    result = deliver(WebhookReceiver(name="hook", url=server.url), an_alert(), now=NOW)
    assert (result.verdict, result.retry_after_s) == (Verdict.TRY_AGAIN, 17.0)


def test_a_receiver_that_hangs_or_is_away_is_tried_again(receiver: MakeReceiver) -> None:
    hanging = receiver(lambda _before: (0, {}))
    slow = deliver(WebhookReceiver(name="hook", url=hanging.url, timeout_s=0.3), an_alert(), now=NOW)
    assert slow.verdict is Verdict.TRY_AGAIN and "no answer within 0.3 s" in slow.error
    away = deliver(WebhookReceiver(name="hook", url="http://127.0.0.1:9/"), an_alert(), now=NOW)
    assert away.verdict is Verdict.TRY_AGAIN and "nothing listens" in away.error


def test_a_server_that_does_not_speak_tls_is_not_spoken_to_without(receiver: MakeReceiver) -> None:
    server = receiver()
    address = server.url.replace("http://", "https://")
    result = deliver(WebhookReceiver(name="hook", url=address, timeout_s=2), an_alert(), now=NOW)
    assert result.verdict is Verdict.TRY_AGAIN and "TLS" in result.error
    assert server.got == []


def test_a_missing_secret_is_an_error_that_names_its_variable() -> None:
    result = deliver(
        WebhookReceiver(name="hook", url="http://127.0.0.1:9/", secret_env="NOT_THERE"),
        an_alert(),
        now=NOW,
        environment={},
    )
    assert result.verdict is Verdict.TRY_AGAIN and "NOT_THERE" in result.error


def test_addresses_and_secrets_are_in_no_message_and_no_log(
    receiver: MakeReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server = receiver(lambda before: ((404, {}), (500, {}), (0, {}))[min(before, 2)])
    environment = {"SLACK": f"{server.url}/services/tell-nobody", "KEY": "hush-hush"}
    slack = SlackReceiver(name="slack", url_env="SLACK", timeout_s=0.3)
    texts = [deliver(slack, an_alert(), now=NOW, environment=environment).error for _ in range(3)]
    hook = WebhookReceiver(name="hook", url="http://127.0.0.1:9/tell-nobody", secret_env="KEY")
    texts.append(deliver(hook, an_alert(), now=NOW, environment=environment).error)
    assert all(texts)
    everything = "\n".join([*texts, caplog.text])
    assert "tell-nobody" not in everything and "hush-hush" not in everything


def test_the_log_receiver_writes_one_line(caplog: pytest.LogCaptureFixture) -> None:
    assert deliver(LogReceiver(name="log"), an_alert(), now=NOW).is_delivered
    assert [record.getMessage().split()[:4] for record in caplog.records] == [["alert", "firing", "warning", "launch"]]
