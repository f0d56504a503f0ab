"""The error of settings, in a module that costs nothing to import."""

from __future__ import annotations


class SettingsError(ValueError):
    """Settings are missing or wrong; `problems` has a sentence for each, without values that may be secret."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("these settings are missing or wrong:\n" + "\n".join(f"  {one}" for one in problems))
