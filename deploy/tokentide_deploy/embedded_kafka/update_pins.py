"""Write `pinned_jars.json` anew for another Kafka version.

Run by a maintainer: `python -m tokentide_deploy.embedded_kafka.update_pins 4.3.1`. Resolves the dependency graph with
jgo, downloads every jar once and records size and SHA-256. Review the difference before committing it.
"""

import sys
import tempfile
from pathlib import Path

import jgo

from tokentide_deploy.embedded_kafka.download import JarSource
from tokentide_deploy.embedded_kafka.pins import PINS_FILE, JarPin, PinnedJars, sha256_of

_KAFKA = ("org.apache.kafka", "kafka_2.13")
_LOG_GROUP = "org.apache.logging.log4j"
_LOG_BINDING = "log4j-slf4j-impl"


def resolve_pins(kafka_version: str, scratch: Path) -> PinnedJars:
    """Resolve and download everything that `kafka_2.13:<version>` needs at run time, plus the logging binding."""
    # Resolved alone: named together with the binding, the binding's own dependency management wins over Kafka's and
    # mixes an old kafka-clients into the class path.
    artifacts = jgo.resolve(":".join((*_KAFKA, kafka_version)))
    coordinates = [(a.groupId, a.artifactId, a.version) for a in artifacts]
    log4j_version = next(version for group, name, version in coordinates if (group, name) == (_LOG_GROUP, "log4j-core"))
    coordinates.append((_LOG_GROUP, _LOG_BINDING, log4j_version))
    source = JarSource.from_environment(scratch)
    jars = []
    for group, artifact, version in coordinates:
        path = source.fetch(group, artifact, version)
        jars.append(
            JarPin(
                group=group, artifact=artifact, version=version, size_bytes=path.stat().st_size, sha256=sha256_of(path)
            )
        )
    return PinnedJars(kafka_version=kafka_version, jars=tuple(sorted(jars, key=lambda jar: jar.coordinate)))


def main(arguments: list[str]) -> int:
    """Resolve the version named on the command line and write the pins file."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m tokentide_deploy.embedded_kafka.update_pins KAFKA_VERSION\n")
        return 2
    with tempfile.TemporaryDirectory() as scratch:
        pins = resolve_pins(arguments[0], Path(scratch))
    PINS_FILE.write_text(pins.model_dump_json(indent=1) + "\n", encoding="utf-8")
    sys.stderr.write(f"{PINS_FILE}: {len(pins.jars)} jars, {pins.total_bytes} bytes\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
