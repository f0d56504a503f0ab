"""Counters of the collector in Prometheus' text format. Labels are from closed sets; no value of an event is one."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts since the start. Written by the event loop, the latency by the delivery's thread."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.accepted: Counter[str] = Counter()
        self.rejected: Counter[tuple[str, str]] = Counter()
        self.content_fields: Counter[str] = Counter()
        self.ignored_spans = 0
        self.identifiers_without_key = 0
        self._latency = [0] * (len(_LATENCY_S) + 1)
        self._latency_sum_s = 0.0

    def observe_latency(self, seconds: float) -> None:
        """One envelope's time from its making to Kafka's answer."""
        self._latency[bisect_left(_LATENCY_S, seconds)] += 1
        self._latency_sum_s += seconds

    def page(self, *, in_flight_bytes: int, kafka_ready: bool) -> str:
        """The page for GET /metrics."""
        out = [
            *_family("requests_total", "counter", "HTTP requests by route and status."),
            *(_line("requests_total", n, route=r, status=str(s)) for (r, s), n in sorted(self.requests.copy().items())),
            *_family("events_accepted_total", "counter", "Events that Kafka has acknowledged."),
            *(_line("events_accepted_total", n, route=r) for r, n in sorted(self.accepted.copy().items())),
            *_family("events_rejected_total", "counter", "Events that were refused, by reason."),
            *(
                _line("events_rejected_total", n, route=r, reason=w)
                for (r, w), n in sorted(self.rejected.copy().items())
            ),
            *_family("content_fields_dropped_total", "counter", "Fields with text of prompts or answers, dropped."),
            *(_line("content_fields_dropped_total", n, route=r) for r, n in sorted(self.content_fields.copy().items())),
            *_family("spans_ignored_total", "counter", "Spans that are no model calls."),
            _line("spans_ignored_total", self.ignored_spans),
            *_family("identifiers_without_key_total", "counter", "Users and sessions left unknown without a hash key."),
            _line("identifiers_without_key_total", self.identifiers_without_key),
            *_family("in_flight_bytes", "gauge", "Bytes of requests that Kafka does not have yet."),
            _line("in_flight_bytes", in_flight_bytes),
            *_family("kafka_ready", "gauge", "1 when Kafka has answered lately."),
            _line("kafka_ready", int(kafka_ready)),
            *_family("kafka_ack_seconds", "histogram", "Envelope made to Kafka's answer."),
        ]
        below = 0
        for limit, count in zip((*map(str, _LATENCY_S), "+Inf"), self._latency, strict=True):
            below += count
            out.append(_line("kafka_ack_seconds_bucket", below, le=limit))
        out += [
            f"tokentide_collector_kafka_ack_seconds_sum {self._latency_sum_s:.6f}",
            _line("kafka_ack_seconds_count", below),
        ]
        return "\n".join(out) + "\n"


def _family(name: str, kind: str, text: str) -> tuple[str, str]:
    return f"# HELP tokentide_collector_{name} {text}", f"# TYPE tokentide_collector_{name} {kind}"


def _line(name: str, value: int, **labels: str) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
    return f"tokentide_collector_{name}{{{inside}}} {value}" if inside else f"tokentide_collector_{name} {value}"
