"""Every metric that a process serves at /metrics: name, kind, unit, meaning. The one list; a test scrapes and compares.

A counter counts since the start of its process. Metrics of the data (events, alerts, lag over time) are in the store,
where dashboards read them; these are about the processes.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """As Prometheus calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class MetricDef:
    """One metric. source: its key in the process' status, '' where the process renders it itself. divisor: from the
    status' unit to this one. label: name of its only label, whose values the status has as a mapping."""

    process: str
    name: str
    kind: Kind
    unit: str
    meaning: str
    source: str = ""
    divisor: float = 1.0
    label: str = ""
    more_labels: tuple[str, ...] = ()


def _counter(process: str, name: str, unit: str, meaning: str, source: str, label: str = "") -> MetricDef:
    return MetricDef(process, name, Kind.COUNTER, unit, meaning, source, label=label)


def _gauge(
    process: str, name: str, unit: str, meaning: str, source: str, divisor: float = 1.0, label: str = ""
) -> MetricDef:
    return MetricDef(process, name, Kind.GAUGE, unit, meaning, source, divisor, label)


def _own(process: str, name: str, kind: Kind, unit: str, meaning: str, *labels: str) -> MetricDef:
    return MetricDef(process, name, kind, unit, meaning, more_labels=labels)


ALL: Final = "every process"

_STORE_USE: Final = (
    ("store_inserts_total", "inserts", "Inserts that the store has acknowledged.", "inserts_total"),
    ("store_insert_seconds_total", "seconds", "Time spent in inserts, failed ones included.", "insert_seconds_total"),
    ("store_inserted_rows_total", "rows", "Rows of acknowledged inserts.", "inserted_rows_total"),
    ("store_retries_total", "tries", "Repeated tries while the store was unavailable.", "store_retries_total"),
)


def _store_use(process: str, prefix: str) -> tuple[MetricDef, ...]:
    return tuple(
        _counter(process, f"tokentide_{prefix}_{name}", unit, meaning, source)
        for name, unit, meaning, source in _STORE_USE
    )


