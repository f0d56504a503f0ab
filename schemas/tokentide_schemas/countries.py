"""Which continent a country is on: `data/countries.yaml`."""

from __future__ import annotations

from importlib import resources
from typing import Final

import yaml

CONTINENTS: Final = ("Africa", "Antarctica", "Asia", "Europe", "North America", "Oceania", "South America")


def load_continents() -> dict[str, str]:
    """ISO 3166-1 alpha-2 code -> continent, one of CONTINENTS."""
    text = (resources.files("tokentide_schemas") / "data" / "countries.yaml").read_text(encoding="utf-8")
    by_continent: dict[str, list[str]] = yaml.safe_load(text)
    return {country: continent for continent, countries in by_continent.items() for country in countries}
