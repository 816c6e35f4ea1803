# SPDX-License-Identifier: Apache-2.0
"""Metric3D's chain around the graph, on small graphs with the published names and known answers.

Each graph subtracts the mean and divides by the deviation itself, as the published ones do.
"""

import os
import sys

import cv2
import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import set_external_data
from torch.nn import functional as F

from sharpdepth_ros.models.metric import MetricDepthModel
from sharpdepth_ros.models.metric3d import load_metric3d
from sharpdepth_ros.models.safe_loading import CheckpointError

MEAN = np.array([123.675, 116.28, 103.53], np.float32).reshape(1, 3, 1, 1)
STD = np.array([58.395, 57.12, 57.375], np.float32).reshape(1, 3, 1, 1)
ONNX_COMMUNITY = ("pixel_values", "predicted_depth")
UPSTREAM = ("image", "pred_depth")
CONSTANTS = {
    "mean": MEAN,
    "std": STD,
    "red_mean": MEAN[:, :1],
    "red_std": STD[:, :1],
    "zero": np.array(0),
    "two": np.array(2),
}


def write_graph(
    path,
    body,
    names=ONNX_COMMUNITY,
    size=(56, 98),
    extra_outputs=(),
    half=False,
    external=None,
):
    """Export a graph that normalises its input to `x` and goes on with the nodes of `body`.

    Args:
        path: of the .onnx file.
        body: nodes from `x` to `depth` (and to `extra_outputs`); see `node` and CONSTANTS.
        names: of the graph's input and of its depth.
        size: height and width of the input; words make them dynamic.
        extra_outputs: names of further outputs.
        half: float16 throughout.
        external: name of a file beside it that the first constant goes to.
    """
    kind = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    floats = {k: v.astype(np.float16 if half else np.float32) for k, v in CONSTANTS.items()}
    axes = {"zeroth": np.array([0]), "first": np.array([1])}
    graph = helper.make_graph(
        [
            node("Sub", names[0], "mean", "centred"),
            node("Div", "centred", "std", "x"),
            *body,
            node("Identity", "depth", names[1]),
        ],
        "metric3d",
        [helper.make_tensor_value_info(names[0], kind, [1, 3, *size])],
        [helper.make_tensor_value_info(name, kind, None) for name in (names[1], *extra_outputs)],
        [numpy_helper.from_array(v, k) for k, v in (floats | axes).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if external is not None:
        set_external_data(model.graph.initializer[0], external)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(model, path)
    return path


def node(kind, *names, **attributes):
    """An operator; the last name is its output's."""
    return helper.make_node(kind, names[:-1], names[-1:], **attributes)


RED = [node("Slice", "x", "zeroth", "first", "first", "red")]

#: The red level that the graph was given, with the shapes of onnx-community, [1, h, w].
LEVEL = [*RED, node("Mul", "red", "red_std", "scaled"), node("Add", "scaled", "red_mean", "level")]
RED_LEVEL = [*LEVEL, node("Squeeze", "level", "first", "depth")]

#: Two at every pixel, with the shapes of upstream's export, [1, 1, h, w].
TWO = [*RED, node("Mul", "red", "zero", "nothing"), node("Add", "nothing", "two", "depth")]

#: At every pixel the mean absolute value of all that the network sees.
SPREAD = [
    *RED,
    node("Abs", "x", "absolute"),
    node("ReduceMean", "absolute", "spread"),
    node("Mul", "red", "zero", "nothing"),
    node("Add", "nothing", "spread", "depth"),
]


def camera(focal, batch=1):
    k = torch.tensor([[focal, 0.0, 20.0], [0.0, 1.5 * focal, 10.0], [0.0, 0.0, 1.0]])
    return k.repeat(batch, 1, 1)


def ramp(height, width):
    """uint8 [1, 3, H, W] whose red is the column and whose green is the row."""
    columns = torch.arange(width).expand(height, width)
    rows = torch.arange(height)[:, None].expand(height, width)
    return torch.stack([columns, rows, torch.zeros_like(rows)]).to(torch.uint8)[None]


@pytest.mark.parametrize("names", [ONNX_COMMUNITY, UPSTREAM])
@pytest.mark.parametrize(
    ("height", "width"), [(112, 196), (28, 49), (200, 80), (40, 240), (61, 87)]
)
def test_a_constant_canonical_depth_scales_with_the_focal_length(tmp_path, names, height, width):
    model = load_metric3d(write_graph(tmp_path / "model.onnx", TWO, names))
    rgb = torch.zeros(1, 3, height, width, dtype=torch.uint8)
    for focal in (100.0, 730.5):
        answer = model.infer(rgb, camera(focal))
        # The network's image shows the camera's by this factor, and so does its focal length.
        scale = min(56 / height, 98 / width)
        assert answer.depth.shape == (1, 1, height, width)
        assert answer.depth.dtype == torch.float32
        torch.testing.assert_close(
            answer.depth, torch.full_like(answer.depth, 2 * focal * scale / 1000)
        )
        assert torch.equal(answer.intrinsics, camera(focal))
        assert answer.confidence is None


def test_the_model_is_a_metric_depth_model(tmp_path):
    model = load_metric3d(write_graph(tmp_path / "model.onnx", TWO))
    assert isinstance(model, MetricDepthModel)
    assert model.device == torch.device("cpu")


@pytest.mark.parametrize(
    ("height", "width"), [(56, 98), (112, 196), (28, 49), (200, 80), (40, 240)]
)
def test_every_pixel_comes_back_where_it_was(tmp_path, height, width):
    model = load_metric3d(write_graph(tmp_path / "model.onnx", RED_LEVEL))
    scale = min(56 / height, 98 / width)
    columns = ramp(height, width)
    rows = columns[:, [1, 0, 2]]
    # Bilinear resizing keeps a ramp, but for its ends, where it has no neighbour.
    ends = int(2 / scale) + 1
    inside = (slice(ends, -ends), slice(ends, -ends))
    for rgb in (columns, rows):
        depth = model.infer(rgb, camera(1000 / scale)).depth
        torch.testing.assert_close(
            depth[0, 0][inside], rgb[0, 0][inside].float(), atol=0.01, rtol=0
        )


def test_the_padding_has_the_colour_that_normalises_to_zero(tmp_path):
    model = load_metric3d(write_graph(tmp_path / "model.onnx", SPREAD))
    # Half as wide as the network's image for its height: half of what the network sees is padding.
    rgb = torch.full((1, 3, 56, 49), 200, dtype=torch.uint8)
    expected = (np.abs((200 - MEAN) / STD)).mean() / 2
    depth = model.infer(rgb, camera(1000.0)).depth
    torch.testing.assert_close(depth, torch.full_like(depth, float(expected)))


@pytest.mark.parametrize(("height", "width"), [(375, 1242), (480, 640), (640, 360)])
def test_the_whole_chain_is_that_of_the_published_script(tmp_path, height, width):
    size = (154, 266)
    model = load_metric3d(write_graph(tmp_path / "model.onnx", RED_LEVEL, size=size))
    rng = np.random.default_rng(1)
    image = cv2.resize(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8), (width, height))
    focal = 700.0

    # hubconf.py: resize, pad, (normalise, predict), unpad, resize, scale, clamp.
    scale = min(size[0] / height, size[1] / width)
    inner = cv2.resize(image, (int(width * scale), int(height * scale)))
    top, left = (size[0] - inner.shape[0]) // 2, (size[1] - inner.shape[1]) // 2
    canonical = torch.zeros(size)
    canonical[top : top + inner.shape[0], left : left + inner.shape[1]] = torch.from_numpy(
        inner[..., 0]
    )
    canonical = canonical[top : top + inner.shape[0], left : left + inner.shape[1]]
    want = F.interpolate(canonical[None, None], (height, width), mode="bilinear")
    want = (want * focal * scale / 1000).clamp(0, 300)

    got = model.infer(torch.from_numpy(image).permute(2, 0, 1)[None], camera(focal)).depth
    # OpenCV rounds its weights, and the resized image to whole levels.
    torch.testing.assert_close(got, want, atol=focal * scale / 1000, rtol=0)


def test_depth_is_clamped_after_the_canonical_camera_is_undone(tmp_path):
    model = load_metric3d(write_graph(tmp_path / "model.onnx", TWO))
    rgb = torch.zeros(1, 3, 56, 98, dtype=torch.uint8)
    assert model.infer(rgb, camera(149_000.0)).depth.max() == pytest.approx(298.0)
    assert model.infer(rgb, camera(200_000.0)).depth.max() == 300


def test_a_batch_is_its_images_each_with_its_camera(tmp_path):
    model = load_metric3d(write_graph(tmp_path / "model.onnx", RED_LEVEL))
    source = torch.Generator().manual_seed(0)
    rgb = torch.randint(0, 256, (3, 3, 40, 60), generator=source, dtype=torch.uint8)
    cameras = torch.cat([camera(focal) for focal in (300.0, 500.0, 800.0)])
    together = model.infer(rgb, cameras).depth
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], model.infer(rgb[i], cameras[i]).depth)


