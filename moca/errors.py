"""The one exception a user sees as a single line."""


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one line that says what is wrong, the rule with its actual limit, what was received and
    what to do. The command line prints it after `error: ` without a traceback and exits with code 2.
    """
