"""The embedded store: ClickHouse's HTTP interface in front of one in-process chDB engine.

One process owns the data directory; every other part (sink, SQL command, board, Grafana) talks HTTP to it exactly as
it would to a ClickHouse server. Start it with ``python -m tokentide_deploy.store --data-dir DIR --port N``; tests build
the application with :func:`tokentide_deploy.store.app.build_app`.
"""
