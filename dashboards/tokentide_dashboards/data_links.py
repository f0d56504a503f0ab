"""Links from a drawn value to another dashboard, with the time range and the variables that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models.dashboard import DashboardLink

MODEL_UID: Final = "tokentide-model"
REQUESTS_UID: Final = "tokentide-requests"
CATEGORIES_UID: Final = "tokentide-categories"


class DataLink(DashboardLink):
    """A link of a field. In Grafana it has a title and an address; the SDK offers only the richer dashboard link."""

    def __init__(self, title: str, url: str) -> None:
        super().__init__(title=title, url=url)

    def to_json(self) -> dict[str, object]:
        """As Grafana stores it."""
        return {"title": self.title, "url": self.url}


class Link(builders.DashboardLink):
    """What a panel builder's `data_links` takes."""

    def __init__(self, link: DataLink) -> None:
        super().__init__(link.title)
        self._internal = link


def link_to(title: str, uid: str, sets: Mapping[str, str], keeps: Sequence[str] = ()) -> DataLink:
    """A link to the dashboard `uid`. `sets`: variable -> value there; `keeps`: variables with the value from here."""
    parts = ["${__url_time_range}", "${datasource:queryparam}"]
    parts += [f"${{{name}:queryparam}}" for name in keeps if name not in sets]
    parts += [f"var-{name}={value}" for name, value in sets.items()]
    return DataLink(title, f"/d/{uid}?{'&'.join(parts)}")


def series_name(label: str) -> str:
    """The name of the series that was clicked; `label`: the query's name column."""
    return f"${{__field.labels.{label}}}"


def cell(column: str) -> str:
    """The value of `column` in the row that was clicked."""
    return f'${{__data.fields["{column}"]}}'


def to_model(value: str, keeps: Sequence[str] = ()) -> DataLink:
    """From a share to its model."""
    return link_to("Open this model", MODEL_UID, {"model": value}, keeps)


def to_requests(sets: Mapping[str, str], keeps: Sequence[str] = ()) -> DataLink:
    """To the newest single requests behind a value."""
    return link_to("Requests", REQUESTS_UID, sets, keeps)
