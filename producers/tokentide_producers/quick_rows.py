"""For each shape of a call (its names, in order) one function that checks and places its values without a loop. Pure.

Of every field only the plainly right value passes; for anything else the function gives None, and the careful way
decides. The sources hold names of our own fields only, never a value.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final
from uuid import UUID

QuickRow = Callable[[Mapping[str, Any], int], tuple[list[Any], int] | None]
"""Fields of one event and the time in milliseconds to its row and estimated bytes; None for what is not plain."""

COUNT, LABEL, FLAG, HASH, TEXT, RATIO, INSTANT, ID = range(8)
SHAPES: Final = 256
"""A gateway calls in a handful of shapes; beyond so many the careful way is used."""


def quick_row(
    names: Collection[str],
    specs: Mapping[str, tuple[int, int, Any]],
    *,
    optional: Collection[str],
    template: list[Any],
    occurred_at: int,
    row_bytes: int,
    hash_bytes: int,
    max_chars: int,
) -> QuickRow | None:
    """The function for one shape; None when it has a field that needs the careful way.

    specs: place, kind and limit (a range, or the set of known labels) by name. optional: names that may be None.
    """
    known: dict[str, Any] = {"template": template, "datetime": dt.datetime, "utc": dt.UTC, "UUID": UUID}
    known |= {"epoch": dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "millisecond": dt.timedelta(milliseconds=1)}
    lines = ["row = template.copy()"]
    sizes = [str(row_bytes)]
    for number, name in enumerate(names):
        if name not in specs:
            return None
        place, kind, limit = specs[name]
        lines.append(f"v{number} = fields[{name!r}]")
        value = f"v{number}"
        if kind == COUNT:
            wrong = f"type({value}) is not int or not {limit[0]} <= {value} <= {limit[1]}"
            if name in optional:
                wrong = f"{value} is not None and ({wrong})"
        elif kind == LABEL:
            known[f"known{number}"] = limit
            wrong = f"{value} not in known{number}"
        elif kind == FLAG:
            wrong = f"{value} is not True and {value} is not False"
        elif kind == HASH:
            wrong = f"type({value}) is not bytes or len({value}) != {hash_bytes}"
        elif kind == TEXT:
            wrong = f"type({value}) is not str or len({value}) > {max_chars} or not {value}.isprintable()"
        elif kind == RATIO:
            wrong = f"type({value}) is not float or not 0.0 <= {value} <= 1.0"
        elif kind == INSTANT:
            wrong = f"type({value}) is not datetime or {value}.tzinfo is not utc"
        elif kind == ID:
            wrong = f"type({value}) is not UUID or not {value}.int"
        else:
            return None
        if kind in (LABEL, TEXT):
            sizes.append(f"len({value})")
        lines += [f"if {wrong}:", "    return None"]
        if kind == INSTANT:
            lines.append(f"now_ms = ({value} - epoch) // millisecond")
        else:
            lines.append(f"row[{place}] = {value}{'.bytes' if kind == ID else ''}")
    lines += [f"row[{occurred_at}] = now_ms", f"return row, {' + '.join(sizes)}"]
    source = "\n    ".join(["def quick(fields, now_ms):", *lines])
    exec(compile(source, "<quick row>", "exec"), known)
    made: QuickRow = known["quick"]
    return made
