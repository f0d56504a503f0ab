"""Telling: alerts to webhooks, Alertmanager, Slack and the log. `deliver` is one attempt at one receiver."""

from tokentide_sinks.notify.answers import DeliveryResult
from tokentide_sinks.notify.delivery import deliver

__all__ = ["DeliveryResult", "deliver"]
