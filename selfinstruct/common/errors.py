"""One error class per boundary; each carries the exit code that the CLI returns for it."""

from __future__ import annotations

import json


class SelfInstructError(Exception):
    """An error that the user can act on: it says what, where, which value, and what to do next."""

    exit_code = 1


class ConfigError(SelfInstructError):
    """Wrong usage, configuration or input; raised before a model is loaded or a file written."""

    exit_code = 2


class SeedError(ConfigError):
    """An unusable seed file; the message names file, line, field and fix."""


class EngineError(SelfInstructError):
    """The engine could not start, or died; committed work is safe, and the run can be resumed."""

    exit_code = 3


class WriteError(SelfInstructError):
    """A file could not be written; committed work is safe, and the run can be resumed."""

    exit_code = 3


class TrainError(SelfInstructError):
    """Training failed; the last checkpoint is safe, and training can continue from it."""

    exit_code = 3


class DivergedError(TrainError):
    """The loss is not a number any more; the same settings would lead there again."""


class PublishError(SelfInstructError):
    """The hub refused a dataset; the exported file is complete, and can be pushed again."""

    exit_code = 3


class StoreError(SelfInstructError):
    """A run on disk is damaged, or newer than this code."""

    exit_code = 4


def why(error: BaseException) -> str:
    """Return the reason of a library's or Python's own error in words, to put into a message."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 text, byte {error.start}"
    if isinstance(error, KeyError):
        return f"lacks {json.dumps(error.args[0] if error.args else '', default=str)}"
    return " ".join(str(error).split()) or "no reason given"