@pytest.mark.parametrize(
    ("name", "expected"), [("metric3d_vit_small", (616, 1064)), ("metric3d_convnext", (544, 1216))]
)
def test_a_graph_for_any_size_runs_at_the_published_size(tmp_path, name, expected):
    graph = write_graph(tmp_path / f"{name}.onnx", RED_LEVEL, size=("height", "width"))
    model = load_metric3d(graph)
    assert model.size == expected
    rgb = ramp(90, 120)
    depth = model.infer(rgb, camera(1000 / min(expected[0] / 90, expected[1] / 120))).depth
    torch.testing.assert_close(depth[0, 0, :, 2:-2], rgb[0, 0, :, 2:-2].float(), atol=0.5, rtol=0)


def test_a_depth_map_smaller_than_the_network_image_is_put_in_its_place(tmp_path):
    halve = node("AveragePool", "level", "depth", kernel_shape=[2, 2], strides=[2, 2])
    model = load_metric3d(write_graph(tmp_path / "model.onnx", [*LEVEL, halve]))
    rgb = ramp(56, 70)
    depth = model.infer(rgb, camera(1000.0)).depth
    torch.testing.assert_close(depth[0, 0, :, 3:-3], rgb[0, 0, :, 3:-3].float(), atol=1e-2, rtol=0)


