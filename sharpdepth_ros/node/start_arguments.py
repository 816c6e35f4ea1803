# SPDX-License-Identifier: Apache-2.0
"""The arguments the node is started with: its help, and what is wrong with them in sentences.

rcl ignores what no node asks for: unknown names, files for other nodes, rules that match nothing.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from sharpdepth_ros.messages.topics import CAMERA_INFO, IMAGE, OUTPUTS
from sharpdepth_ros.processing.parameter_docs import allowed, literal
from sharpdepth_ros.processing.parameter_files import Overrides
from sharpdepth_ros.processing.parameters import DEFAULTS, SPECS

_PARAM, _REMAP, _FILE = "-p", "-r", "--params-file"
#: ROS arguments that take a value, by their long names.
_FLAGS = {"--param": _PARAM, "--remap": _REMAP, _PARAM: _PARAM, _REMAP: _REMAP, _FILE: _FILE} | {
    flag: flag
    for flag in ("--log-level", "--log-config-file", "--log-file-name", "-e", "--enclave")
}
_TOPICS = (IMAGE, CAMERA_INFO, *OUTPUTS)

HELP = """\
usage: sharpdepth_node [-h] [--ros-args [-r NAME:=TOPIC] [-p NAME:=VALUE] [--params-file YAML] ...]

Sharp metric depth of one camera. Without arguments: the demo models on the topics image and
camera_info.

  ros2 run sharpdepth_ros sharpdepth_node --ros-args -r image:=/camera/image_raw \\
      -r camera_info:=/camera/camera_info -p model:=sharpdepth -p metric_model:=unidepth-v2-vits14

topics: subscribes to {inputs}; publishes {outputs}

parameters, with their defaults:
{parameters}"""


def help_text() -> str:
    """What `sharpdepth_node --help` prints."""
    parameters = (
        f"  {name}:={literal(DEFAULTS[name])}\n      {spec.description}"
        + (f" ({allowed(spec)})" if allowed(spec) else "")
        for name, spec in SPECS.items()
    )
    return HELP.format(
        inputs=f"{IMAGE}, {CAMERA_INFO}",
        outputs=", ".join(OUTPUTS),
        parameters="\n".join(parameters),
    )


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether help is asked for; `arguments` are without the name of the program."""
    return any(word in ("-h", "--help") for word in _others(arguments))


def checked(arguments: Sequence[str]) -> list[str]:
    """The arguments as rcl takes them: `~` in the names of parameter files is the home folder.

    Raises:
        FileNotFoundError: a parameter file is not there.
        ValueError: an argument, rule or file that rcl would refuse or misunderstand.
    """
    for word in _others(arguments):
        name = word.partition(":=")[0]
        if name in SPECS:
            raise ValueError(f"{word} would rename a topic: write --ros-args -p {word}")
        if ":=" not in word:
            raise ValueError(
                f"unknown argument {word!r}: ROS arguments follow --ros-args, and --help lists the "
                "parameters"
            )
    started_with(arguments)
    expanded = list(arguments)
    for place, flag, value in _flags(arguments):
        if flag == _FILE:
            expanded[place] = str(Path(value).expanduser())
    return expanded


def started_with(arguments: Sequence[str]) -> Overrides:
    """The parameter values among the arguments.

    Raises:
        FileNotFoundError: a parameter file is not there.
        ValueError: rcl does not take a file or a rule.
    """
    overrides = Overrides()
    for _, flag, value in _flags(arguments):
        if flag == _FILE:
            overrides.add_file(Path(value).expanduser())
        elif flag == _PARAM:
            overrides.add_rule(value)
    return overrides


def is_remapped(arguments: Sequence[str], name: str) -> bool:
    """Whether a rule says where the topic of this name is, and be it where it is anyway."""
    return any(_source(rule) == name for rule in _remaps(arguments))


def ignored(arguments: Sequence[str], node: str, has_parameter: Callable[[str], bool]) -> list[str]:
    """A sentence for each argument that is valid and does nothing.

    Args:
        arguments: of the process.
        node: its fully qualified name.
        has_parameter: tells the names of its parameters.
    """
    overrides = started_with(arguments)
    sentences = overrides.unaddressed([node]) + overrides.unknown(node, has_parameter)
    for rule in _remaps(arguments):
        source = _source(rule)
        guess = difflib.get_close_matches(source, _TOPICS, n=1)
        if source in SPECS:
            sentences.append(f"-r {rule} renames a topic: a parameter is set with -p {rule}")
        elif guess and not f"/{source}".endswith(tuple(f"/{topic}" for topic in _TOPICS)):
            sentences.append(f"-r {rule}: the node has no topic {source}; did you mean {guess[0]}?")
    return sentences


def _source(rule: str) -> str:
    """The name that a remap rule replaces, without what rcl takes in front of it."""
    return rule.partition(":=")[0].removeprefix("rostopic://").rpartition(":")[2].lstrip("/~")


def _remaps(arguments: Sequence[str]) -> Iterator[str]:
    yield from (value for _, flag, value in _flags(arguments) if flag == _REMAP)
    yield from (word for word in _others(arguments) if ":=" in word)


def _others(arguments: Sequence[str]) -> list[str]:
    """The arguments that are none of ROS'."""
    return [word for word, of_ros in _marked(arguments) if not of_ros]


def _flags(arguments: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Place of the value, flag and value of the ROS arguments that have one."""
    words, place = list(_marked(arguments)), 0
    while place + 1 < len(words):
        word, of_ros = words[place]
        place += 1
        if of_ros and word in _FLAGS:
            yield place, _FLAGS[word], words[place][0]
            place += 1


def _marked(arguments: Sequence[str]) -> Iterator[tuple[str, bool]]:
    """Each argument, and whether it is for ROS: from --ros-args on, up to --."""
    of_ros = False
    for word in arguments:
        of_ros = of_ros or word == "--ros-args"
        yield word, of_ros
        of_ros = of_ros and word != "--"
