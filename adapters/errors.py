"""The one exception of this package."""


class AdapterError(ValueError):
    """Adapters cannot be planned, run, saved or loaded as asked.

    The message is one line: what is wrong, the rule with its limit, what was received and what to do.
    """
