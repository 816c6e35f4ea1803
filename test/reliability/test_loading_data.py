# SPDX-License-Identifier: Apache-2.0
"""Arrays, YAML, trainings and recordings that a stranger made; nothing in them is run or followed.

Every trap would make the folder `marker` if its code ran.
"""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml

from sharpdepth_ros.evaluation.datasets.folder import FolderDataset
from sharpdepth_ros.evaluation.depth_readers import read_mask
from sharpdepth_ros.io.depth_files import read_array, read_depth, read_rgb, write_rgb
from sharpdepth_ros.io.intrinsics_files import read_intrinsics
from sharpdepth_ros.models.safe_loading import CheckpointError
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.recordings.images import read_picture
from sharpdepth_ros.synthetic import SampleOptions, read_frame, write_dataset
from sharpdepth_ros.training import train
from sharpdepth_ros.training.config import load_config
from sharpdepth_ros.training.disk_cache import DiskCache
from sharpdepth_ros.training.run_checkpoints import checkpoints_of
from sharpdepth_ros.training.stages.vae import VaeOptions
from sharpdepth_ros.viewing.result_run import run_of_results

from . import malicious

HASH = "RIHS01_" + 64 * "0"
TRAINING = [
    "data.source=scenes",
    "data.width=32",
    "data.height=24",
    "data.frames=2",
    "run.cpu=true",
    "stage.channels=[8,8,16]",
    "stage.latent_channels=4",
]


@pytest.fixture
def marker(tmp_path):
    """The folder that code in a file would make; it must not be there afterwards."""
    folder = tmp_path / "code-was-run"
    yield folder
    assert not folder.exists()


# Arrays


def _synthetic(folder, make, marker):
    write_dataset(folder, 1, options=SampleOptions(width=16, height=16, kind="shapes"))
    make(folder / "depth" / "000000.npy", marker)
    return read_frame(folder, 0)


def _file(read):
    def run(folder, make, marker):
        make(folder / "values.npy", marker)
        return read(folder / "values.npy")

    return run


READERS = {
    "an array": _file(read_array),
    "depth": _file(read_depth),
    "a mask": _file(read_mask),
    "intrinsics": _file(lambda path: read_intrinsics(str(path))),
    "a synthetic frame": _synthetic,
}


@pytest.mark.parametrize("make", malicious.ARRAYS)
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_an_array_of_objects_is_not_unpickled(read, make, tmp_path, marker):
    folder = tmp_path / "data"
    folder.mkdir()
    with pytest.raises(ValueError, match=r"\.npy.*(save a plain array|give one array)"):
        read(folder, make, marker)


@pytest.mark.parametrize("make", malicious.ARRAYS)
def test_a_cached_map_of_objects_is_made_again(make, tmp_path, marker):
    cache = DiskCache(tmp_path / "cache", "network")
    for _ in range(2):
        maps = cache.read(["key"], (1, 2, 2), lambda _: torch.ones(1, 1, 2, 2))
        assert torch.equal(maps, torch.ones(1, 1, 2, 2))
        (kept,) = (tmp_path / "cache").rglob("*.npy")
        assert np.load(kept, allow_pickle=False).shape == (1, 2, 2)
        make(kept, marker)


@pytest.mark.parametrize("make", malicious.ARRAYS)
def test_a_result_with_an_array_of_objects_is_left_out_of_a_report(make, tmp_path, marker):
    (tmp_path / "x_depth.json").write_text("{}")
    make(tmp_path / "x_depth.npy", marker)
    run = run_of_results(tmp_path)
    assert list(run.frames) == []
    assert "x_depth.json was left out" in run.notes[0]


