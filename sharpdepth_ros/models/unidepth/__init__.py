# SPDX-License-Identifier: Apache-2.0
"""UniDepth V1 and V2 in plain torch, loading the published configurations and state dicts."""

from sharpdepth_ros.models.unidepth.v1 import UniDepthV1
from sharpdepth_ros.models.unidepth.v2 import UniDepthV2

__all__ = ["UniDepthV1", "UniDepthV2"]
