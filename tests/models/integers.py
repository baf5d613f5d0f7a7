"""A quantised network computed a second time: NumPy int64 and plain loops, from the file's numbers alone."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def convolve(x, weight, stride=(1, 1), padding=(0, 0), groups=1, dilation=(1, 1)):
    """Sums int64 [N, H', W'] of x [C, H, W] and weight [N, C / groups, kh, kw], tap by tap."""
    x, weight = x.astype(np.int64), weight.astype(np.int64)
    out, inputs, kh, kw = weight.shape
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2))
    high = (x.shape[1] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    wide = (x.shape[2] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    sums = np.zeros((out, high, wide), np.int64)
    each = out // groups
    for n in range(out):
        first = n // each * inputs
        for c in range(inputs):
            for dy in range(kh):
                for dx in range(kw):
                    top, left = dy * dilation[0], dx * dilation[1]
                    rows = slice(top, top + (high - 1) * stride[0] + 1, stride[0])
                    columns = slice(left, left + (wide - 1) * stride[1] + 1, stride[1])
                    sums[n] += weight[n, c, dy, dx] * x[first + c, rows, columns]
    return sums


class Reference:
    """The network of a state dictionary of NumPy arrays; `gates` and `sums` hold what it last computed.

    `kind` holds the sections `gating` and `architecture` that the network was built with.
    """

    def __init__(self, state, kind, blocks):
        self.state, self.blocks = state, blocks
        self.gating, self.order = kind["gating"], kind["architecture"]["order"]
        self.gates, self.sums = {}, {}

    def requantize(self, name, sums, low, high=127):
        shape = (-1, *(1,) * (sums.ndim - 1))
        multiplier, bias, shift = (
            self.state[f"{name}.{key}"].astype(np.int64).reshape(shape)
            for key in ("multiplier", "bias", "shift")
        )
        return np.clip((sums * multiplier + bias) >> shift, low, high)

    def conv(self, name, x, stride=1, padding=1):
        weight = self.state[f"{name}.weight"]
        if f"{name}.threshold" not in self.state:
            return convolve(x, weight, (stride, stride), (padding, padding))
        p = self.gating["partitions"]
        channels = len(x)
        if self.gating["shuffle"]:
            x = x.reshape(p, channels // p, *x.shape[1:]).swapaxes(0, 1).reshape(x.shape)
        masked = weight.copy()
        for n in range(len(weight)):
            group = 0 if self.gating.get("base") == "first" else n // (len(weight) // p)
            base = range(group * channels // p, (group + 1) * channels // p)
            masked[n, [c for c in range(channels) if c not in base]] = 0
        base, full = (convolve(x, w, (stride, stride), (padding, padding)) for w in (masked, weight))
        gates = base > self.state[f"{name}.threshold"].astype(np.int64)[:, None, None]
        if f"{name}.threshold_high" in self.state:
            gates &= base < self.state[f"{name}.threshold_high"].astype(np.int64)[:, None, None]
        share = Fraction(str(self.gating.get("channel_share", 0)))
        for n, one in enumerate(gates):
            if int(one.sum()) < share * one.size:
                gates[n] = False
        self.gates[name], self.sums[name] = gates, np.where(gates, full, base)
        if self.gating["norm_variant"] == "separate":
            multiplier, bias = (
                self.state[f"{name}.{key}"].astype(np.int64) for key in ("multiplier", "bias")
            )
            on, off = (
                sums * multiplier[row][:, None, None] + bias[row][:, None, None]
                for row, sums in ((1, full), (0, base))
            )
            return np.where(gates, on, off)
        return self.sums[name]

    def __call__(self, image):
        """Logits (int64, in steps) of one uint8 image [C, H, W]."""
        before = self.order == "before_add"
        table = self.state["input.table"]
        x = np.stack([table[c][plane] for c, plane in enumerate(image)])
        x = self.requantize("norm1", self.conv("conv1", x), 0)
        for name, stride in self.blocks:
            y = self.requantize(f"{name}.norm1", self.conv(f"{name}.conv1", x, stride), 0)
            y = self.requantize(f"{name}.norm2", self.conv(f"{name}.conv2", y), 0 if before else -128)
            skip = x
            if f"{name}.shortcut.weight" in self.state:
                skip = self.conv(f"{name}.shortcut", x, stride, 0)
                skip = self.requantize(f"{name}.shortcut_norm", skip, -128)
            left, right = self.state[f"{name}.join.multiplier"].astype(np.int64)
            total = y * left + skip * right + self.state[f"{name}.join.bias"]
            x = np.clip(
                total >> self.state[f"{name}.join.shift"].astype(np.int64), -128 if before else 0, 127
            )
        x = self.requantize("pool_norm", x.sum((1, 2)), -128)
        sums = convolve(x[:, None, None], self.state["fc.weight"])[:, 0, 0]
        return self.requantize("logits", sums, -(1 << 15), (1 << 15) - 1)
