"""The tables of docs/metrics.md: measures, cubes and views, from what declares them. The page's other text is written.

python -m tokentide_schemas.metrics_page           puts the tables into the page
python -m tokentide_schemas.metrics_page --check   status 1 when the committed page is stale
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from tokentide_schemas.clickhouse import statements
from tokentide_schemas.cubes import CUBES, MEASURES
from tokentide_schemas.shares import SCHEMA

PAGE: Final = "docs/metrics.md"

SHARE_COLUMNS: Final[dict[str, str]] = {
    "window_start": "Start of the window, UTC.",
    "as_of": "Live: the newest event time that is in it. Final: the window's end.",
    "horizon_s": "Length of the window in seconds. A live window also has the minute that is filling.",
    "dimension": "`model`, `category`, `provider`, or by the catalogue `author`, `origin_group`, `size_class`, "
    "`reasoning`.",
    "key": "The label; '' where the event had none, `unknown` where the catalogue has no answer, `__other__` for the "
    "tail past the limit.",
    "requests": "Request attempts.",
    "tokens": "Sum of all token buckets.",
    "cost_nanousd": "Known cost in nano-USD, own-key traffic excluded.",
    "error_requests": "Attempts with outcome `error`.",
    "request_share": "requests / sum of requests of the dimension; null when that sum is not positive.",
    "token_share": "tokens / sum of tokens of the dimension; null when that sum is not positive.",
    "cost_share": "cost / sum of known cost of the dimension; null when that sum is not positive.",
    "previous_requests": "The same of the window before, of equal length (full minutes).",
    "previous_tokens": "As above.",
    "previous_cost_nanousd": "As above.",
    "previous_error_requests": "As above.",
    "request_share_change_pp": "100 x (request share - request share of the window before), percentage points.",
    "token_share_change_pp": "The same of the token share.",
    "cost_share_change_pp": "The same of the cost share.",
    "rank": "1 for most tokens, then requests, then name; 0 for a key that is gone.",
    "mover_rank": "1 for the largest change of token share in either direction, among keys with at least "
    "`TOKENTIDE_STREAM_MOVER_MIN_REQUESTS` requests in both windows together; 0 for the rest.",
    "version": "Of two rows of one window and key the higher is right.",
    "emitted_at": "When the row was sent.",
}


def views() -> list[str]:
    """Names of all views that the migrations make."""
    text = "\n".join(statements(CUBES))
    return sorted(set(re.findall(r"^CREATE OR REPLACE VIEW (\w+)", text, flags=re.MULTILINE)))


def tables() -> dict[str, str]:
    """Marker in the page -> the table that belongs there."""
    measures = [f"| `{m.name}` | `{m.sql.replace('|', chr(92) + '|')}` | {m.description} |" for m in MEASURES]
    cubes = [
        f"| `{view}` | {', '.join(f'`{d}`' for d in part.dimensions)} | {part.window_s} | "
        f"{'all' if len(part.measures) == len(MEASURES) else ', '.join(f'`{m}`' for m in part.measures)} |"
        for cube in CUBES
        for view, part in cube.views.items()
    ]
    shares = [f"| `{name}` | {SHARE_COLUMNS[name]} |" for name in SCHEMA.names if name != "is_final"]
    return {
        "measures": "\n".join(["| measure | over `events` | meaning |", "|---|---|---|", *measures]),
        "cubes": "\n".join(["| view | by | window, s | measures |", "|---|---|---|---|", *cubes]),
        "shares": "\n".join(["| column | meaning |", "|---|---|", *shares]),
    }


def filled(page: str) -> str:
    """The page with its tables replaced. Raises ValueError when a marker is missing."""
    for name, table in tables().items():
        begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"{PAGE} lacks the markers {begin} and {end}: put them where the table belongs")
        before, rest = page.split(begin, 1)
        page = f"{before}{begin}\n{table}\n{end}{rest.split(end, 1)[1]}"
    return page


def main(arguments: list[str], root: Path = Path(__file__).parents[2]) -> int:
    """Fill or check the page below `root`, a checkout."""
    parser = argparse.ArgumentParser(prog="python -m tokentide_schemas.metrics_page", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 when the page is stale")
    check = parser.parse_args(arguments).check
    path = root / PAGE
    present = path.read_text()
    text = filled(present)
    if text == present:
        return 0
    if check:
        sys.stderr.write(f"{PAGE} is stale: run python -m tokentide_schemas.metrics_page and commit it\n")
        return 1
    path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
