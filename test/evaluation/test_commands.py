# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth evaluate` and `sharpdepth compare` from arguments to reports."""

import subprocess
import sys

import numpy as np
import pytest

from sharpdepth_ros.evaluation.commands import run_compare, run_evaluate
from sharpdepth_ros.evaluation.result import Result


def test_models_are_evaluated_in_their_modes(folder, tmp_path, capsys):
    options = {"processing_resolution": 64, "limit": 2, "pictures": 0, "device": "cpu"}
    out = tmp_path / "out"
    assert run_evaluate("folder", folder, out, modes=["aligned", "metric"], **options) == 0
    printed = capsys.readouterr().out
    assert "| aligned |" in printed and "| metric |" in printed and "report.md" in printed
    result = Result.load(out)
    assert len(result.rows) == 4
    assert result.settings["metric_model"] == "demo"


def test_files_are_evaluated_and_compared(folder, tmp_path, boxes, capsys):
    listed = tmp_path / "frames.txt"
    listed.write_text("rgb/frame_1.png\nrgb/frame_4.png\n")
    for name, factor in (("near", 0.9), ("far", 1.2)):
        (tmp_path / name).mkdir()
        for i in (1, 4):
            np.save(tmp_path / name / f"frame_{i}.npy", boxes(i) * np.float32(factor))
        options = {
            "predictions": tmp_path / name,
            "frames": listed,
            "dataset_options": {"dense": False},
            "pictures": 1,
        }
        assert run_evaluate("folder", folder, tmp_path / f"out_{name}", **options) == 0
    assert "| near |" in capsys.readouterr().out
    assert run_compare(tmp_path / "out_near", tmp_path / "out_far", tmp_path / "compared") == 0
    assert "| AbsRel ↓ | 2 | 0.1 | 0.2 | +0.1 |" in capsys.readouterr().out
    assert (tmp_path / "compared" / "differences_1.png").exists()


@pytest.mark.parametrize("command", [["compare", "a", "b"], ["evaluate", "--dataset", "nyu"]])
def test_without_matplotlib_the_extra_is_named(command, tmp_path):
    if command[0] == "evaluate":
        command = [*command, "--root", str(tmp_path), "--output", str(tmp_path / "out")]
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        f"from sharpdepth_ros.cli import main; sys.exit(main({command}))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "pip install 'sharpdepth_ros[eval]'" in ended.stderr
    assert "Traceback" not in ended.stderr
