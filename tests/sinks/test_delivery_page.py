"""The table of cases in docs/delivery.md is what the sink does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tokentide_sinks.ranges import Range, encode_metadata, read_position, take

PAGE = Path(__file__).parents[2] / "docs" / "delivery.md"
EPOCH = "present"
Case = tuple[str, str, str, str]


def cases() -> list[Case]:
    found: list[Case] = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 4 and re.match(r"none|\d", cells[0]):
            found.append((cells[0], cells[1], cells[2], cells[3]))
    return found


def action(committed: str, pending: str, buffered: str) -> str:
    """What the sink does, in the page's words."""
    span = Range(*map(int, pending.split("-"))) if pending != "-" else None
    offset = -1001 if committed == "none" else int(committed.split()[0])
    epoch = "gone" if "another" in committed else EPOCH
    offsets = [int(text) for text in buffered.split()] if buffered != "-" else []
    try:
        taken = take(read_position(offset, encode_metadata(epoch, span), EPOCH), offsets)
    except ValueError:
        return "error"
    if taken is None:
        return "wait"
    count, of = taken
    rest = " ".join(map(str, offsets[count:]))
    done = f"insert {of.first}-{of.last}" if count else f"nothing of {of.first}-{of.last} is left"
    return f"{done}, keep {rest}" if rest else done


@pytest.mark.parametrize("case", cases(), ids=" / ".join)
def test_the_sink_does_what_the_page_says(case: Case) -> None:
    committed, pending, buffered, said = case
    assert action(committed, pending, buffered) == said


def test_the_page_has_its_table() -> None:
    assert len(cases()) >= 13
