"""The running engine: learns from history, goes on where the topic ends, evaluates each window once it is closed."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tokentide_schemas.alerting import AlertConfig, AlertsFileError, load_alert_config
from tokentide_schemas.alerts import EngineProgress
from tokentide_schemas.catalogue import Catalogue
from tokentide_stream.alerting.clock import closed_until_ms
from tokentide_stream.alerting.engine import Engine
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.history import CHUNK, needed, replay
from tokentide_stream.alerting.settings import AlertingSettings
from tokentide_stream.alerting.share_evaluator import ShareEvaluator
from tokentide_stream.alerting.sources import MINUTE_S, SLOW
from tokentide_stream.alerting.store_reader import StoreReader, StoreUnavailableError
from tokentide_stream.alerting.topic import AlertsPublisher, AlertsTopicError, Topics
from tokentide_stream.alerting.windows import Window, window_start_of

log = logging.getLogger(__name__)

COMPLETE: Final = 0.995
"""Part of the model cube's requests that a slower cube must have: late events move both."""
LONGEST_WAIT_S: Final = 15.0
FILE_CHECK_S: Final = 5.0


class AlertingProcess:
    """One engine with its edges. `config`: as loaded; the file is read again when it changes."""

    def __init__(
        self,
        settings: AlertingSettings,
        config: AlertConfig,
        catalogue: Catalogue,
        stop: threading.Event,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._config = config
        self._catalogue = catalogue
        self._stop = stop
        self._clock = clock
        self._store = StoreReader(settings.clickhouse_url.get_secret_value())
        self._engine: Engine | None = None
        self._state = "starting"
        self._problem = ""
        self._told = 0
        self._skipped = 0
        self._on_tick: Callable[[dict[str, Any]], None] = lambda _status: None
        self._on_ready: Callable[[], None] = lambda: None
        self._file_time = _modified(settings.alerts_file)
        self._file_checked_at = 0.0
        self._noticed: tuple[dt.datetime, float] | None = None

    def run(self, on_ready: Callable[[], None], on_tick: Callable[[dict[str, Any]], None]) -> None:
        """Work until `stop` is set. Kafka or the store being away is waited out, and said in the status."""
        self._on_ready, self._on_tick = on_ready, on_tick
        wait_s = 0.5
        while not self._stop.is_set():
            self._tick()
            topics = Topics(self._settings.kafka_bootstrap_servers)
            try:
                self._evaluate(topics)
                wait_s = 0.5
            except (StoreUnavailableError, AlertsTopicError) as error:
                is_store = isinstance(error, StoreUnavailableError)
                self._state = "waiting for the store" if is_store else "waiting for Kafka"
                self._problem = str(error)[:300]
                log.warning("%s, starting again from what the topic says in %.1f s: %s", self._state, wait_s, error)
                self._pause(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            finally:
                topics.close()
        self._store.close()

    def status(self) -> dict[str, Any]:
        """Figures for the status file."""
        engine = self._engine
        until = None if engine is None else engine.evaluated_until
        return {
            "component": "alerts",
            "updated_at_ms": int(self._clock() * 1000),
            "state": self._state,
            "problem": self._problem,
            "evaluated_until_ms": None if until is None else int(until.timestamp() * 1000),
            "evaluated_age_s": None if until is None else max(0.0, self._clock() - until.timestamp()),
            "evaluated_windows_total": 0 if engine is None else engine.windows,
            "open_alerts": 0 if engine is None else len(engine.open_alerts),
            "told_changes_total": self._told,
            "skipped_sources_total": self._skipped,
            "is_learning": engine is None
            or any(one.is_learning for one in engine.evaluators if isinstance(one, ShareEvaluator)),
        }

    def _evaluate(self, topics: Topics) -> None:
        """From history to the newest window, and on, until something fails or the file has changed."""
        epoch, partitions = topics.usage_epoch()
        publisher = AlertsPublisher(self._settings.kafka_bootstrap_servers)
        # First the right to speak, then what was said: nobody else can add to it in between.
        publisher.begin()
        said = topics.read()
        self._on_ready()
        engine = Engine(self._config, ModelFacts(self._catalogue))
        until = said.evaluated_until
        is_resumed = False
        while not self._stop.is_set() and not self._file_has_changed():
            now_ms = int(self._clock() * 1000)
            closed_ms = closed_until_ms(
                self._store.positions(epoch),
                topics.usage_ends(partitions),
                now_ms,
                self._settings.alerting_idle_s * 1000,
            )
            self._problem = ""
            if closed_ms is None:
                self._state = "waiting for the first events"
                self._pause(self._settings.alerting_poll_s)
                continue
            closed = window_start_of(dt.datetime.fromtimestamp(closed_ms / 1000, dt.UTC), MINUTE_S)
            if not is_resumed:
                self._state = "learning from history"
                self._tick()
                # What is older than this is learned from only: a page about an hour ago helps nobody.
                until = max(until or closed, closed - dt.timedelta(seconds=self._settings.alerting_catch_up_s))
                self._learn(engine, until)
                engine.resume(said.changes, until)
                self._engine = engine
                is_resumed = True
            self._state = "evaluating"
            if not self._take_closed(engine, publisher, closed):
                self._pause(self._settings.alerting_poll_s)

    def _learn(self, engine: Engine, until: dt.datetime) -> None:
        began = self._clock()
        oldest = self._store.first_minute()
        first = until - dt.timedelta(seconds=self._settings.alerting_history_s)
        if oldest is not None and oldest < until:
            replay(engine, self._store, max(first, oldest), until, lambda _window, _changes: self._tick_sometimes())
        engine.evaluated_until = until
        log.info("learned from %d minutes up to %s in %.1f s", engine.windows, until, self._clock() - began)

    def _take_closed(self, engine: Engine, publisher: AlertsPublisher, closed: dt.datetime) -> bool:
        """Evaluate closed windows; whether there was one."""
        assert engine.evaluated_until is not None
        if closed <= engine.evaluated_until:
            return False
        if self._noticed is None or self._noticed[0] != closed:
            self._noticed = (closed, self._clock())
        waited_s = self._clock() - self._noticed[1]
        if waited_s < self._settings.alerting_grace_s:
            return False
        wanted, with_late = needed(engine)
        first = engine.evaluated_until
        minutes = self._store.minutes(wanted, with_late, first, min(closed, first + CHUNK))
        is_last_word = waited_s >= self._settings.alerting_slow_cubes_wait_s
        for minute in minutes:
            unfinished = _unfinished(minute)
            if unfinished and not is_last_word:
                return False
            for source in unfinished:
                self._skipped += 1
                minute.cells.pop(source, None)
            began = self._clock()
            records = engine.records(engine.step(minute), dt.datetime.fromtimestamp(self._clock(), dt.UTC))
            publisher.publish(
                records,
                EngineProgress(evaluated_until=minute.end, emitted_at=dt.datetime.fromtimestamp(self._clock(), dt.UTC)),
            )
            self._told += len(records)
            for one in records:
                log.info("%s: %s [%s, %s]", one.state.value, one.summary, one.rule, one.severity.value)
            log.debug("minute %s took %.0f ms", minute.start, 1000 * (self._clock() - began))
            self._tick()
            if self._stop.is_set():
                break
        return True

    def _file_has_changed(self) -> bool:
        now = self._clock()
        path = self._settings.alerts_file
        if path is None or now - self._file_checked_at < FILE_CHECK_S:
            return False
        self._file_checked_at = now
        modified = _modified(path)
        if modified == self._file_time:
            return False
        self._file_time = modified
        try:
            self._config = load_alert_config(path)
        except AlertsFileError as error:
            log.error("the changed alerts file is not used, the former rules stay: %s", error)
            return False
        log.info("the alerts file has changed: learning again with its rules")
        return True

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stop.wait(min(0.5, seconds)):
            self._tick_sometimes()

    _ticked_at = 0.0

    def _tick_sometimes(self) -> None:
        if self._clock() - self._ticked_at >= 1.0:
            self._tick()

    def _tick(self) -> None:
        self._ticked_at = self._clock()
        self._on_tick(self.status())


def _unfinished(minute: Window) -> list[Any]:
    """Sources of slower cubes that have fewer requests than the model cube. Those of a scope cannot be compared."""
    total = minute.requests
    return [
        source
        for source, cells in minute.cells.items()
        if source.grouping in SLOW
        and not source.scope
        and sum(cell.requests for cell in cells.values()) < COMPLETE * total
    ]


def _modified(path: Path | None) -> float | None:
    try:
        return None if path is None else path.stat().st_mtime
    except OSError:
        return None
