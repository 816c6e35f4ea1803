#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets everything up and runs the tests: scripts/test.sh [pytest options]
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "test"
cd "$ROOT"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
# The tests run in processes of their own. One that hangs ends its process and shows where (see
# pyproject.toml, faulthandler_timeout), and is done again in a new one: Fast DDS can wait for ever in
# the tests' peer of the node (test/node/conftest.py, Peer.close). A test that fails is not done again.
run() { "$VENV/bin/python" -m pytest --reruns 1 --only-rerun crash "$@"; }
if [ $# -gt 0 ]; then
    run -n 1 "$@"
    exit
fi
# What starts nodes waits for them by the clock, and gets the machine for itself.
live=(test/node test/reliability/live)
status=0
OMP_NUM_THREADS=1 run -n auto "${live[@]/#/--ignore=}" || status=$?
run -n 1 "${live[@]}" || status=$?
exit "$status"
