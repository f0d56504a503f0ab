"""Bring the pinned jars into the per-user cache, verified and all or nothing."""

import fcntl
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import platformdirs

from tokentide_deploy.embedded_kafka.download import KAFKA_DIR_VARIABLE, JarSource, what_helps
from tokentide_deploy.embedded_kafka.pins import JarPin, PinnedJars, load_pins, sha256_of
from tokentide_deploy.embedded_kafka.progress import DownloadProgress
from tokentide_deploy.errors import KafkaInstallError

CACHE_DIR_VARIABLE = "TOKENTIDE_CACHE_DIR"
_PARALLEL_DOWNLOADS = 8
_STAMP_NAME = "verified.json"


@dataclass(frozen=True)
class KafkaJars:
    """A usable class path, and a word about where it came from."""

    paths: tuple[Path, ...]
    origin: str

    @property
    def class_path(self) -> str:
        """The value of java's -cp."""
        return os.pathsep.join(str(path) for path in self.paths)


def cache_dir() -> Path:
    """The per-user cache folder (TOKENTIDE_CACHE_DIR, else the platform's)."""
    override = os.environ.get(CACHE_DIR_VARIABLE, "").strip()
    return Path(override).expanduser() if override else Path(platformdirs.user_cache_dir("tokentide"))


def install_kafka(cache: Path | None = None, pins: PinnedJars | None = None, output: TextIO | None = None) -> KafkaJars:
    """Return the broker's jars, fetching them first when the cache does not hold them.

    `output` (default stderr) receives the progress. Safe to interrupt at any moment and to run twice at once: files
    appear under their final folder only when every one has been verified; what was already verified is not fetched
    again. Raises KafkaInstallError.
    """
    own = os.environ.get(KAFKA_DIR_VARIABLE, "").strip()
    if own:
        return _jars_of_distribution(Path(own).expanduser())
    pins = pins or load_pins()
    cache = cache or cache_dir()
    final = cache / f"kafka-{pins.kafka_version}-{pins.digest}"
    output = output or sys.stderr
    if not _is_installed(final, pins):
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with _only_one_installer(cache / "install.lock", output):
                if not _is_installed(final, pins):
                    _install(final, pins, output)
        except OSError as error:
            raise KafkaInstallError(
                f"Apache Kafka could not be stored in {cache}: {error}. Free space or fix the permissions there, or "
                f"name another folder with {CACHE_DIR_VARIABLE}."
            ) from error
    return KafkaJars(tuple(final / jar.file_name for jar in pins.jars), f"Apache Kafka {pins.kafka_version}")


def _jars_of_distribution(folder: Path) -> KafkaJars:
    for candidate in (folder / "libs", folder):
        if any(candidate.glob("kafka_2.*.jar")):
            return KafkaJars(tuple(sorted(candidate.glob("*.jar"))), f"{candidate} (from {KAFKA_DIR_VARIABLE})")
    raise KafkaInstallError(
        f"{KAFKA_DIR_VARIABLE}={folder} holds no Apache Kafka: neither {folder / 'libs'} nor the folder itself has a "
        "kafka_2.*.jar. Name the folder of an unpacked Kafka release, or unset the variable to download it."
    )


def _is_installed(final: Path, pins: PinnedJars) -> bool:
    """True when every jar is there and is still the file that was verified (same size and modification time).

    Hashing 45 MB on every start is avoided: a file is hashed again only when its time stamp differs from the record.
    """
    try:
        stamp = json.loads((final / _STAMP_NAME).read_bytes())
        for jar in pins.jars:
            status = (final / jar.file_name).stat()
            if status.st_size != jar.size_bytes:
                return False
            if stamp.get(jar.file_name) != status.st_mtime_ns and sha256_of(final / jar.file_name) != jar.sha256:
                return False
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return True


@contextmanager
def _only_one_installer(lock_file: Path, output: TextIO) -> Iterator[None]:
    with lock_file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            output.write("Another tokentide is fetching Apache Kafka; waiting for it.\n")
            output.flush()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _install(final: Path, pins: PinnedJars, output: TextIO) -> None:
    staging = final.with_name(final.name + ".partial")
    if final.exists():
        # A jar that was damaged or removed later: keep the good ones, fetch the rest.
        output.write(f"{final} is incomplete or was changed; fetching what is missing again.\n")
        shutil.rmtree(staging, ignore_errors=True)
        final.rename(staging)
        (staging / _STAMP_NAME).unlink(missing_ok=True)
    staging.mkdir(exist_ok=True)
    download_dir = staging / "download"
    shutil.rmtree(download_dir, ignore_errors=True)
    missing = [jar for jar in pins.jars if not _is_pinned_file(staging / jar.file_name, jar)]
    title = f"Apache Kafka {pins.kafka_version}"
    done_bytes = pins.total_bytes - sum(jar.size_bytes for jar in missing)
    with DownloadProgress(title, pins.total_bytes, done_bytes, output) as progress:
        source = JarSource.from_environment(download_dir, progress.track)
        _fetch_all(missing, source, staging, progress)
    shutil.rmtree(download_dir, ignore_errors=True)
    for leftover in staging.iterdir():
        if leftover.name not in {jar.file_name for jar in pins.jars}:
            leftover.unlink()
    stamp = {jar.file_name: (staging / jar.file_name).stat().st_mtime_ns for jar in pins.jars}
    (staging / _STAMP_NAME).write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    staging.rename(final)


def _is_pinned_file(path: Path, jar: JarPin) -> bool:
    return path.is_file() and path.stat().st_size == jar.size_bytes and sha256_of(path) == jar.sha256


def _fetch_all(jars: list[JarPin], source: JarSource, staging: Path, progress: DownloadProgress) -> None:
    give_up = threading.Event()

    def fetch(jar: JarPin) -> None:
        if not give_up.is_set():
            _place(jar, source.fetch(jar.group, jar.artifact, jar.version), source, staging)

    # The largest first, so that the last thread does not start a long download when the others are done.
    ordered = sorted(jars, key=lambda jar: -jar.size_bytes)
    with ThreadPoolExecutor(_PARALLEL_DOWNLOADS, thread_name_prefix="kafka-download") as pool:
        futures = [pool.submit(fetch, jar) for jar in ordered]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            give_up.set()
            progress.cancel()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _place(jar: JarPin, downloaded: Path, source: JarSource, staging: Path) -> None:
    """Verify one downloaded jar and give it its final name, so that a name in `staging` always means a good file."""
    actual = sha256_of(downloaded)
    if actual != jar.sha256:
        size = downloaded.stat().st_size
        raise KafkaInstallError(
            f"Checksum mismatch: {jar.file_name} ({jar.coordinate}) from {source.description} is not the pinned file.\n"
            f"  expected sha256 {jar.sha256} ({jar.size_bytes} bytes)\n"
            f"  got      sha256 {actual} ({size} bytes)\n"
            "Nothing was installed and nothing of it was run. A proxy that answers with a page of its own, a broken "
            f"mirror or tampering can cause this: look at what that address serves. {what_helps()}"
        )
    verified = staging / f"{jar.file_name}.verified"
    shutil.copyfile(downloaded, verified)
    with verified.open("rb+") as file:
        os.fsync(file.fileno())
    verified.rename(staging / jar.file_name)
