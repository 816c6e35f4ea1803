# SPDX-License-Identifier: Apache-2.0
"""Finds the folder of a model's weights: a path, this machine's caches, or the hub."""

import os
from pathlib import Path

import huggingface_hub
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

from sharpdepth_ros.weights.catalogue import HUB, Kind, ModelEntry, find_model, names_of

NETWORK_TIMEOUT = 5.0
"""Seconds the hub may take for its first answer. A robot without a network must hear so at once."""


class WeightsNotFound(FileNotFoundError):
    """Weights that are not on this machine; the message names the model and what to do."""


def weights_home() -> Path:
    """Where this package keeps weights that are not the hub's: $SHARPDEPTH_HOME, or the user's
    cache folder."""
    if home := os.environ.get("SHARPDEPTH_HOME"):
        return Path(home).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "sharpdepth_ros"


def locate(model: str | Path, *kinds: Kind) -> Path:
    """Folder that holds the model's files.

    Args:
        model: a folder, a name of the catalogue, or a hub repository as `owner/name`.
        kinds: the roles the name may stand for.

    Raises:
        WeightsNotFound: nothing is there, or it is not on this machine and no network is.
    """
    entry = find_model(str(model), *kinds)
    if entry is not None:
        return _from_hub(entry.name, entry.source) if entry.origin == HUB else _released(entry)
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    if _could_be_repository(str(model)):
        return _from_hub(str(model), str(model))
    raise WeightsNotFound(
        f"{str(model)!r} is neither a folder on this machine nor one of the names "
        f"{', '.join(names_of(*kinds))}"
    )


def _released(entry: ModelEntry) -> Path:
    folder = weights_home() / entry.name
    if folder.is_dir():
        return folder
    raise WeightsNotFound(
        f"the weights of {entry.name!r} are not in {folder}. Download the parts of release v1.0 of "
        f"github.com/{entry.source}, join and unpack them (its README says how), and move the "
        f"folder there"
    )


def _could_be_repository(model: str) -> bool:
    owner, _, name = model.partition("/")
    return bool(owner and name) and "/" not in name and not model.startswith((".", "~"))


def _from_hub(name: str, repository: str) -> Path:
    """The repository's newest cached snapshot, else a download."""
    try:
        return Path(huggingface_hub.snapshot_download(repository, local_files_only=True))
    except LocalEntryNotFoundError:
        pass
    try:
        return Path(huggingface_hub.snapshot_download(repository, etag_timeout=NETWORK_TIMEOUT))
    except (OfflineModeIsEnabled, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = (
            "HF_HUB_OFFLINE is set"
            if huggingface_hub.constants.HF_HUB_OFFLINE
            else (str(error).strip().splitlines() or [type(error).__name__])[0]
        )
        raise WeightsNotFound(
            f"the weights of {name!r} are not on this machine and could not be fetched from "
            f"the Hugging Face hub ({reason}). On a machine with a network run `hf download "
            f"{repository}` and copy its cache here, or give a local folder"
        ) from error
