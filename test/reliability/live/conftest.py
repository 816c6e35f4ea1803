# SPDX-License-Identifier: Apache-2.0
"""The node's processes of test/node, and other processes beside them."""

from ...node.conftest import domain, peer, peer_first, start_node, start_process

__all__ = ["domain", "peer", "peer_first", "start_node", "start_process"]
