#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets everything up and runs the tests: scripts/test.sh [pytest options]
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "test"
cd "$ROOT"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
# The tests run in a process of their own. One that hangs ends it and shows where (pyproject.toml,
# faulthandler_timeout), and is done again in a new one: Fast DDS can wait for ever in the tests' peer
# of the node (test/node/conftest.py, Peer.close). A test that fails is not done again.
exec "$VENV/bin/python" -m pytest -n 1 --reruns 1 --only-rerun crash "$@"
