"""Settings of the processes that live in this package: the board, the store, and the `tokentide` command."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from tokentide_producers.categories.settings import CategorySettings
from tokentide_producers.settings import EmitterKeys, EmitterSettings, SenderSettings
from tokentide_schemas.alerting.loading import AlertSettings
from tokentide_schemas.clickhouse_settings import ClickHouseSecurity
from tokentide_schemas.kafka_settings import KafkaSecurity
from tokentide_schemas.retention import RetentionSettings
from tokentide_schemas.settings import CatalogueSettings, CubeSettings, HealthSettings, ProcessFiles, Settings


class BoardProcessSettings(ProcessFiles, HealthSettings):
    """Everything that a board's process reads besides its arguments."""

    board_clickhouse_url: SecretStr = Field(
        SecretStr(""), description="http[s]://reader:password@host:port/database: the board needs no right to write."
    )
    board_token: SecretStr = Field(SecretStr(""), description="What readers must know when the board is not loopback.")
    clickhouse: ClickHouseSecurity = Field(default_factory=ClickHouseSecurity)

    def environment(self) -> dict[str, str]:
        """As the variables that `settings_from` takes. Holds secrets."""
        given = {
            "TOKENTIDE_BOARD_CLICKHOUSE_URL": self.board_clickhouse_url.get_secret_value(),
            "TOKENTIDE_BOARD_TOKEN": self.board_token.get_secret_value(),
            "TOKENTIDE_READY_FILE": "" if self.ready_file is None else str(self.ready_file),
        }
        return {name: value for name, value in given.items() if value}


class StoreProcessSettings(ProcessFiles, HealthSettings):
    """Everything that the embedded store's process reads besides its arguments."""

    store_writer_password: SecretStr = Field(
        SecretStr(""), description="Password of the user who may write; needed beyond loopback."
    )
    store_reader_password: SecretStr = Field(
        SecretStr(""), description="Password of the user who can only read; needed beyond loopback."
    )

    def environment(self) -> dict[str, str]:
        """As the variables that `settings_from` takes. Holds secrets."""
        given = {
            "TOKENTIDE_STORE_WRITER_PASSWORD": self.store_writer_password.get_secret_value(),
            "TOKENTIDE_STORE_READER_PASSWORD": self.store_reader_password.get_secret_value(),
        }
        return {name: value for name, value in given.items() if value}


class GatewaySettings(EmitterSettings):
    """Everything that a gateway with an emitter reads."""

    kafka: KafkaSecurity = Field(default_factory=KafkaSecurity)
    categories: CategorySettings = Field(default_factory=CategorySettings)
    catalogue: CatalogueSettings = Field(default_factory=CatalogueSettings)


class SpoolFolder(Settings):
    """Where `tokentide spool` looks."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_SPOOL_")

    directory: Path | None = Field(None, description="The folder of this machine's gateways' spool.")


class Addresses(Settings):
    """Which Kafka and ClickHouse a command asks, when neither its arguments nor --data-dir say it."""

    kafka_bootstrap_servers: str = Field("", description="host:port[,host:port] of Kafka, instead of a stack's.")
    clickhouse_url: SecretStr = Field(
        SecretStr(""), description="http[s]://user:password@host:port/database, instead of a stack's store."
    )


class CommandSettings(Addresses, CatalogueSettings, CubeSettings, AlertSettings):
    """Everything that the `tokentide` command reads besides its arguments, which win."""

    clickhouse_cluster: str = Field("", description="Name of the ClickHouse cluster; empty for one node.")
    kafka: KafkaSecurity = Field(default_factory=KafkaSecurity)
    clickhouse: ClickHouseSecurity = Field(default_factory=ClickHouseSecurity)
    categories: CategorySettings = Field(default_factory=CategorySettings)
    retention: RetentionSettings = Field(default_factory=RetentionSettings)
    sender: SenderSettings = Field(default_factory=SenderSettings)
    spool: SpoolFolder = Field(default_factory=SpoolFolder)
    emitter: EmitterKeys = Field(default_factory=EmitterKeys)
    grafana_url: str = Field("http://127.0.0.1:3000", description="Grafana's address, for `tokentide grafana push`.")
    grafana_token: SecretStr = Field(SecretStr(""), description="Token of a Grafana service account.")
    grafana_clickhouse: SecretStr = Field(
        SecretStr(""), description="ClickHouse's URL as Grafana reaches it: sets up its data source."
    )
    import_from: SecretStr = Field(
        SecretStr(""), description="URL of the ClickHouse that OpenRouter writes to, for `tokentide import traces`."
    )
    secrets_dir: Path | None = Field(
        None, description="Folder of files that are named as variables and hold their values, for `tokentide run`."
    )
    chromium: Path | None = Field(None, description="A Chromium, for the report's pictures.")
    cache_dir: Path | None = Field(None, description="Where the embedded Kafka's files are kept.")
    kafka_dir: Path | None = Field(None, description="An unpacked Kafka to use instead of fetching one.")
    maven_mirror: str = Field("", description="Address from which the embedded Kafka's files are fetched.")


class GrafanaVariables(Settings):
    """What the provisioned Grafana data source reads from Grafana's own environment."""

    model_config = SettingsConfigDict(env_prefix="TOKENTIDE_CLICKHOUSE_")

    host: str = Field("", description="ClickHouse's host, as Grafana reaches it.")
    port: int = Field(8123, ge=1, le=65535, description="ClickHouse's HTTP port.")
    user: str = Field("", description="The reader's user name.")
    password: SecretStr = Field(SecretStr(""), description="The reader's password.")
    database: str = Field("tokentide", description="ClickHouse's database.")
