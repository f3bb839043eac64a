#!/usr/bin/env bash
# albumentations 2.0.8 (the last release under MIT): where Compose takes its random numbers from.
#
# Expected: transforms choose independently of each other, loader workers of each other, and each epoch anew.
# Seen:
#  - Compose(seed=1) gives the same seed to every transform. HorizontalFlip(0.5) and VerticalFlip(0.5) flip both ways or not at
#    all: of 1,000 calls none flips one way. With seed=None all four outcomes are even.
#  - With or without seed the numbers are drawn from states that are made with the object. Processes forked from it, as the
#    workers of PyTorch's DataLoader on Linux are, begin with the same states: both workers draw the same, and as workers are
#    forked anew for each epoch unless they are persistent, each epoch repeats the first one. Seeding NumPy, Python or PyTorch
#    in the worker changes nothing.
# Who is hurt: whoever sets a seed to be able to repeat a training run, and whoever trains with workers: far fewer different
# samples than epochs suggest, with nothing to show for it but a model that overfits sooner.
# set_random_state (not set_random_seed, which leads to the first of the two) with fresh generators per sample helps.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check albumentations==2.0.8 opencv-python-headless==5.0.0.93 numpy==2.4.6
cd "$dir"
export NO_ALBUMENTATIONS_UPDATE=1
venv/bin/python - <<'P'
import multiprocessing
import os
import random
from collections import Counter

import albumentations as A
import numpy as np

corners = np.dstack([np.array([[0, 1], [2, 3]], np.uint8)] * 3)
names = ("neither", "across", "down", "both")
for seed in (None, 1):
    flips = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)], seed=seed)
    counts = Counter(names[flips(image=corners)["image"][0, 0, 0]] for _ in range(1000))
    print(f"seed {seed}: {dict(counts)}")
    assert set(counts) == ({"neither", "both"} if seed else set(names))

grey = np.full((4, 4, 3), 100, np.uint8)


def worker(brighter, own, answers):
    """What a worker of a data loader does: seeds of its own, then samples."""
    random.seed(own)
    np.random.seed(own)
    answers.put((own, [int(brighter(image=grey)["image"][0, 0, 0]) for _ in range(6)]))


context = multiprocessing.get_context("fork")
for seed in (None, 1):
    brighter = A.Compose([A.RandomBrightnessContrast((-0.35, 0.35), (0, 0), p=1)], seed=seed)
    drawn = []
    for epoch in range(2):
        answers = context.Queue()
        workers = [context.Process(target=worker, args=(brighter, 10 * epoch + number, answers)) for number in range(2)]
        for process in workers:
            process.start()
        drawn += [values for _, values in sorted(answers.get(timeout=60) for _ in workers)]
        for process in workers:
            process.join()
    print(f"seed {seed}: epochs 1 and 2, workers 1 and 2: {drawn}")
    assert len(set(drawn[0])) > 3 and all(values == drawn[0] for values in drawn)
os._exit(0)
P
