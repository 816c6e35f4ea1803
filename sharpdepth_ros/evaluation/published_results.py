# SPDX-License-Identifier: Apache-2.0
"""Published figures to print beside measured ones (SharpDepth, CVPR 2025)."""

PUBLISHED: dict[str, dict[str, dict[str, float]]] = {
    "kitti": {
        "SharpDepth": {"delta1_acc": 0.97315},
        "UD-aligned Lotus": {"delta1_acc": 0.71650},
        "UniDepth": {"delta1_acc": 0.97921},
    },
    "nyu": {
        "SharpDepth": {"delta1_acc": 0.96949},
        "UD-aligned Lotus": {"delta1_acc": 0.87310},
        "UniDepth": {"delta1_acc": 0.93921},
    },
    "sintel": {
        "SharpDepth": {"dbe_acc": 1.94},
        "UD-aligned Lotus": {"dbe_acc": 2.04},
        "UniDepth": {"dbe_acc": 3.73},
    },
    "spring": {
        "SharpDepth": {"dbe_acc": 1.24},
        "UD-aligned Lotus": {"dbe_acc": 1.27},
        "UniDepth": {"dbe_acc": 5.29},
    },
    "unrealstereo4k": {
        "SharpDepth": {"dbe_acc": 1.37},
        "UD-aligned Lotus": {"dbe_acc": 1.21},
        "UniDepth": {"dbe_acc": 8.65},
    },
}
"""By data set and method; metrics by their names here, delta as a share."""
