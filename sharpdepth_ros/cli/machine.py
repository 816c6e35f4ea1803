# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth models`, `weights` and `doctor`: what this machine has and what it lacks."""

import argparse


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Declare the subcommands."""
    models = commands.add_parser("models", help="the models known by name")
    models.set_defaults(run=_models)

    _add_weights(commands)

    doctor = commands.add_parser(
        "doctor", help="check this machine: versions, GPU, memory, ROS, DDS, weights"
    )
    doctor.add_argument("--json", action="store_true", help="for machines")
    doctor.set_defaults(run=_doctor)


def _add_weights(commands: argparse._SubParsersAction) -> None:
    weights = commands.add_parser("weights", help="fetch, list, verify and find model weights")
    actions = weights.add_subparsers(title="actions", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="bring a model's weights to this machine")
    fetch.add_argument("name", help="see `sharpdepth models`")
    fetch.add_argument(
        "--source", metavar="DIR-or-URL", help="a folder or a mirror instead of the publisher"
    )
    fetch.add_argument("--force", action="store_true", help="fetch again what is here already")
    fetch.set_defaults(run=_weights_fetch)
    listing = actions.add_parser("list", help="every model, and where its weights are")
    listing.set_defaults(run=_weights_list)
    verify = actions.add_parser("verify", help="compare weights with their checksums")
    verify.add_argument("names", nargs="*", help="default: everything that is here")
    verify.set_defaults(run=_weights_verify)
    path = actions.add_parser("path", help="print the folder of a model's weights")
    path.add_argument("name")
    path.set_defaults(run=_weights_path)


def _models(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.catalogue import models_table

    print(models_table())
    return 0


def _weights_fetch(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.commands import run_fetch

    return run_fetch(options.name, options.source, options.force)


def _weights_list(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.commands import run_list

    return run_list()


def _weights_verify(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.commands import run_verify

    return run_verify(options.names)


def _weights_path(options: argparse.Namespace) -> int:
    from sharpdepth_ros.weights.commands import run_path

    return run_path(options.name)


def _doctor(options: argparse.Namespace) -> int:
    from sharpdepth_ros.doctor.report import run_doctor

    return run_doctor(options.json)
