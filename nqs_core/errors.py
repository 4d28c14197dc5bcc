"""Every error that a user can cause. One sentence: what was given, what is allowed."""


class NQSError(Exception):
    """Base class; the API answers it with 422, the command line with exit status 2."""


class ConfigError(NQSError):
    """A run configuration names something that does not exist or does not fit together."""


class TooLargeError(NQSError):
    """The request needs more memory than the limit; the message holds both numbers."""


class DivergedError(NQSError):
    """The energy became NaN or infinite."""
