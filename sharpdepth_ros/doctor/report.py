# SPDX-License-Identifier: Apache-2.0
"""Runs every check and prints what they found; the entry point of `sharpdepth doctor`."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from sharpdepth_ros.doctor.dds import check_profile, check_receive_buffer, check_shared_memory
from sharpdepth_ros.doctor.findings import ERROR, OK, WARNING, Finding
from sharpdepth_ros.doctor.machine import check_disk, check_memory, check_torch
from sharpdepth_ros.doctor.ros import check_domain, check_ros, check_ros_packages
from sharpdepth_ros.doctor.software import check_opencv, check_package, check_python
from sharpdepth_ros.doctor.weights import check_weights

Check = Callable[[], Iterable[Finding]]
Sections = dict[str, Sequence[Check]]

SECTIONS: Sections = {
    "Software": (check_python, check_package, check_opencv),
    "Machine": (check_torch, check_memory, check_disk),
    "ROS 2": (check_ros, check_domain, check_ros_packages),
    "Large messages": (check_profile, check_shared_memory, check_receive_buffer),
    "Weights": (check_weights,),
}

COLOURS = {OK: "\033[32m", WARNING: "\033[33m", ERROR: "\033[31m"}


def run_doctor(as_json: bool = False, sections: Sections = SECTIONS) -> int:
    """Examine the machine and print the report.

    Args:
        as_json: print one JSON object in place of text.
        sections: the checks by heading.

    Returns:
        0, or 1 when something is in error.
    """
    report = examine(sections)
    findings = [finding for section in report.values() for finding in section]
    counts = {status: sum(f.status == status for f in findings) for status in (OK, WARNING, ERROR)}
    if as_json:
        sections_json = {name: [asdict(f) for f in found] for name, found in report.items()}
        print(json.dumps({"counts": counts, "sections": sections_json}, indent=1))
    else:
        _print(report)
        print(f"\n{counts[OK]} ok, {counts[WARNING]} warnings, {counts[ERROR]} errors")
    return 1 if counts[ERROR] else 0


def examine(sections: Sections = SECTIONS) -> dict[str, list[Finding]]:
    """What each section's checks find; a check that fails is a finding too."""
    checks = [check for section in sections.values() for check in section]
    with ThreadPoolExecutor(max_workers=max(1, len(checks))) as pool:
        found = dict(zip(checks, pool.map(_run, checks), strict=True))
    return {
        name: [finding for check in section for finding in found[check]]
        for name, section in sections.items()
    }


def _run(check: Check) -> list[Finding]:
    findings: list[Finding] = []
    try:
        findings.extend(check())
    except Exception as error:
        # The doctor is for machines where something is wrong: what that does to one check must
        # not hide the others.
        what = check.__name__.removeprefix("check_").replace("_", " ")
        advice = "this check itself failed; the other lines stand"
        findings.append(Finding(what, f"{type(error).__name__}: {error}", WARNING, advice))
    return findings


def _print(report: dict[str, list[Finding]]) -> None:
    width = max((len(f.what) for found in report.values() for f in found), default=0)
    for name, found in report.items():
        print(f"\n{name}")
        for finding in found:
            print(f"  {_mark(finding.status)} {finding.what.ljust(width)} {finding.value}")
            if finding.advice:
                # Not wrapped: advice often ends with a command, and that is copied as a line.
                print(f"{' ' * 11}-> {finding.advice}")


def _mark(status: str) -> str:
    text = status.ljust(8)
    return f"{COLOURS[status]}{text}\033[0m" if sys.stdout.isatty() else text
