"""Density maps: what is drawn is what the gates say, bit by bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import cgsim
from cgsim import figures
from cgsim.errors import CgsimError
from cgsim.trace import synthesize, tiny_network

TRACES = Path(__file__).parents[2] / "traces"


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("traces")
    return {
        gate: cgsim.load_trace(
            synthesize(tiny_network(gate=gate), folder / f"{gate}.trace.parquet", samples=3, density=0.4)
        )
        for gate in ("activation", "pixel", "channel", "static")
    }


def bit(trace, layer, sample, index):
    """One gate, from the packed bytes: index into the last axis, or (channel, pixel)."""
    packed = trace.packed(layer)
    packed = packed if trace.layer(layer).gate == "static" else packed[sample]
    row, place = (packed[index[0]], index[1]) if isinstance(index, tuple) else (packed, index)
    return bool(row[place // 8] >> (place % 8) & 1)


def images(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def test_maps_and_shares_of_activation_gates(traces):
    trace = traces["activation"]
    figure = figures.density(trace, 1, ["a", "b"])
    maps = images(figure)[:2]
    shares = [axes.patches[0].get_data().values for axes in figure.axes if axes.patches]
    for place, name in enumerate("ab"):
        layer = trace.layer(name)
        _, height, width = layer.out_shape
        for y in range(height):
            for x in range(width):
                on = [bit(trace, name, 1, (n, y * width + x)) for n in range(layer.out_channels)]
                assert maps[place][y, x] == pytest.approx(sum(on) / len(on))
        for n in range(layer.out_channels):
            on = [bit(trace, name, 1, (n, p)) for p in range(layer.pixels)]
            assert shares[place][n] == pytest.approx(sum(on) / len(on))
        percent = f"{100 * trace.density(name)[1]:.0f} % computed"
        assert figure.axes[2 * place].get_title(loc="left") == f"{name}\n{percent}"


def test_scales_hold_every_share(traces):
    figure = figures.density(traces["activation"], 0, ["a", "b"])
    tops = {axes.images[0].get_clim() for axes in figure.axes if axes.images}
    assert len(tops) == 1
    low, high = tops.pop()
    assert low == 0
    assert max(found.max() for found in images(figure)[:2]) <= high <= 1


def test_pixel_gates_have_a_map_alone(traces):
    trace = traces["pixel"]
    figure = figures.density(trace, 2, ["a"])
    found = images(figure)[0]
    width = trace.layer("a").out_shape[2]
    for y, x in np.ndindex(found.shape):
        assert found[y, x] == bit(trace, "a", 2, y * width + x)
    assert not figure.axes[1].axison


@pytest.mark.parametrize("gate", ["channel", "static"])
def test_channel_gates_are_cells(traces, gate):
    trace = traces[gate]
    axes = figures.density(trace, 1).axes[0]
    cells = np.asarray(axes.collections[0].get_array())
    assert cells.shape == (2, 8)
    for row, name in enumerate("ab"):
        assert [bool(cell) for cell in cells[row]] == [bit(trace, name, 1, n) for n in range(8)]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b"]
    on = [int(sum(bit(trace, name, 1, n) for n in range(8))) for name in "ab"]
    assert [t.get_text() for t in axes.texts] == [f"{count} of 8" for count in on]


def test_inputs_that_a_gather_takes():
    trace = cgsim.load_trace(TRACES / "trained/fashion-mixture-of-depths-p2d2.trace.parquet")
    axes = figures.density(trace, 5).axes[0]
    layers = [layer for layer in trace.network.layers if layer.operator == "gather"]
    cells = np.asarray(axes.collections[0].get_array())
    for row, layer in enumerate(layers):
        channels = layer.in_shape[0]
        assert [bool(c) for c in cells[row][:channels]] == [
            bit(trace, layer.name, 5, n) for n in range(channels)
        ]
        assert np.isnan(np.asarray(cells[row][channels:], float)).all()
        assert axes.texts[row].get_text() == f"{layer.out_channels} of {channels}"


def test_usual_layers_are_one_for_each_size():
    trace = cgsim.load_trace(TRACES / "resnet20-cgnet.trace.parquet")
    titles = [axes.get_title(loc="left").partition("\n")[0] for axes in figures.density(trace).axes]
    assert [title for title in titles if title] == ["layer1.0.conv1", "layer2.0.conv1", "layer3.0.conv1"]


def test_the_image_is_beside(traces, tmp_path):
    import matplotlib.image

    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (6, 6), dtype=np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    matplotlib.image.imsave(tmp_path / "grey.png", np.repeat(grey[..., None], 3, axis=2))
    coloured = rng.random((3, 6, 6))
    for image, expected in (
        (tmp_path / "grey.npy", grey),
        (tmp_path / "grey.png", np.repeat(grey[..., None] / 255, 3, axis=2)),
        (coloured, np.moveaxis(coloured, 0, 2)),
        (coloured[:1], coloured[0]),
    ):
        figure = figures.density(traces["activation"], 0, ["a"], image)
        assert figure.axes[0].get_title(loc="left") == "image\n6 × 6"
        assert np.allclose(images(figure)[0][..., : expected.shape[-1]], expected, atol=1e-6)
        assert len(images(figure)) == 2
    figure = figures.density(traces["channel"], 0, image=coloured)
    assert np.allclose(images(figure)[0], np.moveaxis(coloured, 0, 2))


def test_a_sample_by_its_id(traces):
    trace = traces["activation"]
    name = trace.samples[2].id
    told = [np.array_equal(a, b) for a, b in zip(
        images(figures.density(trace, name)), images(figures.density(trace, 2)), strict=True
    )]  # fmt: skip
    assert all(told)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample": 3}, "no sample 3, the trace has samples 0 to 2"),
        ({"sample": "synthetic-0-9"}, r"no sample 'synthetic-0-9' \(did you mean"),
        ({"layers": ["aa"]}, "no layer 'aa'"),
        ({"layers": ["conv1"]}, "layer 'conv1' has no gates"),
        ({"layers": ["a", "b"] * 5}, "10 layers with maps of pixels, expected 8 or fewer"),
        ({"image": "none.png"}, "none.png: no such file, expected an image"),
        ({"image": np.zeros((2, 3, 4, 5))}, r"expected an image, \[H, W\] or \[H, W, 3\]"),
    ],
)
def test_refusals(traces, arguments, message):
    with pytest.raises(CgsimError, match=message):
        figures.density(traces["activation"], **arguments)


def test_damaged_images_and_traces_without_gates(traces, tmp_path):
    for name in ("x.png", "x.npy"):
        (tmp_path / name).write_bytes(b"no image at all")
        with pytest.raises(CgsimError, match=f"{name}: not an image that can be read"):
            figures.density(traces["pixel"], image=tmp_path / name)
    with pytest.raises(CgsimError, match="no layer has gates"):
        figures.density(cgsim.load_trace(TRACES / "trained/fashion-none.trace.parquet"))
