#!/usr/bin/env bash
# Train the populations on digits piece by piece, into an archive each. A piece that is there is not trained again, and
# one that was stopped goes on, so this may be killed and started at will. `edfkit merge` joins pieces.
set -euo pipefail
cd "$(dirname "$0")"

piece() { # NAME, then what to generate
    local name=$1
    shift
    test ! -e "$name.h5" || return 0
    edfkit generate "$@" --dataset digits --max-params 0.3e6 --max-macs 6e6 --workers 2 --out "../../runs/corpus/$name"
    edfkit pack "../../runs/corpus/$name" -o "$name.h5" --title "$name, trained on digits" \
        --source "the developers of edfkit, by edfkit generate" --license CC0-1.0
}

spaces() { # SEED: a part of every space, so that they can be compared at any stage
    for space in resnext-a resnext-b; do
        piece "$space-$1" "$space" --models 100 --seed "$1"
    done
    for space in nasnet amoeba pnas enas darts; do
        piece "$space-$1" "$space" --models 40 --seed "$1"
    done
}

spaces 1
for space in resnet vanilla; do
    for rank in top mid; do # one network each, described in the file
        piece "$space-reruns-$rank" --network "${space}_reruns_$rank.toml" --models 30 --seed 1
    done
    for training_seed in 1 2 3; do # the first configurations of the bundled population, trained with other seeds
        piece "$space-rng$training_seed" "$space" --models 100 --seed 1 --training-seed "$training_seed"
    done
    piece "$space-lr-wd" "$space" --models 200 --seed 1 --lr-range 1e-3 1 --weight-decay-range 1e-5 1e-2
done
for space in pnas enas darts; do
    piece "$space-fix-w-d" "$space" --models 40 --seed 1 --width 16 --depth 4
done
for seed in 2 3 4 5; do
    spaces "$seed"
done
