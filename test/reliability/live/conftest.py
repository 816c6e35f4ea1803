# SPDX-License-Identifier: Apache-2.0
"""The node's processes of test/node, and other processes beside them."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ...node.conftest import NodeProcess, domain, peer, peer_first, start_node

__all__ = ["domain", "peer", "peer_first", "start_node", "start_process"]


@pytest.fixture
def start_process(
    domain: int, tmp_path: Path, peer_first: None
) -> Iterator[Callable[..., NodeProcess]]:
    """Starts a Python program in the test's domain: its name, then its arguments."""
    processes: list[NodeProcess] = []

    def start(*arguments: str) -> NodeProcess:
        log = tmp_path / f"process{len(processes)}.log"
        processes.append(NodeProcess([sys.executable, *arguments], domain, log))
        return processes[-1]

    yield start
    for process in processes:
        process.close()
