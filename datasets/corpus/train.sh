#!/usr/bin/env bash
# Train the populations on digits piece by piece, into an archive each. A piece that is there is not trained again, and
# one that was stopped goes on, so this may be killed and started at will. `edfkit merge` joins pieces.
set -euo pipefail
cd "$(dirname "$0")"

bounds=(--max-params 0.3e6 --max-macs 6e6)

piece() { # NAME, then what to generate
    local name=$1
    shift
    test ! -e "$name.h5" || return 0
    edfkit generate "$@" --dataset digits --workers 2 --out "../../runs/corpus/$name"
    edfkit pack "../../runs/corpus/$name" -o "$name.h5" --title "$name, trained on digits" \
        --source "the developers of edfkit, by edfkit generate" --license CC0-1.0
}

# All spaces a part at a time, so that they can be compared at any stage.
for seed in 1 2 3 4 5; do
    for space in resnext-a resnext-b; do
        piece "$space-$seed" "$space" --models 100 --seed "$seed" "${bounds[@]}"
    done
    for space in nasnet amoeba pnas enas darts; do
        piece "$space-$seed" "$space" --models 40 --seed "$seed" "${bounds[@]}"
    done
done

# The first configurations of the bundled populations, under two seeds of training more.
for training_seed in 1 2; do
    for space in resnet vanilla; do
        piece "$space-training-$training_seed" "$space" --models 100 --seed 1 --training-seed "$training_seed" "${bounds[@]}"
    done
done

for space in resnet vanilla; do
    piece "$space-lr-wd" "$space" --models 200 --seed 1 --lr-range 1e-3 1 --weight-decay-range 1e-5 1e-2 "${bounds[@]}"
done
