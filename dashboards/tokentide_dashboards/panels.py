"""Builders for the few kinds of panel that the dashboards use, with the choices that every panel shares.

The kinds and options are a closed list: the JSON Schema allows no others, and the board draws exactly these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from grafana_foundation_sdk.builders import common, dashboard, stat, table, timeseries
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    GridPos,
    Threshold,
    ThresholdsMode,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from tokentide_dashboards.clickhouse_query import DATASOURCE_TYPE, DATASOURCE_VARIABLE, Query, datasource
from tokentide_dashboards.data_links import DataLink, Link
from tokentide_dashboards.macros import ALL

GRID_COLUMNS: Final = 24
GREEN, YELLOW, RED = "green", "yellow", "red"
NO_VALUE: Final = "No data in this range"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a panel is on the grid of 24 columns; a row is 30 pixels high."""

    x: int
    y: int
    width: int
    height: int

    def grid(self) -> GridPos:
        """The place as Grafana stores it."""
        return GridPos(h=self.height, w=self.width, x=self.x, y=self.y)


class Grid:
    """Hands out ids and places from left to right, row by row. A row's cells must have one height and fill it."""

    def __init__(self) -> None:
        self._next_id = 1
        self._x = 0
        self._y = 0

    def cell(self, width: int, height: int) -> tuple[int, Place]:
        """The next panel's id and place. ValueError when it does not fit into what is left of the row."""
        if self._x + width > GRID_COLUMNS:
            raise ValueError(
                f"panel {self._next_id}: {width} columns do not fit after {self._x} of {GRID_COLUMNS}; "
                "fill the row before beginning another"
            )
        place = Place(self._x, self._y, width, height)
        panel_id = self._next_id
        self._next_id += 1
        self._x += width
        if self._x == GRID_COLUMNS:
            self._x, self._y = 0, self._y + height
        return panel_id, place


def thresholds(*steps: tuple[float, str], base: str = GREEN) -> dashboard.ThresholdsConfig:
    """Colours by absolute value: `base` below the first step."""
    first = Threshold(value=None, color=base)
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([first, *(Threshold(value=value, color=color) for value, color in steps)])
    )


def stat_panel(
    panel_id: int,
    place: Place,
    title: str,
    description: str,
    sql: str,
    *,
    unit: str,
    no_value: str,
    decimals: int | None = None,
    steps: Sequence[tuple[float, str]] = (),
) -> stat.Panel:
    """One number. `no_value` says in words what it means that there is none; `steps` colour it."""
    panel = (
        stat.Panel()
        .id(panel_id)
        .title(title)
        .description(description)
        .datasource(datasource())
        .grid_pos(place.grid())
        .unit(unit)
        .no_value(no_value)
        .thresholds(thresholds(*steps, base=GREEN if steps else "text"))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("").values(False))
        .color_mode(common_models.BigValueColorMode.VALUE)
        .graph_mode(common_models.BigValueGraphMode.NONE)
        .text_mode(common_models.BigValueTextMode.VALUE)
        .justify_mode(common_models.BigValueJustifyMode.AUTO)
        .orientation(common_models.VizOrientation.AUTO)
        .with_target(Query(sql, "table"))
    )
    return panel if decimals is None else panel.decimals(decimals)


def series_panel(
    panel_id: int,
    place: Place,
    title: str,
    description: str,
    sql: str,
    *,
    unit: str,
    stacked: bool,
    max_value: float | None = None,
    min_interval: str = "1m",
    decimals: int | None = None,
    links: Sequence[DataLink] = (),
    bars: bool = False,
    colors: Mapping[str, str] = MappingProxyType({}),
) -> timeseries.Panel:
    """Values over time, one series for each name. `min_interval`: the narrowest point that the data can fill. `bars`:
    for what most points have nothing of. `colors`: of names that mean something bad or good."""
    mode = common_models.StackingMode.NORMAL if stacked else common_models.StackingMode.NONE
    panel = (
        timeseries.Panel()
        .id(panel_id)
        .title(title)
        .description(description)
        .datasource(datasource())
        .grid_pos(place.grid())
        .unit(unit)
        .min(0)
        .interval(min_interval)
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .draw_style(common_models.GraphDrawStyle.BARS if bars else common_models.GraphDrawStyle.LINE)
        .line_interpolation(common_models.LineInterpolation.LINEAR)
        .line_width(1)
        .fill_opacity(70 if stacked or bars else 10)
        .show_points(common_models.VisibilityMode.AUTO)
        .stacking(common.StackingConfig().group("A").mode(mode))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.TABLE)
            .placement(common_models.LegendPlacement.RIGHT)
            .calcs(["lastNotNull", "mean"])
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(common_models.TooltipDisplayMode.MULTI)
            .sort(common_models.SortOrder.DESCENDING)
        )
        .with_target(Query(sql, "timeseries"))
    )
    if max_value is not None:
        panel = panel.max(max_value)
    if decimals is not None:
        panel = panel.decimals(decimals)
    for name, color in colors.items():
        fixed = DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
        panel = panel.override_by_name(name, [fixed])
    return panel.data_links([Link(link) for link in links]) if links else panel


