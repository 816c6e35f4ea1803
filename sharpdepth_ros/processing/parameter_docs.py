# SPDX-License-Identifier: Apache-2.0
"""Writes the parameter table as YAML and as a page of the documentation.

python -m sharpdepth_ros.processing.parameter_docs yaml > config/sharpdepth.yaml
python -m sharpdepth_ros.processing.parameter_docs markdown > docs/parameters.md
"""

from __future__ import annotations

import sys
import textwrap
from typing import Any

from sharpdepth_ros.processing.parameters import DEFAULTS, SPECS, TYPE_NAMES, Spec

_PAGE = """# Parameters

Every parameter of the node is also an argument of the launch files and a key of
`config/sharpdepth.yaml`, which has them all at their defaults. `ros2 param describe /sharpdepth
NAME` prints the same descriptions. This page is written by `parameter_docs.py`.

`set` says when a parameter may change: at start, while the node is not active, or at any time.

"""


def allowed(spec: Spec) -> str:
    """The values a parameter may have, as words; empty where any is."""
    if spec.choices:
        return ", ".join(spec.choices)
    return "" if spec.low is None else f"{spec.low} to {spec.high}"


def when(spec: Spec) -> str:
    """When a parameter can be set."""
    if spec.startup:
        return "at start"
    return "while not active" if spec.reload else "any time"


def literal(value: Any) -> str:
    """A value as YAML and the command line take it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def yaml() -> str:
    """A parameters file with every parameter at its default."""
    lines = ["# Every parameter of the node at its default. Written by parameter_docs.py.", "/**:"]
    lines.append("  ros__parameters:")
    for name, spec in SPECS.items():
        notes = f"{spec.description} ({allowed(spec) + '; ' if allowed(spec) else ''}{when(spec)})"
        lines += [f"    # {line}" for line in textwrap.wrap(notes, 92)]
        lines.append(f"    {name}: {literal(DEFAULTS[name])}")
    return "\n".join(lines) + "\n"


def markdown() -> str:
    """The page docs/parameters.md: a table with every parameter."""
    rows = ["| parameter | type | default | allowed | set | meaning |", "| --- " * 6 + "|"]
    for name, spec in SPECS.items():
        kind = TYPE_NAMES[type(DEFAULTS[name]).__name__]
        cells = (
            f"`{name}`",
            kind,
            f"`{literal(DEFAULTS[name])}`",
            allowed(spec),
            when(spec),
            spec.description,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return _PAGE + "\n".join(rows) + "\n"


def main() -> int:
    forms = {"yaml": yaml, "markdown": markdown}
    if len(sys.argv) != 2 or sys.argv[1] not in forms:
        print(f"usage: parameter_docs {{{','.join(forms)}}}", file=sys.stderr)
        return 2
    sys.stdout.write(forms[sys.argv[1]]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
