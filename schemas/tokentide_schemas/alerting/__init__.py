"""The alerts file: rules, receivers, silences, maintenance windows, budgets."""

from tokentide_schemas.alerting.loading import (
    AlertConfig,
    AlertSettings,
    AlertsFileError,
    environment_alert_config,
    load_alert_config,
    parse_alert_config,
)
from tokentide_schemas.alerting.receivers import (
    AlertmanagerReceiver,
    AnyReceiver,
    LogReceiver,
    Receiver,
    ReceiverSecretError,
    SlackReceiver,
    WebhookReceiver,
)

__all__ = [
    "AlertConfig",
    "AlertSettings",
    "AlertmanagerReceiver",
    "AlertsFileError",
    "AnyReceiver",
    "LogReceiver",
    "Receiver",
    "ReceiverSecretError",
    "SlackReceiver",
    "WebhookReceiver",
    "environment_alert_config",
    "load_alert_config",
    "parse_alert_config",
]
