# SPDX-License-Identifier: Apache-2.0
"""Shows frames in the Rerun viewer: in a window, in a browser, or kept in a .rrd file."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np

try:
    import rerun as rr
    import rerun.blueprint as rrb
except ImportError as error:
    raise ImportError(
        f"viewing in Rerun needs rerun-sdk ({error}): pip install 'sharpdepth_ros[view]'"
    ) from error

from sharpdepth_ros.io.colormap import near_far
from sharpdepth_ros.viewing.frames import Run, ViewFrame

APPLICATION = "sharpdepth"

STAMP, FRAME = "stamp", "frame"
"""Timelines: the frames' stamps, and their numbers, which frames without a stamp have alone."""

#: Entity paths: the camera holds the images, so that 2D views of it have their pixels.
CAMERA = "camera"
IMAGE, DEPTH = f"{CAMERA}/image", f"{CAMERA}/depth"
METRIC, DISCREPANCY = f"{CAMERA}/metric", f"{CAMERA}/discrepancy"
POINTS = "points"
TIMINGS, LATENCY = "timings", "latency"
NOTES = "run"

JPEG_QUALITY = 90
RADIUS = 1.4
"""Points are drawn so many times as large as would let them touch: gaps close at a slant."""

STAGE_COLOURS = ("#00798c", "#d1495b", "#edae49", "#5f4b8b", "#6a994e", "#7f5539", "#457b9d")
ELSEWHERE = "Use --serve for a browser, or --save FILE.rrd"

WEB_PORT, DATA_PORT = 9090, 9876


class RerunLog:
    """A recording that Rerun shows; give it a target before the first frame.

    Args:
        title: of the recording.
        point_stride: every n-th point along each side of a depth image is shown; clouds that were
            recorded are shown as they are.
        timeline: the one that the viewer opens with.
    """

    def __init__(self, title: str, point_stride: int = 1, timeline: str = STAMP) -> None:
        if point_stride < 1:
            raise ValueError(f"point stride is {point_stride}; give 1 or more")
        self._stride = point_stride
        self.frames = 0
        """Logged so far."""
        self._stages: list[str] = []
        self._file: _FileBehindPipe | None = None
        self._recording = rr.RecordingStream(APPLICATION)
        self._recording.send_recording_name(title)
        self._blueprint = blueprint(timeline)

    def save(self, path: Path) -> None:
        """Keep the recording in a file, as it comes: a broken off one is readable so far."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = _FileBehindPipe(path)
        self._recording.save(self._file.pipe, default_blueprint=self._blueprint)
        self._begin()

    def spawn(self) -> None:
        """Open the viewer in a window of this machine.

        Raises:
            ValueError: no window can be opened here.
        """
        if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
            raise ValueError(
                "this machine has no screen (neither DISPLAY nor WAYLAND_DISPLAY is set). "
                f"{ELSEWHERE}"
            )
        try:
            self._recording.spawn(default_blueprint=self._blueprint)
        except RuntimeError as error:
            raise ValueError(f"the Rerun viewer does not start: {error}. {ELSEWHERE}") from error
        self._begin()

    def serve(
        self,
        host: str = "localhost",
        web_port: int = WEB_PORT,
        data_port: int = DATA_PORT,
        open_browser: bool = False,
    ) -> str:
        """Serve the viewer to browsers for as long as this process lives.

        Args:
            host: the name by which the browser reaches this machine.
            web_port: TCP port of the page.
            data_port: TCP port of the data.
            open_browser: open this machine's browser on it.

        Returns:
            The address to open.

        Raises:
            ValueError: a port is taken.
        """
        try:
            self._recording.serve_grpc(
                grpc_port=data_port,
                default_blueprint=self._blueprint,
                cors_allow_origin=[f"http://{host}:{web_port}"],
            )
            data = f"rerun+http://{host}:{data_port}/proxy"
            rr.serve_web_viewer(web_port=web_port, open_browser=open_browser, connect_to=data)
        except RuntimeError as error:
            raise ValueError(
                f"cannot serve on ports {web_port} and {data_port} ({error}); choose others with "
                "--port and --data-port"
            ) from error
        self._begin()
        return f"http://{host}:{web_port}/?url={data.replace('+', '%2B')}"

    def _begin(self) -> None:
        # x right, y down, z ahead: the optical frame in which depth and cloud are.
        self._recording.log("/", rr.ViewCoordinates.RDF, static=True)

    def log(self, frame: ViewFrame) -> None:
        """Add a frame at its stamp, and at the next number; one larger than screens is thinned."""
        frame = frame.thinned()
        recording = self._recording
        recording.reset_time()
        recording.set_time(FRAME, sequence=self.frames)
        if frame.stamp is not None:
            recording.set_time(STAMP, timestamp=np.datetime64(frame.stamp, "ns"))
        self.frames += 1
        height, width = frame.depth.shape
        if frame.camera is not None:
            pinhole = rr.Pinhole(
                image_from_camera=frame.camera.matrix,
                resolution=[width, height],
                camera_xyz=rr.ViewCoordinates.RDF,
                image_plane_distance=0.3,
            )
            recording.log(CAMERA, pinhole)
        if frame.rgb is not None:
            recording.log(IMAGE, rr.Image(frame.rgb).compress(jpeg_quality=JPEG_QUALITY))
        recording.log(DEPTH, _depth_image(frame.depth))
        if frame.metric_depth is not None:
            recording.log(METRIC, _depth_image(frame.metric_depth))
        if frame.discrepancy is not None:
            discrepancy = frame.discrepancy.astype(np.float32)
            shown = rr.DepthImage(
                discrepancy, meter=1.0, colormap=rr.components.Colormap.Turbo, depth_range=[0, 1]
            )
            recording.log(DISCREPANCY, shown)
        self._log_points(frame)
        for stage, milliseconds in frame.timings.items():
            self._name_series(stage)
            recording.log([TIMINGS, stage], rr.Scalars(milliseconds))
        if frame.latency is not None:
            recording.log(LATENCY, rr.Scalars(frame.latency))

    def _name_series(self, stage: str) -> None:
        """Give a stage its colour, once."""
        if stage not in self._stages:
            colour = STAGE_COLOURS[len(self._stages) % len(STAGE_COLOURS)]
            self._stages.append(stage)
            line = rr.SeriesLines(names=stage, colors=_rgb(colour))
            self._recording.log([TIMINGS, stage], line, static=True)

    def _log_points(self, frame: ViewFrame) -> None:
        cloud = frame.cloud(self._stride)
        if cloud is None:
            # Without this the viewer goes on showing the cloud of the frame before.
            self._recording.log(POINTS, rr.Clear(recursive=False))
            return
        points = rr.Points3D(cloud.points, colors=cloud.colours, radii=RADIUS * cloud.radii())
        self._recording.log(POINTS, points)

    def note(self, run: Run) -> None:
        """Write the run's settings and problems down, for all times."""
        lines = [f"# {run.title}", "", f"{self.frames} frames", ""]
        lines += [f"- {name}: {value}" for name, value in run.settings.items()]
        lines += ["", "## Problems", ""] if run.notes else []
        lines += [f"- {note}" for note in run.notes]
        document = rr.TextDocument("\n".join(lines), media_type=rr.MediaType.MARKDOWN)
        self._recording.log(NOTES, document, static=True)

    def flush(self) -> None:
        """Wait until everything is with the viewer.

        Raises:
            ValueError: the viewer does not answer.
        """
        try:
            self._recording.flush()
        except RuntimeError as error:
            raise ValueError(f"the Rerun viewer does not answer: {error}. {ELSEWHERE}") from error

    def close(self) -> None:
        """End the recording; a file is then complete.

        Raises:
            ValueError: the file could not be written to its end.
        """
        self.flush()
        self._recording.disconnect()
        if self._file is not None:
            self._file.close()


