"""`python -m tokentide_stream.shares`: merges all partitions into global windows and publishes shares.

One instance does the work; others stand by and take over when it ends.
"""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before polars is imported

import asyncio
import sys

import faust
import uvloop

from tokentide_schemas.catalogue import CatalogueError, load_catalogue
from tokentide_schemas.health import Health
from tokentide_schemas.settings import load_settings
from tokentide_stream.app import TopicError
from tokentide_stream.settings import StreamSettings
from tokentide_stream.shares_app import build_shares_app


def main() -> int:
    """Run until stopped by a signal. Status 2 for wrong settings, 1 when Kafka or the catalogue is not as needed."""
    settings = load_settings(StreamSettings)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        app = build_shares_app(settings, load_catalogue(settings.catalogue_paths))
    except (TopicError, CatalogueError) as error:
        sys.stderr.write(f"tokentide shares: {error}\n")
        return 1
    app.health = Health("shares").serve(settings)
    faust.Worker(app, loop=loop, loglevel="info", redirect_stdouts=False).execute_from_commandline()
    return 0


if __name__ == "__main__":
    sys.exit(main())
