#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the demo weights from nothing: renders frames, trains the four stages, measures the result.
# Everything goes to output/; run it again to continue where it stopped. FRAMES=10000 by default.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "train"
python="$VENV/bin/python"
sharpdepth() { "$python" -m sharpdepth_ros.cli "$@"; }

sharpdepth synth output/frames --kind room --frames "${FRAMES:-10800}" --seed 1 --workers "$(nproc)"
sharpdepth synth output/held_out --kind room --frames 120 --seed 900001 --workers "$(nproc)"
run() { # configuration, stage
  sharpdepth train "$2" --config "config/train/$1.yaml" run.resume=true "${@:3}"
}
run metric metric "$@"
run vae vae "$@"
run lotus lotus "$@"
run lotus_fine lotus "$@"
run sharpen_demo sharpen "$@"
"$python" scripts/evaluate_stack.py output/held_out --metric-model output/train/metric \
  --lotus output/train/lotus --sharpener output/train/sharpen_demo --pictures output/demo.png
