# SPDX-License-Identifier: Apache-2.0
"""Gets a model by name onto this machine: the network, a mirror or a folder, whichever is asked."""

import shutil
from pathlib import Path
from urllib.parse import unquote, urlparse

from sharpdepth_ros.weights.catalogue import BUNDLED, CATALOGUE, HUB, ModelEntry
from sharpdepth_ros.weights.checksums import record_file
from sharpdepth_ros.weights.home import (
    FetchError,
    WeightsNotFound,
    draft_folder,
    exclusive,
    model_folder,
)
from sharpdepth_ros.weights.hub import cached_snapshot, fetch_from_hub, usable_snapshot
from sharpdepth_ros.weights.identity import faults_here, is_another_model
from sharpdepth_ros.weights.install import install_copy
from sharpdepth_ros.weights.locate import find_here, is_repository, remedy
from sharpdepth_ros.weights.release import fetch_release, install_local_release


def entry_named(name: str) -> ModelEntry:
    """The catalogue's entry of a name that has weights to fetch.

    Raises:
        WeightsNotFound: no such name; the message lists the known ones.
    """
    entries = [entry for entry in CATALOGUE if entry.name == name]
    if fetched := [entry for entry in entries if entry.origin != BUNDLED]:
        return fetched[0]
    if entries:
        raise WeightsNotFound(f"{name!r} comes with the package; there is nothing to fetch")
    known = dict.fromkeys(entry.name for entry in CATALOGUE if entry.origin != BUNDLED)
    raise WeightsNotFound(f"no model is called {name!r}; known are {', '.join(known)}")


def fetch(name: str, source: str | Path | None = None, force: bool = False) -> Path:
    """Get a model's weights; the folder they are in.

    Args:
        name: of the catalogue, or a hub repository as `owner/name`.
        source: a folder (or archive) on this machine or the URL of a mirror, in place of the
            publisher's. For a hub model, a URL is the mirror's endpoint, a folder is a snapshot
            or holds one.
        force: also when it is here already; recorded checksums are still compared.

    Raises:
        WeightsNotFound: no model of that name.
        FetchError: it could not be fetched; the message says what was tried and what to do.
    """
    folder, url = _split(source)
    if is_repository(name):
        return _fetch_repository(name, folder, url, force)
    entry = entry_named(name)
    if not force and (here := _sound_here(entry)):
        return here
    try:
        with exclusive(name):
            if not force and (here := _sound_here(entry)):
                return here  # another process has just fetched it
            if model_folder(name).is_dir() and is_another_model(entry, model_folder(name)):
                record_file(name).unlink(missing_ok=True)  # of that model
            if entry.origin != HUB:
                return _fetch_release(entry, folder, url)
            if folder is not None:
                return install_copy(entry, _find_snapshot(entry, folder))
            snapshot = fetch_from_hub(entry.source, entry.kind, url, force)
            _forget_copy(name)
            return snapshot
    except FetchError as error:
        raise FetchError(_explain(name, folder, error)) from error
    except OSError as error:
        raise FetchError(
            f"{name} could not be fetched: {error.filename or 'the disk'}: {error.strerror}. "
            "SHARPDEPTH_HOME and HF_HOME say where weights are kept"
        ) from error


def _sound_here(entry: ModelEntry) -> Path | None:
    """The model's folder, if it is here and nothing is visibly wrong with it."""
    here = find_here(entry)
    return None if here is None or faults_here(entry, here) else here


def _split(source: str | Path | None) -> tuple[Path | None, str | None]:
    """A source as a path on this machine or as a URL."""
    if source is None:
        return None, None
    parsed = urlparse(str(source))
    if parsed.scheme in ("http", "https"):
        return None, str(source)
    path = Path(unquote(parsed.path) if parsed.scheme == "file" else source).expanduser()
    if not path.exists():
        raise FetchError(f"--source {source}: neither a folder or file here nor an http(s) URL")
    return path.resolve(), None


def _fetch_repository(name: str, folder: Path | None, url: str | None, force: bool) -> Path:
    if folder is not None:
        raise FetchError(f"{name} is not in the catalogue: give {folder} itself as the model")
    try:
        return (not force and usable_snapshot(name, None)) or fetch_from_hub(name, None, url, force)
    except FetchError as error:
        raise FetchError(_explain(name, folder, error)) from error


def _fetch_release(entry: ModelEntry, folder: Path | None, url: str | None) -> Path:
    if folder is None:
        return fetch_release(entry, url)
    named = folder / entry.name
    return install_local_release(entry, named if named.is_dir() else folder)


def _find_snapshot(entry: ModelEntry, folder: Path) -> Path:
    """A hub model's files in a folder: the folder itself, its subfolder of that name, or a copy
    of the hub's cache."""
    if not folder.is_dir():
        raise FetchError(f"{folder} is a file; a folder is needed")
    candidates = [folder / entry.name, folder / entry.source.partition("/")[2]]
    candidates += [cached_snapshot(entry.source, cache) for cache in (folder, folder / "hub")]
    return next((c for c in candidates if c is not None and c.is_dir()), folder)


def _forget_copy(name: str) -> None:
    """Remove a copy of a hub model, which would hide what the hub's cache has now."""
    shutil.rmtree(model_folder(name), ignore_errors=True)
    shutil.rmtree(draft_folder(name), ignore_errors=True)
    record_file(name).unlink(missing_ok=True)


def _explain(name: str, folder: Path | None, error: FetchError) -> str:
    message = f"{name} could not be fetched: {error}"
    return message if folder is not None else f"{message}. {remedy(name)}"
