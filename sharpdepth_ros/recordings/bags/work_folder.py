# SPDX-License-Identifier: Apache-2.0
"""A bag that is written in finished pieces beside its final name, and put in place when complete.

NAME.part/run.json        what the run was asked for; another run does not go on with it
         /unfinished/0003 the piece in work, worth nothing after a kill
         /pieces/0002     finished: a small bag, and progress.json: how far the run was by then
NAME                      the bag, moved here at the very end
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer

from sharpdepth_ros.pipeline.provenance import changes

#: Pieces that are smaller than this in sum are joined to one file; larger ones are the files of the
#: bag, as rosbag2 splits recordings.
_ONE_FILE = 2**30
#: Metadata version 8 is read by every rosbag2 since 2023; newer ones read it, too.
_VERSION = 8


@dataclass(frozen=True)
class BagForm:
    """How a bag is stored.

    Attributes:
        storage: sqlite3 or mcap.
        compression: none, file, message, or for mcap storage (its chunks), all with zstd.
        single_file: one file without the folder and metadata.yaml around it.
    """

    storage: str
    compression: str = "none"
    single_file: bool = False

    def __post_init__(self) -> None:
        if self.compression == "storage" and self.storage != "mcap":
            raise ValueError("compression storage packs the chunks of mcap; sqlite3 has none")
        if self.single_file and self.compression in ("file", "message"):
            raise ValueError(
                f"compression {self.compression} needs the metadata.yaml of a bag folder: give a "
                "folder as output, or with mcap compression storage"
            )

    def writer(self, folder: Path) -> Writer:
        """A writer for a new bag folder, not open yet."""
        plugin = StoragePlugin[self.storage.upper()]
        writer = Writer(folder, version=_VERSION, storage_plugin=plugin)
        mode = CompressionMode[self.compression.upper()]
        writer.set_compression(mode, CompressionFormat.ZSTD)
        return writer


class WorkFolder:
    """The pieces of one run."""

    def __init__(self, target: Path, form: BagForm, run: Mapping[str, Any]) -> None:
        """Where the bag `target` is put together.

        Args:
            target: final name.
            form: how it is stored.
            run: everything that decides what comes out; JSON values.
        """
        self._target, self._form = target, form
        self._run = json.loads(json.dumps(dict(run)))
        self._folder = target.with_name(target.name + ".part")
        self._pieces = self._folder / "pieces"

    @contextlib.contextmanager
    def opened(self, restart: bool = False) -> Iterator[dict[str, Any] | None]:
        """Holds the folder for this process; gives the progress of its last finished piece.

        Args:
            restart: throw away what an earlier run left.

        Raises:
            ValueError: the final name is taken, another process works here, or what is here belongs
                to another run.
        """
        if self._target.exists():
            raise ValueError(f"{self._target} exists already; nothing is overwritten")
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self._folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise ValueError(f"another process is at work in {self._folder}") from None
        try:
            if restart:
                self._clear()
            self._check_run()
            shutil.rmtree(self._folder / "unfinished", ignore_errors=True)
            self._pieces.mkdir(exist_ok=True)
            done = self._finished()
            yield json.loads((done[-1] / "progress.json").read_text()) if done else None
        finally:
            lock.release()

    def begin_piece(self) -> Path:
        """A folder, not there yet, for the next piece."""
        folder = self._folder / "unfinished" / f"{len(self._finished()):04d}"
        folder.parent.mkdir(exist_ok=True)
        return folder

    def finish_piece(self, folder: Path, progress: Mapping[str, Any]) -> None:
        """From here on the piece counts."""
        (folder / "progress.json").write_text(json.dumps(progress))
        folder.rename(self._pieces / folder.name)

    def put_in_place(self, messages: int) -> None:
        """Makes the bag of all pieces and moves it to its final name.

        Args:
            messages: that it has to hold.

        Raises:
            ValueError: it holds another number.
        """
        pieces = self._finished()
        size = sum(file.stat().st_size for piece in pieces for file in piece.iterdir())
        gathered = self._folder / "gathered" / self._target.name
        few = len(pieces) > 1 and size < _ONE_FILE
        if self._form.single_file or (few and not gathered.exists()):
            complete = self._folder / "joined" / self._target.name
            shutil.rmtree(complete, ignore_errors=True)
            _join(pieces, self._form.writer(complete))
        else:
            complete = gathered
            _gather(pieces, complete)
        if (found := _messages_in(complete)) != messages:
            raise ValueError(
                f"{complete} holds {found} of {messages} messages and is not put in place; "
                "--restart makes it anew"
            )
        if self._form.single_file:
            (file,) = (f for f in complete.iterdir() if f.name != "metadata.yaml")
            file.rename(self._target)
        else:
            complete.rename(self._target)
        shutil.rmtree(self._folder)

    def _finished(self) -> list[Path]:
        pieces = self._pieces.iterdir() if self._pieces.is_dir() else []
        return sorted(pieces, key=lambda piece: int(piece.name))

    def _clear(self) -> None:
        for path in self._folder.iterdir():
            if path.name != "lock":
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _check_run(self) -> None:
        record = self._folder / "run.json"
        if not record.exists():
            self._clear()
            record.write_text(json.dumps(self._run, indent=2))
            return
        earlier = json.loads(record.read_text())
        if found := changes(earlier, self._run):
            raise ValueError(
                f"{self._folder} holds the work of another run ({'; '.join(found.values())}): "
                "--restart throws it away, another output keeps it"
            )


def _messages_in(bag: Path) -> int:
    """How many messages a bag holds: those that can be read, or of a large one those it lists."""
    with Reader(bag) as reader:
        if sum(file.stat().st_size for file in bag.iterdir()) >= _ONE_FILE:
            return reader.message_count
        return sum(1 for _ in reader.messages())


def _join(pieces: list[Path], writer: Writer) -> None:
    """Copies all pieces into one bag."""
    with writer:
        connections: dict[tuple, Any] = {}
        for piece in pieces:
            with Reader(piece) as reader:
                keys = {}
                for c in reader.connections:
                    keys[c.id] = key = c.topic, c.msgtype, tuple(c.ext.offered_qos_profiles)
                    if key not in connections:
                        connections[key] = writer.add_connection(
                            c.topic,
                            c.msgtype,
                            msgdef=c.msgdef.data,
                            rihs01=c.digest,
                            offered_qos_profiles=c.ext.offered_qos_profiles,
                        )
                for connection, stamp, data in reader.messages():
                    writer.write(connections[keys[connection.id]], stamp, data)


def _gather(pieces: list[Path], folder: Path) -> None:
    """Makes the pieces' files those of one bag. A kill in between does no harm: it goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for number, piece in enumerate(pieces):
        part = yaml.safe_load((piece / "metadata.yaml").read_text())
        parts.append(part["rosbag2_bagfile_information"])
        (old,) = parts[-1]["relative_file_paths"]
        name = f"{folder.name}_{number}{''.join(Path(old).suffixes)}"
        parts[-1]["relative_file_paths"] = [name]
        parts[-1]["files"][0]["path"] = name
        if not (folder / name).exists():
            (piece / old).rename(folder / name)
    metadata = {"rosbag2_bagfile_information": _sum_of(parts)}
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata, sort_keys=False))


def _sum_of(parts: list[dict]) -> dict:
    """The metadata of a bag whose files have these."""
    total = dict(parts[0])
    spans = [
        (
            part["starting_time"]["nanoseconds_since_epoch"],
            part["starting_time"]["nanoseconds_since_epoch"] + part["duration"]["nanoseconds"],
        )
        for part in parts
        if part["message_count"]
    ]
    if spans:
        begin, end = min(b for b, _ in spans), max(e for _, e in spans)
        total["starting_time"] = {"nanoseconds_since_epoch": begin}
        total["duration"] = {"nanoseconds": end - begin}
    total["message_count"] = sum(part["message_count"] for part in parts)
    total["relative_file_paths"] = [p for part in parts for p in part["relative_file_paths"]]
    total["files"] = [file for part in parts for file in part["files"]]
    # Every piece has every topic, in one order.
    for index, entry in enumerate(total["topics_with_message_count"]):
        entry["message_count"] = sum(
            part["topics_with_message_count"][index]["message_count"] for part in parts
        )
    return total
