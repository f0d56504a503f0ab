"""The alerts file: its rules over the shipped ones, receivers, silences, maintenance, budgets. All errors at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BeforeValidator, Field, ValidationError

from tokentide_schemas.alerting.quiet import Maintenance, Silence
from tokentide_schemas.alerting.reading import Path as ValuePath
from tokentide_schemas.alerting.reading import Reader
from tokentide_schemas.alerting.receivers import RECEIVER_TYPES, AnyReceiver, Receiver
from tokentide_schemas.alerting.rules import RULE_KINDS, AnyRule, Budget, Rule
from tokentide_schemas.alerting.values import Section
from tokentide_schemas.alerting.wording import in_words
from tokentide_schemas.catalogue.problems import Place, Problem, did_you_mean
from tokentide_schemas.settings import Settings

S = TypeVar("S", bound=Section)
SECTIONS: Final = ("rules", "receivers", "silences", "maintenance", "budgets")
DEFAULT_RULES_FILE: Final = "default_rules.yaml"
MAX_ENTRIES: Final = 500
"""Of one section."""


class AlertsFileError(ValueError):
    """The file cannot be used; `problems` has every fault with its line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda one: (one.place.file, one.place.line)))
        count = len(self.problems)
        head = f"the alerts file has {count} problem{'' if count == 1 else 's'}:"
        super().__init__("\n  ".join([head, *map(str, self.problems)]))


class AlertSettings(Settings):
    """Where the user's rules and receivers are."""

    alerts_file: Annotated[Path | None, BeforeValidator(lambda value: value or None)] = Field(
        None, description="YAML file with your rules, receivers, silences, maintenance windows and budgets."
    )


@dataclass(frozen=True)
class AlertConfig:
    """Everything about alerts that is configured. `rules` has the disabled ones as well."""

    rules: tuple[AnyRule, ...] = ()
    receivers: tuple[AnyReceiver, ...] = ()
    silences: tuple[Silence, ...] = ()
    maintenance: tuple[Maintenance, ...] = ()
    budgets: tuple[Budget, ...] = ()
    shipped: frozenset[str] = frozenset()
    """Names of the rules that are as shipped."""

    @property
    def enabled_rules(self) -> tuple[AnyRule, ...]:
        """Rules that are evaluated, in their order."""
        return tuple(rule for rule in self.rules if rule.enabled)


def load_alert_config(path: Path | None = None) -> AlertConfig:
    """The shipped rules with the file's over them. Without a file everything is logged (one receiver, `log`).

    Raises AlertsFileError with all problems at once.
    """
    shipped = _read_shipped()
    if path is None:
        return parse_alert_config("", "", shipped)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        hint = "TOKENTIDE_ALERTS_FILE or the command line names it"
        raise AlertsFileError([Problem(Place(str(path), 1), "file", "-", f"cannot be read: {reason}", hint)]) from error
    return parse_alert_config(text, str(path), shipped)


def shipped_rules_text() -> str:
    """The shipped rules' file as it is."""
    return (resources.files("tokentide_schemas.alerting") / DEFAULT_RULES_FILE).read_text(encoding="utf-8")


def parse_alert_config(text: str, file: str, shipped: Mapping[str, Mapping[str, Any]] | None = None) -> AlertConfig:
    """A file's text over `shipped` (rule name -> its values). Raises AlertsFileError."""
    reading = _Reading(Reader(file), _read_shipped() if shipped is None else shipped)
    config = reading.config(text)
    if reading.reader.problems:
        raise AlertsFileError(reading.reader.problems)
    return config


def _read_shipped() -> dict[str, Mapping[str, Any]]:
    reader = Reader(DEFAULT_RULES_FILE)
    document = reader.read(shipped_rules_text())
    if reader.problems:
        raise AlertsFileError(reader.problems)
    return {str(rule["name"]): rule for rule in document["rules"]}


