"""The panel of points on two logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import common, xychart
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import xychart as models
from grafana_foundation_sdk.models.dashboard import DynamicConfigValue

from tokentide_dashboards.clickhouse_query import Query, datasource
from tokentide_dashboards.data_links import DataLink, Link
from tokentide_dashboards.panels import Place

POINT_SIZE_PX = 8


def _column(name: str) -> xychart.MatcherConfig:
    return xychart.MatcherConfig().id("byName").options(name)


def _series(x: str, y: str) -> xychart.XYSeriesConfig:
    return (
        xychart.XYSeriesConfig()
        .name(xychart.XychartXYSeriesConfigName().fixed(y))
        .frame(xychart.XychartXYSeriesConfigFrame().matcher(xychart.MatcherConfig().id("byIndex").options(0)))
        .x(xychart.XychartXYSeriesConfigX().matcher(_column(x)))
        .y(xychart.XychartXYSeriesConfigY().matcher(_column(y)))
    )


def scatter_panel(
    panel_id: int,
    place: Place,
    title: str,
    description: str,
    sql: str,
    *,
    x: str,
    x_unit: str,
    y: Sequence[str],
    unit: str,
    links: Sequence[DataLink] = (),
) -> xychart.Panel:
    """Points: one row each, the column `x` against the first column of `y` that is not NULL. Both axes logarithmic.

    Text columns of the row are shown when a point is pointed at. Rows must be above zero, or they cannot be drawn.
    """
    panel = (
        xychart.Panel()
        .id(panel_id)
        .title(title)
        .description(description)
        .datasource(datasource())
        .grid_pos(place.grid())
        .unit(unit)
        .mapping(models.SeriesMapping.MANUAL)
        .series([_series(x, name) for name in y])
        .show(models.XYShowMode.POINTS)
        .point_size(xychart.XychartFieldConfigPointSize().fixed(POINT_SIZE_PX))
        .scale_distribution(common.ScaleDistributionConfig().type(common_models.ScaleDistribution.LOG).log(10))
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(common_models.LegendDisplayMode.LIST)
            .placement(common_models.LegendPlacement.BOTTOM)
            .calcs([])
        )
        .tooltip(
            common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.SINGLE).sort(common_models.SortOrder.NONE)
        )
        .override_by_name(x, [DynamicConfigValue(id_val="unit", value=x_unit)])
        .with_target(Query(sql, "table"))
    )
    return panel.data_links([Link(link) for link in links]) if links else panel
