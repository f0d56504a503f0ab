"""Configuration files for the engine: small pools and caches (it shares two cores with Kafka), roles for readers.

Which server settings chDB 4.4 takes from its configuration file was read back from ``system.server_settings``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from tokentide_deploy.store.access import READER_ROLE, WRITER_ROLE

DATABASE = "tokentide"
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Sizes of the engine. ``memory_limit_bytes`` None leaves 60 % of the machine's memory as the limit.
    ``keep_free_bytes`` of the disk are left alone: inserts and merges that would use them are refused."""

    max_threads: int = 2
    background_threads: int = 2
    memory_limit_bytes: int | None = None
    mark_cache_bytes: int = 128 * _MIB
    primary_index_cache_bytes: int = 64 * _MIB
    fsync_inserts: bool = False
    keep_free_bytes: int = 256 * _MIB


def server_xml(settings: EngineSettings, users_file: Path, user_files: Path) -> str:
    """The server configuration; the two paths are absolute."""
    if settings.memory_limit_bytes is None:
        memory = "<max_server_memory_usage_to_ram_ratio>0.6</max_server_memory_usage_to_ram_ratio>"
    else:
        memory = f"<max_server_memory_usage>{settings.memory_limit_bytes}</max_server_memory_usage>"
    fsync = (
        "<fsync_after_insert>1</fsync_after_insert><fsync_part_directory>1</fsync_part_directory>"
        if settings.fsync_inserts
        else ""
    )
    return f"""<clickhouse>
  <users_config>{escape(str(users_file))}</users_config>
  <user_files_path>{escape(str(user_files))}</user_files_path>
  {memory}
  <background_pool_size>{settings.background_threads}</background_pool_size>
  <background_common_pool_size>1</background_common_pool_size>
  <background_schedule_pool_size>2</background_schedule_pool_size>
  <background_move_pool_size>1</background_move_pool_size>
  <background_fetches_pool_size>1</background_fetches_pool_size>
  <max_thread_pool_size>1000</max_thread_pool_size>
  <mark_cache_size>{settings.mark_cache_bytes}</mark_cache_size>
  <primary_index_cache_size>{settings.primary_index_cache_bytes}</primary_index_cache_size>
  <index_mark_cache_size>{16 * _MIB}</index_mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <query_condition_cache_size>{16 * _MIB}</query_condition_cache_size>
  <compiled_expression_cache_size>{32 * _MIB}</compiled_expression_cache_size>
  <vector_similarity_index_cache_size>0</vector_similarity_index_cache_size>
  <text_index_tokens_cache_size>0</text_index_tokens_cache_size>
  <text_index_header_cache_size>0</text_index_header_cache_size>
  <text_index_postings_cache_size>0</text_index_postings_cache_size>
  <parquet_metadata_cache_size>0</parquet_metadata_cache_size>
  <iceberg_metadata_files_cache_size>0</iceberg_metadata_files_cache_size>
  <merge_tree>{fsync}</merge_tree>
  <storage_configuration><disks><default>
    <keep_free_space_bytes>{settings.keep_free_bytes}</keep_free_space_bytes>
  </default></disks></storage_configuration>
</clickhouse>
"""


def users_xml(settings: EngineSettings) -> str:
    """One engine user that starts with both roles; a reader's connection is cut down to one by ``SET ROLE``."""
    return f"""<clickhouse>
  <profiles><default><max_threads>{settings.max_threads}</max_threads></default></profiles>
  <quotas><default/></quotas>
  <roles>
    <{WRITER_ROLE}><grants>
      <query>GRANT ALL ON *.*</query>
      <query>REVOKE SOURCES, FILE ON *.*</query>
    </grants></{WRITER_ROLE}>
    <{READER_ROLE}><grants>
      <query>GRANT SELECT, SHOW, dictGet ON {DATABASE}.*</query>
      <query>GRANT SELECT ON system.*</query>
    </grants></{READER_ROLE}>
  </roles>
  <users>
    <default>
      <no_password/>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
        <query>GRANT {WRITER_ROLE}</query>
        <query>GRANT {READER_ROLE}</query>
      </grants>
    </default>
  </users>
</clickhouse>
"""


def write_engine_config(directory: Path, settings: EngineSettings) -> Path:
    """Writes both files under ``directory`` and returns the server file's path."""
    directory.mkdir(parents=True, exist_ok=True)
    user_files = directory / "user_files"
    user_files.mkdir(exist_ok=True)
    users = directory / "users.xml"
    _write_if_changed(users, users_xml(settings))
    server = directory / "server.xml"
    _write_if_changed(server, server_xml(settings, users.resolve(), user_files.resolve()))
    return server


def _write_if_changed(file: Path, text: str) -> None:
    # A start on a full disk must not truncate what is right already.
    if not file.exists() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
