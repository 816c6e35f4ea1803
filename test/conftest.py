# SPDX-License-Identifier: Apache-2.0
"""What all tests share: golden numbers, a metric model that answers as told, a scratch home."""

from sharpdepth_ros.entry import let_waiting_threads_sleep

let_waiting_threads_sleep()  # before torch is loaded

import os  # noqa: E402
import signal  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402

import sharpdepth_ros  # noqa: E402

DATA = Path(__file__).parent / "data"

# A shell starts programs in the background with SIGINT ignored, and their children inherit that:
# those that the tests interrupt would never hear of it.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    return _fail_on_a_ros_machine((yield))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    return _fail_on_a_ros_machine((yield))


def _fail_on_a_ros_machine(report):
    """What is skipped because it "needs ROS" fails where ROS is sourced: it was to run there."""
    if report.skipped and os.environ.get("ROS_DISTRO") and "needs ROS" in str(report.longrepr):
        report.outcome = "failed"
        report.longrepr = f"{os.environ['ROS_DISTRO']} is sourced; {report.longrepr[-1]}"
    return report


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of golden numbers and the tiny checkpoint."""
    return DATA


@pytest.fixture(scope="session", autouse=True)
def weights_home(tmp_path_factory):
    """A home for generated weights, so that no test depends on what this machine has cached."""
    home = tmp_path_factory.mktemp("weights_home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHARPDEPTH_HOME", str(home))
        yield home


class GivenMetricModel:
    """A metric model that returns the depth it was made with and remembers what it was shown."""

    def __init__(self, depth: np.ndarray, intrinsics: np.ndarray | None = None):
        self.depth = torch.as_tensor(depth, dtype=torch.float32)[None, None]
        self.estimate = None if intrinsics is None else torch.as_tensor(intrinsics)[None].float()
        self.rgb = self.intrinsics = None

    def infer(self, rgb, intrinsics=None):
        self.rgb, self.intrinsics = rgb, intrinsics
        return sharpdepth_ros.MetricDepth(self.depth, self.estimate)


@pytest.fixture(scope="session")
def given_metric_model():
    """The class above, for tests that fix what f_D says."""
    return GivenMetricModel


class RampMetricModel:
    """Metric depth from 1 m at the left to 3 m at the right, whatever the image."""

    def infer(self, rgb, intrinsics=None):
        height, width = rgb.shape[-2:]
        depth = torch.linspace(1, 3, width).repeat(len(rgb), 1, height, 1)
        return sharpdepth_ros.MetricDepth(depth, intrinsics)


@pytest.fixture(scope="session")
def ramp_metric_model():
    """A metric model whose answer is known at every size."""
    return RampMetricModel()
