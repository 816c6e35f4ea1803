# SPDX-License-Identifier: Apache-2.0
"""Names a network by its weights, for what is kept of it on disk."""

import hashlib

from torch import nn


def weights_digest(network: nn.Module) -> str:
    """Of the names and values of all weights, on the CPU: a folder's name says less, for another
    training may have it."""
    digest = hashlib.sha256()
    for name, weights in network.state_dict().items():
        digest.update(name.encode() + weights.numpy().tobytes())
    return digest.hexdigest()
