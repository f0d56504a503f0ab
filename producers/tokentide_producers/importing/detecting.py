"""Which format a file has, by its columns, and which of its columns are read. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tokentide_producers.importing import litellm, openrouter
from tokentide_producers.importing.events import Format
from tokentide_producers.importing.problems import ImportSourceError


class Detected:
    """Chooses among formats when the first row's columns are known, and keeps the choice for the source.

    missing: optional columns of the format that the source does not have.
    """

    def __init__(self, formats: Sequence[Format]) -> None:
        self._formats = formats
        self.format: Format | None = None
        self.missing: tuple[str, ...] = ()

    def wanted(self, columns: frozenset[str]) -> tuple[str, ...]:
        """The columns to keep. Raises ImportSourceError when no format fits, with what is missing."""
        for refuse in (openrouter.refuse_totals, litellm.refuse_totals):
            if len(self._formats) > 1 or self._formats[0].name in (litellm.SpendLogs.name,):
                refuse(columns)
        lacks = {kind.name: _lacking(kind, columns) for kind in self._formats}
        fitting = [kind for kind in self._formats if not lacks[kind.name]]
        if not fitting:
            # The nearest is the one that is meant.
            name, lacking = min(lacks.items(), key=lambda item: len(item[1]))
            raise ImportSourceError(
                f"is no {name} export: it has no column {', '.join(lacking)}. Its columns are "
                f"{', '.join(sorted(columns)[:40]) or 'none'}"
            )
        self.format = fitting[0]
        self.missing = tuple(column for column in self.format.columns if column not in columns)
        return self.format.columns


def _lacking(kind: Format, columns: frozenset[str]) -> list[str]:
    return [" or ".join(group) for group in kind.required if not columns.intersection(group)]
