"""Tables that may be published: no group of fewer than k users can be read from them. Pure text.

Within one period, groups of fewer than k users are put together as `__other__`. When that is one group alone, or still
fewer than k users, the next larger group goes in as well: otherwise the small one would be the total minus the rest. A
period in which even everything together is under k users, or is one small group, is left out. Requests without a user
count for nobody. Not covered: comparing several of these views, or an outside total, with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tokentide_schemas.cubes import TOTAL_TOKENS_SQL
from tokentide_schemas.dimensions import OTHER

MIN_USERS: Final = 10

PUBLISHED: Final[Mapping[str, tuple[str, str, str]]] = {
    "published_models_by_day": ("day", "toDate(occurred_at)", "model"),
    "published_categories_by_week": ("week", "toMonday(occurred_at)", "category"),
    "published_countries_by_month": ("month", "toStartOfMonth(occurred_at)", "country"),
}
"""View -> its period's name and SQL over `events`, and the column that is grouped by."""


def published_view(name: str, min_users: int = MIN_USERS) -> str:
    """One of `PUBLISHED`. min_users: k, at least 2; ValueError otherwise."""
    if min_users < 2:
        raise ValueError(f"min_users is {min_users}: groups of one user are that user, give 2 or more")
    period, period_sql, group = PUBLISHED[name]
    running = (
        f"OVER (PARTITION BY {period} ORDER BY known_users, label ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    return f"""CREATE OR REPLACE VIEW {name} AS
SELECT
    {period},
    if(place <= folded, '{OTHER}', label) AS {group},
    uniqExactMerge(user_set) AS users,
    sum(group_requests) AS requests,
    sum(group_tokens) AS total_tokens
FROM
(
    SELECT
        *,
        minIf(place, running_users >= {min_users} AND place >= greatest(2, small_groups))
            OVER (PARTITION BY {period}) AS first_enough,
        if(small_groups = 0, 0, first_enough) AS folded
    FROM
    (
        SELECT
            *,
            row_number() {running} AS place,
            uniqExactMerge(user_set) {running} AS running_users,
            countIf(known_users < {min_users}) OVER (PARTITION BY {period}) AS small_groups
        FROM
        (
            SELECT
                {period_sql} AS {period},
                toString({group}) AS label,
                uniqExactStateIf(user_hash, user_hash != toFixedString('', 16)) AS user_set,
                uniqExactIf(user_hash, user_hash != toFixedString('', 16)) AS known_users,
                count() AS group_requests,
                sum({TOTAL_TOKENS_SQL}) AS group_tokens
            FROM events
            GROUP BY {period}, label
        )
    )
)
WHERE small_groups = 0 OR folded > 0
GROUP BY {period}, {group}"""


def published_statements(min_users: int = MIN_USERS) -> list[str]:
    """All views, each safe to run again."""
    return [published_view(name, min_users) for name in PUBLISHED]
