"""One attempt at one receiver. Messages and logs never hold an address or a secret: a Slack address is one."""

from __future__ import annotations

import datetime as dt
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import replace

import urllib3
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NewConnectionError, ReadTimeoutError, SSLError

from tokentide_schemas.alerting.receivers import (
    AlertmanagerReceiver,
    AnyReceiver,
    LogReceiver,
    ReceiverSecretError,
    WebhookReceiver,
)
from tokentide_schemas.alerts import AlertChange
from tokentide_sinks.notify.answers import DeliveryResult, Verdict, judge
from tokentide_sinks.notify.requests import (
    HttpRequest,
    alertmanager_request,
    log_line,
    slack_request,
    webhook_request,
)

log = logging.getLogger(__name__)
# urllib3's own lines name the path, and a Slack path is a password.
logging.getLogger("urllib3").setLevel(logging.ERROR)


def deliver(
    receiver: AnyReceiver,
    change: AlertChange,
    *,
    now: dt.datetime,
    firing: AlertChange | None = None,
    environment: Mapping[str, str] = os.environ,
) -> DeliveryResult:
    """Tell one receiver of one change, once. Never raises for what the receiver or its configuration does wrong.

    now: aware; goes into signatures and expiry. firing: the change that began what `change` ends.
    """
    begin_s = time.monotonic()
    if isinstance(receiver, LogReceiver):
        log.warning("%s", log_line(change))
        return DeliveryResult(Verdict.DELIVERED)
    try:
        address = receiver.address(environment)
        if isinstance(receiver, WebhookReceiver):
            request = webhook_request(change, receiver.secret(environment), now)
        elif isinstance(receiver, AlertmanagerReceiver):
            request = alertmanager_request(change, now, firing)
        else:
            request = slack_request(change)
    except ReceiverSecretError as error:
        # Not final: who corrects the environment and starts again is told what waited.
        return DeliveryResult(Verdict.TRY_AGAIN, error=str(error))
    result = _post(address, request, receiver.timeout_s, now)
    return replace(result, latency_ms=round((time.monotonic() - begin_s) * 1000))


def _post(address: str, request: HttpRequest, timeout_s: float, now: dt.datetime) -> DeliveryResult:
    timeout = urllib3.Timeout(total=timeout_s)
    # A connection of its own: receivers hear of us rarely, and a kept one would mostly be found closed.
    with urllib3.PoolManager(num_pools=1, retries=False, timeout=timeout, cert_reqs="CERT_REQUIRED") as pool:
        try:
            response = pool.request(
                "POST",
                address.rstrip("/") + request.path if request.path else address,
                body=request.body,
                headers=request.headers,
                redirect=False,
                # The status says all that is needed; a body could go on for ever.
                preload_content=False,
            )
            try:
                return judge(response.status, response.headers.get("Retry-After"), now)
            finally:
                response.close()
        except HTTPError as error:
            return DeliveryResult(Verdict.TRY_AGAIN, error=_explain(error, timeout_s))


def _explain(error: HTTPError, timeout_s: float) -> str:
    """The error without its text, which names the address."""
    if isinstance(error, SSLError):
        return "its TLS certificate is not accepted; check the address and the certificate"
    if isinstance(error, NewConnectionError):
        return "no connection: nothing listens there, or its name is not known"
    if isinstance(error, ConnectTimeoutError):
        return f"no connection within {timeout_s:g} s"
    if isinstance(error, ReadTimeoutError):
        return f"no answer within {timeout_s:g} s"
    return f"the connection broke ({type(error).__name__})"
