# SPDX-License-Identifier: Apache-2.0
"""What ROS parameter files and `-p` rules give a node, by the rules of rcl and without ROS.

PyYAML types `1e-2`, `y` and `2026-11-30` differently and merges what rcl keeps apart, so scalars
and precedence follow rcl_yaml_param_parser (get_value, parse_file_events), rcl (arguments.c) and
rclpy (node.cpp, _populate_node_parameters_from_rcl_params).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from sharpdepth_ros.processing.parameters import SPECS, Parameters

#: The pattern of a rule without the name of a node, and of files that are for every node.
EVERY_NODE = "/**"
_KEY = "ros__parameters"
#: What rclpy declares on a node besides the table.
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")
_DEEPEST = 50
#: Names of other nodes that a message lists.
_SHOWN = 6
_STRING = "tag:yaml.org,2002:str"
_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in ("str", "int", "float", "bool", "null", "seq")}

_BOOLEANS = {
    spelling: word in ("y", "yes", "true", "on")
    for word in ("y", "yes", "true", "on", "n", "no", "false", "off")
    for spelling in (word, word.capitalize(), word.upper())
}
_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)")
_DOUBLE = re.compile(
    r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|\.?inf|infinity|\.?nan)", re.ASCII | re.IGNORECASE
)
_NAME_PART = re.compile(r"\*{1,2}|[A-Za-z_]\w*", re.ASCII)
_RULE = re.compile(
    r"(?:(?P<node>[A-Za-z_]\w*):)?(?P<name>[^:=\s][^=]*?):?=(?P<value>.*)", re.DOTALL | re.ASCII
)

#: Pattern of node names -> name of the parameter -> value.
Sections = dict[str, dict[str, Any]]


class Overrides:
    """The values that files and rules give, for any node.

    Patterns keep the place where they first appeared, over all files and rules; a value that comes
    later replaces an earlier one of its pattern. Of two patterns that match a node, the one of the
    later place wins, wildcard or not.
    """

    def __init__(self) -> None:
        self._sections: Sections = {}
        self._sources: dict[str, Sections] = {}
        self._retyped: set[tuple[str, str]] = set()

    def add_file(self, file: Path) -> None:
        """Adds a parameter file.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: rcl does not take it.
        """
        self.add(str(file), _read(file))

    def add_rule(self, rule: str) -> None:
        """Adds NAME:=VALUE or NODE:NAME:=VALUE, as after `-p`; NAME=VALUE is taken too.

        Raises:
            ValueError: it is no such rule.
        """
        match = _RULE.fullmatch(rule)
        if match is None:
            raise ValueError(f"{rule!r} is not NAME:=VALUE, such as point_stride:=2")
        pattern = match["node"] or EVERY_NODE
        try:
            value = _value_of(_single(yaml.parse(match["value"])))
        except (yaml.YAMLError, ValueError) as error:
            raise ValueError(f"{rule!r}: the value is not plain YAML: {error}") from error
        self.add(rule, {pattern: {match["name"]: value}})

    def add(self, source: str, sections: Sections) -> None:
        """Adds values; `source` names them in messages."""
        self._sources[source] = sections
        for pattern, values in sections.items():
            section = self._sections.setdefault(pattern, {})
            for name, value in values.items():
                if name in section and type(section[name]) is not type(value):
                    self._retyped.add((pattern, name))
                section[name] = value

    def of(self, node: str) -> dict[str, Any]:
        """The values of a node, by its fully qualified name."""
        given: dict[str, Any] = {}
        for pattern, values in self._sections.items():
            if _matches(pattern, node):
                given |= values
        return given

    def retyped(self, node: str) -> dict[str, Any]:
        """The values of a node that were given with two types under one pattern.

        rcl keeps a variable for each type and reads the boolean before the integer before the
        double before the text, whichever came last.
        """
        names = {name for pattern, name in self._retyped if _matches(pattern, node)}
        return {name: value for name, value in self.of(node).items() if name in names}

    def unaddressed(self, nodes: Iterable[str]) -> list[str]:
        """A sentence for each file or rule that has nothing for any of the nodes."""
        nodes, sentences = list(nodes), []
        for source, sections in self._sources.items():
            if any(_matches(pattern, node) for pattern in sections for node in nodes):
                continue
            name = nodes[0].rpartition("/")[2]
            names = [_with_guess(pattern, [name]) for pattern in sections]
            shown = ", ".join(names[:_SHOWN]) + " and others" * (len(names) > _SHOWN)
            sentences.append(
                f"{source} sets parameters of {shown or 'no node'}, not of {' or '.join(nodes)}: "
                f"write {nodes[0]}, /**/{name} or /** there, or give the node that name and "
                "namespace"
            )
        return sentences

    def unknown(
        self, node: str, known: Callable[[str], bool] = lambda name: name.startswith(_OF_ROS)
    ) -> list[str]:
        """A sentence for each source that gives the node parameters which it does not have.

        Args:
            node: its fully qualified name.
            known: tells the names of those it has besides the table's.
        """
        sentences = []
        for source, sections in self._sources.items():
            names = {
                name: None
                for pattern, values in sections.items()
                if _matches(pattern, node)
                for name in values
                if name not in SPECS and not known(name)
            }
            if names:
                guesses = (_with_guess(name, SPECS) for name in names)
                sentences.append(
                    f"{source} sets {', '.join(guesses)}: {node} has no such parameter "
                    "(sharpdepth_node --help lists them)"
                )
        return sentences

    def parameters(self, node: str) -> Parameters:
        """The parameters that the node has with these values.

        Raises:
            ValueError: a value is not allowed.
        """
        given = self.of(node)
        return Parameters().changed({name: given[name] for name in given if name in SPECS})


def _with_guess(name: str, known: Iterable[str]) -> str:
    guess = difflib.get_close_matches(name.rpartition("/")[2], known, n=1)
    return f"{name} (did you mean {guess[0]}?)" if guess and guess[0] not in name else name


def _matches(pattern: str, node: str) -> bool:
    absolute = pattern if pattern.startswith("/") else f"/{pattern}"
    return re.fullmatch(absolute.replace("/*", r"(/\w+)"), node, re.ASCII) is not None


def _read(file: Path) -> Sections:
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no parameter file {file}") from None
    except OSError as error:
        raise ValueError(f"the parameter file {file} cannot be read: {error.strerror}") from error
    sections: Sections = {}
    try:
        tree = _single(yaml.parse(data.decode()))
        if tree is not None:
            _collect_nodes(tree, "", sections)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{file} is not a parameter file of ROS: {error}") from error
    return sections


class _Pairs(list):
    """A mapping as the pairs of key and tree it is written as, with its line."""

    def __init__(self, line: int) -> None:
        super().__init__()
        self.line = line


def _single(events: Iterator[yaml.Event]) -> Any:
    """The tree of a document: _Pairs, lists and scalar events; None if it is empty."""
    tree = None
    for event in events:
        if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent | yaml.AliasEvent):
            if tree is not None:
                raise ValueError(f"line {_line(event)}: a second document")
            tree = _tree(event, events, 0)
    return tree


def _tree(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
    line = _line(event)
    if isinstance(event, yaml.AliasEvent):
        raise ValueError(f"line {line}: ROS takes no aliases (*{event.anchor})")
    if event.tag is not None and event.tag not in _TAGS:
        raise ValueError(f"line {line}: no parameter has the type {event.tag}")
    if isinstance(event, yaml.ScalarEvent):
        return event
    if depth > _DEEPEST:
        raise ValueError(f"line {line}: more than {_DEEPEST} levels")
    items: list = []
    while not isinstance(inner := next(events), yaml.CollectionEndEvent):
        items.append(_tree(inner, events, depth + 1))
    if isinstance(event, yaml.SequenceStartEvent):
        return items
    pairs = _Pairs(line)
    for key, value in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, yaml.ScalarEvent) or not key.value:
            raise ValueError(f"line {line}: a key is not a name")
        pairs.append((key.value, value))
    return pairs


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1


def _collect_nodes(tree: Any, name: str, sections: Sections) -> None:
    if not isinstance(tree, _Pairs):
        raise ValueError(f"{name or 'the file'} has no {_KEY}: below it")
    for key, inner in tree:
        if key != _KEY:
            slash = "" if not name or name.endswith("/") else "/"
            _collect_nodes(inner, f"{name}{slash}{key}", sections)
            continue
        _check_pattern(name)
        if not isinstance(inner, _Pairs):
            raise ValueError(f"{_KEY} of {name} is empty")
        _collect_values(inner, "", sections.setdefault(name, {}))


def _check_pattern(name: str) -> None:
    parts = name.removeprefix("/").split("/")
    if not all(_NAME_PART.fullmatch(part) for part in parts):
        raise ValueError(
            f"{name!r} is no name of a node, such as /front/sharpdepth or /**/sharpdepth"
        )


def _collect_values(pairs: _Pairs, prefix: str, values: dict[str, Any]) -> None:
    for name, tree in pairs:
        if isinstance(tree, _Pairs):
            _collect_values(tree, f"{prefix}{name}.", values)
        else:
            values[prefix + name] = _value_of(tree)


def _value_of(tree: Any) -> Any:
    if isinstance(tree, _Pairs):
        raise ValueError(f"line {tree.line}: a parameter is a value or a list of values")
    if isinstance(tree, list):
        return [_value_of(item) for item in tree]
    if tree is None:
        raise ValueError("there is none; an empty text is written ''")
    text, style = tree.value, tree.style
    if style in ("'", '"') or tree.tag == _STRING:
        return text
    if not text:
        raise ValueError(f"line {_line(tree)}: there is no value; an empty text is written ''")
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-")
        octal = digits.isdigit() and digits.startswith("0")
        value = int(text, 8 if octal else 0)
        if -(2**63) <= value < 2**63:
            return value
    if _DOUBLE.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
