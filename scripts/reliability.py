# SPDX-License-Identifier: Apache-2.0
"""Runs the long forms of the reliability tests and prints what they found as a Markdown table.

    python scripts/reliability.py [--messages 10000] [--cases 100000] [--cycles 200] [--sizes 200]
                                  [--soak-seconds 3600] [--soak-preset accurate]
                                  [--output output/reliability] [--only WORDS]

The folder gets the table (reliability.md), the soak's samples and picture (soak.csv, soak.png) and
the log of pytest. The exit status is pytest's: 0 if everything passed.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = "test/reliability"


def main() -> int:
    """Run the tests, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=10_000, help="faulty messages, live, each")
    parser.add_argument("--cases", type=int, default=100_000, help="cases of the fuzzer, each")
    parser.add_argument("--cycles", type=int, default=200, help="configure and clean up")
    parser.add_argument("--sizes", type=int, default=200, help="frames of changing size")
    parser.add_argument("--soak-seconds", type=float, default=3600)
    parser.add_argument(
        "--soak-preset",
        default="accurate",
        help="of the node; fastest keeps up with the camera's 10 Hz on two cores",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "output" / "reliability")
    parser.add_argument("--only", default="", help="pytest's -k: only tests with these words")
    arguments = parser.parse_args()

    output = arguments.output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    lines = output / "lines.jsonl"
    lines.unlink(missing_ok=True)
    sizes = {
        "SHARPDEPTH_LIVE_MESSAGES": arguments.messages,
        "SHARPDEPTH_FUZZ_CASES": arguments.cases,
        "SHARPDEPTH_CYCLES": arguments.cycles,
        "SHARPDEPTH_SIZES": arguments.sizes,
        "SHARPDEPTH_SOAK_SECONDS": arguments.soak_seconds,
        "SHARPDEPTH_SOAK_PRESET": arguments.soak_preset,
        "SHARPDEPTH_RELIABILITY_OUTPUT": output,
    }
    command = [sys.executable, "-m", "pytest", TESTS, "-m", "long or not long"]
    # What takes hours has not hung.
    command += ["-o", "faulthandler_timeout=0"]
    command += ["-k", arguments.only] if arguments.only else []
    environment = os.environ | {name: str(value) for name, value in sizes.items()}
    log = output / "pytest.log"
    print(f"running {TESTS}; follow it in {log}", file=sys.stderr)
    with log.open("w") as file:
        status = subprocess.call(command, cwd=ROOT, env=environment, stdout=file, stderr=file)

    table = markdown(lines.read_text().splitlines() if lines.exists() else [])
    (output / "reliability.md").write_text(table)
    print(table)
    print(log.read_text().splitlines()[-1], file=sys.stderr)
    return status


def markdown(lines: list[str]) -> str:
    """The table of what tests have recorded, one JSON object a line."""
    rows = ["| what | how often | what happened |", "| --- | --- | --- |"]
    for line in map(json.loads, lines):
        cells = (line[name].replace("|", r"\|") for name in ("what", "how_often", "happened"))
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