class _FileBehindPipe:
    """A file that Rerun writes through a pipe.

    Rerun's own file sink waits forever once the disk is full (seen with rerun-sdk 0.41). What
    reads the pipe goes on reading then, and knows the error.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = tempfile.TemporaryDirectory(prefix="sharpdepth_rerun_")
        self.pipe = Path(self._folder.name) / path.name
        os.mkfifo(self.pipe)
        self._error: OSError | None = None
        self._thread = threading.Thread(
            target=self._copy, args=(path.open("wb", buffering=0),), daemon=True
        )
        self._thread.start()

    def _copy(self, file: io.FileIO) -> None:
        with file, self.pipe.open("rb", buffering=0) as pipe:
            while rest := memoryview(pipe.read(2**20)):
                try:
                    while rest and self._error is None:
                        rest = rest[file.write(rest) :]
                except OSError as error:
                    self._error = error

    def close(self) -> None:
        """Wait until the end of the recording is in the file."""
        self._thread.join()
        self._folder.cleanup()
        if self._error is not None:
            raise ValueError(
                f"{self._path} cannot be written to its end: {self._error.strerror}"
            ) from self._error


def blueprint(timeline: str) -> rrb.Blueprint:
    """Cloud to the left; image, depth and discrepancy to the right; times per stage below."""
    near_camera = rrb.EyeControls3D(
        position=[0.6, -0.5, -1.2], look_target=[0.0, 0.2, 3.0], eye_up=[0.0, -1.0, 0.0]
    )
    cloud = rrb.Spatial3DView(
        name="cloud",
        origin="/",
        # The viewer would unproject the depth images too, over the cloud.
        contents=["/**", f"- /{DEPTH}", f"- /{METRIC}", f"- /{DISCREPANCY}"],
        eye_controls=near_camera,
    )

    def picture(name: str, path: str) -> rrb.Spatial2DView:
        return rrb.Spatial2DView(name=name, origin=f"/{CAMERA}", contents=[f"/{path}"])

    pictures = rrb.Vertical(
        picture("image", IMAGE),
        rrb.Tabs(picture("depth [m]", DEPTH), picture("metric model alone [m]", METRIC)),
        picture("discrepancy [0 to 1]", DISCREPANCY),
    )
    times = rrb.Tabs(
        rrb.TimeSeriesView(name="stages [ms]", origin=f"/{TIMINGS}"),
        rrb.TimeSeriesView(name="latency [ms]", origin=f"/{LATENCY}"),
        rrb.TextDocumentView(name="run", origin=f"/{NOTES}"),
    )
    return rrb.Blueprint(
        rrb.Vertical(
            rrb.Horizontal(cloud, pictures, column_shares=[3, 1]), times, row_shares=[3, 1]
        ),
        rrb.TimePanel(state="collapsed", timeline=timeline),
        rrb.SelectionPanel(state="collapsed"),
        rrb.BlueprintPanel(state="collapsed"),
    )


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _depth_image(depth: np.ndarray) -> rr.DepthImage:
    """Metres; what is invalid is 0, which Rerun leaves out."""
    valid = np.isfinite(depth) & (depth > 0)
    metres = np.where(valid, depth, 0).astype(np.float32)
    near, far = near_far(metres[valid])
    span = None if near is None else [near, far]
    return rr.DepthImage(
        metres, meter=1.0, colormap=rr.components.Colormap.Inferno, depth_range=span
    )
