#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the demo weights from nothing: renders frames, trains the four stages, measures the result.
# Everything goes to output/; run it again to continue where it stopped. FRAMES=10000 by default.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "train"
python="$VENV/bin/python"
sharpdepth() { "$python" -m sharpdepth_ros.cli "$@"; }

sharpdepth synth output/frames --frames "${FRAMES:-10000}" --seed 1
sharpdepth synth output/held_out --frames 200 --seed 900001
for stage in metric vae lotus; do
  sharpdepth train "$stage" --config "config/train/$stage.yaml" run.resume=true "$@"
done
sharpdepth train sharpen --config config/train/sharpen_demo.yaml run.resume=true "$@"
"$python" scripts/evaluate_stack.py output/held_out --metric-model output/train/metric \
  --lotus output/train/lotus --sharpener output/train/sharpen_demo --pictures output/demo.png
