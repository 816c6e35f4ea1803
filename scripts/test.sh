#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets everything up and runs the tests: scripts/test.sh [pytest options]
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "test"
cd "$ROOT"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
exec "$VENV/bin/python" -m pytest "$@"
