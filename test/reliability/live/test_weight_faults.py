# SPDX-License-Identifier: Apache-2.0
"""Weights damaged on the disk: configuring says in one line which, and works once repaired."""

import os
import shutil
from pathlib import Path

import sharpdepth_ros
from sharpdepth_ros.node.diagnostics import PERIOD

DEMO = Path(sharpdepth_ros.__file__).parent / "weights" / "demo"
METRIC = "metric/model.safetensors"
UNET = "sharpener/unet/diffusion_pytorch_model.safetensors"
VAE = "sharpener/vae/diffusion_pytorch_model.safetensors"
CANNOT = "cannot load the models: "


def _cut(path, share):
    os.truncate(path, int(path.stat().st_size * share))


def _in_a_circle(path):
    """A file that nobody can read, root neither."""
    path.unlink()
    path.symlink_to(path.name)


def _replaced_by(other):
    return lambda path: shutil.copy(DEMO / other, path)


def _is_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "truncated in its data": [(METRIC, lambda p: _cut(p, 0.9)), (UNET, lambda p: _cut(p, 0.5))],
    "truncated in its header": [(METRIC, lambda p: os.truncate(p, 20))],
    "empty": [(UNET, lambda p: _cut(p, 0)), (VAE, lambda p: _cut(p, 0))],
    "swapped for another model's": [
        (METRIC, _replaced_by(UNET)),
        (UNET, _replaced_by(VAE)),
        (VAE, _replaced_by(METRIC)),
    ],
    "unreadable": [(METRIC, _in_a_circle), (UNET, _is_a_folder)],
    "missing": [(METRIC, Path.unlink), (UNET, Path.unlink), (VAE, Path.unlink)],
    "a configuration cut off": [
        ("metric/config.json", lambda p: _cut(p, 0.5)),
        ("sharpener/unet/config.json", lambda p: _cut(p, 0.5)),
    ],
}
CASES = [(kind, file, damage) for kind, damages in DAMAGES.items() for file, damage in damages]


def test_damaged_weights_are_named_and_the_repaired_ones_load(start_node, peer, tmp_path, record):
    for part in ("metric", "sharpener"):
        shutil.copytree(DEMO / part, tmp_path / part)
    if os.geteuid() != 0:  # root reads what nobody may read
        CASES.append(("unreadable", METRIC, lambda path: path.chmod(0)))
    statuses = peer.diagnostics()
    node = start_node(
        autostart=False, model=tmp_path / "sharpener", metric_model=tmp_path / "metric"
    )
    for kind, file, damage in CASES:
        path, before = tmp_path / file, node.log
        damage(path)
        assert not peer.transition("configure", timeout=300), f"{file} {kind} was loaded"
        peer.wait_until(lambda b=before: CANNOT in node.log[len(b) :])
        said = [line for line in node.log[len(before) :].splitlines() if CANNOT in line]
        print(f"{file} {kind}: {said[0].split(CANNOT)[1]}")
        assert len(said) == 1
        assert file.split("/")[0] in said[0].split(CANNOT)[1], "it does not say which model"
        assert peer.state() == "unconfigured"
        if path.is_dir():
            path.rmdir()
        path.unlink(missing_ok=True)
        shutil.copy(DEMO / file, path)
    assert "Traceback" not in node.log
    statuses.wait_for(lambda m: m[-1][1].startswith(CANNOT))
    assert peer.transition("configure", timeout=300)
    assert peer.transition("activate")
    statuses.wait_for(lambda m: m[-1][0] != b"\x02" and m[-1][2]["state"] == "active", 60 * PERIOD)
    record(
        "Weights on the disk " + ", ".join(DAMAGES),
        f"{len(CASES)} damages, one after the other in one node",
        "configuring fails each time with one line that names the model's folder; the node stays "
        "unconfigured, and configures and activates once the file is repaired",
    )