def test_the_confidence_of_the_depth_is_handed_on_unscaled(tmp_path):
    confidence = node("Identity", "level", "confidence")
    graph = write_graph(
        tmp_path / "model.onnx", [*RED_LEVEL, confidence], extra_outputs=["confidence"]
    )
    answer = load_metric3d(graph).infer(ramp(56, 98), camera(500.0))
    assert answer.confidence.shape == (1, 1, 56, 98)
    torch.testing.assert_close(answer.confidence / 2, answer.depth)


def test_the_confidence_of_the_normals_is_not_taken_for_the_depths(tmp_path):
    confidence = node("Identity", "level", "normal_confidence")
    graph = write_graph(
        tmp_path / "model.onnx", [*RED_LEVEL, confidence], extra_outputs=["normal_confidence"]
    )
    assert load_metric3d(graph).infer(ramp(56, 98), camera(500.0)).confidence is None


def test_the_camera_is_needed(tmp_path):
    model = load_metric3d(write_graph(tmp_path / "model.onnx", TWO))
    rgb = torch.zeros(1, 3, 56, 98, dtype=torch.uint8)
    with pytest.raises(ValueError, match="Metric3D needs the camera's intrinsics"):
        model.infer(rgb)
    with pytest.raises(ValueError, match=r"fx \[0\.0\], expected positive pixels"):
        model.infer(rgb, torch.zeros(1, 3, 3))


