# SPDX-License-Identifier: Apache-2.0
"""Configure and clean up, again and again: what was taken is given back each time.

The long form loads the demo weights: python scripts/reliability.py --only cycles --cycles 200
"""

import os

import pytest

from ..growth import growth
from .sampling import Sampler

CYCLES = int(os.environ.get("SHARPDEPTH_CYCLES", "200"))
#: Cycles after which the libraries have loaded and kept what they keep.
WARM_UP = 3


@pytest.mark.parametrize(
    ("cycles", "weights"),
    [
        pytest.param(8, {"stand_in": True, "model": "ballast=50"}, id="quick"),
        pytest.param(CYCLES, {}, id="long", marks=pytest.mark.long),
    ],
)
def test_what_configuring_takes_cleaning_up_gives_back(cycles, weights, start_node, peer, record):
    node = start_node(autostart=False, **weights)
    sampler = Sampler(node.process.pid)
    loaded = []
    for cycle in range(cycles + WARM_UP):
        assert peer.transition("configure", timeout=300)
        loaded.append(sampler.look(cycle))
        sampler.samples.pop()
        assert peer.transition("cleanup")
        sampler.look(cycle)
    threads, files = (sampler.usual(name, WARM_UP / len(loaded)) for name in ("threads", "files"))
    own = [value / 2**20 for value in sampler.series("anonymous")[WARM_UP:]]
    happened = (
        f"memory of its own {loaded[-1].anonymous / 2**20:.0f} MiB configured, {own[0]:.0f} after "
        f"the first cleanup, {own[-1]:.0f} after the last, largest {max(own):.0f}; threads "
        f"{threads[1]}, files {files[1]}"
    )
    if cycles >= 100:
        grown = growth(sampler.series("count"), sampler.series("anonymous"), WARM_UP / cycles)
        happened += (
            f"; {grown.rate / 1024:+.1f} KiB per cycle, 95 % interval {grown.low / 1024:+.1f} to "
            f"{grown.high / 1024:+.1f}"
        )
    models = "a stand-in" if weights else "the demo weights"
    record(f"Configure and clean up, {models}", f"{cycles} cycles", happened)
    assert threads[0] == threads[1]
    assert files[0] == files[1]
    assert max(own) - own[0] < 20
    assert "Traceback" not in node.log
