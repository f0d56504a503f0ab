"""The ClickHouse target of a panel: the one query type that the foundation SDK does not have."""

from __future__ import annotations

from typing import Any, Final, Literal, Self, get_args

from grafana_foundation_sdk.cog import runtime, variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import DataSourceRef

DATASOURCE_TYPE: Final = "grafana-clickhouse-datasource"
DATASOURCE_VARIABLE: Final = "datasource"
PLUGIN_VERSION: Final = "4.20.0"

QueryType = Literal["timeseries", "table", "logs", "traces"]
FORMATS: Final[dict[QueryType, int]] = {"timeseries": 0, "table": 1, "logs": 2, "traces": 3}
"""The plugin's backend reads the number, its editor the name: they have to say the same."""

_KEYS: Final = frozenset(
    {"refId", "datasource", "editorType", "queryType", "format", "rawSql", "pluginVersion", "meta", "hide"}
)


def datasource() -> DataSourceRef:
    """The data source that the reader picked in the dashboard's `datasource` variable."""
    return DataSourceRef(type_val=DATASOURCE_TYPE, uid=f"${{{DATASOURCE_VARIABLE}}}")


class ClickHouseQuery(variants.Dataquery):
    """One SQL query of a panel, with the plugin's macros and the dashboard's variables still in it."""

    def __init__(self, sql: str, query_type: QueryType, ref_id: str = "A") -> None:
        self.sql = sql
        self.query_type: QueryType = query_type
        self.ref_id = ref_id

    def to_json(self) -> dict[str, object]:
        """The target as the plugin's version 4.20 stores it in a dashboard."""
        return {
            "refId": self.ref_id,
            "datasource": datasource(),
            "editorType": "sql",
            "queryType": self.query_type,
            "format": FORMATS[self.query_type],
            "rawSql": self.sql,
            "pluginVersion": PLUGIN_VERSION,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read a target back. Raises ValueError when a key is unknown, or `format` and `queryType` disagree."""
        if unknown := sorted(set(data) - _KEYS):
            raise ValueError(f"ClickHouse target {data.get('refId')!r}: unknown keys {unknown}; known: {sorted(_KEYS)}")
        query_type = data["queryType"]
        if query_type not in get_args(QueryType) or FORMATS[query_type] != data["format"]:
            raise ValueError(
                f"ClickHouse target {data.get('refId')!r}: queryType {query_type!r} and format {data['format']!r} "
                f"do not belong together; use one of {FORMATS}"
            )
        return cls(data["rawSql"], query_type, data["refId"])


class Query(Builder[ClickHouseQuery]):
    """What a panel builder's `with_target` takes."""

    def __init__(self, sql: str, query_type: QueryType, ref_id: str = "A") -> None:
        self._query = ClickHouseQuery(sql, query_type, ref_id)

    def build(self) -> ClickHouseQuery:
        """The query."""
        return self._query


def register() -> None:
    """Teach the SDK's runtime to read dashboards that have ClickHouse targets. Safe to call again."""
    register_default_plugins()
    runtime.register_dataquery_variant(
        runtime.DataqueryConfig(identifier=DATASOURCE_TYPE, from_json_hook=ClickHouseQuery.from_json)
    )
