"""What a request can be refused for, beside what the rest of the program refuses."""

from __future__ import annotations

from selfinstruct.common.errors import ConfigError


class NotFoundError(ConfigError):
    """There is no run, candidate or job of that name."""


class BusyError(ConfigError):
    """What was asked for has to wait for a job that goes on."""
