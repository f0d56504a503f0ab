"""Accounting of the usage topic's partitions, from what Kafka, the ledger, the raw table and the worker say. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class PartitionAccount:
    """One partition up to `end_offset` (exclusive), which was its end when verification began.

    Counts named `ledger_` come from `ingest_ledger`, `raw_events` from `events`, `dead_letter_events` from
    `dead_letters`. `applied_offset` is the worker's, -1 when it has reported nothing. `ledger_retained`: stored events
    of records that lie wholly within the raw table's retention; `raw_events` counts the same records. `erased_events`:
    those of them that `tokentide forget` removed. `low_offset` is not below the ledger's own retention. `expired`: runs
    of offsets that the topic deleted unread (first, how many, whether nobody has discarded that dead letter).
    """

    partition: int
    low_offset: int
    end_offset: int
    ledger_records: int
    ledger_first: int
    ledger_last: int
    ledger_events: int
    ledger_stored: int
    ledger_duplicates: int
    ledger_rejected: int
    raw_events: int
    dead_letter_events: int
    applied_offset: int
    ledger_retained: int
    erased_events: int = 0
    expired: tuple[tuple[int, int, bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold: where, and what, with both numbers."""

    where: str
    what: str


@dataclass(frozen=True, slots=True)
class Report:
    """Result of a verification. cubes: name -> windows compared."""

    accounts: tuple[PartitionAccount, ...]
    cubes: dict[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    settled: bool = True

    @property
    def holds(self) -> bool:
        """True when nothing was found."""
        return not self.findings


def is_caught_up(account: PartitionAccount) -> bool:
    """Raw sink and worker have both passed the partition's end."""
    if account.end_offset == 0 or account.low_offset == account.end_offset:
        return True
    return account.ledger_last >= account.end_offset - 1 and account.applied_offset >= account.end_offset - 1


def check_account(account: PartitionAccount) -> list[Finding]:
    """What does not add up in one partition."""
    where = f"partition {account.partition}"
    found = [
        Finding(
            where,
            f"LOST: {records} records from offset {first} on were deleted by the topic before they were stored. Give "
            "it more retention; tokentide dlq discard --reason expired takes note of the loss and ends this message",
        )
        for first, records, is_open in account.expired
        if is_open
    ]

    def expect(holds: bool, what: str) -> None:
        if not holds:
            found.append(Finding(where, what))

    if account.end_offset == 0:
        return found
    if not is_caught_up(account):
        expect(
            False,
            f"not caught up: the topic ends at {account.end_offset}, the raw sink is at {account.ledger_last + 1}, "
            f"the worker at {account.applied_offset + 1}",
        )
        return found
    span = account.ledger_last - account.ledger_first + 1 if account.ledger_records else 0
    gone = sum(n for first, n, _ in account.expired if account.ledger_first <= first <= account.ledger_last)
    expect(
        account.ledger_records + gone == span,
        f"the ledger has {account.ledger_records} records for {span - gone} offsets "
        f"({account.ledger_first} to {account.ledger_last})",
    )
    expect(
        account.ledger_records == 0 or account.ledger_first <= account.low_offset,
        f"the ledger begins at offset {account.ledger_first}, the topic at {account.low_offset}",
    )
    total = account.ledger_stored + account.ledger_duplicates + account.ledger_rejected
    expect(
        account.ledger_events == total,
        f"{account.ledger_events} events came, but stored + duplicates + rejected is {total}",
    )
    expect(
        account.raw_events + account.erased_events == account.ledger_retained,
        f"the ledger says {account.ledger_retained} events were stored, the raw table has {account.raw_events}"
        + (f" and {account.erased_events} were erased" if account.erased_events else ""),
    )
    expect(
        account.dead_letter_events == account.ledger_rejected,
        f"the ledger says {account.ledger_rejected} events were rejected, the dead letters have "
        f"{account.dead_letter_events}",
    )
    return found


def describe_difference(day: str, rollup_requests: int, raw_requests: int, rollup_tokens: int, raw_tokens: int) -> str:
    """What differs in a group, and what to do where only sums of costs can be the cause."""
    rollup = f"rollup {rollup_requests} requests, {rollup_tokens} tokens"
    numbers = f"{rollup}; raw {raw_requests} requests, {raw_tokens} tokens"
    if (rollup_requests, rollup_tokens) != (raw_requests, raw_tokens):
        return numbers
    return (
        f"{numbers}: the same events, but another sum differs. If it is the cost, sink and worker had different "
        "catalogues (catalogue_version in their status) or a recomputation was cut off: run "
        f"tokentide prices recompute --since {day}"
    )
