# SPDX-License-Identifier: Apache-2.0
"""Opens a ROS 2 bag, sound or damaged, and reads its messages as they were recorded."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import yaml
import zstandard
from rosbags.rosbag2 import Reader
from rosbags.rosbag2.metadata import parse_qos

from sharpdepth_ros.recordings.bags.salvage import DamagedMcap, DamagedSqlite, Raw, has_journal
from sharpdepth_ros.recordings.bags.topic import Topic
from sharpdepth_ros.recordings.run_problems import Problems

STORAGES = {".db3": "sqlite3", ".mcap": "mcap"}
#: Bytes. A message announces its size before it is unpacked, and that much memory is taken for it.
_LARGEST_MESSAGE = 2**30
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class Source(Protocol):
    """A bag, or one file of it: topics with message counts, and messages."""

    topics: dict[Topic, int]
    problems: Problems
    span: tuple[int, int] | None

    def messages(
        self, topics: Collection[Topic], start: int | None, end: int | None
    ) -> Iterator[Raw]: ...

    def close(self) -> None: ...


class Bag:
    """A bag that is open; reading writes nothing beside it or in it.

    Attributes:
        path: of the folder or file.
        storage: sqlite3 or mcap.
        topics: with the number of messages of each.
        span: nanoseconds of its first and last message; None where there is none.
        problems: what of it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        """Opens it.

        Raises:
            FileNotFoundError: it is not there.
            ValueError: it is no ROS 2 bag, or nothing of it can be read.
        """
        if not path.exists():
            raise FileNotFoundError(f"{path} does not exist")
        files = _files_of(path)
        if not files:
            known = ", ".join(STORAGES)
            advice = " (a ROS 1 bag: turn it into one with rosbags-convert)"
            raise ValueError(
                f"{path} is no ROS 2 bag: it is neither a folder with {known} files nor such a file"
                + advice * (path.suffix == ".bag")
            )
        self.path, self.files = path, files
        self.storage = STORAGES[_suffix(files[0])]
        self.problems = Problems()
        self._source = _open(path, files, self.problems)
        self.topics, self.span = self._source.topics, self._source.span
        for topic in [topic for topic in self.topics if topic.encoding != "cdr"]:
            count = self.topics.pop(topic)
            if count:
                self.problems.note(
                    f"{topic.name}: {count} messages are left out",
                    f"they are encoded as {topic.encoding!r}; ROS 2 bags hold cdr",
                )

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._source.close()

    def messages(
        self,
        topics: Collection[Topic] | None = None,
        start: int | None = None,
        end: int | None = None,
    ) -> Iterator[Raw]:
        """Messages in the bag's order: topic, nanoseconds of recording, bytes.

        Args:
            topics: only these; None for all.
            start: only what was recorded then or later, nanoseconds.
            end: only what was recorded before, nanoseconds.
        """
        wanted = set(self.topics) if topics is None else set(topics) & set(self.topics)
        if not wanted:
            return
        for topic, stamp, data in self._source.messages(wanted, start, end):
            if data[:4] == _ZSTD_MAGIC:  # packed one by one, where no metadata.yaml told rosbags
                try:
                    data = unpacked_message(data)
                except zstandard.ZstdError as error:
                    self.problems.note(f"messages of {topic.name} are damaged", str(error))
                    continue
            yield topic, stamp, data

    def first(self, topic: Topic) -> bytes | None:
        """The first message of a topic."""
        return next((data for _, _, data in self.messages([topic])), None)


class SoundBag:
    """A bag that rosbags opens. What turns out to be damaged on the way is salvaged."""

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.problems = Problems()
        self._path, self._files = path, files
        self._reader = Reader(path)
        self._reader.open()
        self._by_connection = {c.id: Topic.of(c) for c in self._reader.connections}
        self.topics = dict.fromkeys(self._by_connection.values(), 0)
        for connection in self._reader.connections:
            self.topics[self._by_connection[connection.id]] += connection.msgcount
        self.span = None
        if self._reader.message_count:
            self.span = self._reader.start_time, self._reader.end_time - 1

    def close(self) -> None:
        self._reader.close()

    def messages(
        self, topics: Collection[Topic], start: int | None, end: int | None
    ) -> Iterator[Raw]:
        newest = -1
        chosen = [c for c in self._reader.connections if self._by_connection[c.id] in topics]
        try:
            for connection, stamp, data in self._reader.messages(chosen, start, end):
                newest = max(stamp, newest)
                yield self._by_connection[connection.id], stamp, data
            return
        except Exception as error:  # of sqlite, mcap, zstd or rosbags: whatever is damaged
            reason = f"{type(error).__name__}: {error}"
        self.problems.note(f"{self._path} is damaged; what follows was salvaged", reason)
        by_key = {topic.key: topic for topic in topics}
        with contextlib.closing(_Files(self._files, _metadata(self._path), salvage=True)) as rest:
            for topic, stamp, data in rest.messages(rest.topics, start, end):
                if stamp > newest and topic.key in by_key:
                    yield by_key[topic.key], stamp, data
            for line, case in rest.problems.as_dict().items():
                self.problems.note(line, case[1])


