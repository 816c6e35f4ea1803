# SPDX-License-Identifier: Apache-2.0
"""The HTML report: that it stands alone, what it shows, and of which runs it can be made."""

import base64
import dataclasses
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
import torch

from sharpdepth_ros.cli import main
from sharpdepth_ros.io.colormap import colorize_depth
from sharpdepth_ros.pipeline.output import SharpDepthOutput
from sharpdepth_ros.pipeline.timing import StageTimer
from sharpdepth_ros.recordings.images import write_depth_files
from sharpdepth_ros.viewing.frames import Run
from sharpdepth_ros.viewing.image_run import run_of_images
from sharpdepth_ros.viewing.latencies import StageTimes, latency_svg, percentile_rows
from sharpdepth_ros.viewing.report import write_report
from sharpdepth_ros.viewing.result_run import run_of_results


class Page(HTMLParser):
    """What of a page matters here: pictures, everything it loads, and its text."""

    def __init__(self, path):
        super().__init__()
        self.images, self.loaded, self.text = [], [], ""
        self._in_style = False
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self._in_style = tag == "style"
        if tag == "img":
            self.images.append(attributes)
        self.loaded += [v for k, v in attributes.items() if k in ("src", "href", "srcset", "data")]

    def handle_data(self, data):
        if self._in_style:
            self.loaded += re.findall(r"url\(|@import", data)
            self._in_style = False
        else:
            self.text += data + "\n"


def pictures_of(page):
    """Alternative text -> decoded picture, uint8 RGB."""
    pictures = {}
    for image in page.images:
        kind, _, data = image["src"].partition(",")
        assert kind == "data:image/webp;base64"
        decoded = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape[:2] == (int(image["height"]), int(image["width"]))
        pictures[image["alt"]] = decoded[..., ::-1]
    return pictures


def test_the_page_stands_alone_and_every_picture_is_described(make_frame, tmp_path):
    run = Run("a walk", [make_frame("first"), make_frame("second")], {"mode": "sharpdepth"})
    assert write_report(run, tmp_path / "deep/report.html", pictures=6) == 2
    page = Page(tmp_path / "deep/report.html")
    assert page.loaded
    assert all(loaded.startswith("data:image/webp;base64,") for loaded in page.loaded)
    pictures = pictures_of(page)
    # Four maps, and three views each of metric alone and SharpDepth; of two frames.
    assert len(page.images) == len(pictures) == 2 * (4 + 6)
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"report.html"}


def test_the_pictures_are_the_frames_in_one_range_of_colours(frame, tmp_path):
    write_report(Run("run", [frame]), tmp_path / "report.html", pictures=1)
    pictures = pictures_of(Page(tmp_path / "report.html"))
    by_start = {alt.split(",")[0]: picture.astype(int) for alt, picture in pictures.items()}
    image = by_start["The camera's image of frame"]
    np.testing.assert_allclose(image[:4], frame.rgb[:4], atol=12)
    shown = by_start["Depth of frame"]
    np.testing.assert_allclose(shown[:4], colorize_depth(frame.depth)[:4], atol=12)
    alone = by_start["Depth of frame by the metric model alone"]
    np.testing.assert_allclose(alone[2, 2], shown[2, 2], atol=12)  # the wall, in both


def test_what_the_page_says(make_frame, tmp_path):
    frames = [
        make_frame(f"frame {i}", stamp=i * 10**8, latency=40.0 + i, aligned=i != 3)
        for i in range(11)
    ]
    settings = {"sharpener": "<demo>", "metric model": "unidepth-v1-vitl14"}
    run = Run("run & more", frames, settings, ["frame 7 <was> late"])
    write_report(run, tmp_path / "report.html", pictures=2)
    text = (tmp_path / "report.html").read_text()
    assert "<title>run &amp; more: SharpDepth report</title>" in text
    assert "frame 7 &lt;was&gt; late" in text
    assert "&lt;demo&gt;" in text
    words = Page(tmp_path / "report.html").text
    for name, value in [
        ("frames", "11"),
        ("rate", "10.0 Hz"),
        ("recorded", "1.0 s"),
        ("sum of stages, median", "42 ms"),
        ("latency, median", "45 ms"),
        ("aligned", "10 of 11"),
        ("problems", "1"),
    ]:
        assert f"{name}\n{value}\n" in words
    assert "processor" in words
    assert "unidepth-v1-vitl14" in words
    assert len(re.findall(r"<h3>frame \d+</h3>", text)) == 2


