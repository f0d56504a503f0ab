"""The proxy's end: uvicorn raises the signal again when it has shut down, and no exit handler of Python's runs."""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections.abc import Callable
from typing import Any, Final

logger = logging.getLogger(__name__)
_MARK: Final = "_tokentide_flushes"
QUEUE_TIMEOUT_S: Final = 10.0


def logging_worker() -> Any:
    """LiteLLM's queue of log events; None when this LiteLLM has none."""
    return getattr(sys.modules.get("litellm.litellm_core_utils.logging_worker"), "GLOBAL_LOGGING_WORKER", None)


def flush_when_the_proxy_stops(close: Callable[[], None]) -> None:
    """Let the proxy's shutdown wait for LiteLLM's queued log events and for `close`. Not in a proxy: nothing."""
    server = sys.modules.get("litellm.proxy.proxy_server")
    stop = getattr(server, "proxy_shutdown_event", None)
    if server is None or not callable(stop) or hasattr(stop, _MARK):
        return

    @functools.wraps(stop)
    async def flushing(*arguments: Any, **named: Any) -> Any:
        try:
            flush = getattr(logging_worker(), "flush", None)
            if callable(flush):
                await asyncio.wait_for(flush(), QUEUE_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - the proxy has to stop all the same
            logger.error("LiteLLM's last log events were not awaited: %s", type(error).__name__)
        await asyncio.to_thread(close)
        return await stop(*arguments, **named)

    setattr(flushing, _MARK, True)
    server.proxy_shutdown_event = flushing  # type: ignore[attr-defined,unused-ignore]
