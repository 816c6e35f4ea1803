# SPDX-License-Identifier: Apache-2.0
"""Examines which models are on this machine."""

from collections.abc import Iterator

from sharpdepth_ros.doctor.findings import ERROR, WARNING, Finding
from sharpdepth_ros.weights.commands import inventory
from sharpdepth_ros.weights.network import offline


def check_weights() -> Iterator[Finding]:
    """Each model that is here, and what is missing for depth in metres."""
    models = inventory()
    here = [model for model in models if model.folder is not None]
    for model in here:
        name, value = model.entry.name, f"{model.size / 1e6:,.0f} MB in {model.folder}"
        if model.faults:
            advice = f"sharpdepth weights fetch {name} --force"
            yield Finding(name, f"{value}: {'; '.join(model.faults)}", ERROR, advice)
        else:
            yield Finding(name, value)
    for kind in ("sharpener", "metric"):
        if not any(model.entry.kind == kind for model in here):
            names = [model.entry.name for model in models if model.entry.kind == kind]
            advice = f"only the demo's is here: sharpdepth weights fetch {names[0]}"
            yield Finding(f"{kind} models", "none", WARNING, advice)
    yield Finding("HF_HUB_OFFLINE", "set: nothing is downloaded" if offline() else "not set")