def test_frames_to_show_are_spread_over_a_run_of_unknown_length(make_frame, tmp_path):
    run = Run("long", (make_frame(f"n{i:03d}", camera=None) for i in range(100)))
    assert write_report(run, tmp_path / "report.html", pictures=4) == 100
    text = (tmp_path / "report.html").read_text()
    shown = [int(n) for n in re.findall(r"<h3>n(\d+)</h3>", text)]
    assert len(shown) == 4
    assert shown[0] == 0
    assert min(np.diff(shown)) >= 15
    assert shown[-1] >= 80
    assert "No cloud: the camera is not known." in text


def test_a_frame_with_nothing_but_depth_is_reported(make_frame, tmp_path):
    bare = make_frame(rgb=None, camera=None, metric_depth=None, discrepancy=None, timings={})
    assert write_report(Run("bare", [bare]), tmp_path / "report.html", pictures=1) == 1
    page = Page(tmp_path / "report.html")
    assert len(page.images) == 1
    assert "Times" not in page.text


def test_a_frame_without_a_valid_pixel_is_reported(frame, tmp_path):
    dark = replace(frame, depth=np.full_like(frame.depth, np.nan), metric_depth=None)
    write_report(Run("dark", [dark]), tmp_path / "report.html", pictures=1)
    text = Page(tmp_path / "report.html").text
    assert "no valid depth" in text
    assert "0.0% of the pixels valid" in text


def test_percentiles_are_of_the_frames_that_have_the_stage():
    timings = [{"metric": float(i), "sharpen": 10.0} for i in range(101)] + [{"metric": 50.0}]
    times = StageTimes.of(timings, [None] * 102)
    rows = dict(percentile_rows(times))
    assert rows["metric"] == [50.0, pytest.approx(90.0, abs=1), pytest.approx(99, abs=1), 100.0]
    assert rows["sharpen"] == [10.0] * 4
    assert rows["sum of stages"][3] == 110.0
    assert "latency" not in rows


def test_the_plot_has_a_line_per_stage_and_keeps_the_slowest_frames():
    timings = [{"metric": 10.0, "sharpen": 5.0} for _ in range(2000)]
    timings[777] = {"metric": 500.0, "sharpen": 5.0}
    svg = latency_svg(StageTimes.of(timings, [20.0] * 2000))
    assert svg.count("<polyline") == 4  # both stages, their sum, latency
    assert "metric: median 10.0 ms" in svg
    metric = re.search(r'class="stage-0" points="([^"]+)"', svg)[1].split()
    heights = [float(point.split(",")[1]) for point in metric]
    assert len(heights) == 300
    assert min(heights) < 50  # the peak is not averaged away
    assert sorted(heights)[1] > 150
    assert "Medians: metric 10 ms" in svg
    assert latency_svg(StageTimes.of([{}], [None])) == ""
    assert "<circle" in latency_svg(StageTimes.of([{"metric": 3.0}], [None]))


def given_output(frame, discrepancy=None, intrinsics=True):
    """What the pipeline answers where the fit was degenerate."""
    answers = {
        "depth": frame.depth[None, None],
        "metric_depth": frame.metric_depth[None, None],
        "discrepancy": None if discrepancy is None else discrepancy[None, None],
        "affine_depth": None,
        "intrinsics": frame.camera.matrix[None] if intrinsics else None,
    } | dict.fromkeys(("scale", "shift", "sound"))
    return SharpDepthOutput(answers, 0, StageTimer(torch.device("cpu")))


def test_what_surprises_is_told_apart_from_what_failed(frame, tmp_path):
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), frame.rgb)
    (tmp_path / "c.png").write_bytes(b"nothing")
    outputs = iter([given_output(frame, frame.discrepancy), given_output(frame, intrinsics=False)])
    run = run_of_images([tmp_path], lambda _: next(outputs), {})
    first, second = run.frames
    assert (first.aligned, second.aligned) == (False, None)
    assert second.cloud() is None
    assert [p.split(": ")[0] for p in run.problems] == [f"{tmp_path / 'c.png'} was left out"]
    assert run.remarks == [
        f"{tmp_path / 'a.png'}: no sound alignment; its depth is the metric model's",
        f"{tmp_path / 'b.png'}: no cloud, for the metric model estimates no camera; give "
        "--intrinsics",
    ]
    assert run.notes == run.problems + run.remarks