class _Files:
    """The files of a bag one by one, each with rosbags or, if that does not open it, salvaged."""

    def __init__(self, files: list[Path], metadata: dict, salvage: bool = False) -> None:
        self.problems = Problems()
        self._scratch = contextlib.ExitStack()
        described = {t.key: t for t in _described_topics(metadata)}
        self._topics_by_key: dict[tuple, Topic] = {}
        self.topics: dict[Topic, int] = {}
        self._sources: list[Source] = []
        for file in files:
            try:
                source = self._open_file(file, salvage)
            except (ValueError, OSError) as error:
                self.problems.note(f"{file.name} cannot be read, all of it is lost", str(error))
                continue
            self._sources.append(source)
            for topic, count in source.topics.items():
                known = self._topics_by_key.setdefault(
                    topic.key, _completed(topic, described.get(topic.key))
                )
                self.topics[known] = self.topics.get(known, 0) + count
        spans = [source.span for source in self._sources if source.span]
        self.span = (min(s[0] for s in spans), max(s[1] for s in spans)) if spans else None
        self._collect()

    def close(self) -> None:
        for source in self._sources:
            source.close()
        self._scratch.close()

    def messages(
        self, topics: Collection[Topic], start: int | None, end: int | None
    ) -> Iterator[Raw]:
        for source in self._sources:
            chosen = {t for t in source.topics if self._topics_by_key[t.key] in topics}
            for topic, stamp, data in source.messages(chosen, start, end) if chosen else ():
                yield self._topics_by_key[topic.key], stamp, data
        self._collect()

    def _collect(self) -> None:
        for source in self._sources:
            for what, (_, case) in source.problems.as_dict().items():
                self.problems.note(what, case)

    def _open_file(self, file: Path, salvage: bool) -> Source:
        if file.suffix == ".zstd":
            file = self._unpacked(file)
        if not salvage and not has_journal(file):
            try:
                return SoundBag(file, [file])
            except Exception as error:  # whatever is damaged
                self.problems.note(
                    f"{file.name} was not closed or is damaged; what can be read of it is used",
                    f"{type(error).__name__}: {error}",
                )
        damaged = {".db3": DamagedSqlite, ".mcap": DamagedMcap}[file.suffix](file)
        self._scratch.callback(damaged.close)
        return damaged

    def _unpacked(self, file: Path) -> Path:
        folder = Path(self._scratch.enter_context(TemporaryDirectory()))
        unpacked = folder / file.stem
        with file.open("rb") as packed, unpacked.open("wb") as plain:
            try:
                with zstandard.ZstdDecompressor().stream_reader(packed) as stream:
                    shutil.copyfileobj(stream, plain)
            except zstandard.ZstdError as error:
                self.problems.note(f"{file.name} cannot be unpacked to its end", str(error))
        return unpacked


def unpacked_message(data: bytes) -> bytes:
    """A message that was packed by itself.

    Raises:
        zstandard.ZstdError: it is damaged, or of an absurd size.
    """
    size = zstandard.get_frame_parameters(data).content_size
    if size > _LARGEST_MESSAGE and size != zstandard.CONTENTSIZE_UNKNOWN:
        raise zstandard.ZstdError(f"a message of {size} bytes is announced")
    return zstandard.ZstdDecompressor().decompress(data)


def _open(path: Path, files: list[Path], problems: Problems) -> Source:
    strangers = _listed_elsewhere(path)
    for name in strangers:
        problems.note(f"metadata.yaml lists {name!r}, which is outside of the bag and is not read")
    if not strangers and not any(has_journal(file) for file in files):
        try:
            source = SoundBag(path, files)
            source.problems = problems
            return source
        except Exception as error:  # of sqlite, mcap, zstd or rosbags: whatever is damaged
            reason = f"{type(error).__name__}: {error}"
        problems.note(f"{path} was not closed or is damaged; what can be read is used", reason)
    metadata = _metadata(path)
    listed = metadata.get("relative_file_paths") or []
    present = {file.name for file in files}
    for name in (Path(given).name for given in listed):
        if name not in present:
            problems.note(f"{path / name} is listed in metadata.yaml and missing")
    source = _Files(files, metadata)
    for what, (_, case) in source.problems.as_dict().items():
        problems.note(what, case)
    source.problems = problems
    if not source.topics:
        source.close()
        raise ValueError("; ".join(problems.lines()))
    return source


def _files_of(path: Path) -> list[Path]:
    """The storage files of a bag, in the order in which they were recorded."""
    if path.is_file():
        return [path] if path.suffix in STORAGES else []
    files = [p for p in path.iterdir() if _suffix(p) in STORAGES and p.is_file()]
    listed = [Path(name).name for name in _metadata(path).get("relative_file_paths") or []]
    place = {name: number for number, name in enumerate(listed)}
    # Files are numbered without leading zeros: name_2 comes before name_10.
    return sorted(
        files,
        key=lambda p: (
            place.get(p.name, len(place)),
            [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", p.name)],
        ),
    )


def _suffix(file: Path) -> str:
    return Path(file.stem).suffix if file.suffix == ".zstd" else file.suffix


def _metadata(path: Path) -> dict:
    """What metadata.yaml says, or nothing where it is missing or broken."""
    try:
        text = (path / "metadata.yaml").read_text()
        return dict(yaml.safe_load(text)["rosbag2_bagfile_information"])
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return {}


def _listed_elsewhere(path: Path) -> list[str]:
    """Files that metadata.yaml lists and that do not lie in the bag's folder."""
    listed = _metadata(path).get("relative_file_paths") or []
    # Until Foxy the paths began with the bag's own folder.
    return [
        str(name)
        for name in listed
        if Path(str(name)).is_absolute() or ".." in Path(str(name)).parts
    ]


def _described_topics(metadata: dict) -> list[Topic]:
    described = []
    for entry in metadata.get("topics_with_message_count") or []:
        facts = entry["topic_metadata"]
        qos = tuple(parse_qos(facts.get("offered_qos_profiles") or []))
        digest = facts.get("type_description_hash", "")
        described.append(Topic(facts["name"], facts["type"], "", digest, qos))
    return described


def _completed(topic: Topic, described: Topic | None) -> Topic:
    if described is None or topic.digest:
        return topic
    return Topic(
        topic.name, topic.type, topic.definition, described.digest, topic.qos, topic.encoding
    )