def test_half_precision_takes_the_half_precision_file_where_there_is_one(tmp_path):
    write_graph(tmp_path / "onnx/model.onnx", TWO, size=(28, 28))
    rgb, k = torch.zeros(1, 3, 28, 28, dtype=torch.uint8), camera(1000.0)
    assert load_metric3d(tmp_path, dtype=torch.float16).infer(rgb, k).depth.max() == 2

    write_graph(tmp_path / "onnx/model_fp16.onnx", RED_LEVEL, size=(56, 56), half=True)
    write_graph(tmp_path / "onnx/model_q4.onnx", RED_LEVEL, size=(14, 14))
    assert load_metric3d(tmp_path, dtype=torch.float32).size == (28, 28)
    half = load_metric3d(tmp_path, dtype=torch.float16)
    assert half.size == (56, 56)
    rgb = ramp(56, 56)
    torch.testing.assert_close(half.infer(rgb, k).depth, rgb[:, :1].float(), atol=0.1, rtol=0)


def test_weights_beside_the_file_load_from_a_cache_of_links(tmp_path):
    """The hub's cache: every file is a link to a blob with another name."""
    write_graph(tmp_path / "export/model.onnx", TWO, external="model.onnx_data")
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots/1/onnx"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, name in enumerate(("model.onnx", "model.onnx_data")):
        os.rename(tmp_path / "export" / name, blobs / str(number))
        (snapshot / name).symlink_to(os.path.relpath(blobs / str(number), snapshot))
    model = load_metric3d(snapshot.parent)
    depth = model.infer(torch.zeros(1, 3, 56, 98, dtype=torch.uint8), camera(1000.0)).depth
    assert depth.max() == 2

    (snapshot / "model.onnx_data").unlink()
    with pytest.raises(CheckpointError, match="the data file beside it"):
        load_metric3d(snapshot.parent)


def test_what_is_no_graph_of_metric3d_says_why(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere does not exist"):
        load_metric3d(tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"holds no \.onnx file"):
        load_metric3d(tmp_path)
    (tmp_path / "a.onnx").write_bytes(b"this is not a graph")
    with pytest.raises(CheckpointError, match=r"a\.onnx cannot be loaded by ONNX Runtime"):
        load_metric3d(tmp_path)
    (tmp_path / "b.onnx").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"a\.onnx, b\.onnx and none is model\.onnx"):
        load_metric3d(tmp_path)


@pytest.mark.parametrize(
    ("names", "size", "message"),
    [
        (
            ("input", "predicted_depth"),
            (28, 28),
            r"it takes input tensor\(float\) \[1, 3, 28, 28\]",
        ),
        (("pixel_values", "logits"), (28, 28), "and gives logits"),
    ],
)
def test_a_graph_of_another_model_is_refused(tmp_path, names, size, message):
    graph = write_graph(tmp_path / "model.onnx", TWO, names, size)
    with pytest.raises(CheckpointError, match=message):
        load_metric3d(graph)


def test_a_graph_for_another_batch_size_is_refused(tmp_path):
    graph = write_graph(tmp_path / "model.onnx", TWO)
    model = onnx.load(graph)
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    onnx.save_model(model, graph)
    with pytest.raises(CheckpointError, match=r"images of shape \[4, 3, 56, 98\]"):
        load_metric3d(graph)


def test_a_missing_onnx_runtime_is_named_with_what_installs_it(tmp_path, monkeypatch):
    graph = write_graph(tmp_path / "model.onnx", TWO)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"pip install 'sharpdepth_ros\[onnx\]'"):
        load_metric3d(graph)


def test_a_gpu_without_its_onnx_runtime_is_an_error_not_the_cpu(tmp_path, monkeypatch):
    import onnxruntime

    graph = write_graph(tmp_path / "model.onnx", TWO)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ValueError, match=r"has no CUDA .* onnxruntime-gpu"):
        load_metric3d(graph, "cuda")
    with pytest.raises(ValueError, match="runs on cpu or cuda, not on 'meta'"):
        load_metric3d(graph, "meta")
