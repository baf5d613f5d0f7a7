"""Large images go through a network in smaller batches, so that memory suffices."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from cgsim.models import derive_network, evaluate
from cgsim.models.comparison import compare
from cgsim.models.data import image_set
from cgsim.models.difficulty import measure_difficulty


class Counting(nn.Sequential):
    """A small network that notes how many images each call has."""

    def __init__(self):
        super().__init__(nn.Conv2d(1, 2, 8, stride=8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 4))
        self.sizes = []

    def forward(self, x):
        self.sizes.append(len(x))
        return super().forward(x)

    def input(self, images):
        """As of a quantised network."""
        return prepare(images)


def prepare(images):
    return torch.from_numpy(images / np.float32(255))


def pictures(count, size):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 1, size, size)).astype(np.uint8)
    return image_set(images, rng.integers(0, 4, count), "test", "noise")


def test_all_that_runs_over_a_data_set_has_the_same_batches():
    for size, count, wanted in ((128, 70, [62, 8]), (16, 260, [250, 10]), (600, 2, [2])):
        data, first, second = pictures(count, size), Counting(), Counting()
        network = derive_network(first, (1, size, size), "counting")
        first.sizes.clear()
        evaluate(first, data, prepare, network)
        assert first.sizes == wanted
        compare(first, second, data, prepare, network)
        assert (first.sizes, second.sizes) == (wanted * 2, wanted)
        first, second = Counting(), Counting()
        measure_difficulty(first, second, data, prepare, prepare)
        assert first.sizes[1:] == second.sizes == wanted  # the very first call derives the network