def test_an_image_of_more_pixels_than_can_be_decoded_is_refused(tmp_path):
    path = tmp_path / "bomb.png"
    write_rgb(path, np.zeros((4, 4, 3), np.uint8))
    content = bytearray(path.read_bytes())
    content[16:24] = (2**20).to_bytes(4, "big") * 2
    # The checksum of the header has to fit, or it is refused for that.
    content[29:33] = _crc(bytes(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bomb\.png is not an image that can be read"):
        read_rgb(path)

    with pytest.raises(ValueError, match=r"bomb\.png is not an image that can be read"):
        read_picture(path, None, print)


@pytest.mark.parametrize(
    "facts",
    ["[]", "3", '{"intrinsics": "wide"}', '{"intrinsics": [[1, 2], 3]}', '{"source": 3}', "{"],
)
@pytest.mark.parametrize("place", ["odd_depth.json", "odd/frame.json"])
def test_facts_of_another_structure_cost_their_frame_only(tmp_path, facts, place):
    for name in ("odd", "plain"):
        np.save(tmp_path / f"{name}_depth.npy", np.ones((3, 4), np.float32))
    (tmp_path / "odd").mkdir()
    np.save(tmp_path / "odd/depth.npy", np.ones((3, 4), np.float32))
    (tmp_path / place).write_text(facts)
    (tmp_path / "plain_depth.json").write_text("{}")
    run = run_of_results(tmp_path)
    assert [frame.name for frame in run.frames] == ["plain"]
    assert len(run.problems) == 1
    assert place in run.problems[0] and "was left out" in run.problems[0]


def _crc(chunk):
    import zlib

    return zlib.crc32(chunk).to_bytes(4, "big")


# YAML


def test_yaml_of_a_training_runs_nothing(tmp_path, marker):
    code = malicious.yaml_with_code(marker)
    file = tmp_path / "train.yaml"
    file.write_text(f"run:\n  output: {code}\n")
    with pytest.raises(ValueError, match=r"train\.yaml is not plain YAML.*python/object"):
        load_config(file, [], VaeOptions)
    for option in ("run.seed", "run.allow_changes", "stage.channels"):
        with pytest.raises(ValueError, match=rf"{option} .*"):
            load_config(None, [f"{option}={code}", f"{option}=[{code}]"], VaeOptions)


def test_yaml_of_a_camera_runs_nothing(tmp_path, marker):
    file = tmp_path / "camera.yaml"
    file.write_text(f"camera_matrix: {malicious.yaml_with_code(marker)}\n")
    with pytest.raises(ValueError, match=r"camera\.yaml holds no intrinsics.*python/object"):
        read_intrinsics(str(file))


def test_yaml_of_parameters_runs_nothing(tmp_path, marker):
    node_parameters = pytest.importorskip("sharpdepth_ros.recordings.bags.node_parameters")
    code = malicious.yaml_with_code(marker)
    file = tmp_path / "parameters.yaml"
    file.write_text(f"sharpdepth:\n  ros__parameters:\n    model: {code}\n")
    with pytest.raises(ValueError, match=r"parameters\.yaml is not a parameter file.*python/obj"):
        node_parameters.read_parameters([file], [])
    with pytest.raises(ValueError, match=r"not plain YAML.*python/object"):
        node_parameters.read_parameters([], [f"seed={code}"])


# Trainings that are continued


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of one step."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert train("vae", None, [*TRAINING, f"run.output={run}", "optimizer.steps=1"]) == 0
    return run


def _resume(run):
    more = [f"run.output={run}", "optimizer.steps=2", "run.resume=true"]
    return train("vae", None, [*TRAINING, *more])


@pytest.mark.parametrize(
    "name",
    ["stage.pt", "custom_checkpoint_0.pkl", "optimizer.bin", "random_states_0.pkl", "model"],
)
@pytest.mark.parametrize("make", [malicious.zip_pickle, malicious.bare_pickle])
def test_a_training_that_is_continued_unpickles_no_code(name, make, trained, tmp_path, marker):
    run = shutil.copytree(trained, tmp_path / "run")
    state = checkpoints_of(run)[-1] / "training_state"
    if name == "custom_checkpoint_0.pkl":  # where earlier versions kept what is in stage.pt
        (state / "stage.pt").unlink()
    if name == "model":
        (state / "model.safetensors").unlink()
        name = "pytorch_model.bin"
    make(state / name, marker)
    if name == "random_states_0.pkl":
        # accelerate goes on without them; the trainer seeds each step itself.
        assert _resume(run) == 0
        return
    with pytest.raises(CheckpointError, match=r"(which is not run|checkpoint before it)"):
        _resume(run)


def test_a_state_under_its_earlier_name_is_continued_from(trained, tmp_path):
    run = shutil.copytree(trained, tmp_path / "run")
    state = checkpoints_of(run)[-1] / "training_state"
    (state / "stage.pt").rename(state / "custom_checkpoint_0.pkl")
    assert _resume(run) == 0


# Data sets


@pytest.mark.parametrize("frame", ["../../secret", "/etc/passwd", "rgb/../../secret.png"])
def test_a_list_of_frames_cannot_lead_out_of_a_data_set(frame, tmp_path):
    root = tmp_path / "set"
    for folder in ("rgb", "depth"):
        (root / folder).mkdir(parents=True)
        write_rgb(root / folder / "one.png", np.zeros((4, 4, 3), np.uint8))
    write_rgb(tmp_path / "secret.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match="leads out of the data set"):
        FolderDataset(root, frames=[frame])[0]


# Recordings


@pytest.fixture
def bags():
    pytest.importorskip("rosbags", reason="needs rosbags (pip install .[recordings])")
    from sharpdepth_ros.recordings.bags import definitions, reading

    return reading, definitions


def _write_bag(path, topics, storage="sqlite3"):
    """A bag with a word on each topic, of a type and definition as given."""
    from rosbags.rosbag2 import StoragePlugin, Writer

    plugin = StoragePlugin[storage.upper()]
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        for topic, kind, definition in topics:
            connection = writer.add_connection(topic, kind, msgdef=definition, rihs01=HASH)
            writer.write(connection, 1, b"\0\1\0\0\5\0\0\0word\0")
    return path


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_types_of_a_bag_cannot_carry_code(storage, bags, tmp_path, marker):
    """rosbags turns definitions into Python source: names in them must stay names."""
    reading, definitions = bags
    code = f"__import__('os').mkdir({str(marker)!r})"
    topics = [
        ("/a", f'x/msg/Y"); {code} #', "string data"),
        ("/b", "x/msg/Field", f"string data); {code} #"),
        ("/c", "x/msg/Default", f'string data "{code}"'),
        ("/d", "x/msg/Constant", f"string DATA={code}\nstring data"),
        ("/e", "x/msg/Nested", f"x/Z\n{code} z"),
    ]
    path = _write_bag(tmp_path / "bag", topics, storage)
    with reading.Bag(path) as bag:
        assert len(list(bag.messages())) == len(topics)
        for topic in bag.topics:
            # Without its hash, which is then computed from the definition.
            bare = replace(topic, digest="")
            definition, digest = definitions.describe(bare)
            assert isinstance(definition, str) and digest.startswith("RIHS01_")


@pytest.mark.parametrize("outside", ["../secret/secret.db3", "{root}/secret/secret.db3"])
def test_metadata_of_a_bag_cannot_add_files_from_elsewhere(outside, bags, tmp_path):
    reading, _ = bags
    word = ("std_msgs/msg/String", "string data")
    _write_bag(tmp_path / "secret", [("/secret", *word)])
    bag = _write_bag(tmp_path / "bag", [("/own", *word)])
    file = bag / "metadata.yaml"
    metadata = yaml.safe_load(file.read_text())
    about = metadata["rosbag2_bagfile_information"]
    about["relative_file_paths"].append(outside.format(root=tmp_path))
    file.write_text(yaml.safe_dump(metadata))
    with reading.Bag(bag) as opened:
        assert {topic.name for topic, _, _ in opened.messages()} == {"/own"}
        assert any("outside of the bag and is not read" in p for p in opened.problems.lines())


def test_metadata_of_a_bag_runs_nothing(bags, tmp_path, marker):
    reading, _ = bags
    bag = _write_bag(tmp_path / "bag", [("/own", "std_msgs/msg/String", "string data")])
    code = malicious.yaml_with_code(marker)
    (bag / "metadata.yaml").write_text(f"rosbag2_bagfile_information: {code}\n")
    with reading.Bag(bag) as opened:
        assert len(list(opened.messages())) == 1


def test_a_packed_message_that_announces_terabytes_is_left_out(bags, tmp_path):
    reading, _ = bags
    import zstandard

    frame = bytearray(zstandard.ZstdCompressor().compress(bytes(2**20)))
    # A frame's header: magic, descriptor, and here a content size of eight bytes.
    giant = bytes(frame[:4]) + bytes([0xE0]) + (2**42).to_bytes(8, "little") + bytes(8)
    with pytest.raises(zstandard.ZstdError, match="4398046511104 bytes is announced"):
        reading.unpacked_message(giant)
    assert reading.unpacked_message(bytes(frame)) == bytes(2**20)


@pytest.mark.parametrize(
    "camera", ["../../outside", "/a/../../b", "a\0b", "x" * 300, "a b", "/etc/.."]
)
def test_frames_are_extracted_for_cameras_with_ros_names_only(camera, bags, tmp_path):
    from sharpdepth_ros.recordings.bags.cameras import choose_cameras

    reading, _ = bags
    topic = f"{camera}/image"
    path = _write_bag(tmp_path / "bag", [(topic, "sensor_msgs/msg/Image", "uint8 data")])
    with reading.Bag(path) as bag, pytest.raises(ValueError, match="is no namespace"):
        choose_cameras(bag, Parameters(), cameras=[camera], image="image")


def test_a_report_shows_names_and_runs_nothing_in_them(tmp_path):
    from sharpdepth_ros.viewing.report import write_report

    script = "<script>alert(1)</script>"
    source = tmp_path / "in"
    source.mkdir()
    name = "<img src=x onerror=alert(1)>"
    np.save(source / f"{name}_depth.npy", np.ones((4, 4), np.float32))
    facts = {"model": script, "mode": script, "milliseconds": {script: 1.0}}
    (source / f"{name}_depth.json").write_text(json.dumps(facts))
    write_report(run_of_results(source), tmp_path / "report.html", 1)
    page = (tmp_path / "report.html").read_text()
    assert "alert(1)" in page
    assert script not in page and "<img src=x" not in page
