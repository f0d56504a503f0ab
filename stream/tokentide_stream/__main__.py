"""`python -m tokentide_stream`: one rollup worker."""

from __future__ import annotations

import os

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # before polars is imported: a worker is one core's share

import asyncio
import sys

import faust
import uvloop

from tokentide_schemas.catalogue import CatalogueError
from tokentide_schemas.cube_file import CubeFileError
from tokentide_schemas.health import Health
from tokentide_schemas.settings import load_settings
from tokentide_stream.app import TopicError, build_app
from tokentide_stream.settings import StreamSettings


def main() -> int:
    """Run until stopped by a signal. Status 2 for wrong settings, 1 when Kafka or the catalogue is not as needed."""
    settings = load_settings(StreamSettings)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        app = build_app(settings)
    except (TopicError, CatalogueError, CubeFileError) as error:
        sys.stderr.write(f"tokentide worker: {error}\n")
        return 1
    app.health = Health("stream").serve(settings)
    worker = faust.Worker(app, loop=loop, loglevel="info", redirect_stdouts=False)
    worker.execute_from_commandline()
    return 0


if __name__ == "__main__":
    sys.exit(main())
