# SPDX-License-Identifier: Apache-2.0
"""Installs the package with pip (plain Python) and with colcon (an ament_python package)."""

from glob import glob
from pathlib import Path

from setuptools import find_packages, setup

NAME = "sharpdepth_ros"

# Wheels of ROS 2 from PyPI, for machines that have no ROS. A ROS machine uses its own.
ROS = ["ros-rclpy[fastrtps]>=9.1,<10", "ros-common-interfaces>=5.5,<6"]
# Metric3D v2; for CUDA install onnxruntime-gpu instead. The two versions left out refuse weights
# beside a graph in the hub's cache.
ONNX = ["onnxruntime>=1.22,!=1.24.0,!=1.24.1"]
OPENVINO = ["openvino>=2025.0"]
TRAIN = ["tensorboard>=2.16"]
EVAL = ["matplotlib>=3.8", "scipy>=1.11", "h5py>=3", "OpenEXR>=3.3"]
RECORDINGS = ["rosbags==0.11.*", "mcap>=1.2", "zstandard>=0.22", "lz4>=4", "apsw>=3.40"]
RECORDINGS += ["av>=14", "OpenEXR>=3.3"]
# The Rerun viewer, a wheel of 170 MB. 0.39 is the last for Python 3.10.
VIEW = ["rerun-sdk>=0.39"]
TEST = [
    "pytest>=9",  # faulthandler_exit_on_timeout
    "pytest-rerunfailures>=15",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "ruff==0.17.*",
    "onnx>=1.16",
    "colcon-common-extensions>=0.3",
]

# File by file: ** is a single * to the setuptools of Ubuntu 22.04 (59.6, ROS 2 Humble).
DEMO_WEIGHTS = [
    str(path.relative_to(NAME)) for path in Path(NAME).glob("weights/demo/**/*") if path.is_file()
]

setup(
    name=NAME,
    version="0.1.0",
    description="SharpDepth for ROS 2: sharp metric depth images and point clouds from one camera",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The sharpdepth_ros authors",
    author_email="maintainers@sharpdepth-ros.org",
    license="Apache-2.0",
    packages=find_packages(include=[NAME, f"{NAME}.*"]),
    package_data={NAME: DEMO_WEIGHTS},
    include_package_data=True,
    python_requires=">=3.10",
    install_requires=[
        "torch>=2.4",
        # diffusers and transformers load with half the memory, and no warning. Before 1.1 it
        # read the state of a training as any pickle.
        "accelerate>=1.1",
        "diffusers>=0.33",
        "transformers>=4.46",
        "safetensors>=0.4",
        "huggingface_hub>=0.26",
        "numpy>=1.26",
        "opencv-python-headless>=4.9",
        "pillow>=10.1",
        "filelock>=3.10",
        "packaging>=20.9",
        "plyfile>=1.0",
        "pyyaml>=6",
        "tqdm>=4.66",
        # torch brings the newest, and colcon, which builds this package on a ROS machine, does not
        # work with one from 80 on.
        "setuptools<80",
    ],
    extras_require={
        "ros": ROS,
        "onnx": ONNX,
        "openvino": OPENVINO,
        "train": TRAIN,
        "eval": EVAL,
        "recordings": RECORDINGS,
        "view": VIEW,
        "test": TEST + ONNX + OPENVINO + TRAIN + EVAL + RECORDINGS + VIEW,
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{NAME}"]),
        (f"share/{NAME}", ["package.xml"]),
        (f"share/{NAME}/launch", sorted(glob("launch/*.launch.py"))),
        (f"share/{NAME}/config", sorted(glob("config/*.*"))),
        (f"share/{NAME}/config/train", sorted(glob("config/train/*.yaml"))),
    ],
    entry_points={
        "console_scripts": [
            "sharpdepth = sharpdepth_ros.cli:main",
            "sharpdepth_node = sharpdepth_ros.node.main:main",
            "sharpdepth_camera = sharpdepth_ros.demo.camera:main",
        ],
    },
    zip_safe=False,
)
