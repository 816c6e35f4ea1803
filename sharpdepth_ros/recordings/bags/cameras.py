# SPDX-License-Identifier: Apache-2.0
"""Chooses the cameras of a bag: image topic, camera_info topic and where their depth goes."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sharpdepth_ros.messages.depth_images import is_depth
from sharpdepth_ros.messages.topics import CAMERA_INFO, IMAGE, camera_info_beside
from sharpdepth_ros.processing.parameters import Parameters
from sharpdepth_ros.recordings.bags import rosbags_messages as messages
from sharpdepth_ros.recordings.bags.reading import Bag
from sharpdepth_ros.recordings.bags.topic import Topic

_PICTURES = (messages.IMAGE, messages.COMPRESSED_IMAGE)
_NAMESPACE = re.compile(r"\w{1,200}(/\w{1,200}){0,15}", re.ASCII)


class NoSuchTopic(ValueError):
    """A topic that was asked for is not in the bag."""


@dataclass(frozen=True)
class Camera:
    """One camera of a bag.

    Attributes:
        namespace: in front of the names of its outputs; empty for the root.
        image: the topics of its pictures: one name, perhaps recorded with several QoS.
        info: likewise of its CameraInfo; empty where there is none.
    """

    namespace: str
    image: tuple[Topic, ...]
    info: tuple[Topic, ...]

    @property
    def image_name(self) -> str:
        return self.image[0].name

    @property
    def info_name(self) -> str:
        return self.info[0].name if self.info else ""

    def output(self, topic: str) -> str:
        """The full name of one of the node's output topics."""
        return f"{self.namespace}/{topic}"


def choose_cameras(
    bag: Bag,
    parameters: Parameters,
    *,
    cameras: Sequence[str] = (),
    image: str | None = None,
    camera_info: str | None = None,
    namespace: str | None = None,
    info_needed: bool = True,
) -> list[Camera]:
    """The cameras to make depth for.

    Args:
        bag: it names in `problems` the cameras of several that it does not have.
        parameters: image_transport: compressed keeps raw topics out of the choice.
        cameras: namespaces; image and camera_info are then relative to each, as in the launch file.
        image: topic; without it the bag's only colour camera.
        camera_info: topic; without it camera_info beside the image.
        namespace: of the outputs; without it the camera's with several, the root with one.
        info_needed: whether a camera without camera_info is refused.

    Raises:
        ValueError: the choice is ambiguous, or there is nothing to choose from; the message has the
            topics.
    """
    if not cameras:
        choice = _image_topic(bag, parameters, image)
        info = _info_topic(bag, choice, camera_info, info_needed)
        return [Camera(_namespace(namespace or ""), choice, info)]
    if namespace is not None:
        raise ValueError("with several cameras each one's outputs go into its own namespace")
    chosen, reasons = [], []
    for camera in map(_namespace, cameras):
        try:
            choice = _image_topic(bag, parameters, posixpath.join(camera, image or IMAGE))
            wanted = posixpath.join(camera, camera_info or CAMERA_INFO)
            chosen.append(Camera(camera, choice, _info_topic(bag, choice, wanted, info_needed)))
        except NoSuchTopic as error:
            reasons.append(f"camera {camera} is left out: {error}")
    if not chosen:
        raise ValueError("; ".join(reasons))
    for reason in reasons:
        bag.problems.note(reason)
    return chosen


def _namespace(name: str) -> str:
    """With a slash in front; empty for the root. Folders are named after it.

    Raises:
        ValueError: it is not a ROS name.
    """
    stripped = name.strip("/")
    if stripped and not _NAMESPACE.fullmatch(stripped):
        raise ValueError(
            f"{name[:80]!r} is no namespace: its parts are letters, digits and underscores"
        )
    return f"/{stripped}" if stripped else ""


def _image_topic(bag: Bag, parameters: Parameters, name: str | None) -> tuple[Topic, ...]:
    kinds = _PICTURES[1:] if parameters.image_transport == "compressed" else _PICTURES
    candidates = _by_name(bag, kinds)
    if name is not None:
        for given in (name, f"{name}/compressed", f"/{name}"):
            if given in candidates:
                return candidates[given]
        raise NoSuchTopic(f"the bag has no images on {name}; {_listed(candidates, 'images')}")
    if not candidates:
        raise ValueError(f"{bag.path} has no images; {_all_listed(bag)}")
    # A camera is often recorded raw and compressed: raw is the better picture.
    candidates = {n: t for n, t in candidates.items() if n.removesuffix("/compressed") not in
                  candidates.keys() - {n}}  # fmt: skip
    if len(candidates) > 1:
        candidates = {n: t for n, t in candidates.items() if _is_picture(bag, t[0])} or candidates
    if len(candidates) > 1:
        infos = _by_name(bag, (messages.CAMERA_INFO,))
        paired = {n: t for n, t in candidates.items() if camera_info_beside(n) in infos}
        candidates = paired or candidates
    if len(candidates) > 1:
        raise ValueError(
            f"choose with --image, or several with --cameras: {_listed(candidates, 'images')}"
        )
    return next(iter(candidates.values()))


def _info_topic(
    bag: Bag, image: tuple[Topic, ...], name: str | None, needed: bool
) -> tuple[Topic, ...]:
    candidates = _by_name(bag, (messages.CAMERA_INFO,))
    if name is not None:
        for given in (name, f"/{name}"):
            if given in candidates:
                return candidates[given]
        if needed:
            raise NoSuchTopic(
                f"the bag has no camera_info on {name}; {_listed(candidates, 'camera_info')}"
            )
        return ()
    beside = camera_info_beside(image[0].name)
    if beside in candidates:
        return candidates[beside]
    if len(candidates) == 1:
        return next(iter(candidates.values()))
    if not needed:
        return ()
    raise ValueError(
        f"there is no camera_info on {beside}, beside the images of {image[0].name}; "
        + (f"choose with --camera-info: {_listed(candidates, 'camera_info')}" if candidates else
           "the bag has none at all: give the camera with --intrinsics")
    )  # fmt: skip


def _by_name(bag: Bag, kinds: Sequence[str]) -> dict[str, tuple[Topic, ...]]:
    found: dict[str, tuple[Topic, ...]] = {}
    for topic, count in bag.topics.items():
        if topic.type in kinds and count:
            found[topic.name] = (*found.get(topic.name, ()), topic)
    return found


def _is_picture(bag: Bag, topic: Topic) -> bool:
    """Whether a topic shows colours or greys: depth is published as images, too."""
    data = bag.first(topic)
    try:
        message = messages.read(data, topic.type)
    except ValueError:
        return False
    return not is_depth(message)


def _listed(topics: dict[str, tuple[Topic, ...]], what: str) -> str:
    return f"{what} are on {', '.join(sorted(topics))}" if topics else f"it has no {what} at all"


def _all_listed(bag: Bag) -> str:
    topics = sorted(f"{t.name} ({t.type})" for t, count in bag.topics.items() if count)
    return f"it has {', '.join(topics)}" if topics else "it has no messages"
