#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets everything up and runs the tests: scripts/test.sh [pytest options]
#
# Without ROS on the machine, what starts nodes runs on the wheels of both Kilted and Jazzy; with
# ROS, on that one. With options, on the first alone; for Jazzy see the command that this prints.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "test"
cd "$ROOT"
"$VENV/bin/ruff" check .
"$VENV/bin/ruff" format --check .
# The tests run in processes of their own. One that hangs ends its process and shows where (see
# pyproject.toml, faulthandler_timeout), and is done again in a new one: Fast DDS can wait for ever in
# the tests' peer of the node (test/node/conftest.py, Peer.close). A test that fails is not done again.
run() { # $1: the environment; then pytest's options
    "$1/bin/python" -m pytest --reruns 1 --only-rerun crash --durations=25 "${@:2}"
}
if [ -n "${ROS_DISTRO:-}" ]; then
    say "testing the ROS 2 that is installed, $ROS_DISTRO, and no other"
    distribution="$ROS_DISTRO"
else
    distribution=kilted
fi
export SHARPDEPTH_TEST_ROS="$distribution"
if [ $# -gt 0 ]; then
    run "$VENV" -n 1 "$@"
    exit
fi
# What starts nodes waits for them by the clock: beside it run only the same tests on the other
# distribution, each in one process. All DDS domains in use are locked (test/node/conftest.py).
live=(test/node test/reliability/live)
status=0
OMP_NUM_THREADS=1 run "$VENV" -n auto "${live[@]/#/--ignore=}" || status=$?
if [ "$distribution" = kilted ]; then
    prepare_jazzy
    say "Jazzy's tests alone: SHARPDEPTH_TEST_ROS=jazzy $JAZZY/bin/python -m pytest ${live[*]}"
    SHARPDEPTH_TEST_ROS=jazzy run "$JAZZY" -n 1 "${live[@]}" test/messages test/processing > >(sed -u 's/^/jazzy: /') 2>&1 &
    jazzy=$!
fi
run "$VENV" -n 1 "${live[@]}" || status=$?
if [ -n "${jazzy:-}" ]; then
    wait "$jazzy" || status=$?
fi
exit "$status"