@dataclass
class _Reading:
    reader: Reader
    shipped: Mapping[str, Mapping[str, Any]]
    seen: dict[str, dict[str, ValuePath]] = field(default_factory=dict)

    def config(self, text: str) -> AlertConfig:
        document = self.reader.read(text)
        if document is None:
            document = {}
        if not isinstance(document, dict):
            self.reader.add((), "file", "-", "must be a mapping", f"start with one of {', '.join(SECTIONS)}")
            document = {}
        for section in document:
            if section not in SECTIONS:
                hint = did_you_mean(section, SECTIONS, f"use {', '.join(SECTIONS)}")
                self.reader.add((section,), "file", section, "unknown section", hint)
        rules = self._rules(document)
        receivers = self._typed(document, "receivers", "type", RECEIVER_TYPES, {})
        config = AlertConfig(
            rules=tuple(rules),
            receivers=tuple(receivers) or (RECEIVER_TYPES["log"].model_validate({"name": "log"}),),  # type: ignore[arg-type]
            silences=tuple(self._plain(document, "silences", Silence)),
            maintenance=tuple(self._plain(document, "maintenance", Maintenance)),
            budgets=tuple(self._plain(document, "budgets", Budget)),
            shipped=frozenset(self.shipped.keys() - self.seen.get("rules", {}).keys()),
        )
        self._unknown_rule_names(config)
        return config

    def _rules(self, document: Mapping[str, Any]) -> list[Any]:
        own = self._typed(document, "rules", "kind", RULE_KINDS, self.shipped)
        by_name = {rule.name: rule for rule in own}
        rules = []
        for name, values in self.shipped.items():
            if name in by_name:
                rules.append(by_name.pop(name))
            elif name not in self.seen.get("rules", {}):
                rules.append(RULE_KINDS[values["kind"]].model_validate(dict(values)))
        return rules + list(by_name.values())

    def _items(self, document: Mapping[str, Any], section: str) -> list[tuple[int, dict[str, Any]]]:
        items = document.get(section)
        if items is None:
            return []
        if not isinstance(items, list):
            self.reader.add((section,), "file", section, "must be a list", "begin each entry with '- '")
            return []
        if len(items) > MAX_ENTRIES:
            self.reader.add((section,), "file", section, f"has {len(items)} entries", f"at most {MAX_ENTRIES} are read")
            return []
        found = []
        for number, item in enumerate(items):
            if not isinstance(item, dict):
                label = _label(section, number, {})
                self.reader.add((section, number), label, "-", "must be a mapping", "write 'key: value' pairs")
                continue
            name = item.get("name")
            at = self.seen.setdefault(section, {})
            if isinstance(name, str) and name in at:
                first = self.reader.place(at[name])
                hint = "give each a name of its own"
                self.reader.add(
                    (section, number, "name"), _label(section, number, item), "name", f"is at {first} too", hint
                )
                continue
            if isinstance(name, str):
                at[name] = (section, number)
            found.append((number, item))
        return found

    def _typed(
        self,
        document: Mapping[str, Any],
        section: str,
        key: str,
        kinds: Mapping[str, type[Section]],
        shipped: Mapping[str, Mapping[str, Any]],
    ) -> list[Any]:
        found = []
        for number, item in self._items(document, section):
            label = _label(section, number, item)
            base = shipped.get(str(item.get("name")), {})
            if base and key in item and item[key] != base[key]:
                message = f"the shipped rule of this name is a {base[key]}, not a {item[key]}"
                hint = f"give yours another name, and disable {item['name']} if you want"
                self.reader.add((section, number, key), label, key, message, hint)
                continue
            values = {**base, **item}
            kind = values.get(key)
            if kind is None:
                self.reader.add(
                    (section, number), label, key, "is missing", f"add '{key}: ', one of {', '.join(kinds)}"
                )
            elif kind not in kinds:
                hint = did_you_mean(str(kind), kinds, f"use {', '.join(kinds)}")
                self.reader.add((section, number, key), label, key, f"{kind!r} is not known", hint)
            else:
                made = self._validated(kinds[kind], values, (section, number), label)
                found += [] if made is None else [made]
        return found

    def _plain(self, document: Mapping[str, Any], section: str, kind: type[S]) -> list[S]:
        made = (
            self._validated(kind, item, (section, number), _label(section, number, item))
            for number, item in self._items(document, section)
        )
        return [one for one in made if one is not None]

    def _validated(self, kind: type[S], values: Mapping[str, Any], at: ValuePath, label: str) -> S | None:
        try:
            return kind.model_validate(dict(values))
        except ValidationError as error:
            for detail in error.errors(include_url=False):
                message, suggestion = in_words(kind, detail)
                key = ".".join(map(str, detail["loc"])) or "-"
                self.reader.add((*at, *detail["loc"]), label, key, message, suggestion)
            return None

    def _unknown_rule_names(self, config: AlertConfig) -> None:
        names = {rule.name for rule in config.rules} | self.seen.get("rules", {}).keys()
        for section, entries in (
            ("receivers", config.receivers),
            ("silences", config.silences),
            ("maintenance", config.maintenance),
        ):
            for entry in entries:
                for rule in entry.match.rules:
                    if rule not in names:
                        at = self.seen.get(section, {}).get(entry.name, (section,))
                        hint = did_you_mean(rule, names, "see the names in tokentide alerts check")
                        label = f"{_SINGULAR[section]} {entry.name}"
                        self.reader.add((*at, "match", "rules"), label, "match.rules", f"no rule {rule!r}", hint)


_SINGULAR: Final = {
    "rules": "rule",
    "receivers": "receiver",
    "silences": "silence",
    "maintenance": "maintenance",
    "budgets": "budget",
}


def _label(section: str, number: int, item: Mapping[str, Any]) -> str:
    name = item.get("name")
    return f"{_SINGULAR[section]} {name}" if name else f"{_SINGULAR[section]} number {number + 1}"


def environment_alert_config(environment: Mapping[str, str] = os.environ) -> AlertConfig:
    """What TOKENTIDE_ALERTS_FILE names. Raises AlertsFileError."""
    given = environment.get("TOKENTIDE_ALERTS_FILE", "")
    return load_alert_config(Path(given) if given else None)


__all__ = ["AlertConfig", "AlertSettings", "AlertsFileError", "Receiver", "Rule", "load_alert_config"]
