# SPDX-License-Identifier: Apache-2.0
"""Where torch.compile keeps what it compiled, so that a restart finds it again."""

import os
from pathlib import Path

from sharpdepth_ros.weights.home import weights_home

FOLDER_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def use_compile_cache() -> Path:
    """Have compiled kernels and graphs kept under the package's cache home; the folder.

    torch's own default is a folder in /tmp, which a robot empties when it starts. A folder that
    the user has chosen stays. torch keys what it keeps by its version, the device and the graph,
    so one folder serves all.
    """
    folder = Path(os.environ.setdefault(FOLDER_VARIABLE, str(weights_home() / "compiled")))
    folder.mkdir(parents=True, exist_ok=True)
    # On by default since torch 2.5 or so; older ones are told.
    for variable in ("TORCHINDUCTOR_FX_GRAPH_CACHE", "TORCHINDUCTOR_AUTOGRAD_CACHE"):
        os.environ.setdefault(variable, "1")
    return folder
