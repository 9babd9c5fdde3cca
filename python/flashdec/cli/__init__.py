"""The command line, ``flashdec`` or ``python -m flashdec``: a table of subcommands."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flashdec._version import __version__
from flashdec.cli import bench, doctor, explain, info, selftest
from flashdec.errors import FlashdecError

__all__ = ["COMMANDS", "Command", "main"]

REFUSED = 2
"""Exit status of a refusal, as of a usage error."""


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand.

    Attributes
    ----------
    name, about : str
        As typed, and what it does.
    add_arguments : callable
        Adds its options to a parser.
    run : callable
        Does it; returns the exit status.
    """

    name: str
    about: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS: tuple[Command, ...] = (
    Command("doctor", doctor.ABOUT, doctor.add_arguments, doctor.run),
    Command("explain", explain.ABOUT, explain.add_arguments, explain.run),
    Command("info", info.ABOUT, info.add_arguments, info.run),
    Command("selftest", selftest.ABOUT, selftest.add_arguments, selftest.run),
    Command("bench", bench.ABOUT, bench.add_arguments, bench.run),
)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="flashdec", description="Decode attention over a key/value cache."
    )
    parser.add_argument("--version", action="version", version=f"flashdec {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", required=True)
    for command in COMMANDS:
        sub = commands.add_parser(command.name, help=command.about, description=command.about)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a subcommand.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; None means those of the process.

    Returns
    -------
    int
        The exit status: 0 success, 1 a fault was found or explain has no kernel, 2 refused, 130
        interrupted.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without the characters of bars
    options = _parser().parse_args(argv)
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except FlashdecError as error:
        print(f"flashdec {options.command}: {error}", file=sys.stderr)
        return REFUSED
    except BrokenPipeError:  # for instance `flashdec info | head -1`
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130
    return status
