"""Errors that a person can act on: the command line prints them without a traceback, and exits with `exit_status`."""

from typing import Final

EXIT_SETTINGS: Final = 2
"""Exit status for settings that are missing or wrong."""


class DeployError(Exception):
    """Base of what can go wrong around the stack; the message says what, where, and what to do."""

    exit_status = 1


class DataDirInUseError(DeployError):
    """Another running stack owns the data directory."""

    exit_status = 3


class PortInUseError(DeployError):
    """A port that a component needs is taken."""

    exit_status = 4


class NoStackRunningError(DeployError):
    """A command needs a running stack and finds none in the data directory."""

    exit_status = 5


class KafkaInstallError(DeployError):
    """The pinned Kafka files could not be fetched or are not the pinned ones."""


class StartError(DeployError):
    """A component did not become ready."""
