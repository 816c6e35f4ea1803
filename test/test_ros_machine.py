# SPDX-License-Identifier: Apache-2.0
"""On a machine with ROS, no test that needs it is skipped."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS = {
    "test_a_file.py": "import pytest\npytest.importorskip('none', reason='needs ROS: a wheel')\n",
    "test_a_test.py": "import pytest\n\ndef test_a():\n    pytest.skip('needs ROS: a wheel')\n",
    "test_other.py": "import pytest\n\ndef test_b():\n    pytest.skip('needs a second core')\n",
}


@pytest.mark.parametrize(("distribution", "failures"), [("", 0), ("jazzy", 2)])
def test_what_needs_ros_is_skipped_only_where_there_is_none(distribution, failures, tmp_path):
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    for name, text in SKIPS.items():
        (tmp_path / name).write_text(text)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "--continue-on-collection-errors", tmp_path],
        cwd=tmp_path,
        env=os.environ | {"ROS_DISTRO": distribution},
        capture_output=True,
        text=True,
    )
    assert bool(ended.returncode) == bool(failures), ended.stdout + ended.stderr
    said = ended.stdout.count("jazzy is sourced; Skipped: needs ROS: a wheel")
    assert (said >= failures) if failures else not said
    assert "needs a second core" in ended.stdout
