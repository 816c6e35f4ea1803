# SPDX-License-Identifier: Apache-2.0
"""`sharpdepth demo`: the ROS 2 node on a camera without hardware."""

import argparse
from pathlib import Path

from sharpdepth_ros.processing.parameters import SPECS


def add_commands(commands: argparse._SubParsersAction) -> None:
    """Declare the subcommand."""
    demo = commands.add_parser(
        "demo",
        help="run the ROS 2 node on a synthetic camera and measure it",
        description="Start a camera and the sharpdepth node as ROS 2 processes, print the latency "
        "of each frame, and write the first one's depth and a picture: image, metric model alone, "
        "SharpDepth, and the exact depth where the camera is synthetic.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    demo.add_argument("--frames", type=int, default=30, help="frames to wait for")
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("output/demo"),
        metavar="DIR",
        help="folder for frame.png and depth.png",
    )
    demo.add_argument(
        "--images", type=Path, help="publish this folder instead of the synthetic camera"
    )
    demo.add_argument(
        "--scene",
        default="room",
        choices=("room", "corridor", "street", "shapes", "random"),
        help="what the synthetic camera sees; the demo models were trained in rooms",
    )
    demo.add_argument("--seed", type=int, default=4, help="seed of the synthetic scenes")
    demo.add_argument("--width", type=int, default=320, help="pixels of the synthetic camera")
    demo.add_argument("--height", type=int, default=240, help="pixels of the synthetic camera")
    # Drawing more than the node makes depth of would take two cores from it for nothing.
    demo.add_argument("--rate", type=float, default=7.0, help="frames per second of the camera")
    demo.add_argument("--timeout", type=float, default=180.0, help="seconds for all frames")
    demo.add_argument(
        "--preset",
        default="fast",
        choices=SPECS["preset"].choices,
        help="how much work the node spends on a frame (docs/speed.md)",
    )
    demo.add_argument(
        "--backend",
        default="auto",
        choices=SPECS["backend"].choices,
        help="what runs its networks",
    )
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    try:
        import rclpy  # noqa: F401 - says whether there is a ROS, before anything is started
    except ImportError as error:
        raise ValueError(
            f"the demo needs ROS 2 ({error}): source your ROS installation, or install the wheels "
            "with pip install 'sharpdepth_ros[ros]'"
        ) from error
    from sharpdepth_ros.demo.demo import run_demo

    return run_demo(
        frames=options.frames,
        output=options.output,
        images=options.images,
        scene=options.scene,
        seed=options.seed,
        size=(options.width, options.height),
        rate=options.rate,
        timeout=options.timeout,
        preset=options.preset,
        backend=options.backend,
    )
