"""The catalogue in a real store: whole or not at all, unknown models visible, new ones known without a restart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sinks.stored_world import World, own_catalogue, usage
from tokentide_schemas.catalogue import load_catalogue
from tokentide_schemas.catalogue_tables import CATALOGUE_TABLES, stored_in
from tokentide_schemas.countries import CONTINENTS, load_continents
from tokentide_sinks.catalogue_loader import KEPT_LOADS, learn_names, load_into_store
from tokentide_sinks.store import Store, StoreUnavailableError

ATTRIBUTES = "canonical_model, author, open_weights, origin, origin_group, size_class, reasoning_model, continent"
NOW_MS = 1_790_000_000_000


@pytest.fixture
def shipped(world: World) -> World:
    load_into_store(world.store, load_catalogue(), (), NOW_MS)
    return world


def test_views_join_attributes_by_any_name_and_show_the_unknown_as_unknown(shipped: World) -> None:
    shipped.put(
        [
            usage(model="deepseek/deepseek-r1", country="DE", app="known"),
            usage(model="GPT-4o", request_model="GPT-4o", country="US", app="known by another name"),
            usage(model="nobody/nothing", country="", app="unknown"),
        ]
    )
    shipped.roll_up()
    rows = {row[0]: row[1:] for row in shipped.rows(f"SELECT app, {ATTRIBUTES} FROM usage")}
    assert rows == {
        "known": ("deepseek/deepseek-r1", "deepseek", "yes", "chinese", "chinese_open", "large", "yes", "Europe"),
        "known by another name": (
            "openai/gpt-4o", "openai", "no", "rest_of_world", "proprietary", "unknown", "no", "North America",
        ),
        "unknown": ("nobody/nothing", *["unknown"] * 7),
    }  # fmt: skip
    for view in ("rollup_models_1m", "rollup_models_1h", "rollup_models_1d"):
        groups = shipped.rows(
            f"SELECT origin_group, sum(requests), sum(total_tokens) FROM {view} GROUP BY 1 ORDER BY 1"
        )
        assert groups == [("chinese_open", 1, 110), ("proprietary", 1, 110), ("unknown", 1, 110)], view


def test_a_new_model_is_known_at_once(shipped: World, tmp_path: Path) -> None:
    shipped.put([usage(model="UNO")])
    assert shipped.value("SELECT author FROM usage") == "unknown"
    done = load_into_store(shipped.store, own_catalogue(tmp_path, "1"), (), NOW_MS + 1)
    assert done.is_new
    assert shipped.rows("SELECT canonical_model, author FROM usage") == [("maker/one", "maker")]


def test_spellings_that_only_rules_resolve_are_learnt_from_the_traffic(shipped: World, tmp_path: Path) -> None:
    catalogue = own_catalogue(tmp_path, "1")
    load_into_store(shipped.store, catalogue, (), NOW_MS + 1)
    names = ["azure/gpt-4o-2024-08-06", "Maker/One:free", "nobody/nothing"]
    shipped.put([usage(model=name) for name in names])
    shipped.roll_up()
    learnt = learn_names(shipped.store, catalogue)
    assert learnt == {"azure/gpt-4o-2024-08-06": "openai/gpt-4o", "maker/one:free": "maker/one"}
    assert learn_names(shipped.store, catalogue) == {}
    found = shipped.rows("SELECT model, canonical_model FROM usage ORDER BY model")
    assert found == [
        ("Maker/One:free", "maker/one"),
        ("azure/gpt-4o-2024-08-06", "openai/gpt-4o"),
        ("nobody/nothing", "nobody/nothing"),
    ]
    assert learn_names(shipped.store, load_catalogue()) == {}, "another catalogue than the loaded one teaches nothing"


def test_the_same_catalogue_is_not_loaded_twice_and_old_loads_go(shipped: World, tmp_path: Path) -> None:
    first = load_into_store(shipped.store, own_catalogue(tmp_path, "1"), (), NOW_MS + 1)
    again = load_into_store(shipped.store, own_catalogue(tmp_path, "1"), (), NOW_MS + 2)
    assert (again.load, again.is_new) == (first.load, False)
    for price in ("2", "3", "4"):
        # A clock that went back must not hide the newer catalogue.
        load_into_store(shipped.store, own_catalogue(tmp_path, price), (), 1)
    for view in CATALOGUE_TABLES:
        assert shipped.value(f"SELECT uniqExact(load) FROM {stored_in(view)}") <= KEPT_LOADS
    newest = own_catalogue(tmp_path, "4")
    assert shipped.value("SELECT count() FROM catalogue_models") == len(newest.models)
    assert shipped.value("SELECT any(catalogue_version) FROM catalogue_prices") == newest.version
    assert shipped.value("SELECT count() FROM catalogue_prices") == len(newest.price_rows())


class _Cut(Store):
    """A store connection that breaks before its nth insert."""

    def __init__(self, url: str, allowed: int) -> None:
        super().__init__(url)
        self.allowed = allowed

    def insert(self, *arguments: Any, **options: Any) -> None:
        self.allowed -= 1
        if self.allowed < 0:
            raise StoreUnavailableError("cut off")
        super().insert(*arguments, **options)


def test_readers_see_the_old_catalogue_until_the_new_one_is_whole(shipped: World, tmp_path: Path) -> None:
    load_into_store(shipped.store, own_catalogue(tmp_path, "7"), (), NOW_MS + 10)
    new = own_catalogue(tmp_path, "8")
    url = f"http://tokentide@127.0.0.1:{shipped.process.port}/tokentide"
    before = [shipped.rows(f"SELECT * FROM {view} ORDER BY ALL") for view in CATALOGUE_TABLES]
    for allowed in range(len(CATALOGUE_TABLES) + 1):
        with pytest.raises(StoreUnavailableError):
            load_into_store(_Cut(url, allowed), new, (), NOW_MS + 20 + allowed)
        assert [shipped.rows(f"SELECT * FROM {view} ORDER BY ALL") for view in CATALOGUE_TABLES] == before
    load_into_store(shipped.store, new, (), NOW_MS + 30)
    assert shipped.value("SELECT DISTINCT catalogue_version FROM catalogue_models") == new.version


def test_every_country_of_the_data_file_has_one_continent() -> None:
    continents = load_continents()
    assert set(continents.values()) == set(CONTINENTS)
    assert all(len(code) == 2 and code.isupper() for code in continents)
    assert len(continents) == 250
    assert [continents[code] for code in ("US", "SG", "BR", "NO", "ZA", "AU", "MX")] == [
        "North America", "Asia", "South America", "Europe", "Africa", "Oceania", "North America",
    ]  # fmt: skip