def test_what_sharpdepth_image_wrote_is_a_run(frame, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.png"), frame.rgb[..., ::-1])
    facts = {"source": [str(tmp_path / "photo.png"), 0, 0], "mode": "aligned", "model": "lotus"}
    formats = ("png", "npy", "preview", "ply")
    write_depth_files(tmp_path / "out/photo", frame.rgb, given_output(frame), formats, facts)
    run = run_of_results(tmp_path / "out")
    assert (run.settings["model"], run.settings["mode"]) == ("lotus", "aligned")
    (read,) = run.frames
    assert read.method == "generator, aligned"
    assert read.name == "photo"
    np.testing.assert_array_equal(read.depth, frame.depth)
    np.testing.assert_array_equal(read.rgb, frame.rgb)
    np.testing.assert_allclose(read.camera.matrix, frame.camera.matrix)
    (tmp_path / "out/photo_depth.npy").unlink()
    (tmp_path / "out/photo_preview.png").unlink()  # the image is then read where it was
    (read,) = run_of_results(tmp_path / "out").frames
    np.testing.assert_allclose(read.depth, frame.depth, atol=0.0006)
    np.testing.assert_array_equal(read.rgb, frame.rgb)
    report = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "out"), "--output", str(report)]) == 0
    assert len(Page(report).images) == 2 + 3  # image, depth and its cloud


def test_the_metric_model_alone_is_shown_where_it_was_written(frame, tmp_path, capsys):
    out, formats = given_output(frame, frame.discrepancy), ("npy", "preview", "metric")
    write_depth_files(tmp_path / "out/photo", frame.rgb, out, [*formats, "discrepancy"], {})
    (read,) = run_of_results(tmp_path / "out").frames
    np.testing.assert_array_equal(read.metric_depth, frame.metric_depth)
    np.testing.assert_array_equal(read.discrepancy, frame.discrepancy)
    report = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "out"), "--output", str(report)]) == 0
    assert len(Page(report).images) == 4 + 6  # image, two depths, discrepancy; two clouds
    np.save(tmp_path / "out/photo_metric.npy", frame.metric_depth[:-1])
    assert main(["report", str(tmp_path / "out"), "--output", str(report)]) == 1
    assert "photo_metric.npy is [" in capsys.readouterr().err


def test_files_of_a_run_with_other_settings_are_not_shown_as_this_ones(frame, tmp_path):
    target, other = tmp_path / "out/photo", dataclasses.replace(frame, depth=frame.depth + 1)
    before, now = {"preset": "accurate"}, {"preset": "fast"}
    write_depth_files(target, frame.rgb, given_output(frame), ["npy", "metric"], before)
    write_depth_files(target, frame.rgb, given_output(other), ["png"], now)
    run = run_of_results(tmp_path / "out")
    (read,) = run.frames
    assert run.settings["preset"] == "fast"
    np.testing.assert_allclose(read.depth, other.depth, atol=0.0006)
    assert read.metric_depth is None


def test_results_that_are_not_whole_are_told_and_the_others_shown(frame, tmp_path, capsys):
    write_depth_files(tmp_path / "out/photo", frame.rgb, given_output(frame), ["npy", "preview"])
    (tmp_path / "out/broken_depth.json").write_text("{")
    (tmp_path / "out/lone_depth.json").write_text("{}")
    report = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "out"), "--output", str(report)]) == 1
    said = capsys.readouterr().err
    assert "broken_depth.json was left out" in said
    assert "lone_depth.json was left out: neither lone_depth.npy nor lone_depth.png" in said
    assert "lone_depth.json was left out" in Page(report).text


def test_images_are_reported_through_the_pipeline(frame, tmp_path):
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in/photo.png"), frame.rgb)
    report = tmp_path / "in/report.html"
    arguments = ["--device", "cpu", "--processing-resolution", "64", "--mode", "metric"]
    assert main(["report", str(tmp_path / "in"), "--output", str(report), *arguments]) == 0
    page = Page(report)
    assert "metric model alone" in page.text
    assert "processing resolution\n64" in page.text
    assert len(page.images) == 2 + 3  # image, depth and its cloud: one method


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["empty"], "empty holds no image"),
        (["photo.png", "--pictures", "0"], "0 pictures: give 1 or more"),
        (["photo.png", "--intrinsics", "a"], "neither numbers nor a file"),
    ],
)
def test_wrong_usage_ends_with_status_2(frame, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    cv2.imwrite("photo.png", frame.rgb)
    assert main(["report", *arguments, "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_a_run_in_which_nothing_can_be_read_writes_nothing(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a_depth.json").write_text(json.dumps({}))
    report = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "out"), "--output", str(report)]) == 1
    assert "out has no frame to show" in capsys.readouterr().err
    assert not report.exists()
