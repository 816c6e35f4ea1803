# SPDX-License-Identifier: Apache-2.0
"""Finds the folder of a model's weights: a path, this machine's caches, or the hub."""

from difflib import get_close_matches
from pathlib import Path

from sharpdepth_ros.weights.catalogue import BUNDLED, HUB, Kind, ModelEntry, find_model, names_of
from sharpdepth_ros.weights.home import (
    FetchError,
    WeightsNotFound,
    bundled_folder,
    model_folder,
    weights_home,
)
from sharpdepth_ros.weights.hub import fetch_from_hub, usable_snapshot
from sharpdepth_ros.weights.identity import differences
from sharpdepth_ros.weights.layout import faults_of

__all__ = ["WeightsNotFound", "find_here", "is_repository", "locate", "remedy", "weights_home"]


def locate(model: str | Path, *kinds: Kind) -> Path:
    """Folder that holds the model's files; a hub model is downloaded on first use.

    Args:
        model: a folder, a name of the catalogue, or a hub repository as `owner/name`.
        kinds: the roles the name may stand for.

    Raises:
        WeightsNotFound: nothing is there, or it is not on this machine and no network is.
    """
    entry = find_model(str(model), *kinds)
    if entry is not None:
        return _required(entry, find_here(entry)) or _fetch(entry)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if is_repository(str(model)):
        return usable_snapshot(str(model), None) or _from_hub(str(model), str(model), None)
    names = names_of(*kinds)
    nearest = get_close_matches(str(model).lower(), names, n=1)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise WeightsNotFound(
        f"{str(model)!r} is neither a folder on this machine nor one of the names{hint} "
        f"{', '.join(names)}"
    )


def find_here(entry: ModelEntry) -> Path | None:
    """The folder of a model on this machine, None if it has to be fetched."""
    if entry.origin == BUNDLED:
        return bundled_folder(entry.kind)
    folder = model_folder(entry.name)
    if folder.is_dir():
        return folder
    return usable_snapshot(entry.source, entry.kind) if entry.origin == HUB else None


def _required(entry: ModelEntry, folder: Path | None) -> Path | None:
    """The folder; refused where a copy that was put there is of another model."""
    if folder is None or folder != model_folder(entry.name) or faults_of(folder, entry.kind):
        return folder  # what is missing or broken is said by the loader
    if found := differences(entry, folder):
        raise WeightsNotFound(
            f"{folder} holds another model than {entry.name}: {'; '.join(found)}. To use it, give "
            f"the folder itself as the model; `sharpdepth weights fetch {entry.name}` replaces it"
        )
    return folder


def is_repository(model: str) -> bool:
    """Whether a name looks like a hub repository, `owner/name`."""
    owner, _, name = model.partition("/")
    return bool(owner and name) and "/" not in name and not model.startswith((".", "~"))


def remedy(name: str) -> str:
    """What to do where a model cannot be downloaded."""
    return (
        f"Where there is a network, run `sharpdepth weights fetch {name}`. For a machine without "
        f"one, copy the folder that `sharpdepth weights path {name}` prints there, then run here "
        f"`sharpdepth weights fetch {name} --source FOLDER`"
    )


def _fetch(entry: ModelEntry) -> Path:
    if entry.origin == HUB:
        return _from_hub(entry.name, entry.source, entry.kind)
    raise WeightsNotFound(
        f"the weights of {entry.name!r} are not in {model_folder(entry.name)}. {remedy(entry.name)}"
    )


def _from_hub(name: str, repository: str, kind: Kind | None) -> Path:
    try:
        return fetch_from_hub(repository, kind)
    except FetchError as error:
        raise WeightsNotFound(
            f"the weights of {name!r} are not on this machine and could not be fetched from the "
            f"Hugging Face hub: {error}. {remedy(name)}"
        ) from error
