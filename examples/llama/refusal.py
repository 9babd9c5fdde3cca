"""The one exception that ends the demo with a sentence instead of a traceback."""


class Refusal(Exception):
    """What was asked for cannot be done; the message says what, the limit, and why."""
