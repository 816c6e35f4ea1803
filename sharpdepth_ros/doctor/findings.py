# SPDX-License-Identifier: Apache-2.0
"""What an examination finds: one thing, its value, whether it is well, and what to do."""

from dataclasses import dataclass
from typing import Literal

OK = "ok"
WARNING = "warning"
ERROR = "error"

GIB = 1024**3


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: was examined.
        value: was found.
        status: "ok"; "warning", it works but not well or not all of it; "error", it will not work.
        advice: what to do, empty when it is well.
    """

    what: str
    value: str
    status: Literal["ok", "warning", "error"] = OK
    advice: str = ""
