# SPDX-License-Identifier: Apache-2.0
"""What the programs of this package set for their process, before torch is loaded."""

import os


def let_waiting_threads_sleep() -> None:
    """Has torch's threads on the CPU sleep while they wait, unless the user has chosen.

    Beside another busy process, spinning was measured to make a frame thirty times slower. It
    counts for this process if torch is not loaded yet, and for those that it starts. A program
    that imports this package decides for itself: OMP_WAIT_POLICY=passive in its environment.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
