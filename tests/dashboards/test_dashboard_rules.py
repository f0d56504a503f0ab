"""The committed JSON: up to date, valid against Grafana's own types, and within our rules."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from jsonschema import Draft7Validator

from tokentide_dashboards import build
from tokentide_dashboards.clickhouse_query import ClickHouseQuery, register
from tokentide_dashboards.macros import MACROS
from tokentide_dashboards.panels import GRID_COLUMNS

GRAFANA = Path(__file__).resolve().parents[2] / "dashboards" / "grafana"
SCHEMA = json.loads((Path(__file__).parent / "schema" / "dashboard.schema.json").read_text(encoding="utf-8"))
DASHBOARDS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in GRAFANA.glob("dashboards/*.json")}
PANELS = [
    pytest.param(panel, id=f"{name}-{panel['title']}")
    for name, d in sorted(DASHBOARDS.items())
    for panel in d["panels"]
]
TEMPLATE_SOURCE = {"type": "grafana-clickhouse-datasource", "uid": "${datasource}"}
Mutation = Callable[[dict[str, Any]], object]


def queries(dashboard: dict[str, Any]) -> list[str]:
    panels = [target["rawSql"] for panel in dashboard["panels"] for target in panel["targets"]]
    variables = [v["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    return panels + variables + [a["target"]["rawSql"] for a in dashboard["annotations"].get("list", [])]


def links(dashboard: dict[str, Any]) -> list[tuple[dict[str, Any], dict[str, str]]]:
    """(panel, link) of every data link."""
    found = []
    for panel in dashboard["panels"]:
        config = panel["fieldConfig"]
        found += [(panel, link) for link in config["defaults"].get("links", [])]
        for override in config["overrides"]:
            found += [(panel, link) for p in override["properties"] if p["id"] == "links" for link in p["value"]]
    return found


def test_the_committed_files_are_what_the_code_builds() -> None:
    assert build.differences(GRAFANA) == ""


def test_the_check_prints_a_diff_and_fails_when_a_file_is_old(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build.write(tmp_path)
    assert build.main(["--check", "--out", str(tmp_path)]) == 0
    board = tmp_path / "dashboards" / "now.json"
    board.write_text(board.read_text(encoding="utf-8").replace('"title": "Now"', '"title": "Then"'), encoding="utf-8")
    (tmp_path / "dashboards" / "left-over.json").write_text("{}", encoding="utf-8")
    assert build.main(["--check", "--out", str(tmp_path)]) == 1
    printed = capsys.readouterr().out
    assert '-  "title": "Then"' in printed
    assert '+  "title": "Now"' in printed
    assert "dashboards/left-over.json is committed, but nothing builds it" in printed


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_a_dashboard_is_valid_by_grafanas_own_types(dashboard: dict[str, Any]) -> None:
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(dashboard)] == []


@pytest.mark.parametrize(
    "mutate",
    [
        pytest.param(lambda d: d.update(bogus=1), id="an unknown key of the dashboard"),
        pytest.param(lambda d: d.pop("uid"), id="no uid"),
        pytest.param(lambda d: d["panels"][7]["fieldConfig"]["defaults"]["custom"].update(bogus=1), id="custom key"),
        pytest.param(lambda d: d["panels"][7]["options"]["legend"].update(displayMode="weird"), id="a bad enum"),
        pytest.param(lambda d: d["panels"][0].update(type="piechart"), id="a panel kind that is not ours"),
        pytest.param(lambda d: d["panels"][0].pop("description"), id="no description"),
        pytest.param(lambda d: links(d)[0][1].pop("url"), id="a link that leads nowhere"),
        pytest.param(
            lambda d: d["annotations"].update(list=[{"name": "x", "enable": True, "iconColor": "red"}]),
            id="an annotation without a query",
        ),
        pytest.param(lambda d: d["panels"][0]["fieldConfig"]["defaults"].pop("unit"), id="no unit"),
        pytest.param(
            lambda d: d["panels"][0].update(datasource={"type": "prometheus", "uid": "x"}), id="a fixed source"
        ),
        pytest.param(
            lambda d: d["panels"][0]["targets"][0].update(rawSQL=d["panels"][0]["targets"][0].pop("rawSql")),
            id="rawSQL instead of rawSql",
        ),
        pytest.param(lambda d: d["panels"][0]["targets"][0].update(format=0), id="a format unlike the query type"),
        pytest.param(
            lambda d: d["panels"][11]["fieldConfig"]["overrides"][2]["properties"].append(
                {"id": "custom.cellOptions", "value": {"type": "gague"}}
            ),
            id="a misspelt cell type in an override",
        ),
    ],
)
def test_a_mutated_dashboard_fails_the_schema(mutate: Mutation) -> None:
    broken = copy.deepcopy(DASHBOARDS["now"])
    mutate(broken)
    assert list(Draft7Validator(SCHEMA).iter_errors(broken))


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_says_what_it_shows_in_which_unit_from_the_chosen_source(panel: dict[str, Any]) -> None:
    assert panel["title"].strip()
    assert len(panel["description"]) >= 40, "state the definition"
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    assert panel["datasource"] == TEMPLATE_SOURCE
    assert all(target["datasource"] == TEMPLATE_SOURCE for target in panel["targets"])


@pytest.mark.parametrize("panel", [p for p in PANELS if p.values[0]["type"] != "table"])
def test_a_panel_without_data_says_so_or_draws_nothing(panel: dict[str, Any]) -> None:
    assert panel["type"] in ("timeseries", "xychart") or panel["fieldConfig"]["defaults"]["noValue"]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_panels_have_their_own_id_and_do_not_overlap(dashboard: dict[str, Any]) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= GRID_COLUMNS
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, f"{panel['title']} lies over another panel"
        taken |= cells
    height = 1 + max(y for _, y in taken)
    assert len(taken) == GRID_COLUMNS * height, "the grid has holes"


def test_uids_are_unique_and_stable() -> None:
    assert {name: d["uid"] for name, d in DASHBOARDS.items()} == {
        name: f"tokentide-{name}" for name in build.DASHBOARDS
    }
    assert len({d["title"] for d in DASHBOARDS.values()}) == len(DASHBOARDS)


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_the_first_variable_is_the_source_and_the_others_are_described(dashboard: dict[str, Any]) -> None:
    source, *others = dashboard["templating"]["list"]
    assert (source["name"], source["label"], source["type"]) == ("datasource", "Data source", "datasource")
    assert len({v["name"] for v in others}) == len(others)
    for variable in others:
        assert variable["label"] and variable["description"]
        assert not [key for key in variable if key.startswith("auto")]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_a_choice_from_the_store_takes_several_values_and_all(dashboard: dict[str, Any]) -> None:
    for choice in [v for v in dashboard["templating"]["list"] if v["type"] == "query"]:
        assert choice["multi"] and choice["includeAll"]
        assert choice["current"] == {"text": ["All"], "value": ["$__all"]}
        assert choice["datasource"] == TEMPLATE_SOURCE


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_a_choice_from_a_list_has_one_of_its_values(dashboard: dict[str, Any]) -> None:
    for choice in [v for v in dashboard["templating"]["list"] if v["type"] == "custom"]:
        assert [option["value"] for option in choice["options"]] == choice["query"].split(",")
        assert choice["current"]["value"] in choice["query"].split(",")
        assert not choice["multi"] and not choice["includeAll"]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_every_variable_is_used(dashboard: dict[str, Any]) -> None:
    text = "\n".join(target["rawSql"] for panel in dashboard["panels"] for target in panel["targets"])
    for variable in dashboard["templating"]["list"][1:]:
        assert f"${{{variable['name']}:singlequote}}" in text, f"{variable['name']} selects nothing"


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_a_link_leads_to_a_dashboard_that_has_its_variables_and_keeps_the_range(dashboard: dict[str, Any]) -> None:
    by_uid = {d["uid"]: d for d in DASHBOARDS.values()}
    here = {v["name"] for v in dashboard["templating"]["list"]}
    for panel, link in links(dashboard):
        address, _, query = link["url"].partition("?")
        there = {v["name"] for v in by_uid[address.removeprefix("/d/")]["templating"]["list"]}
        assert query.startswith("${__url_time_range}&${datasource:queryparam}")
        kept = set(re.findall(r"\$\{(\w+):queryparam\}", query))
        assert kept <= here, f"{panel['title']}: keeps variables that this dashboard does not have"
        assert kept | set(re.findall(r"var-(\w+)=", query)) <= there, f"{panel['title']}: {link['url']}"


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_a_link_takes_a_value_that_the_query_has(dashboard: dict[str, Any]) -> None:
    for panel, link in links(dashboard):
        (target,) = panel["targets"]
        for label in re.findall(r"\$\{__field\.labels\.(\w+)\}", link["url"]):
            assert f"AS {label}," in target["rawSql"], f"{panel['title']}: no series label {label}"
        for column in re.findall(r'\$\{__data\.fields\["([^"]+)"\]\}', link["url"]):
            assert f'AS "{column}"' in target["rawSql"], f"{panel['title']}: no column {column}"


def test_from_a_share_one_reaches_the_model_and_from_it_its_requests() -> None:
    (panel,) = [p for p in DASHBOARDS["models"]["panels"] if p["title"] == "Share of tokens by model"]
    to_model, to_requests = panel["fieldConfig"]["defaults"]["links"]
    assert to_model["url"].startswith("/d/tokentide-model?")
    assert to_requests["url"].startswith("/d/tokentide-requests?")
    assert to_model["url"].endswith("var-model=${__field.labels.model}")
    further = [link["url"] for _, link in links(DASHBOARDS["model"])]
    assert further and all(url.startswith("/d/tokentide-requests?") for url in further)


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_one_can_go_from_every_dashboard_to_every_other(dashboard: dict[str, Any]) -> None:
    (way,) = dashboard["links"]
    assert (way["type"], way["tags"], way["keepTime"], way["includeVars"]) == ("dashboards", ["tokentide"], True, True)
    assert dashboard["tags"] == way["tags"]


@pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=DASHBOARDS.keys())
def test_sql_uses_known_macros_and_escaped_variables_only(dashboard: dict[str, Any]) -> None:
    names = {variable["name"] for variable in dashboard["templating"]["list"]}
    for sql in queries(dashboard):
        assert set(re.findall(r"\$\{?__(\w+)", sql)) <= {*MACROS, "conditionalAll", "timezone"}
        assert set(re.findall(r"\$\{(\w+):singlequote\}", sql)) <= names
        guarded = re.sub(r"\), \$(\w+)\)|\$\{__timezone\}", "", sql)
        assert re.findall(r"\$(?!__)(?!\{\w+:singlequote\})", guarded) == [], "use ${v:singlequote}"


def test_the_sdk_reads_our_target_back() -> None:
    register()
    read = Dashboard.from_json(DASHBOARDS["now"])
    target = read.panels[0].targets[0]  # type: ignore[index,union-attr]
    assert isinstance(target, ClickHouseQuery)
    assert json.loads(json.dumps(target, cls=JSONEncoder)) == DASHBOARDS["now"]["panels"][0]["targets"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rawSQL": ""}, "unknown keys"),
        ({"format": 0}, "do not belong together"),
        ({"queryType": "x"}, "do not belong"),
    ],
)
def test_a_target_with_a_mistake_is_refused(change: dict[str, object], message: str) -> None:
    target = {**DASHBOARDS["now"]["panels"][0]["targets"][0], **change}
    with pytest.raises(ValueError, match=message):
        ClickHouseQuery.from_json(target)


def test_provisioning_takes_address_and_reader_from_the_environment() -> None:
    text = (GRAFANA / "provisioning" / "datasources" / "tokentide.yaml").read_text(encoding="utf-8")
    (source,) = yaml.safe_load(text)["datasources"]
    assert source["uid"] == "tokentide-clickhouse"
    assert source["type"] == "grafana-clickhouse-datasource"
    assert source["jsonData"]["protocol"] == "http"
    assert set(re.findall(r"\$(\w+)", text)) == {
        f"TOKENTIDE_CLICKHOUSE_{part}" for part in ("HOST", "PORT", "USER", "PASSWORD", "DATABASE")
    }
    assert source["secureJsonData"] == {"password": "$TOKENTIDE_CLICKHOUSE_PASSWORD"}


def test_the_provider_loads_the_mounted_folder_and_keeps_it_read_only() -> None:
    text = (GRAFANA / "provisioning" / "dashboards" / "tokentide.yaml").read_text(encoding="utf-8")
    (provider,) = yaml.safe_load(text)["providers"]
    assert provider["options"]["path"] == build.MOUNTED_DASHBOARDS
    assert provider["allowUiUpdates"] is False
