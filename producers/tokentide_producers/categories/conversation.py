"""The words of a request's body, wherever an interface has them: for the classifier, in this process only. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tokentide_producers.categories.inputs import CategoryInput

_SYSTEM: Final = ("system", "instructions")
_SAID: Final = ("messages", "input", "prompt")


def conversation_in(*bodies: Mapping[str, Any], redacted: str = "") -> CategoryInput:
    """messages, input or prompt of the first body that has one, with its system prompt. redacted: what stands for a
    text that was taken out; then there are no words."""
    for body in bodies:
        system = next((text for name in _SYSTEM if isinstance(text := body.get(name), str) and text.strip()), None)
        for name in _SAID:
            said = body.get(name)
            if isinstance(said, str) and said.strip():
                return CategoryInput() if said == redacted else CategoryInput(text=said, system=system)
            if isinstance(said, Sequence) and said and not isinstance(said, str | bytes):
                if redacted and any(isinstance(one, Mapping) and one.get("content") == redacted for one in said):
                    return CategoryInput()
                return CategoryInput(messages=said, system=system)
    return CategoryInput()
