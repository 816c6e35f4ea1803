# SPDX-License-Identifier: Apache-2.0
"""Reads what is left of a damaged storage file: sqlite3 with lost pages, mcap without its end."""

from __future__ import annotations

import contextlib
import functools
import io
import shutil
import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import apsw
import lz4.frame
import yaml
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.opcode import Opcode
from mcap.records import Channel, Chunk, Message, Schema
from mcap.stream_reader import get_chunk_data_stream
from rosbags.rosbag2.errors import ReaderError
from rosbags.rosbag2.metadata import parse_qos

from sharpdepth_ros.recordings.bags.topic import Topic
from sharpdepth_ros.recordings.run_problems import Problems

#: Rows that are tried behind one that cannot be read, in steps that double.
_FURTHEST_STEP = 2**24

Raw = tuple[Topic, int, bytes]

_MAGIC = b"\x89MCAP0\r\n"
#: Of SQLite: magic, bytes in a page (1 is 65536), pages.
_SQLITE_HEADER = struct.Struct(">16sH10xI")
#: Before each record of mcap: its kind and its length.
_HEAD = struct.Struct("<BQ")
_PARSERS = {
    Opcode.SCHEMA: lambda stream, length: Schema.read(stream),
    Opcode.CHANNEL: lambda stream, length: Channel.read(stream),
    Opcode.MESSAGE: Message.read,
}
#: What can be unpacked of a chunk that was cut off.
_UNFINISHED = {
    "": lambda data: data,
    "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    "lz4": lambda data: lz4.frame.LZ4FrameDecompressor().decompress(data),
}


def _stream(data: bytes) -> ReadDataStream:
    return ReadDataStream(io.BytesIO(data))


class _Vfs(apsw.VFS):
    """Shows SQLite a file at the length that its header claims; what is missing fails to be read.

    SQLite itself fills in zeros, and a picture whose end was lost would pass for a whole one.
    """

    name = "sharpdepth-salvage"

    def __init__(self) -> None:
        super().__init__(self.name, "")

    def xOpen(self, name, flags):
        return super().xOpen(name, flags) if name is None else _VfsFile("", name, flags)


class _VfsFile(apsw.VFSFile):
    def xFileSize(self) -> int:
        size = super().xFileSize()
        if size < _SQLITE_HEADER.size:
            return size
        _, page, pages = _SQLITE_HEADER.unpack(super().xRead(_SQLITE_HEADER.size, 0))
        return max(size, (65536 if page == 1 else page) * pages)

    def xRead(self, amount: int, offset: int) -> bytes:
        if offset + amount > max(super().xFileSize(), 100):
            raise apsw.IOError(f"the file has ended before byte {offset + amount}")
        return super().xRead(amount, offset)


@functools.cache
def _as_long_as_it_says() -> _Vfs:
    return _Vfs()


def has_journal(path: Path) -> bool:
    """Whether a .db3 file has messages in a journal beside it: its recorder did not close it."""
    journal = _journal(path)
    return journal.is_file() and journal.stat().st_size > 0


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


