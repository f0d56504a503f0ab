"""Settings: the environment over the file over the defaults, all errors at once, and no secret in any message."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from tokentide_schemas.clickhouse_settings import client_options
from tokentide_schemas.kafka_settings import KafkaSecurity, kafka_client
from tokentide_schemas.settings import PlatformSettings, SettingsError, load_settings, read_settings
from tokentide_schemas.settings_sources import given_in, parse_config, unknown_variables
from tokentide_sinks.settings import SinkSettings
from tokentide_stream.settings import StreamSettings

SECRET = "s3cret-that-nobody-sees"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("TOKENTIDE_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "tokentide.toml"
    monkeypatch.setenv("TOKENTIDE_CONFIG_FILE", str(path))
    return path


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file.write_text(
        'kafka_bootstrap_servers = "file:9092"\n[sink]\nmax_rows = 7\nmax_wait_s = 0.5\n'
        '[catalogue]\npaths = ["a.yaml", "b"]\n'
    )
    monkeypatch.setenv("TOKENTIDE_SINK_MAX_ROWS", "9")
    settings = read_settings(SinkSettings)
    assert settings.kafka_bootstrap_servers == "file:9092"
    assert (settings.sink_max_rows, settings.sink_max_wait_s, settings.sink_sample_interval_s) == (9, 0.5, 5.0)
    assert settings.catalogue_paths == (Path("a.yaml"), Path("b"))


def test_nested_settings_come_from_the_file_as_well(config_file: Path) -> None:
    config_file.write_text(
        '[kafka]\nbootstrap_servers = "k:1"\nsecurity_protocol = "SASL_SSL"\nsasl_username = "u"\n'
        f'sasl_password = "{SECRET}"\n'
    )
    security = read_settings(StreamSettings).kafka
    assert security.client_config()["sasl.password"] == SECRET
    assert kafka_client("k:1")["security.protocol"] == "SASL_SSL"
    assert SECRET not in repr(security) + str(security.model_dump())


def test_everything_that_is_wrong_is_said_at_once_with_the_names(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text("[sink]\nmax_row = 7\n")
    monkeypatch.setenv("TOKENTIDE_SINK_MAX_WAIT_S", "soon")
    monkeypatch.setenv("TOKENTIDE_KAFKA_SECURITY_PROTOCOL", "SASL_SLL")
    monkeypatch.setenv("TOKENTIDE_SINK_SAMPLE_INTERVAL", "3")
    with pytest.raises(SystemExit) as ended:
        load_settings(SinkSettings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "sink.max_row is not a setting (did you mean sink_max_rows?)" in said
    assert "TOKENTIDE_SINK_MAX_WAIT_S: " in said
    assert "TOKENTIDE_KAFKA_SECURITY_PROTOCOL: " in said and "(did you mean SASL_SSL?)" in said
    assert "TOKENTIDE_KAFKA_BOOTSTRAP_SERVERS is not set: host:port" in said
    assert "TOKENTIDE_SINK_SAMPLE_INTERVAL is not a setting of any process (did you mean" in said


def test_a_file_that_cannot_be_read_says_where_and_why(config_file: Path) -> None:
    with pytest.raises(SettingsError, match=r"tokentide\.toml: cannot be read"):
        read_settings(PlatformSettings, kafka_bootstrap_servers="k:1")
    config_file.write_text("[kafka\n")
    with pytest.raises(SettingsError, match=r"is not TOML: .*line 1"):
        read_settings(PlatformSettings, kafka_bootstrap_servers="k:1")


def test_a_key_that_is_set_in_two_spellings_is_an_error() -> None:
    found = parse_config({"sink_max_rows": 1, "sink": {"max_rows": 2}})
    assert found.problems == ("the file: sink.max_rows is set a second time, in another spelling",)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"SECURITY_PROTOCOL": "SASL_SSL"}, "set TOKENTIDE_KAFKA_SASL_USERNAME and"),
        ({"SASL_USERNAME": "u", "SASL_PASSWORD": SECRET}, "which authenticates nobody"),
        ({"SSL_CA_FILE": __file__}, "which encrypts nothing"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_KEY_FILE": __file__}, "belong together"),
        ({"SECURITY_PROTOCOL": "SSL", "SSL_CA_FILE": "/nowhere/ca.pem"}, "does not point to a file"),
    ],
)
def test_kafka_settings_that_do_not_fit_together_are_refused(
    variables: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"TOKENTIDE_KAFKA_{name}", value)
    with pytest.raises(SettingsError) as caught:
        read_settings(KafkaSecurity)
    assert says in str(caught.value)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_secrets_are_in_no_traceback_of_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENTIDE_CLICKHOUSE_URL", f"http://u:{SECRET}@h/db")
    monkeypatch.setenv("TOKENTIDE_SINK_MAX_ROWS", "many")
    monkeypatch.setenv("TOKENTIDE_KAFKA_SASL_PASSWORD", SECRET)
    for read in (SinkSettings, lambda: read_settings(SinkSettings)):
        with pytest.raises(ValueError) as caught:
            read()
        assert SECRET not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(ValueError) as caught:
        client_options(f"ftp://u:{SECRET}@h/db")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_user_and_password_of_clickhouse_may_stand_outside_the_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENTIDE_CLICKHOUSE_USER", "writer")
    monkeypatch.setenv("TOKENTIDE_CLICKHOUSE_PASSWORD", SECRET)
    options = client_options("https://store/tokentide?async_insert=0")
    assert (options["username"], options["password"], options["port"]) == ("writer", SECRET, 8443)
    assert options["secure"] and options["verify"] and options["settings"] == {"async_insert": "0"}
    other = client_options("http://reader@store:8123/tokentide")
    assert (other["username"], other["password"], other["secure"]) == ("reader", "", False)


def test_what_kubernetes_puts_into_the_environment_is_no_setting_and_no_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    links = {
        "TOKENTIDE_COLLECTOR_PORT": "tcp://10.0.0.1:4318",
        "TOKENTIDE_COLLECTOR_SERVICE_HOST": "10.0.0.1",
        "TOKENTIDE_COLLECTOR_PORT_4318_TCP_ADDR": "10.0.0.1",
    }
    assert unknown_variables(links) == [] and given_in(links) == {}
    assert given_in({"TOKENTIDE_COLLECTOR_PORT": "4318"}) == {"TOKENTIDE_COLLECTOR_PORT": "4318"}


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENTIDE_CUBES_FILE", "")
    monkeypatch.setenv("TOKENTIDE_SINK_MAX_ROWS", "")
    settings = read_settings(SinkSettings, kafka_bootstrap_servers="k:1")
    assert settings.cubes_file is None and settings.sink_max_rows == 250_000
