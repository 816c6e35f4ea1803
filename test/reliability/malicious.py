# SPDX-License-Identifier: Apache-2.0
"""Files that would run code, or lead out of their folder, if they were read carelessly."""

import io
import json
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import torch


class Trap:
    """Unpickling it makes the folder `marker`."""

    def __init__(self, marker: Path) -> None:
        self._marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self._marker,)


def zip_pickle(path: Path, marker: Path) -> None:
    """What torch.save writes today."""
    torch.save({"weight": Trap(marker)}, path)


def old_pickle(path: Path, marker: Path) -> None:
    """What torch.save wrote before 1.6."""
    torch.save({"weight": Trap(marker)}, path, _use_new_zipfile_serialization=False)


def bare_pickle(path: Path, marker: Path) -> None:
    path.write_bytes(pickle.dumps(Trap(marker)))


def tar_pickle(path: Path, marker: Path) -> None:
    """The oldest layout, through which weights_only could be led to run code before torch 2.6."""
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            content = pickle.dumps(Trap(marker))
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


PICKLES = (zip_pickle, old_pickle, bare_pickle, tar_pickle)


def object_npy(path: Path, marker: Path) -> None:
    np.save(path, np.array([Trap(marker)], dtype=object), allow_pickle=True)


def object_npz(path: Path, marker: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, depth=np.array([Trap(marker)], dtype=object))


def giant_npy(path: Path, marker: Path) -> None:
    """A header that announces four terabytes."""
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (10**6, 10**6)}
    np.lib.format.write_array_header_1_0(header, shape)
    path.write_bytes(header.getvalue() + bytes(64))


ARRAYS = (object_npy, object_npz, bare_pickle, giant_npy)


def yaml_with_code(marker: Path) -> str:
    """A value that yaml.load makes the folder `marker` for."""
    return f"!!python/object/apply:os.mkdir ['{marker}']"


def safetensors(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    """A safetensors file of these parts, whether they fit each other or not."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def _one_tensor(end: int) -> bytes:
    entry = {"dtype": "F32", "shape": [end // 4], "data_offsets": [0, end]}
    return json.dumps({"conv_in.weight": entry}).encode()


BROKEN_SAFETENSORS = {
    "nothing": b"",
    "a header of 2^63 bytes": safetensors(b"{}", 2**63),
    "a header beyond its end": safetensors(b"{}", 4096),
    "a header that is no JSON": safetensors(b"\xff\xfe not json"),
    "a header that is a list": safetensors(b"[1, 2]"),
    "a header too deep": safetensors(b'{"a":' * 50_000),
    "a tensor of 4 TB": safetensors(_one_tensor(2**42)),
    "offsets that are words": safetensors(
        json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": ["x", "y"]}}).encode()
    ),
}

OUTSIDE = (
    "../../secret.safetensors",
    "/etc/passwd",
    "sub/../../secret.safetensors",
    "x\0.bin",
    "..",
)
"""Names by which a file of a folder would be one outside of it."""
