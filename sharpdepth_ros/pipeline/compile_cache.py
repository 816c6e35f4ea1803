# SPDX-License-Identifier: Apache-2.0
"""Where torch.compile keeps what it compiled, so that a restart finds it again."""

import os
import stat
from pathlib import Path

from sharpdepth_ros.weights.home import weights_home

FOLDER_VARIABLE = "TORCHINDUCTOR_CACHE_DIR"


def use_compile_cache() -> Path:
    """Have compiled kernels and graphs kept under the package's cache home; the folder.

    torch's own default is a folder in /tmp, which a robot empties when it starts. A folder that
    the user has chosen stays. torch keys what it keeps by its version, the device and the graph,
    so one folder serves all. What is in it is code that torch loads and runs.

    Raises:
        ValueError: others may write to the folder.
    """
    folder = Path(os.environ.setdefault(FOLDER_VARIABLE, str(weights_home() / "compiled")))
    private_folder(folder, "compiled code, which is run")
    # On by default since torch 2.5 or so; older ones are told.
    for variable in ("TORCHINDUCTOR_FX_GRAPH_CACHE", "TORCHINDUCTOR_AUTOGRAD_CACHE"):
        os.environ.setdefault(variable, "1")
    return folder


def private_folder(folder: Path, holding: str) -> None:
    """Make a folder that nobody else may write to, or check that the one there is so.

    Raises:
        ValueError: it is another user's, or others may write to it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = folder.stat()
    if found.st_uid not in (os.geteuid(), 0):
        raise ValueError(
            f"{folder} holds {holding}, and belongs to another user ({found.st_uid}): "
            "choose a folder of your own (SHARPDEPTH_HOME)"
        )
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(
            f"{folder} holds {holding}, and others may write to it (mode "
            f"{stat.S_IMODE(found.st_mode):o}): empty it and run `chmod go-w {folder}`, or "
            "choose a folder of your own (SHARPDEPTH_HOME)"
        )
