# SPDX-License-Identifier: Apache-2.0
"""What went wrong in a run that went on: each cause once, how often, and its first case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

#: What reading an input may raise. A run notes it and goes on with the next one. Readers turn
#: errors of the libraries below them into these.
BAD_INPUT = (ValueError, OSError, MemoryError)


@contextmanager
def expected_structure(what: str) -> Iterator[None]:
    """Turns what content of another structure raises into the ValueError of `BAD_INPUT`."""
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"{what} has another structure: {error!r}") from error


class Problems:
    """Collects what is listed at the end of a run."""

    def __init__(self, known: Mapping[str, tuple[int, str]] | None = None) -> None:
        """Args: what `as_dict` gave, to go on with."""
        self._cases = {key: (int(count), text) for key, (count, text) in (known or {}).items()}

    def add(self, what: str, case: str = "", count: int = 1) -> None:
        """Notes a problem.

        Args:
            what: the cause and what it costs; equal ones are counted together.
            case: details of this one; of equal ones the first is shown.
            count: how many.
        """
        so_far, first = self._cases.get(what, (0, case))
        self._cases[what] = (so_far + count, first)

    def note(self, what: str, case: str = "") -> None:
        """Notes a problem that there can be only one of, however often it is met."""
        self._cases[what] = (1, case)

    def lines(self) -> list[str]:
        """One line each."""
        return [
            what + (f" ({count} times)" if count > 1 else "") + (f": {case}" if case else "")
            for what, (count, case) in self._cases.items()
        ]

    def as_dict(self) -> dict[str, tuple[int, str]]:
        """For a JSON file."""
        return dict(self._cases)

    def __bool__(self) -> bool:
        return bool(self._cases)