def share_panel(
    panel_id: int, place: Place, title: str, description: str, sql: str, *, links: Sequence[DataLink] = ()
) -> timeseries.Panel:
    """Shares of one whole over time, stacked to 100 %. The query gives them as 0 to 1."""
    return series_panel(
        panel_id, place, title, description, sql, unit="percentunit", stacked=True, max_value=1, links=links
    )


@dataclass(frozen=True, slots=True)
class TableColumn:
    """How one column of a table is shown.

    `bar`: as a bar from 0 to 1 behind the number; `heat`: coloured by a value from 0 to 1; `signed`: red below zero.
    """

    name: str
    unit: str
    decimals: int | None = None
    bar: bool = False
    signed: bool = False
    width_px: int | None = None
    heat: bool = False
    links: tuple[DataLink, ...] = ()

    def properties(self) -> list[DynamicConfigValue]:
        """The column's overrides."""
        found = [DynamicConfigValue(id_val="unit", value=self.unit)]
        if self.decimals is not None:
            found.append(DynamicConfigValue(id_val="decimals", value=self.decimals))
        if self.width_px is not None:
            found.append(DynamicConfigValue(id_val="custom.width", value=self.width_px))
        if self.bar:
            cell = {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
            found += [
                DynamicConfigValue(id_val="custom.cellOptions", value=cell),
                DynamicConfigValue(id_val="min", value=0),
                DynamicConfigValue(id_val="max", value=1),
                DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": "blue"}),
            ]
        if self.heat:
            found += [
                DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-background", "mode": "basic"}),
                DynamicConfigValue(id_val="min", value=0),
                DynamicConfigValue(id_val="max", value=1),
                DynamicConfigValue(id_val="color", value={"mode": "continuous-blues"}),
            ]
        if self.links:
            found.append(DynamicConfigValue(id_val="links", value=[link.to_json() for link in self.links]))
        if self.signed:
            steps = [{"value": None, "color": RED}, {"value": 0, "color": "text"}, {"value": 1e-9, "color": GREEN}]
            found += [
                DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}),
                DynamicConfigValue(id_val="thresholds", value={"mode": "absolute", "steps": steps}),
            ]
        return found


def table_panel(
    panel_id: int, place: Place, title: str, description: str, sql: str, *, columns: Sequence[TableColumn]
) -> table.Panel:
    """Rows in the query's own order. A column that `columns` does not name is shown as text."""
    panel = (
        table.Panel()
        .id(panel_id)
        .title(title)
        .description(description)
        .datasource(datasource())
        .grid_pos(place.grid())
        .unit("short")
        .no_value("-")
        .show_header(True)
        .cell_height(common_models.TableCellHeight.SM)
        .with_target(Query(sql, "table"))
    )
    for column in columns:
        panel = panel.override_by_name(column.name, column.properties())
    return panel


def datasource_variable() -> dashboard.DatasourceVariable:
    """The choice of data source."""
    return dashboard.DatasourceVariable(DATASOURCE_VARIABLE).label("Data source").type(DATASOURCE_TYPE)


def one_of_variable(
    name: str, label: str, description: str, values: Sequence[str], chosen: str
) -> dashboard.CustomVariable:
    """Exactly one of a fixed list."""
    if chosen not in values:
        raise ValueError(f"variable {name}: {chosen!r} is not one of {list(values)}")
    return (
        dashboard.CustomVariable(name)
        .label(label)
        .description(description)
        .values(",".join(values))
        .options([VariableOption(text=value, value=value, selected=value == chosen) for value in values])
        .current(VariableOption(text=chosen, value=chosen))
        .multi(False)
        .include_all(False)
    )


def choice_variable(name: str, label: str, description: str, sql: str) -> dashboard.QueryVariable:
    """Several values or All, offered as the range holds them."""
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(datasource())
        .query(sql)
        .multi(True)
        .include_all(True)
        .current(VariableOption(text=["All"], value=[ALL]))
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_CASE_INSENSITIVE_ASC)
    )
