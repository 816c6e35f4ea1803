# SPDX-License-Identifier: Apache-2.0
"""Sharp metric depth from one camera: the public Python API.

Names are imported on first use, so that `import sharpdepth_ros` costs nothing and the launch files
and command line help work without loading torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sharpdepth_ros.models.metric import MetricDepth, MetricDepthModel
    from sharpdepth_ros.models.registry import load_metric_model
    from sharpdepth_ros.pipeline.output import SharpDepthOutput
    from sharpdepth_ros.pipeline.sharpdepth import SharpDepthPipeline

__version__ = "0.1.0"

__all__ = [
    "MetricDepth",
    "MetricDepthModel",
    "SharpDepthOutput",
    "SharpDepthPipeline",
    "load_metric_model",
]

_HOME = {
    "MetricDepth": "models.metric",
    "MetricDepthModel": "models.metric",
    "SharpDepthOutput": "pipeline.output",
    "SharpDepthPipeline": "pipeline.sharpdepth",
    "load_metric_model": "models.registry",
}


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