METRICS: Final[tuple[MetricDef, ...]] = (
    # prometheus_client reads these from the kernel.
    _own(ALL, "process_cpu_seconds_total", Kind.COUNTER, "seconds", "Processor time, user and system."),
    _own(ALL, "process_resident_memory_bytes", Kind.GAUGE, "bytes", "Memory in RAM."),
    _own(ALL, "process_virtual_memory_bytes", Kind.GAUGE, "bytes", "Address space."),
    _own(ALL, "process_open_fds", Kind.GAUGE, "descriptors", "Open file descriptors."),
    _own(ALL, "process_max_fds", Kind.GAUGE, "descriptors", "Most file descriptors that it may open."),
    _own(ALL, "process_start_time_seconds", Kind.GAUGE, "seconds", "Start of the process since 1970 UTC."),
    # The rollup worker.
    _counter("stream", "tokentide_stream_applied_events_total", "events", "Events counted.", "applied_events_total"),
    _counter(
        "stream",
        "tokentide_stream_missing_offsets_total",
        "offsets",
        "Offsets that the topic no longer had when they were due: lost to retention.",
        "missing_offsets_total",
    ),
    _gauge(
        "stream", "tokentide_stream_lag_records", "records", "Records of its partitions not counted yet.", "lag_records"
    ),
    _gauge(
        "stream", "tokentide_stream_partitions", "partitions", "Partitions of the usage topic it has.", "partitions"
    ),
    _gauge(
        "stream", "tokentide_stream_open_groups", "groups", "Groups of windows that may still change.", "open_groups"
    ),
    _gauge(
        "stream", "tokentide_stream_late_events", "events", "Events that came after their window closed.", "late_events"
    ),
    _gauge(
        "stream",
        "tokentide_stream_duplicate_envelopes",
        "envelopes",
        "Envelopes that were recognised as sent again.",
        "duplicate_envelopes",
    ),
    _gauge(
        "stream",
        "tokentide_stream_folded_requests",
        "requests",
        "Requests whose rare labels were counted under `other`, for the limit of groups.",
        "folded_requests",
    ),
    _gauge(
        "stream", "tokentide_stream_watermark_age_seconds", "seconds", "Age of the oldest watermark.", "watermark_age_s"
    ),
    _gauge(
        "stream", "tokentide_stream_checkpoint_age_seconds", "seconds", "Since the last checkpoint.", "checkpoint_age_s"
    ),
    _gauge(
        "stream",
        "tokentide_stream_checkpoint_bytes",
        "bytes",
        "Last checkpoints of all partitions.",
        "checkpoint_bytes",
    ),
    # The shares.
    _gauge(
        "shares",
        "tokentide_shares_active",
        "0 or 1",
        "1 for the instance that works, 0 for one standing by.",
        "is_active",
    ),
    _gauge(
        "shares",
        "tokentide_shares_lag_records",
        "records",
        "Records of the rollup topic not merged yet.",
        "lag_records",
    ),
    _counter("shares", "tokentide_shares_partial_rows_total", "rows", "Partial sums merged.", "partial_rows_total"),
    _counter("shares", "tokentide_shares_emitted_rows_total", "rows", "Shares published.", "emitted_rows_total"),
    _counter(
        "shares", "tokentide_shares_final_windows_total", "windows", "Windows that are final.", "final_windows_total"
    ),
    _counter(
        "shares", "tokentide_shares_too_old_rows_total", "rows", "Rows older than what is held.", "too_old_rows_total"
    ),
    _counter(
        "shares",
        "tokentide_shares_unreadable_records_total",
        "records",
        "Records that could not be read.",
        "unreadable_records_total",
    ),
    _counter(
        "shares",
        "tokentide_shares_skipped_windows_total",
        "windows",
        "Windows without final shares, as something of them is missing.",
        "skipped_windows_total",
    ),
    _gauge("shares", "tokentide_shares_open_rows", "rows", "Rows of windows that may still change.", "open_rows"),
    _gauge("shares", "tokentide_shares_ring_bytes", "bytes", "Memory of the rolling windows.", "ring_bytes"),
    # The raw sink.
    _counter(
        "events-sink", "tokentide_events_sink_stored_events_total", "events", "Events stored.", "stored_events_total"
    ),
    _counter(
        "events-sink", "tokentide_events_sink_stored_tokens_total", "tokens", "Tokens of them.", "stored_tokens_total"
    ),
    _counter(
        "events-sink",
        "tokentide_events_sink_duplicate_events_total",
        "events",
        "Events recognised as sent again.",
        "duplicate_events_total",
    ),
    _counter(
        "events-sink",
        "tokentide_events_sink_dead_letters_total",
        "events",
        "Events refused; each is a dead letter.",
        "rejected_events_total",
    ),
    _counter(
        "events-sink",
        "tokentide_events_sink_expired_records_total",
        "records",
        "Records that the topic deleted before they were stored: lost.",
        "expired_records_total",
    ),
    *_store_use("events-sink", "events_sink"),
    _gauge("events-sink", "tokentide_events_sink_lag_records", "records", "Records not settled yet.", "lag_records"),
    _gauge(
        "events-sink", "tokentide_events_sink_waiting_rows", "rows", "Rows that wait for an insert.", "waiting_rows"
    ),
    _gauge(
        "events-sink", "tokentide_events_sink_waiting_bytes", "bytes", "Envelopes that wait for it.", "waiting_bytes"
    ),
    _gauge(
        "events-sink",
        "tokentide_events_sink_paused",
        "0 or 1",
        "1 while it reads nothing, as the store is away or partitions come.",
        "waiting_for_store",
    ),
    # The rollup sink.
    _counter("rollups-sink", "tokentide_rollups_sink_stored_rows_total", "rows", "Rows stored.", "stored_rows_total"),
    _counter(
        "rollups-sink",
        "tokentide_rollups_sink_refused_records_total",
        "records",
        "Records that could not be read; the log names each.",
        "refused_records_total",
    ),
    *_store_use("rollups-sink", "rollups_sink"),
    _gauge(
        "rollups-sink", "tokentide_rollups_sink_lag_records", "records", "Records not committed yet.", "lag_records"
    ),
    _gauge(
        "rollups-sink", "tokentide_rollups_sink_waiting_rows", "rows", "Rows that wait for an insert.", "waiting_rows"
    ),
    _gauge(
        "rollups-sink",
        "tokentide_rollups_sink_paused",
        "0 or 1",
        "1 while it reads nothing, as the store is away or partitions come.",
        "waiting_for_store",
    ),
    # Maintenance.
    _counter(
        "maintenance",
        "tokentide_maintenance_counted_pieces_total",
        "pieces",
        "Counts of users.",
        "counted_pieces_total",
    ),
    _counter(
        "maintenance", "tokentide_maintenance_learnt_names_total", "names", "Spellings learnt.", "learnt_names_total"
    ),
    _counter(
        "maintenance", "tokentide_maintenance_summed_weeks_total", "weeks", "Weeks added up.", "summed_weeks_total"
    ),
    _counter("maintenance", "tokentide_maintenance_kept_views_total", "views", "Slow views kept.", "kept_views_total"),
    _counter(
        "maintenance",
        "tokentide_maintenance_store_retries_total",
        "tries",
        "Repeated tries while the store was unavailable.",
        "store_retries_total",
    ),
    # The alert engine.
    _gauge("alerts", "tokentide_alerts_firing", "alerts", "Alerts that are open.", "open_alerts"),
    _counter(
        "alerts", "tokentide_alerts_evaluated_windows_total", "windows", "Windows judged.", "evaluated_windows_total"
    ),
    _counter(
        "alerts", "tokentide_alerts_told_changes_total", "changes", "Changes of alerts published.", "told_changes_total"
    ),
    _counter(
        "alerts",
        "tokentide_alerts_skipped_sources_total",
        "sources",
        "Sums that did not come in time for their window.",
        "skipped_sources_total",
    ),
    _gauge(
        "alerts",
        "tokentide_alerts_evaluated_age_seconds",
        "seconds",
        "Since the newest judged window.",
        "evaluated_age_s",
    ),
    _gauge(
        "alerts", "tokentide_alerts_learning", "0 or 1", "1 while references are still being learned.", "is_learning"
    ),
    # The notifier.
    MetricDef(
        "notify",
        "tokentide_notify_deliveries_total",
        Kind.COUNTER,
        "attempts",
        "Attempts to tell a receiver, by what became of them.",
        "attempts_total",
        label="outcome",
    ),
    MetricDef(
        "notify",
        "tokentide_notify_waiting",
        Kind.GAUGE,
        "messages",
        "Messages that a receiver has not been told yet.",
        "waiting",
        label="receiver",
    ),
    # An emitter in a gateway, for the gateway's own registry.
    _counter("gateway", "tokentide_emitter_accepted_total", "events", "Events taken over by `emit`.", "accepted"),
    _counter("gateway", "tokentide_emitter_acknowledged_total", "events", "Of these, in Kafka.", "acknowledged"),
    _gauge("gateway", "tokentide_emitter_in_flight", "events", "Events neither in Kafka nor on disk yet.", "in_flight"),
    _counter("gateway", "tokentide_emitter_dropped_total", "events", "Events lost, by reason.", "dropped", "reason"),
    _counter("gateway", "tokentide_emitter_retries_total", "envelopes", "Envelopes that were sent again.", "retries"),
    _counter("gateway", "tokentide_emitter_spooled_total", "events", "Events written to the spool.", "spooled"),
    _counter("gateway", "tokentide_emitter_spooled_bytes_total", "bytes", "Bytes of them.", "spooled_bytes"),
    _counter("gateway", "tokentide_emitter_drained_total", "events", "Events sent out of the spool.", "drained"),
    _counter("gateway", "tokentide_emitter_evicted_total", "events", "Events that a full spool let go of.", "evicted"),
    # The collector.
    _own(
        "collector",
        "tokentide_collector_requests_total",
        Kind.COUNTER,
        "requests",
        "HTTP requests by route and status.",
        "route",
        "status",
    ),
    _own("collector", "tokentide_collector_events_accepted_total", Kind.COUNTER, "events", "Events in Kafka.", "route"),
    _own(
        "collector",
        "tokentide_collector_events_rejected_total",
        Kind.COUNTER,
        "events",
        "Events that were refused, by reason.",
        "route",
        "reason",
    ),
    _own(
        "collector",
        "tokentide_collector_content_fields_dropped_total",
        Kind.COUNTER,
        "fields",
        "Fields with text of prompts or answers, dropped.",
        "route",
    ),
    _own(
        "collector", "tokentide_collector_spans_ignored_total", Kind.COUNTER, "spans", "Spans that are no model calls."
    ),
    _own(
        "collector",
        "tokentide_collector_identifiers_without_key_total",
        Kind.COUNTER,
        "identifiers",
        "Users and sessions left unknown without a hash key.",
    ),
    _own(
        "collector",
        "tokentide_collector_in_flight_bytes",
        Kind.GAUGE,
        "bytes",
        "Requests that Kafka does not have yet.",
    ),
    _own("collector", "tokentide_collector_kafka_ready", Kind.GAUGE, "0 or 1", "1 when Kafka has answered lately."),
    _own(
        "collector",
        "tokentide_collector_kafka_ack_seconds",
        Kind.HISTOGRAM,
        "seconds",
        "Envelope made to Kafka's answer.",
    ),
    # The board.
    MetricDef(
        "board",
        "tokentide_board_requests_total",
        Kind.COUNTER,
        "requests",
        "HTTP requests by status.",
        "requests_total",
        label="status",
    ),
    # The embedded store.
    _own(
        "store",
        "tokentide_store_requests_total",
        Kind.COUNTER,
        "requests",
        "Requests by kind and outcome.",
        "kind",
        "outcome",
    ),
    _own("store", "tokentide_store_request_seconds_total", Kind.COUNTER, "seconds", "Time spent in requests.", "kind"),
    _own("store", "tokentide_store_inserted_rows_total", Kind.COUNTER, "rows", "Rows written, views included."),
    _own("store", "tokentide_store_received_bytes_total", Kind.COUNTER, "bytes", "Request bodies as received."),
    _own("store", "tokentide_store_sent_bytes_total", Kind.COUNTER, "bytes", "Response bodies as sent."),
    _own("store", "tokentide_store_running_queries", Kind.GAUGE, "requests", "Requests that are being served now."),
    _own("store", "tokentide_store_uptime_seconds", Kind.GAUGE, "seconds", "Since the process was ready."),
)


def metrics_of(process: str) -> list[MetricDef]:
    """The metrics of one process without those of every process."""
    return [one for one in METRICS if one.process == process]


def declared_names(process: str) -> set[str]:
    """Every name that a process may serve."""
    return {one.name for one in METRICS if one.process in (process, ALL)}
