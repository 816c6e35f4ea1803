# SPDX-License-Identifier: Apache-2.0
"""Fetches a model from the Hugging Face hub, by the hub's own client and into its own cache."""

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import huggingface_hub
from huggingface_hub import HfApi
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from huggingface_hub.file_download import repo_folder_name

from sharpdepth_ros.weights.catalogue import Kind
from sharpdepth_ros.weights.home import GIB, FetchError
from sharpdepth_ros.weights.layout import WEIGHT_SUFFIXES, faults_of
from sharpdepth_ros.weights.network import NETWORK_TIMEOUT, reason_of, require_network

OTHER_FRAMEWORKS = (".h5", ".msgpack", ".ot", ".tflite", ".mlmodel", ".gguf", ".ckpt")


def cached_snapshot(repository: str, cache: Path | None = None) -> Path | None:
    """The newest snapshot of a repository in the hub's cache, looked up without a network.

    Args:
        repository: `owner/name`.
        cache: the cache's folder; this user's when None.
    """
    root = Path(cache or huggingface_hub.constants.HF_HUB_CACHE)
    folder = root / repo_folder_name(repo_id=repository, repo_type="model")
    main = folder / "refs" / "main"
    # A power cut may leave it empty.
    if main.is_file() and (commit := main.read_text().strip()):
        snapshot = folder / "snapshots" / commit
        return snapshot if snapshot.is_dir() else None
    snapshots = [s for s in folder.glob("snapshots/*") if s.is_dir()]
    return max(snapshots, key=lambda s: s.stat().st_mtime, default=None)


def usable_snapshot(repository: str, kind: Kind | None) -> Path | None:
    """A cached snapshot that is whole: a download may have been broken off.

    Args:
        repository: `owner/name`.
        kind: what it must hold; only the presence of weights is checked when None.
    """
    snapshot = cached_snapshot(repository)
    return None if snapshot is None or faults_of(snapshot, kind or "metric") else snapshot


def fetch_from_hub(
    repository: str, kind: Kind | None, endpoint: str | None = None, force: bool = False
) -> Path:
    """Download what a model needs of its repository; what is in the cache already is kept.

    Args:
        repository: `owner/name`.
        kind: what it must hold.
        endpoint: another server than the hub's.
        force: download again what is in the cache.

    Raises:
        FetchError: no network, no such repository, a full disk, or not such a model.
    """
    endpoint = endpoint or huggingface_hub.constants.ENDPOINT
    require_network(endpoint)
    try:
        info = HfApi(endpoint=endpoint).model_info(
            repository, timeout=2 * NETWORK_TIMEOUT, files_metadata=True
        )
        sizes = {file.rfilename: file.size or 0 for file in info.siblings}
        superfluous = superfluous_files(sizes)
        # The cache keeps a file until its last snapshot goes: what is here already costs nothing.
        here = cached_snapshot(repository) if not force else None
        needed = sum(
            size
            for name, size in sizes.items()
            if name not in superfluous and not (here and (here / name).exists())
        )
        _require_cache_space(needed, repository)
        folder = Path(
            huggingface_hub.snapshot_download(
                repository,
                endpoint=endpoint,
                etag_timeout=NETWORK_TIMEOUT,
                ignore_patterns=superfluous or None,
                force_download=force,
            )
        )
    except FetchError:
        raise
    except GatedRepoError as error:
        raise FetchError(
            f"{endpoint}/{repository} asks for your consent: give it there, then run "
            "`hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise FetchError(
            f"{endpoint} has no repository {repository}, or it is private: then run `hf auth login`"
        ) from error
    except Exception as error:
        # The client's errors come from its HTTP library, which differs between its versions.
        raise FetchError(f"{endpoint}/{repository}: {reason_of(error)}") from error
    if faults := faults_of(folder, kind or "metric"):
        raise FetchError(
            f"{endpoint}/{repository}, kept in {folder}, is not whole: {'; '.join(faults)}. "
            "`--force` downloads all of it again"
        )
    return folder


def superfluous_files(files: Iterable[str]) -> list[str]:
    """Files of a repository that hold the same weights once more.

    Repositories often carry them for other frameworks, pickled beside safetensors, and in other
    precisions (`model.fp16.safetensors`, `model_quantized.onnx`).
    """
    files = sorted(files)
    return [file for file in files if _is_superfluous(PurePosixPath(file), set(files))]


def _is_superfluous(file: PurePosixPath, files: set[str]) -> bool:
    if file.suffix in OTHER_FRAMEWORKS:
        return True
    beside = {PurePosixPath(f).name for f in files if PurePosixPath(f).parent == file.parent}
    if file.suffix in (".bin", ".pth", ".pt"):
        return any(name.endswith(".safetensors") for name in beside)
    if file.suffix == ".onnx" or ".onnx_data" in file.name:
        return "model.onnx" in beside and file.name.split(".")[0] != "model"
    stem, _, _ = file.stem.rpartition(".")
    return file.suffix in WEIGHT_SUFFIXES and bool(stem) and f"{stem}{file.suffix}" in beside


def _require_cache_space(needed: int, repository: str) -> None:
    cache = Path(huggingface_hub.constants.HF_HUB_CACHE)
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if free < needed:
        raise FetchError(
            f"{repository} needs {needed / GIB:.2f} GiB and the disk of {cache} has "
            f"{free / GIB:.2f} GiB free: make room, or set HF_HOME to a folder on another disk"
        )
