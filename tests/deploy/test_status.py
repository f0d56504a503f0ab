"""What the status panel shows, from the status files' content."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from tokentide_deploy.component import ComponentSpec, ComponentState
from tokentide_deploy.component_status import ComponentStatus, StackStatus, combine, read_status
from tokentide_deploy.status_view import running_panel, short_number, status_line
from tokentide_deploy.supervisor import Component

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
UNKNOWN = StackStatus(events_per_s=None, tokens_per_day=None, stored_events_total=None, lag_records=None, lag_s=None)


def sink(**figures: float) -> ComponentStatus:
    return ComponentStatus.model_validate({"component": "events-sink", "updated_at": NOW, **figures})


def test_rates_come_from_the_events_sink_and_the_lag_from_the_furthest_behind() -> None:
    stream = ComponentStatus(component="stream", updated_at=NOW, events_per_s=1, lag_records=70, lag_s=0.5)
    combined = combine([sink(events_per_s=50_000, tokens_per_s=1e6, stored_events_total=7, lag_records=3), stream], NOW)
    assert combined == StackStatus(
        events_per_s=50_000, tokens_per_day=8.64e10, stored_events_total=7, lag_records=70, lag_s=0.5
    )


def test_a_component_that_does_not_report_any_more_is_unknown_not_zero() -> None:
    assert combine([sink(events_per_s=5), None], NOW + timedelta(seconds=11)) == UNKNOWN
    assert combine([], NOW) == UNKNOWN


def test_a_missing_or_broken_status_file_is_unknown(tmp_path: Path) -> None:
    assert read_status(tmp_path / "none.json") is None
    (tmp_path / "broken.json").write_text('{"component": ')
    assert read_status(tmp_path / "broken.json") is None


def test_a_status_with_more_figures_than_we_know_is_read(tmp_path: Path) -> None:
    file = tmp_path / "status.json"
    file.write_text('{"component": "x", "updated_at": "2026-03-01T12:00:00Z", "lag_records": 1, "new_figure": [1]}')
    status = read_status(file)
    assert status is not None
    assert status.lag_records == 1


def test_numbers_are_short_and_unknown_is_a_dash() -> None:
    assert [short_number(value) for value in (None, 0, 999, 1234, 86.4e9, 1.5e12)] == [
        "\N{EN DASH}",
        "0",
        "999",
        "1.23K",
        "86.4B",
        "1.5T",
    ]


def test_the_status_line_says_unknown_and_restarts() -> None:
    line = status_line(UNKNOWN, {"kafka": 0, "store": 2}, 3725)
    assert line.startswith("up 1:02:05 | \N{EN DASH} events/s")
    assert "restarts: store 2" in line


def test_the_panel_fits_80_columns_and_marks_restarts(tmp_path: Path) -> None:
    names = ("kafka", "store", "stream", "events-sink", "rollups-sink", "simulator")
    components = [
        Component(ComponentSpec(name, (), {}, tmp_path, lambda: True), state=ComponentState.READY) for name in names
    ]
    components[1].restarts = 1
    status = StackStatus(
        events_per_s=50_012.3, tokens_per_day=1.234e13, stored_events_total=123_456_789, lag_records=12_345, lag_s=0.4
    )
    console = Console(width=80, record=True, file=(tmp_path / "out").open("w"))
    console.print(running_panel(status, components, 61))
    console.file.close()
    text = console.export_text()
    assert all(len(line) <= 80 for line in text.splitlines())
    for part in ("50,012", "12.3T", "123,456,789", "12,345 (0.4 s)", "store (1 restart)", "simulator", "0:01:01"):
        assert part in text
