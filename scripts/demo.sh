#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Sets everything up and runs the node on the synthetic camera: scripts/demo.sh [--frames N ...]
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "openvino"
exec "$VENV/bin/python" -m sharpdepth_ros.cli demo "$@"
