"""LiteLLM's requests as usage events: `callbacks: tokentide_producers.litellm.callback` in the proxy's config.yaml.

From the SDK: `litellm.callbacks = [tokentide_producers.litellm.callback]`. Configured by `TOKENTIDE_...` variables.
"""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    """`callback`: the process's one callback, made when it is first asked for, because making it needs LiteLLM."""
    if name != "callback":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tokentide_producers.litellm.logger import TokentideLogger

    globals()[name] = TokentideLogger.from_environment()
    return globals()[name]
