"""One error class per boundary; each carries the exit code that the CLI returns for it."""


class SelfInstructError(Exception):
    """Something that the user can act on: what, where, which value, what to do next."""

    exit_code = 1


class ConfigError(SelfInstructError):
    """Wrong usage, configuration or input; raised before a model is loaded or a file written."""

    exit_code = 2


class SeedError(ConfigError):
    """A seed file that cannot be used; names file, line, field and fix."""


class EngineError(SelfInstructError):
    """The engine could not start, or died; what was committed is safe and can be resumed."""

    exit_code = 3


class WriteError(SelfInstructError):
    """The disk refuses what a run wants to write; what was committed is safe, resume later."""

    exit_code = 3


class TrainError(SelfInstructError):
    """Training failed; the last checkpoint is safe and can be gone on with."""

    exit_code = 3


class DivergedError(TrainError):
    """The loss is no number any more; to go on as before would end there again."""


class PublishError(SelfInstructError):
    """The hub did not take a dataset; the exported file is complete, try again."""

    exit_code = 3


class StoreError(SelfInstructError):
    """A run on disk is damaged, or newer than this code."""

    exit_code = 4
