"""Doctor's look at ClickHouse and at what is stored: facts, then what they mean."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tokentide_deploy.doctor.connection import Connection, look
from tokentide_deploy.doctor.finding import Finding, failure, ok, unknown, warning
from tokentide_deploy.stack_state import ClickHouseAccount
from tokentide_schemas.clickhouse_settings import ssl_context
from tokentide_sinks.migrate import MigrationError, planned
from tokentide_sinks.store import Store, StoreError

DEPENDENT: Final = ("grants", "schema", "lag", "worker", "gateways", "dead-letters", "unknown-models")
MAX_SKEW_S: Final = 5.0
LOW_DISK: Final = 0.10
FULL_DISK: Final = 0.03
_WRITES: Final = ("events", "ingest_ledger", "dead_letters", "rollup_model_partials", "stream_watermarks")

_REFUSED: Final = ("AUTHENTICATION_FAILED", "code 516", "UNKNOWN_USER", "WRONG_PASSWORD", "REQUIRED_PASSWORD")

_DISKS = "SELECT name, toInt64(free_space), toInt64(total_space) FROM system.disks WHERE total_space > 0"
_LAG = """
SELECT component,
    maxIf(lag_records, sampled_at > now() - INTERVAL 30 SECOND) AS newest,
    maxIf(lag_records, sampled_at <= now() - INTERVAL 120 SECOND) AS before,
    toInt64(now()) - toInt64(max(sampled_at)) AS age_s
FROM pipeline_samples WHERE sampled_at > now() - INTERVAL 300 SECOND
GROUP BY component
"""
_WORKER = """
WITH counted AS (
    SELECT partition, argMax(applied_offset, emitted_at) AS applied, max(emitted_at) AS emitted
    FROM stream_watermarks GROUP BY partition
), ends AS (
    SELECT partition, argMax(end_offset, sampled_at) AS end
    FROM pipeline_samples WHERE component = 'events-sink' AND sampled_at > now() - INTERVAL 1 DAY GROUP BY partition
)
SELECT toInt64(now()) - toInt64(toUnixTimestamp(max(emitted))),
    greatest(toInt64(0), max(toInt64(end) - toInt64(applied) - 1))
FROM counted LEFT JOIN ends USING partition
"""
_GATEWAYS = """
SELECT gateway, toInt64((toInt64(now()) - toInt64(toUnixTimestamp(max(occurred_at)))) / 60) AS minutes,
    count() AS requests
FROM events WHERE occurred_at > now() - INTERVAL 1 DAY
GROUP BY gateway HAVING requests >= 100 AND minutes >= 15 ORDER BY minutes DESC LIMIT 20
"""
_DEAD = """
SELECT
    (SELECT toInt64(sum(events)) FROM dead_letters WHERE rejected_at > now() - INTERVAL 10 MINUTE),
    (SELECT toInt64(sum(events)) FROM dead_letters
        WHERE rejected_at > now() - INTERVAL 70 MINUTE AND rejected_at <= now() - INTERVAL 10 MINUTE),
    (SELECT toInt64(count()) FROM events WHERE occurred_at > now() - INTERVAL 10 MINUTE)
