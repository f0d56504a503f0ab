"""Layers of entries to one consistent set: later layers win by id, and every contradiction is a problem. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import TypeVar

from tokentide_schemas.catalogue.entries import Author, Entry, Model, Price, Provider
from tokentide_schemas.catalogue.names import fold, fold_provider, implied_names
from tokentide_schemas.catalogue.problems import Problem, did_you_mean
from tokentide_schemas.catalogue.reading import Layer, Located
from tokentide_schemas.catalogue.resolved import overlaps

E = TypeVar("E", bound=Entry)
Series = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Merged:
    """All entries that hold, by id; prices by series, each sorted by `valid_from`."""

    authors: dict[str, Located[Author]]
    providers: dict[str, Located[Provider]]
    models: dict[str, Located[Model]]
    prices: dict[Series, list[Located[Price]]]
    model_names: dict[str, str]
    provider_names: dict[str, str]
    author_names: dict[str, str]


def merge(layers: Sequence[Layer]) -> tuple[Merged, list[Problem]]:
    """The entries of all layers, and what contradicts in them."""
    problems: list[Problem] = []
    authors = _by_id([layer.authors for layer in layers], "author", lambda entry: entry.id, problems)
    providers = _by_id([layer.providers for layer in layers], "provider", lambda entry: entry.id, problems)
    models = _by_id([layer.models for layer in layers], "model", lambda entry: entry.id, problems)
    prices = _price_series([layer.prices for layer in layers], problems)
    unreadable = {name for layer in layers for name in layer.unreadable_ids}
    _check_authors(models, {*authors, *unreadable}, problems)
    author_names = _names(
        {key: (at, [at.entry.id, *at.entry.aliases]) for key, at in authors.items()}, "author", fold, problems
    )
    provider_names = _names(
        {key: (at, [at.entry.id, *at.entry.aliases]) for key, at in providers.items()},
        "provider",
        fold_provider,
        problems,
    )
    for provider, located in providers.items():
        provider_names.setdefault(fold_provider(located.entry.name), provider)
    model_names = _names(
        {key: (at, [at.entry.id, *at.entry.aliases]) for key, at in models.items()}, "model", fold, problems
    )
    _add_implied(models, model_names)
    _check_prices(prices, {*models, *unreadable}, model_names, {*providers, *unreadable}, provider_names, problems)
    merged = Merged(authors, providers, models, prices, model_names, provider_names, author_names)
    return merged, problems


def _by_id(
    layers: Sequence[Sequence[Located[E]]], kind: str, identity: Callable[[E], str], problems: list[Problem]
) -> dict[str, Located[E]]:
    merged: dict[str, Located[E]] = {}
    for layer in layers:
        seen: dict[str, Located[E]] = {}
        for located in layer:
            key = identity(located.entry)
            if key in seen:
                message = f"is also defined at {seen[key].place}"
                problems.append(Problem(located.place, f"{kind} {key}", "id", message, "keep one of the two"))
            else:
                seen[key] = located
        merged.update(seen)
    return merged


def _price_series(
    layers: Sequence[Sequence[Located[Price]]], problems: list[Problem]
) -> dict[Series, list[Located[Price]]]:
    merged: dict[Series, dict[object, Located[Price]]] = {}
    for layer in layers:
        seen: dict[object, Located[Price]] = {}
        for series in {located.entry.series for located in layer if located.entry.replaces_earlier_files}:
            merged.pop(series, None)
        for located in layer:
            key = (located.entry.series, located.entry.valid_from)
            if key in seen:
                message = f"a price with the same start is at {seen[key].place}"
                hint = "keep one of the two or change its valid_from"
                problems.append(Problem(located.place, f"price {located.entry.label}", "valid_from", message, hint))
                continue
            seen[key] = located
            merged.setdefault(located.entry.series, {})[located.entry.valid_from] = located
    ordered = {
        series: sorted(rows.values(), key=lambda located: located.entry.valid_from) for series, rows in merged.items()
    }
    for rows in ordered.values():
        problems += overlaps(rows)
    return ordered


def _check_authors(models: dict[str, Located[Model]], authors: Set[str], problems: list[Problem]) -> None:
    for model_id, located in models.items():
        author = located.entry.author
        if author not in authors:
            hint = did_you_mean(author, authors, f"add an author with id {author} under 'authors'")
            problems.append(Problem(located.place, f"model {model_id}", "id", f"unknown author {author!r}", hint))


def _names(
    owners: dict[str, tuple[Located[E], list[str]]], kind: str, form: Callable[[str], str], problems: list[Problem]
) -> dict[str, str]:
    """Folded ids and aliases to ids; the same name twice is a problem that names both places."""
    names: dict[str, str] = {form(key): key for key in owners}
    for key, (located, written) in owners.items():
        mine: set[str] = set()
        for name in written[1:]:
            folded = form(name)
            owner = names.get(folded)
            if folded in mine or owner == key:
                message, hint = f"{name!r} names this {kind} already", "remove the repetition"
            elif owner is not None:
                message = f"{name!r} already means {owner} ({owners[owner][0].place})"
                hint = "give the alias to one of the two"
            else:
                names[folded] = key
                mine.add(folded)
                continue
            problems.append(Problem(located.place, f"{kind} {key}", "aliases", message, hint))
    return names


def _add_implied(models: dict[str, Located[Model]], names: dict[str, str]) -> None:
    """Adds names that follow from ids, unless two models would share one or an alias has given it away."""
    owners: dict[str, set[str]] = {}
    for model_id in models:
        for name in implied_names(model_id):
            owners.setdefault(name, set()).add(model_id)
    for name, ids in owners.items():
        if len(ids) == 1:
            names.setdefault(name, next(iter(ids)))


def _check_prices(
    prices: dict[Series, list[Located[Price]]],
    models: Set[str],
    model_names: dict[str, str],
    providers: Set[str],
    provider_names: dict[str, str],
    problems: list[Problem],
) -> None:
    uses: dict[tuple[str, str], list[Located[Price]]] = {}
    for (provider, model, _), rows in prices.items():
        if model not in models:
            uses.setdefault(("model", model), []).extend(rows)
        if provider not in providers:
            uses.setdefault(("provider", provider), []).extend(rows)
    # One problem for each unknown name: a forgotten entry would otherwise be reported with every price.
    for (kind, name), rows in uses.items():
        known = models if kind == "model" else providers
        meant = model_names.get(name) if kind == "model" else provider_names.get(fold_provider(name))
        hint = did_you_mean(name, known, f"add it under '{kind}s' or correct the id")
        if meant is not None:
            hint = f"write its id, {meant}"
        more = f" (and in {len(rows) - 1} more prices)" if len(rows) > 1 else ""
        message = f"unknown {kind} {name!r}{more}"
        problems.append(Problem(rows[0].place, f"price {rows[0].entry.label}", kind, message, hint))
