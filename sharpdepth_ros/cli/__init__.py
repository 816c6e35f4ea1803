# SPDX-License-Identifier: Apache-2.0
"""The `sharpdepth` command: its subcommands parse arguments and call the room that does the work.

Rooms are imported when their subcommand runs: help and errors come without loading torch.
"""

import argparse
import sys

from sharpdepth_ros.cli import demo, evaluation, image, machine, training, viewing

BAD_USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand; the exit status: 0, 1 when some of the work failed, 2 for bad usage."""
    parser = argparse.ArgumentParser(
        prog="sharpdepth", description="Sharp metric depth from one camera."
    )
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for part in (image, viewing, demo, machine, training, evaluation):
        part.add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        return options.run(options)
    except (ValueError, FileNotFoundError) as error:
        print(f"sharpdepth: {error}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        return 130
