"""An engine whose findings follow a script, so that what happens to them can be tested without statistics."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tokentide_schemas.alerting import AlertConfig
from tokentide_schemas.alerting.rules import AnyRule
from tokentide_schemas.alerts import AlertChange
from tokentide_schemas.catalogue import Catalogue, load_catalogue
from tokentide_stream.alerting.engine import Engine
from tokentide_stream.alerting.facts import ModelFacts
from tokentide_stream.alerting.found import Ended, Found
from tokentide_stream.alerting.windows import MODELS, Cell, Window

T0 = dt.datetime(2026, 11, 16, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
CATALOGUE: Catalogue = load_catalogue(())


@dataclass
class Scripted:
    """Finds what the script says, by the window's end."""

    rule: AnyRule
    script: Mapping[dt.datetime, tuple[list[Found], list[Ended]]]

    def step(self, window: Window) -> tuple[list[Found], list[Ended]]:
        started, ended = self.script.get(window.end, ([], []))
        mine = [one for one in started if one.rule == self.rule]
        return mine, [one for one in ended if one.slot[0] == self.rule.name]


@dataclass
class Runs:
    """Engines one after another over the same minutes, with what they have published."""

    rules: Sequence[AnyRule]
    script: Mapping[dt.datetime, tuple[list[Found], list[Ended]]]
    config: AlertConfig = field(default_factory=AlertConfig)
    topic: list[AlertChange] = field(default_factory=list)
    until: dt.datetime = T0

    def engine(self) -> Engine:
        """A new one, brought up to where the last one was."""
        engine = Engine(replace(self.config, rules=tuple(self.rules)), ModelFacts(CATALOGUE))
        engine.evaluators = [Scripted(rule, self.script) for rule in self.rules]
        start = T0 - MINUTE
        while start < self.until:
            engine.step(minute(start))
            start += MINUTE
        engine.resume(self.topic, self.until)
        return engine

    def run(self, minutes: int) -> None:
        """One incarnation that lives for some minutes and then is killed."""
        engine = self.engine()
        for _ in range(minutes):
            window = minute(self.until)
            records = engine.records(engine.step(window), window.end)
            # As one transaction: both or nothing.
            self.topic += records
            self.until = window.end


def minute(start: dt.datetime) -> Window:
    """A minute with some traffic."""
    return Window(start, models={MODELS: {("acme/one", "hoster"): Cell(requests=100, tokens=1_000)}})
