"""The second layer around readers: what the engine lets through even for a role without the rights.

Layer one is the role ``reader`` (no SOURCES, no writes) with ``readonly=1``. Still open under it: the scalar function
``file``, functions that are named instead of called (``arrayMap(file, ...)``, ``* APPLY file``), ``Python(...)``,
``INTO OUTFILE``, ``KILL``, ``SET ROLE``. The engine's own classifier and formatter close these: exactly one statement,
of class READ_ONLY, and no denied identifier in its canonical text. AST dumps are no substitute: they hide what
``APPLY`` applies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tokentide_deploy.store.errors import ACCESS_DENIED, READONLY, store_error
from tokentide_deploy.store.sqltext import identifiers_of_canonical

# Table functions that read nothing outside the tables that the role may read.
ALLOWED_TABLE_FUNCTIONS = frozenset(
    {
        "numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "generaterandom", "primes",
        "values", "sqlstandardvalues", "null", "view", "viewexplain", "viewifpermitted", "format", "dictionary",
        "mergetreeindex",
    }
)  # fmt: skip
# Tables of `system` that show the process instead of the data; chDB lets every role read all of `system`.
DENIED_SYSTEM_TABLES = frozenset({"stack_trace", "server_settings", "named_collections", "certificates", "text_log"})
# Scalar functions with a view of the host, or that call out of it.
DENIED_FUNCTIONS = frozenset(
    {
        "file", "catboostevaluate", "addresstoline", "addresstolinewithinlines", "addresstosymbol",
        "getserversetting", "getserverport", "getoskernelversion", "sleep", "sleepeachrow", "filesystemavailable",
        "filesystemcapacity", "filesystemunreserved", "python", "executable", "logtrace",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ReaderGuard:
    """Names that a reader's statement must not contain: some nowhere, some only where they are called."""

    denied_anywhere: frozenset[str]
    denied_calls: frozenset[str]

    @classmethod
    def of_engine(cls, table_functions: Iterable[str], functions: Iterable[str]) -> ReaderGuard:
        """Derives the lists from what this engine has, so that a new source function is denied until it is allowed."""
        scalar = {name.lower() for name in functions}
        tables = {name.lower() for name in table_functions}
        language_model = {name for name in scalar if name.startswith("ai")}
        anywhere = DENIED_FUNCTIONS | DENIED_SYSTEM_TABLES | language_model
        calls = tables - ALLOWED_TABLE_FUNCTIONS - (scalar - anywhere)
        return cls(frozenset(anywhere), frozenset(calls | {"python", "executable", "eval"}))

    def check(self, statement_count: int, query_class: str, canonical: str, substitutions: Mapping[str, str]) -> None:
        """Raises StoreError 164 or 497 unless the statement is one harmless read.

        ``canonical`` is the engine's own formatting of the statement, in which quoting and comments are normal.
        """
        if statement_count != 1 or query_class != "READ_ONLY":
            raise store_error(
                READONLY,
                "READONLY",
                "This user may only run one reading statement at a time "
                f"(this is {statement_count} of class {query_class}).",
            )
        for name, called in identifiers_of_canonical(canonical):
            if name in self.denied_anywhere or (called and name in self.denied_calls):
                self._deny(name)
        # {name:Identifier} puts a parameter where a function's name may stand.
        if ":Identifier}" in canonical:
            for value in substitutions.values():
                for part in value.replace("`", "").lower().split("."):
                    if part.strip() in self.denied_anywhere | self.denied_calls:
                        self._deny(part.strip())

    @staticmethod
    def _deny(name: str) -> None:
        raise store_error(
            ACCESS_DENIED,
            "ACCESS_DENIED",
            f"The name {name} is not allowed for this user: it reaches outside the stored data.",
        )