"""
_MODELS = """
SELECT toInt64(sum(requests)), toInt64(sumIf(requests, NOT dictHas('models', tuple(lower(model)))))
FROM rollup_1h WHERE window_start > now() - INTERVAL 1 DAY
"""
_USERS = """
SELECT toInt64(count()), toInt64(countIf(user_hash = unhex(repeat('00', 16)))) FROM events
WHERE occurred_at > now() - INTERVAL 1 HOUR
"""


@dataclass(frozen=True)
class StoreFacts:
    """None where it could not be asked. migrations: how many are pending, or the words of what does not fit.
    disks: (name, free bytes, total bytes). lag: component -> (records now, two to five minutes ago, age in s).
    worker: age of its last report in s, records that it has not counted.
    missing_grants: tables that the user may not write. silent: (gateway, minutes). dead: in the last ten minutes, in
    the hour before, events stored in the last ten minutes. models: requests of a day, of these with an unknown model.
    users: requests of an hour, of these without a user."""

    connection: Connection
    skew_s: float | None = None
    migrations: int | str | None = None
    disks: Sequence[tuple[str, int, int]] | None = None
    lag: Mapping[str, tuple[int, int, int]] | None = None
    worker: tuple[int, int] | None = None
    missing_grants: Sequence[str] | None = None
    silent: Sequence[tuple[str, int]] | None = None
    dead: tuple[int, int, int] | None = None
    models: tuple[int, int] | None = None
    users: tuple[int, int] | None = None
    unasked: Mapping[str, str] = field(default_factory=dict)


def gather(account: ClickHouseAccount, timeout_s: int = 6) -> StoreFacts:
    """Ask ClickHouse; reads only. Never raises for what ClickHouse does or does not do."""
    is_secure = account.scheme == "https"
    try:
        context = ssl_context() if is_secure else None
    except (OSError, ssl.SSLError) as error:
        return StoreFacts(Connection(account.host, "tls", f"the TLS files cannot be used: {error.strerror or error}"))
    connection = look(account.host, account.port, is_secure, context, timeout_s / 3)
    if connection.trouble:
        return StoreFacts(connection)
    store = Store(account.url, send_receive_timeout_s=timeout_s)
    try:
        began = time.time()
        server = float(store.rows("SELECT toUnixTimestamp64Milli(now64(3))")[0][0]) / 1000
        skew_s = server - (began + time.time()) / 2
    except StoreError as error:
        return StoreFacts(_trouble(connection.address, str(error)))
    unasked: dict[str, str] = {}

    def ask(what: str, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except StoreError as error:
            unasked[what] = str(error).partition(" (for url")[0][:200]
            return None

    try:
        return StoreFacts(
            connection,
            skew_s,
            ask("schema", lambda: _migrations(store)),
            ask("disk", lambda: [(str(n), int(f), int(t)) for n, f, t in store.rows(_DISKS)]),
            ask("lag", lambda: {str(c): (int(n), int(b), int(a)) for c, n, b, a in store.rows(_LAG)}),
            ask("worker", lambda: _worker(store.rows(_WORKER)[0])),
            ask("grants", lambda: _missing_grants(store)),
            ask("gateways", lambda: [(str(g), int(m)) for g, m, _ in store.rows(_GATEWAYS)]),
            ask("dead-letters", lambda: tuple(int(one or 0) for one in store.rows(_DEAD)[0])),
            ask("unknown-models", lambda: tuple(int(one or 0) for one in store.rows(_MODELS)[0])),
            ask("hash-key", lambda: tuple(int(one or 0) for one in store.rows(_USERS)[0])),
            unasked,
        )
    finally:
        store.close()


def _worker(row: Sequence[Any]) -> tuple[int, int] | None:
    # An empty table's maximum is 1970.
    return None if int(row[0]) > 1_000_000_000 else (max(0, int(row[0])), int(row[1]))


def _migrations(store: Store) -> int | str:
    try:
        return len(planned(store))
    except MigrationError as error:
        return str(error)


def _missing_grants(store: Store) -> list[str]:
    return [table for table in _WRITES if not int(store.rows(f"CHECK GRANT SELECT, INSERT ON {table}")[0][0])]


def _trouble(address: str, text: str) -> Connection:
    if any(word in text for word in _REFUSED):
        return Connection(address, "credentials", f"{address} does not accept the user or its password")
    return Connection(address, "other", f"{address}: {text[:300]}")


def judge(facts: StoreFacts) -> list[Finding]:
    """Pure. Without `disk`, `clock` and `hash-key`, which need other facts as well."""
    trouble = facts.connection
    if trouble.trouble:
        first = {"tls": "clickhouse-tls", "credentials": "clickhouse-credentials"}.get(
            trouble.trouble, "clickhouse-reachable"
        )
        advice = {
            "clickhouse-reachable": "Check TOKENTIDE_CLICKHOUSE_URL, and that ClickHouse and its HTTP interface run.",
            "clickhouse-tls": "The URL must begin with https exactly if the server's port speaks TLS; "
            "TOKENTIDE_CLICKHOUSE_CA_FILE is the authority that signed its certificate.",
            "clickhouse-credentials": "Check user and password in TOKENTIDE_CLICKHOUSE_URL, or "
            "TOKENTIDE_CLICKHOUSE_USER and _PASSWORD.",
        }[first]
        names = ("clickhouse-reachable", "clickhouse-tls", "clickhouse-credentials", *DEPENDENT)
        return [
            failure(first, trouble.detail, advice)
            if name == first
            else ok(name, f"{trouble.address} answers")
            if name == "clickhouse-reachable"
            else unknown(name, f"not looked at: {first}")
            for name in names
        ]
    found = [
        ok("clickhouse-reachable", trouble.address),
        ok("clickhouse-tls", "as configured"),
        ok("clickhouse-credentials", "as configured"),
    ]
    judges: dict[str, tuple[Any, Callable[[Any], Finding]]] = {
        "grants": (facts.missing_grants, _judge_grants),
        "schema": (facts.migrations, _judge_schema),
        "lag": (facts.lag, _judge_lag),
        "worker": (facts.worker, _judge_worker),
        "gateways": (facts.silent, _judge_gateways),
        "dead-letters": (facts.dead, _judge_dead),
        "unknown-models": (facts.models, _judge_models),
    }
    for name, (value, judged) in judges.items():
        found.append(
            unknown(name, facts.unasked.get(name, "nothing is stored yet")) if value is None else judged(value)
        )
    return found


def _judge_grants(missing: Sequence[str]) -> Finding:
    if missing:
        advice = "Grant the writer SELECT and INSERT on the database (docs/doctor.md has the statements)."
        return failure("grants", f"may not write {', '.join(missing)}", advice)
    return ok("grants", "reads and writes the platform's tables")


def _judge_schema(state: int | str) -> Finding:
    if isinstance(state, str):
        advice = "Upgrade tokentide on this machine." if "newer" in state else "Restore the released migration files."
        return failure("schema", state, advice)
    if state:
        advice = "Run tokentide migrate, then restart the processes."
        return failure("schema", f"{state} migrations are pending", advice)
    return ok("schema", "no migration is pending")


def _judge_lag(lag: Mapping[str, tuple[int, int, int]]) -> Finding:
    if not lag:
        return unknown("lag", "no consumer has reported in the last five minutes")
    growing = {name: (now, before) for name, (now, before, _) in lag.items() if now > 1_000 and now > 1.2 * before}
    if growing:
        said = ", ".join(f"{name}: {before:,} to {now:,} records" for name, (now, before) in growing.items())
        advice = "See docs/runbooks/lag.md: start another process of this kind, or look at what it waits for."
        return failure("lag", f"growing: {said}", advice)
    behind = max(now for now, _, _ in lag.values())
    return ok("lag", f"at most {behind:,} records, not growing")


def _judge_worker(worker: tuple[int, int]) -> Finding:
    age_s, behind = worker
    if age_s > 60 and behind:
        advice = "Look at the log of python -m tokentide_stream and at its /readyz; restart it when it hangs."
        return failure("worker", f"its last report is {age_s:,} s old, and {behind:,} records are not counted", advice)
    return ok("worker", f"reported {age_s:,} s ago" + ("" if behind else ", everything is counted"))


def _judge_gateways(silent: Sequence[tuple[str, int]]) -> Finding:
    if silent:
        said = ", ".join(f"{name or '(unnamed)'} for {minutes:,} min" for name, minutes in silent)
        advice = "See docs/runbooks/no-events.md: is the gateway up, does its emitter drop or spool?"
        return warning("gateways", f"silent: {said}", advice)
    return ok("gateways", "none that sent today is silent")


def _judge_dead(dead: tuple[int, int, int]) -> Finding:
    newest, before, stored = dead
    per_ten_minutes = before / 6
    if newest > 10 and newest > 0.01 * (stored + newest):
        advice = "See docs/runbooks/dead-letters.md: tokentide dlq list tells the reasons."
        return failure("dead-letters", f"{newest:,} of {stored + newest:,} events in ten minutes were refused", advice)
    if newest > 10 and newest > 3 * per_ten_minutes:
        advice = "See docs/runbooks/dead-letters.md: tokentide dlq list tells the reasons."
        return warning("dead-letters", f"rising: {newest:,} in ten minutes, {per_ten_minutes:,.0f} before", advice)
    return ok("dead-letters", f"{newest:,} in ten minutes")


def _judge_models(models: tuple[int, int]) -> Finding:
    requests, strange = models
    if requests and strange > 0.05 * requests:
        advice = "tokentide catalogue unknown lists them; add them to a file of TOKENTIDE_CATALOGUE_PATHS."
        return warning("unknown-models", f"{100 * strange / requests:.0f} % of a day's requests", advice)
    return ok("unknown-models", f"{strange:,} of {requests:,} requests of a day")


def judge_clock(skew_s: float | None, newest_ms: int | None, now_s: float) -> Finding:
    """This machine's clock against ClickHouse's, and against Kafka's newest record, which cannot be from the future."""
    said = []
    if skew_s is not None and abs(skew_s) > MAX_SKEW_S:
        said.append(f"ClickHouse's clock differs by {skew_s:+.1f} s")
    if newest_ms is not None and newest_ms / 1000 - now_s > MAX_SKEW_S:
        said.append(f"Kafka's newest record is {newest_ms / 1000 - now_s:.1f} s in the future")
    if said:
        return failure("clock", "; ".join(said), "Run NTP (chrony, systemd-timesyncd) on every machine.")
    if skew_s is None and newest_ms is None:
        return unknown("clock", "neither Kafka nor ClickHouse could be asked")
    return ok("clock", "within a few seconds")


def judge_disks(disks: Sequence[tuple[str, int, int]]) -> Finding:
    """disks: (what, free bytes, total bytes)."""
    if not disks:
        return unknown("disk", "no disk could be looked at")
    said = [f"{what}: {free / 1e9:.1f} of {total / 1e9:.0f} GB free" for what, free, total in disks]
    low = [text for text, (_, free, total) in zip(said, disks, strict=True) if free < LOW_DISK * total]
    full = [text for text, (_, free, total) in zip(said, disks, strict=True) if free < FULL_DISK * total]
    advice = "Free or add room; tokentide retention shows what grows and shortens what is kept."
    if full:
        return failure("disk", "; ".join(full), advice)
    return warning("disk", "; ".join(low), advice) if low else ok("disk", "; ".join(said))
