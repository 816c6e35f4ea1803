# SPDX-License-Identifier: Apache-2.0
"""A mailbox of size one between two threads."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """Holds at most one item; what is newer takes the place of what was not yet taken."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: Item | None = None
        self._closed = False

    def put(self, item: Item) -> Item | None:
        """Leaves an item. Returns the one it replaced, if one was waiting."""
        with self._changed:
            replaced, self._item = self._item, item
            self._changed.notify_all()
            return replaced

    def take(self) -> Item | None:
        """Waits for an item and takes it. None: the mailbox was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed)
            item, self._item = self._item, None
            self._changed.notify_all()
            return None if self._closed else item

    def wait_until_empty(self) -> None:
        """Waits until the item was taken, or the mailbox was closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is None or self._closed)

    def clear(self) -> None:
        """Throws a waiting item away."""
        with self._changed:
            self._item = None
            self._changed.notify_all()

    def close(self) -> None:
        """Throws a waiting item away and lets everybody who waits go."""
        with self._changed:
            self._closed, self._item = True, None
            self._changed.notify_all()
