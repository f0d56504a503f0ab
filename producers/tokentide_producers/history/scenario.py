"""The scenario as plain functions of a day: shares, volume, lengths. Pure; `scenario.yaml` has every figure."""

from __future__ import annotations

import copy
import datetime as dt
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import pairwise
from typing import Any, Final

import yaml

from tokentide_producers.calibration import Table, category_shares, clipped_mean, load_table, ranked_shares
from tokentide_schemas.catalogue import Catalogue
from tokentide_schemas.countries import load_continents

DAYS_PER_WEEK: Final = 7
_NOTHING: Final = 1e-9


class ScenarioError(ValueError):
    """The scenario cannot be as it is written."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Days with one mix of traffic: at most a week, and no model is launched within it. end is exclusive."""

    start: dt.date
    end: dt.date

    @property
    def days(self) -> int:
        return (self.end - self.start).days

    @property
    def middle(self) -> dt.date:
        return self.start + (self.end - self.start) // 2


class Scenario:
    """What the traffic is like on each day. Raises ScenarioError for models that the catalogue does not have."""

    def __init__(self, catalogue: Catalogue, content: Mapping[str, Any] | None = None) -> None:
        self.content = content if content is not None else load_scenario()
        self.base = load_table()
        self._continents = load_continents()
        self.start: dt.date = self.content["start"]
        self.end: dt.date = self.content["end"]
        self._lines = {name: _Line(points) for name, points in self._named_lines()}
        self.launches: dict[str, dt.date] = {}
        for group in self.content["groups"]:
            for model in group["models"]:
                if model not in catalogue.models:
                    raise ScenarioError(f"scenario.yaml: group {group['name']}: the catalogue has no model {model}")
                self.launches[model] = catalogue.models[model].release_date or dt.date.min

    def _named_lines(self) -> list[tuple[str, Mapping[dt.date, float]]]:
        plain = ("volume", "programming", "prompt_programming", "prompt_others", "completion", "tool_calls", "asia")
        return [
            *((name, self.content[name]) for name in plain),
            *((f"bloc {name}", points) for name, points in self.content["blocs"].items()),
            *((f"group {group['name']}", group["share"]) for group in self.content["groups"]),
        ]

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """All days from start to end, in order."""
        weeks = range(0, (self.end - self.start).days, DAYS_PER_WEEK)
        cuts = {self.start + dt.timedelta(days=day) for day in weeks}
        cuts |= {day for day in self.launches.values() if self.start < day < self.end}
        ordered = [*sorted(cuts), self.end]
        return tuple(Segment(first, second) for first, second in pairwise(ordered))

    def value(self, name: str, day: dt.date) -> float:
        """One of the scenario's lines on a day."""
        return self._lines[name].at(day)

    def bloc_shares(self, day: dt.date) -> dict[str, float]:
        """Token share of each bloc, summing to 1."""
        shares = {name: self.value(f"bloc {name}", day) / 100 for name in self.content["blocs"]}
        return {**shares, self.content["rest_bloc"]: 1 - sum(shares.values())}

    def model_shares(self, segment: Segment) -> dict[str, dict[str, float]]:
        """Token share of each model by its group, summing to 1; models that are launched later have none."""
        day = segment.middle
        in_bloc: dict[str, dict[str, float]] = {}
        weights: dict[str, dict[str, float]] = {}
        for group in self.content["groups"]:
            name, share = group["name"], self.value(f"group {group['name']}", day)
            of_models = {model: self._weight(model, weight, segment) for model, weight in group["models"].items()}
            weights[name] = {model: weight for model, weight in of_models.items() if weight > 0}
            if weights[name] and share > 0:
                in_bloc.setdefault(group["bloc"], {})[name] = share
        blocs = {name: share for name, share in self.bloc_shares(day).items() if name in in_bloc and share > 0}
        shares: dict[str, dict[str, float]] = {}
        for bloc, groups in in_bloc.items():
            for name, share in groups.items():
                of_group = blocs.get(bloc, 0.0) / sum(blocs.values()) * share / sum(groups.values())
                whole = sum(weights[name].values())
                shares[name] = {model: of_group * weight / whole for model, weight in weights[name].items()}
        return shares

    def _weight(self, model: str, weight: float, segment: Segment) -> float:
        launch = self.launches[model]
        if launch > segment.start:
            return 0.0
        since = max(launch, self.start - dt.timedelta(days=90))
        days = (segment.middle - since).days
        risen = min(1.0, (days + 2) / float(self.content["rise_days"]))
        faded: float = 0.5 ** (days / self.content["half_life_days"])
        return weight * risen * faded

    def table(self, segment: Segment) -> dict[str, Any]:
        """The calibration table (`calibration.py`) of these days."""
        day, table = segment.middle, copy.deepcopy(self.base)
        late = {group["name"]: group["categories"] for group in self.content["groups"]}
        part = self.value("programming", day)
        table["groups"] = [
            {"name": name, "token_share": sum(models.values()), "models": models, "categories": _mix(late[name], part)}
            for name, models in self.model_shares(segment).items()
            if sum(models.values()) > _NOTHING
        ]
        tokens, requests = table["tokens"], table["requests"]
        prompts = tokens["prompt_mean"]
        for category in prompts:
            line = "prompt_programming" if category == "programming" else "prompt_others"
            prompts[category] *= self.value(line, day)
            tokens["completion_mean"][category] *= self.value("completion", day)
        tokens["cache_hit"] = self.content["cache_hit"]
        calls = requests["tool_call"]
        requests["tool_call"] = {category: share * self.value("tool_calls", day) for category, share in calls.items()}
        requests |= self.content["names"]
        table["provider_weights"] = self.content["provider_weights"]
        return table | {
            "countries": self.country_shares(day),
            "countries_others": 0.0,
            "other_countries": [],
        }

    def country_shares(self, day: dt.date) -> dict[str, float]:
        """Token share of each country, summing to 1."""
        countries = ranked_shares(self.base["countries"], self.base["countries_others"], self.base["other_countries"])
        is_asian = {country: self._continents.get(country) == "Asia" for country in countries}
        asian = sum(share for country, share in countries.items() if is_asian[country])
        others, wanted = sum(countries.values()) - asian, self.value("asia", day) / 100
        return {
            country: share * (wanted / asian if is_asian[country] else (1 - wanted) / others)
            for country, share in countries.items()
        }

    def requests_per_day(self) -> list[float]:
        """Requests of each segment's days, relative: the volume in tokens over the mean tokens of a request."""
        return [
            self.value("volume", segment.middle) * requests_per_token(self.table(segment)) for segment in self.segments
        ]


