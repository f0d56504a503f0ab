"""The board: Grafana's dashboard JSON drawn by the platform itself, read-only, without Grafana.

The browser names a dashboard, a panel, values of variables and a time range; the SQL stays on the server.
"""
