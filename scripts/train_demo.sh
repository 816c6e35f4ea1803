#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Makes the demo weights from nothing: renders frames, trains the four stages and the paper's ablations,
# measures the results on scenes that were not trained on. Everything goes to output/; run it again to
# continue where it stopped. FRAMES=10800 by default; arguments are overrides for every stage.
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
prepare "train,eval"
python="$VENV/bin/python"
sharpdepth() { "$python" -m sharpdepth_ros.cli "$@"; }

sharpdepth synth output/frames --kind room --frames "${FRAMES:-10800}" --seed 1 --workers "$(nproc)"
sharpdepth synth output/held_out --kind room --frames 120 --seed 900001 --workers "$(nproc)"
run() { # configuration, stage
  sharpdepth train "$2" --config "config/train/$1.yaml" run.resume=true "${@:3}"
}
run metric metric "$@"
run vae vae "$@"
run tiny_vae tiny-vae "$@"
run lotus lotus "$@"
run lotus_fine lotus "$@"
run sharpen_demo sharpen "$@"
run sharpen_demo sharpen stage.gate=uniform run.output=output/train/sharpen_uniform "$@"
run sharpen_demo sharpen stage.teacher=lotus run.output=output/train/sharpen_no_ema "$@"

last() { ls -d "output/train/$1"/checkpoint-* | tail -n 1; }
measure() { # name of the result, run, more options
  sharpdepth evaluate --dataset folder --root output/held_out --dataset-option max_depth=15 \
    --fit relative --metric-model "$(last metric)" --model "$(last "$2")" --output "output/evaluation/$1" "${@:3}"
}
measure teachers lotus_fine --modes aligned,metric
measure sharpdepth sharpen_demo --modes sharpdepth
measure uniform sharpen_uniform --modes sharpdepth --gate uniform
measure no_ema sharpen_no_ema --modes sharpdepth
sharpdepth compare output/evaluation/teachers:metric output/evaluation/sharpdepth
sharpdepth compare output/evaluation/uniform output/evaluation/sharpdepth
