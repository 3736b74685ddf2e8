"""The one kind of error that a user can repair."""


class UserError(ValueError):
    """Something from outside is wrong: a flag, a file, a caption.

    The message is one line in three parts: what was wrong, what was received, what to do. Scripts print it
    without a traceback and exit with status 1.
    """
