"""Where the results of ``flashdec bench`` go."""

from __future__ import annotations

import argparse

from flashdec.errors import InvalidArgumentError

__all__ = ["is_quiet", "say", "write_document"]


def is_quiet(options: argparse.Namespace) -> bool:
    """Return whether standard output belongs to the JSON document alone."""
    return str(options.json) == "-"


def say(options: argparse.Namespace, text: str) -> None:
    """Print a text for people, unless standard output belongs to the document."""
    if not is_quiet(options):
        print(text, flush=True)


def write_document(options: argparse.Namespace, document: str) -> None:
    """Write the JSON document where ``--json`` says, if it does.

    Raises
    ------
    InvalidArgumentError
        If the file cannot be written.
    """
    if options.json is None:
        return
    if is_quiet(options):
        print(document, end="")
        return
    try:
        options.json.write_text(document, encoding="utf-8")
    except OSError as error:
        raise InvalidArgumentError(f"{options.json} cannot be written: {error.strerror}") from error
