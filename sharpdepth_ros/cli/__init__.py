# SPDX-License-Identifier: Apache-2.0
"""The `sharpdepth` command: its subcommands parse arguments and call the room that does the work.

Rooms are imported when their subcommand runs: help and errors come without loading torch.
"""

import argparse
import os
import sys
from collections.abc import Container

from sharpdepth_ros.cli import demo, evaluation, image, machine, recordings, training, viewing
from sharpdepth_ros.entry import let_waiting_threads_sleep

BAD_USAGE = 2

SECONDS_BETWEEN_LINES = 20
"""In a log file; on a terminal a progress bar moves ten times a second."""


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; the exit status: 0, 1 when some of the work failed, 2 for bad usage."""
    let_waiting_threads_sleep()
    if not sys.stderr.isatty():  # tqdm reads it when it is imported
        os.environ.setdefault("TQDM_MININTERVAL", str(SECONDS_BETWEEN_LINES))
    parser = argparse.ArgumentParser(
        prog="sharpdepth", description="Sharp metric depth from one camera."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for part in (image, recordings, viewing, demo, machine, training, evaluation):
        part.add_commands(commands)
    options, more = parser.parse_known_args(_with_joined_name(arguments, commands.choices))
    # argparse gives positional arguments that follow an option to nobody.
    if hasattr(options, "overrides") and not any(word.startswith("-") for word in more):
        options.overrides += more
    elif more:
        parser.error(f"unrecognized arguments: {' '.join(more)}")
    try:
        return options.run(options)
    except (ValueError, OSError) as error:
        print(f"sharpdepth: {_sentence(error)}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        return 130


def _sentence(error: ValueError | OSError) -> str:
    """What is said of an error: of the system's own, the file and what is wrong with it."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _with_joined_name(arguments: list[str] | None, names: Container[str]) -> list[str]:
    """The arguments with a command of two words (bag extract) as one, as argparse takes it."""
    given = sys.argv[1:] if arguments is None else arguments
    joined = " ".join(given[:2])
    return [joined, *given[2:]] if joined in names else list(given)
