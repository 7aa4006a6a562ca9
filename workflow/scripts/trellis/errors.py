"""The one exception whose message is written for the user."""


class TrellisError(Exception):
    """What was wrong, where, and what to do, in one sentence; shown without a traceback, exit code 1."""
