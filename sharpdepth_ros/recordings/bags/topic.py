# SPDX-License-Identifier: Apache-2.0
"""A topic as a bag describes it, whichever reader found it."""

from __future__ import annotations

from dataclasses import dataclass

from rosbags.interfaces import Connection, MessageDefinitionFormat, Qos


@dataclass(frozen=True)
class Topic:
    """A topic of a bag; of one name there may be several, with other types or QoS.

    Attributes:
        name: with its leading slash.
        type: as package/msg/Name.
        definition: the message definition in the bag, empty where it has none.
        digest: the type's RIHS01 hash, empty where the bag has none.
        qos: the profiles that publishers offered.
        encoding: of the messages; ROS 2 writes cdr.
    """

    name: str
    type: str
    definition: str = ""
    digest: str = ""
    qos: tuple[Qos, ...] = ()
    encoding: str = "cdr"

    @classmethod
    def of(cls, connection: Connection) -> Topic:
        """What rosbags calls a connection."""
        known = connection.msgdef.format != MessageDefinitionFormat.NONE
        return cls(
            connection.topic,
            connection.msgtype,
            connection.msgdef.data if known else "",
            connection.digest,
            tuple(connection.ext.offered_qos_profiles),
            connection.ext.serialization_format,
        )

    @property
    def key(self) -> tuple:
        """What makes it one topic: files of one bag may differ in what else they know."""
        return self.name, self.type, self.qos

    @property
    def latched(self) -> bool:
        """Whether late subscribers are sent what was published before."""
        return any(profile.durability.name == "TRANSIENT_LOCAL" for profile in self.qos)
