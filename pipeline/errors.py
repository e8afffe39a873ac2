"""What can go wrong for a user, each with its exit code; the message ends with what to do next."""


class PipelineError(Exception):
    """A fault that is told in one message, without a traceback; `exit_code` is the process's."""

    exit_code = 1


class UsageError(PipelineError):
    """A wrong command line or configuration."""

    exit_code = 2


class DataError(PipelineError):
    """Input that can't be used: images, tables, folds, predictions, a submission."""

    exit_code = 3


class LockedError(PipelineError):
    """Another process holds the work."""

    exit_code = 4


class UnsuitableError(PipelineError):
    """The environment lacks something that the work needs."""

    exit_code = 4


class ResourceError(PipelineError):
    """Disk, memory or numbers ran out."""

    exit_code = 5


class NotFiniteError(ResourceError):
    """A training's loss or gradient became infinite or no number at all."""


class Interrupted(PipelineError):
    """A signal or the time limit asked to stop; what was done is on disk."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number