class DamagedFile:
    """What is left of a storage file.

    Attributes:
        topics: with the number of messages that can be read.
        span: nanoseconds of the first and the last of them; None if there is none.
        problems: what could not be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.problems = Problems()
        self.topics: dict[Topic, int] = {}
        self.span: tuple[int, int] | None = None

    def _count(self) -> None:
        for topic, stamp, _ in self._all():
            self.topics[topic] = self.topics.get(topic, 0) + 1
            first, last = self.span or (stamp, stamp)
            self.span = min(first, stamp), max(last, stamp)

    def messages(
        self, topics: Collection[Topic], start: int | None, end: int | None
    ) -> Iterator[Raw]:
        """The messages of some topics recorded from `start` to before `end`, as in the file."""
        for topic, stamp, data in self._all():
            early = start is not None and stamp < start
            if topic in topics and not early and (end is None or stamp < end):
                yield topic, stamp, data

    def close(self) -> None:
        """Removes what reading needed."""

    def _all(self) -> Iterator[Raw]:
        raise NotImplementedError


class DamagedSqlite(DamagedFile):
    """A .db3 file, read row by row and past rows that cannot be read."""

    def __init__(self, path: Path) -> None:
        """Finds out what can be read, which reads the file once.

        Raises:
            ValueError: not even the list of topics.
        """
        super().__init__(path)
        self._scratch = contextlib.ExitStack()
        self._copied = has_journal(path)
        if self._copied:
            # SQLite moves what is in the journal into the file when it opens it: only in a copy.
            folder = Path(self._scratch.enter_context(TemporaryDirectory()))
            for source in (path, _journal(path)):
                shutil.copyfile(source, folder / source.name)
            self._path = folder / path.name
            self.problems.note(f"{path.name} was not closed: its journal (-wal) is read too")
        try:
            self._by_id = self._read_topics()
        except apsw.Error as error:
            self.close()
            raise ValueError(f"{path} has no list of topics that can be read: {error}") from error
        self.topics = dict.fromkeys(self._by_id.values(), 0)
        self._count()

    def close(self) -> None:
        self._scratch.close()

    def _all(self) -> Iterator[Raw]:
        lost = 0
        with contextlib.closing(self._open()) as database:
            last, step = -1, 0
            while step <= _FURTHEST_STEP:
                rows = "SELECT id, topic_id, timestamp, data FROM messages WHERE id > ? ORDER BY id"
                try:
                    for row, topic, stamp, data in database.execute(rows, (last + step,)):
                        lost += row - last - 1 if step else 0
                        last, step = row, 0
                        if topic in self._by_id:
                            yield self._by_id[topic], stamp, data
                    break
                except apsw.Error as error:
                    reason = str(error)
                    step = 2 * step or 1
        if step:
            self.problems.note(
                f"{self._path.name} cannot be read behind its message {last}, the rest is lost",
                reason,
            )
        if lost:
            self.problems.note(f"{self._path.name}: {lost} messages in its middle are lost")

    def _open(self) -> apsw.Connection:
        # Immutable: without it SQLite writes beside the file, and here nothing is written.
        if self._copied:
            return apsw.Connection(str(self._path))
        return apsw.Connection(
            f"file:{quote(str(self._path))}?immutable=1",
            flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI,
            vfs=_as_long_as_it_says().name,
        )

    def _read_topics(self) -> dict[int, Topic]:
        with contextlib.closing(self._open()) as database:
            columns = {row[1] for row in database.execute("PRAGMA table_info(topics)")}
            if not columns:
                raise apsw.SQLError("there is no table topics")
            wanted = ("offered_qos_profiles", "type_description_hash")
            extra = [name if name in columns else "''" for name in wanted]
            rows = list(
                database.execute(
                    f"SELECT id, name, type, serialization_format, {', '.join(extra)} FROM topics"
                )
            )
            definitions: dict[str, str] = {}
            with contextlib.suppress(apsw.Error):  # older files have none
                definitions = dict(
                    database.execute(
                        "SELECT topic_type, encoded_message_definition FROM message_definitions"
                    )
                )
        return {
            number: Topic(
                name, kind, definitions.get(kind, ""), digest, tuple(parse_qos(qos)), encoding
            )
            for number, name, kind, encoding, qos, digest in rows
        }


class DamagedMcap(DamagedFile):
    """An .mcap file, read record by record from its beginning."""

    def __init__(self, path: Path) -> None:
        """Finds out what can be read, which reads the file once."""
        super().__init__(path)
        self._count()

    def _all(self) -> Iterator[Raw]:
        schemas: dict[int, Schema] = {}
        channels: dict[int, Topic] = {}
        for record in self._records():
            if isinstance(record, Schema):
                schemas[record.id] = record
            elif isinstance(record, Channel):
                channels[record.id] = _topic_of(record, schemas.get(record.schema_id))
            elif isinstance(record, Message) and record.channel_id in channels:
                yield channels[record.channel_id], record.log_time, record.data

    def _records(self) -> Iterator[Schema | Channel | Message]:
        name, size = self._path.name, self._path.stat().st_size
        with self._path.open("rb") as file:
            if file.read(len(_MAGIC)) != _MAGIC:
                self.problems.note(f"{name} does not begin as an mcap file, nothing of it is read")
                return
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                kind, length = _HEAD.unpack(head)
                if kind in (Opcode.DATA_END, Opcode.FOOTER):
                    return
                begin = file.tell()
                whole = begin + length <= size
                if kind == Opcode.CHUNK:
                    yield from self._records_of_chunk(file.read(min(length, size - begin)), whole)
                elif kind in _PARSERS and whole:
                    yield _PARSERS[kind](_stream(file.read(length)), length)
                if not whole:
                    break
                file.seek(begin + length)
        self.problems.note(f"{name} ends in the middle, at byte {size}: the rest is lost")

    def _records_of_chunk(self, data: bytes, whole: bool) -> Iterator[Schema | Channel | Message]:
        try:
            chunk = Chunk.read(_stream(data))
            if whole:
                inside = get_chunk_data_stream(chunk, validate_crc=True)[0].read(2**62)
            else:
                inside = _UNFINISHED[chunk.compression](chunk.data)
        except Exception as error:  # each way of packing has errors of its own
            self.problems.add(
                f"{self._path.name} has damaged chunks, whose messages are lost",
                f"{type(error).__name__} {error}".strip(),
            )
            return
        at = 0
        while at + _HEAD.size <= len(inside):
            kind, length = _HEAD.unpack_from(inside, at)
            begin, at = at + _HEAD.size, at + _HEAD.size + length
            if at <= len(inside) and kind in _PARSERS:
                yield _PARSERS[kind](_stream(inside[begin:at]), length)


def _topic_of(channel: Channel, schema: Schema | None) -> Topic:
    try:
        qos = tuple(parse_qos(channel.metadata.get("offered_qos_profiles", "")))
    except (ReaderError, KeyError, TypeError, yaml.YAMLError):
        qos = ()
    definition = "" if schema is None else schema.data.decode("utf-8", "replace")
    kind = "" if schema is None else schema.name
    return Topic(channel.topic, kind, definition, "", qos, channel.message_encoding)
