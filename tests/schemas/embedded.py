"""Queries on an embedded ClickHouse in a process of its own: one process opens one directory in its life."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_RUN = """
import json, sys
from chdb.session import Session
session = Session(sys.argv[1])
answers = []
for statement in json.load(sys.stdin):
    answers.append([json.loads(line) for line in str(session.query(statement, "JSONEachRow")).splitlines()])
session.close()
print(json.dumps(answers))
"""
_NUMBERS = "SET output_format_json_quote_64bit_integers = 0"


def ask(directory: Path, queries: list[str]) -> list[list[dict[str, Any]]]:
    """Rows of each query, run in order in a database `tokentide`."""
    every = ["CREATE DATABASE IF NOT EXISTS tokentide", "USE tokentide", _NUMBERS, *queries]
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(directory)], input=json.dumps(every), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[list[dict[str, Any]]] = json.loads(done.stdout.splitlines()[-1])
    return answers[3:]