def load_scenario() -> dict[str, Any]:
    """The shipped scenario."""
    text = (resources.files("tokentide_producers.history") / "scenario.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def requests_per_token(table: Table) -> float:
    """Requests for one token of a table's traffic, the models' context limits left out of it."""
    tokens, found = table["tokens"], 0.0
    whole = sum(group["token_share"] for group in table["groups"])
    for group in table["groups"]:
        for category, share in category_shares(group, table).items():
            mean = clipped_mean(tokens["prompt_mean"][category], tokens["prompt_sigma"], 1e6)
            found += group["token_share"] / whole * share / (mean + tokens["completion_mean"][category])
    return found


def _mix(late: Mapping[str, float], programming: float) -> dict[str, float]:
    """A group's categories when programming has only this part of its late share; the others grow alike."""
    now = late["programming"] * programming
    grown = (1 - now) / (1 - late["programming"])
    return {name: now if name == "programming" else share * grown for name, share in late.items()}


class _Line:
    """Values at dates, straight between them."""

    def __init__(self, points: Mapping[dt.date, float]) -> None:
        self._days = sorted(points)
        self._values = [float(points[day]) for day in self._days]

    def at(self, day: dt.date) -> float:
        place = bisect_right(self._days, day)
        if place == 0:
            return self._values[0]
        if place == len(self._days):
            return self._values[-1]
        before, after = self._days[place - 1], self._days[place]
        part = (day - before) / (after - before)
        return self._values[place - 1] * (1 - part) + self._values[place] * part
