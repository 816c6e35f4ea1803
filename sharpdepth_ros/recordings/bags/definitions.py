# SPDX-License-Identifier: Apache-2.0
"""What a new bag says about the types in it: the old bag's words, completed where it has none."""

from __future__ import annotations

import hashlib

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Writer
from rosbags.typesys import (
    Stores,
    TypesysError,
    get_types_from_idl,
    get_types_from_msg,
    get_typestore,
)

from sharpdepth_ros.recordings.bags.rosbags_messages import TYPES
from sharpdepth_ros.recordings.bags.topic import Topic

_IDL_LINE = "=" * 80 + "\nIDL: "


def add_topic(writer: Writer, topic: Topic) -> Connection:
    """Adds a topic of another bag with its type and QoS as they are there."""
    definition, digest = describe(topic)
    return writer.add_connection(
        topic.name,
        topic.type,
        msgdef=definition,
        rihs01=digest,
        offered_qos_profiles=topic.qos,
    )


def is_known(topic: Topic) -> bool:
    """Whether the bag, or the ROS release at hand, says what the topic's messages consist of."""
    return bool(topic.definition) or topic.type in TYPES.fielddefs


def describe(topic: Topic) -> tuple[str, str]:
    """Definition and RIHS01 hash of a topic's type.

    The bag's own where it has them. rosbags writes no topic without a hash, so a type that nobody
    knows gets that of the empty definition, which is what the bag then holds for it.
    """
    definition = topic.definition
    if not definition and topic.type in TYPES.fielddefs:
        digest = TYPES.hash_rihs01(topic.type)
        if topic.digest in ("", digest):
            return TYPES.generate_msgdef(topic.type, ros_version=2)[0], digest
    if topic.digest and definition:
        return definition, topic.digest
    store = get_typestore(Stores.EMPTY)
    try:
        if definition.startswith(_IDL_LINE):
            types: dict = {}
            for part in definition.split("=" * 80 + "\n")[1:]:
                types |= get_types_from_idl(part.split("\n", 1)[1])
        else:
            types = get_types_from_msg(definition, topic.type)
        store.register(types)
        return definition, store.hash_rihs01(topic.type)
    except (TypesysError, KeyError, ValueError):
        if not definition:  # not even the type's name is one
            return "", f"RIHS01_{hashlib.sha256(topic.type.encode()).hexdigest()}"
        return describe(Topic(topic.name, topic.type, "", "", topic.qos))
