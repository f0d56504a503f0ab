"""Whether a stream's usage was reported or counted by LiteLLM itself.

When no chunk of a stream carries usage, LiteLLM fills the gap with the count of a tokenizer of its own, and its log
event does not say so. Its public `litellm.stream_chunk_builder`, through which every finished stream goes, still sees
the chunks: it is wrapped, and what was seen is noted in the call's details. The wrapped function's answer is untouched.
"""

from __future__ import annotations

import functools
import threading
from typing import Any, Final

from tokentide_producers.litellm.mapping import STREAM_USAGE
from tokentide_producers.litellm.reading import part
from tokentide_producers.otlp.numbers import as_count

_COUNTS: Final = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
_MARK: Final = "_tokentide_notes_usage"
_installing: Final = threading.Lock()


def is_reported(chunks: Any) -> bool:
    """Some chunk carries usage that is more than zeros."""
    return isinstance(chunks, list | tuple) and any(_has_usage(chunk) for chunk in chunks)


def _has_usage(chunk: Any) -> bool:
    usage = part(chunk, "usage") or part(part(chunk, "_hidden_params"), "usage")
    return usage is not None and any(as_count(part(usage, name)) for name in _COUNTS)


def note_usage_of_streams(litellm: Any) -> None:
    """Wrap `litellm.stream_chunk_builder`, once a process. A LiteLLM without it is left alone."""
    with _installing:
        build = getattr(litellm, "stream_chunk_builder", None)
        if not callable(build) or hasattr(build, _MARK):
            return

        @functools.wraps(build)
        def noting(*arguments: Any, **named: Any) -> Any:
            details = getattr(named.get("logging_obj"), "model_call_details", None)
            if isinstance(details, dict):
                details[STREAM_USAGE] = is_reported(named.get("chunks", arguments[0] if arguments else None))
            return build(*arguments, **named)

        setattr(noting, _MARK, True)
        litellm.stream_chunk_builder = noting
