from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cgsim import CgsimError
from cgsim.models import image_folder, load_dataset, pictures
from cgsim.models.data import CIFAR10_CLASSES
from cgsim.models.python_cifar import read_batch

RNG = np.random.default_rng(0)


def write_idx(path, array, compress):
    data = b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.write_bytes(gzip.compress(data) if compress else data)


@pytest.mark.parametrize("compress", [True, False])
def test_idx(tmp_path, compress):
    folder = tmp_path / "fashion-mnist"
    folder.mkdir()
    wanted = {}
    for prefix, count in (("train", 12), ("t10k", 5)):
        images = RNG.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        labels = (np.arange(count) % 10).astype(np.uint8)
        suffix = ".gz" if compress else ""
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", images, compress)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", labels, compress)
        wanted[prefix] = images, labels
    dataset = load_dataset(folder)
    assert dataset.name == "Fashion-MNIST"
    assert dataset.classes[9] == "Ankle boot"
    assert dataset.channels == 1
    assert np.array_equal(dataset.train.images[:, 0], wanted["train"][0])
    assert np.array_equal(dataset.test.labels, wanted["t10k"][1])
    assert dataset.test.ids[3] == "test/00003"
    mean, deviation = dataset.statistics()
    pixels = dataset.train.images / 255
    assert mean == pytest.approx([pixels.mean()], abs=1e-5)
    assert deviation == pytest.approx([pixels.std()], abs=1e-5)

    victim = next(folder.glob("t10k-images*"))
    data = victim.read_bytes()
    for cut in (0, 3, 10, len(data) // 2, len(data) - 1):
        victim.write_bytes(data[:cut])
        with pytest.raises(CgsimError, match=r"t10k-images|cannot be read"):
            load_dataset(folder)
    victim.unlink()
    with pytest.raises(CgsimError, match="t10k-images is missing"):
        load_dataset(folder)


def batches(count=3):
    for name, size in [(f"data_batch_{i}", count) for i in (1, 2)] + [("test_batch", 2)]:
        data = RNG.integers(0, 256, (size, 3072)).astype(np.uint8)
        yield name, data, [int(label) for label in RNG.integers(0, 10, size)]


def test_cifar_binary(tmp_path):
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    rows = {}
    for name, data, labels in batches():
        record = np.concatenate([np.array(labels, np.uint8)[:, None], data], 1)
        (folder / f"{name}.bin").write_bytes(record.tobytes())
        rows[name] = data, labels
    for path in (folder, tmp_path):
        dataset = load_dataset(path)
        assert (dataset.name, dataset.classes) == ("CIFAR-10", CIFAR10_CLASSES)
        assert dataset.train.images.shape == (6, 3, 32, 32)
        assert np.array_equal(dataset.train.images[3:].reshape(3, -1), rows["data_batch_2"][0])
        assert dataset.test.labels.tolist() == rows["test_batch"][1]
    (folder / "test_batch.bin").write_bytes(b"123")
    with pytest.raises(CgsimError, match="no multiple of 3073"):
        load_dataset(folder)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("bytes_keys", [True, False])
def test_cifar_python(tmp_path, protocol, bytes_keys):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    rows = {}
    for name, data, labels in batches():
        content = {
            "batch_label": name,
            "labels": labels,
            "data": ReducedArray(data),
            "filenames": ["a.png"] * 2,
        }
        if bytes_keys:
            content = {key.encode(): value for key, value in content.items()}
        (folder / name).write_bytes(pickle.dumps(content, protocol))
        rows[name] = data, labels
    dataset = load_dataset(tmp_path)
    assert np.array_equal(dataset.train.images[3:].reshape(3, -1), rows["data_batch_2"][0])
    assert dataset.train.labels.tolist() == rows["data_batch_1"][1] + rows["data_batch_2"][1]
    assert dataset.test.labels.tolist() == rows["test_batch"][1]


class ReducedArray:
    """An array pickled as the published files hold it, whatever the protocol."""

    def __init__(self, array):
        self.array = array

    def __reduce__(self):
        return self.array.__reduce__()


def test_the_published_form_is_read(tmp_path):
    """Opcodes of Python 2's cPickle, protocol 2, as in cifar-10-batches-py."""
    pixels = bytes(range(256)) * 12
    text = (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05(K\x06e"
        b"U\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t"
        b"(K\x01K\x01M\x00\x0c\x86cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89T\x00\x0c\x00\x00" + pixels + b"tbU\tfilenamesq\x0c]q\rU\x05a.pnga"
        b"u."
    )
    (tmp_path / "data_batch_1").write_bytes(text)
    batch = read_batch(tmp_path / "data_batch_1")
    assert batch["data"].shape == (1, 3072)
    assert batch["data"].tobytes() == pixels
    assert batch["labels"].tolist() == [6]


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", range(6))
def test_hostile_pickles_are_not_executed(tmp_path, protocol):
    canary = tmp_path / "executed"
    attacks = [
        Hostile(open, str(canary), "w"),
        {"data": Hostile(eval, f"open({str(canary)!r}, 'w')"), "labels": []},
        {"data": RNG.integers(0, 9, (1, 3072)).astype(np.uint8), "labels": [Hostile(open, str(canary), "w")]},
        {"data": Hostile(np.fromfile, "/etc/hostname"), "labels": []},
    ]
    for attack in attacks:
        (tmp_path / "data_batch_1").write_bytes(pickle.dumps(attack, protocol))
        with pytest.raises(CgsimError, match="not a CIFAR-10 batch of the python version"):
            read_batch(tmp_path / "data_batch_1")
    assert not canary.exists()


def test_truncated_pickles_are_refused(tmp_path):
    name, data, labels = next(batches())
    whole = pickle.dumps({"data": ReducedArray(data), "labels": labels}, 2)
    for cut in (0, 1, 20, 100, len(whole) // 2, len(whole) - 1):
        (tmp_path / name).write_bytes(whole[:cut])
        with pytest.raises(CgsimError, match="not a CIFAR-10 batch"):
            read_batch(tmp_path / name)


def picture(color, size=(8, 6), kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


def entries(classes=("cat", "dog"), suffix="png", kind="PNG"):
    for split, count in (("train", 3), ("test", 2)):
        for index, name in enumerate(classes):
            for number in range(count):
                color = (10 * index, 20 * number, 200)
                yield f"{split}/{name}/{number:04d}.{suffix}", picture(color, kind=kind)


def test_image_folder_as_directory_and_zip(tmp_path, cache_home, monkeypatch):
    root = tmp_path / "pets"
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name, data in entries():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
            archive.writestr(f"top/{name}", data)
    found = [load_dataset(path) for path in (root, tmp_path, tmp_path / "pets.zip")]
    for dataset in found:
        assert dataset.classes == ("cat", "dog")
        assert dataset.train.images.shape == (6, 3, 6, 8)
        assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert dataset.test.images[3, :, 0, 0].tolist() == [10, 20, 200]
        assert dataset.test.ids[3] == "test/dog/0001.png"
    assert found[0].name == "pets (image folder)"
    assert len(list(cache_home.rglob("*.npz"))) == 3

    with monkeypatch.context() as patched:  # the second time nothing is decoded
        patched.setattr(image_folder, "_convert", None)
        again = load_dataset(root)
    assert np.array_equal(again.train.images, found[0].train.images)
    assert list(again.test.ids) == list(found[0].test.ids)

    for cached in cache_home.rglob("*.npz"):
        cached.write_bytes(cached.read_bytes()[:100])
    assert np.array_equal(load_dataset(root).test.images, found[0].test.images)

    (root / "test/dog/0002.png").write_bytes(picture((1, 2, 3)))
    assert len(load_dataset(root).test) == 5
    (root / "test/dog/0002.png").write_bytes(picture((4, 5, 6)))
    assert load_dataset(root).test.images[4, :, 0, 0].tolist() == [4, 5, 6]


def test_a_jpeg_copy_of_cifar10_is_called_so(tmp_path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        for name, data in entries(CIFAR10_CLASSES, "jpg", "JPEG"):
            archive.writestr(name, data)
    assert load_dataset(tmp_path / "c.zip").name == "CIFAR-10 (JPEG copy)"


def test_bad_images_are_named(tmp_path):
    for name, data in entries():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "test/cat/0000.png").write_bytes(b"not a picture")
    with pytest.raises(CgsimError, match=r"image 'test/cat/0000.png' cannot be read"):
        load_dataset(tmp_path)
    (tmp_path / "test/cat/0000.png").write_bytes(picture((0, 0, 0), (5, 5)))
    with pytest.raises(CgsimError, match=r"image 'test/cat/0000.png' is 5 x 5, expected 8 x 6"):
        load_dataset(tmp_path)


def test_a_damaged_zip_is_one_line(tmp_path):
    path = tmp_path / "pets.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries():
            archive.writestr(name, data)
    whole = path.read_bytes()
    directory = whole.index(b"PK\x01\x02")
    first = whole.index(b"\x89PNG")
    for place, message in ((directory, "cannot be read"), (first + 40, "image 'train/cat/0000.png'")):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with pytest.raises(CgsimError, match=message) as error:
            load_dataset(path)
        assert "\n" not in str(error.value)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for name, data in entries():
            archive.writestr(name, data)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(load_dataset(tmp_path / "pets.zip").train) == 6


def test_missing_data_says_how_to_get_it(tmp_path):
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(CgsimError, match="dataset-fashion-mnist") as error:
            load_dataset(path)
        assert "cs.toronto.edu" in str(error.value)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
    (tmp_path / "file.txt").write_text("hello")
    with pytest.raises(CgsimError, match=r"expected a directory or a .zip"):
        load_dataset(tmp_path / "file.txt")


def hundred(fine, coarse=0):
    return RNG.integers(0, 256, (len(fine), 3072)).astype(np.uint8), fine, [coarse] * len(fine)


def test_cifar100_binary(tmp_path):
    """Records of a coarse label, a fine label and the pixels."""
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    rows = {"train": hundred([3, 99, 0], 7), "test": hundred([55, 1])}
    for split, (data, fine, coarse) in rows.items():
        record = np.concatenate([np.array([coarse, fine], np.uint8).T, data], 1)
        (folder / f"{split}.bin").write_bytes(record.tobytes())
    for path in (folder, tmp_path):
        dataset = load_dataset(path)
        assert dataset.name == "CIFAR-100"
        assert [dataset.classes[i] for i in dataset.train.labels] == ["bear", "worm", "apple"]
        assert np.array_equal(dataset.test.images.reshape(2, -1), rows["test"][0])
    (folder / "train.bin").write_bytes(b"1" * 3073)
    with pytest.raises(CgsimError, match="size 3073 is no multiple of 3074 bytes"):
        load_dataset(folder)


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar100_python(tmp_path, protocol):
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    rows = {"train": hundred([3, 99, 0], 7), "test": hundred([55, 1])}
    for split, (data, fine, coarse) in rows.items():
        content = {b"fine_labels": fine, b"coarse_labels": coarse, b"data": ReducedArray(data)}
        (folder / split).write_bytes(pickle.dumps(content, protocol))
    dataset = load_dataset(tmp_path)
    assert (dataset.name, len(set(dataset.classes))) == ("CIFAR-100", 100)
    assert dataset.train.labels.tolist() == [3, 99, 0]
    assert np.array_equal(dataset.train.images.reshape(3, -1), rows["train"][0])
    (folder / "test").write_bytes(pickle.dumps(Hostile(open, str(tmp_path / "canary"), "w"), protocol))
    with pytest.raises(CgsimError, match="not a CIFAR-100 batch of the python version: it asks for"):
        load_dataset(folder)
    assert not (tmp_path / "canary").exists()


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


def write(picture, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@pytest.fixture
def photographs(tmp_path):
    """ImageNet's layout with three classes, and pictures of several sizes."""
    root = tmp_path / "tiny"
    for split, count in (("train", 2), ("val", 1)):
        for place, wnid in enumerate(("n01440764", "n02106662", "n01443537")):
            for number in range(count):
                size = (300 + 20 * number, 260) if place else (230, 400)
                write(noise(*size, seed=place), root / split / wnid / f"{wnid}_{number}.JPEG")
    return root


def test_imagenet_folders(photographs):
    dataset = load_dataset(photographs)
    assert dataset.name == "tiny (photographs)"
    assert dataset.classes == ("n01440764", "n01443537", "n02106662")
    assert dataset.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert dataset.test.ids[1] == "val/n01443537/n01443537_0.JPEG"
    assert dataset.train.images.shape == (6, 3, 224, 224)
    assert dataset.statistics() == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    part = dataset.train.spread(3)
    assert [part.ids[i] for i in range(3)] == [dataset.train.ids[i] for i in (0, 2, 4)]
    assert np.array_equal(part.images[1:3], dataset.train.images[np.array([2, 4])])
    assert np.array_equal(np.array(part.images), part.images[:])


def test_evaluation_cuts_the_centre_of_a_shorter_side_of_256(photographs):
    """As torchvision's Resize(256) and CenterCrop(224); one of 256 is not resized."""
    dataset = load_dataset(photographs)
    exact = noise(300, 256, seed=5)
    path = photographs / "val/n01440764/n01440764_0.JPEG"
    exact.save(path, "PNG")
    wanted = np.asarray(exact.crop((38, 16, 38 + 224, 16 + 224))).transpose(2, 0, 1)
    assert np.array_equal(dataset.test.images[0:1][0], wanted)
    tall = noise(230, 400, seed=6)
    tall.save(path, "PNG")
    resized = tall.resize((256, int(256 * 400 / 230)), Image.Resampling.BILINEAR)
    top = round((resized.height - 224) / 2)
    wanted = np.asarray(resized.crop((16, top, 240, top + 224))).transpose(2, 0, 1)
    assert np.array_equal(dataset.test.images[[0]][0], wanted)


def test_random_crops_depend_on_seed_unit_and_picture_only(photographs):
    pictures = load_dataset(photographs).train.images
    crops = pictures.crops(np.array([4, 1, 3]), 7, 2, 0.3, flip=True)
    assert crops.shape == (3, 3, 224, 224)
    assert np.array_equal(crops[[1]], pictures.crops(np.array([1]), 7, 2, 0.3, flip=True))
    for seed, unit in ((8, 2), (7, 3)):
        assert not np.array_equal(crops, pictures.crops(np.array([4, 1, 3]), seed, unit, 0.3, flip=True))


@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    seed=st.integers(0, 2**32),
    smallest=st.floats(0, 1),
)
def test_random_boxes_lie_inside(width, height, seed, smallest):
    left, top, right, bottom = pictures._random_box(width, height, np.random.default_rng(seed), smallest)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    area, ratio = (right - left) * (bottom - top), (right - left) / (bottom - top)
    central = (left, top) == ((width - right + left) // 2, (height - bottom + top) // 2)
    slack = 1 / (right - left) + 1 / (bottom - top)  # sides are whole pixels
    assert central or area >= smallest * width * height * (1 - slack)
    assert 3 / 4 * (1 - slack) <= ratio <= 4 / 3 * (1 + slack) or min(right - left, bottom - top) <= 2


def test_mirrored_crops_are_mirrored(photographs):
    source = load_dataset(photographs).train.images
    picks = np.arange(6)
    plain, mirrored = (source.crops(picks, 0, 0, 1.0, flip) for flip in (False, True))
    turned = [not np.array_equal(a, b) for a, b in zip(plain, mirrored, strict=True)]
    assert any(turned)
    assert not all(turned)
    assert all(np.array_equal(a[:, :, ::-1], b) for a, b, t in zip(plain, mirrored, turned, strict=True) if t)


@pytest.mark.parametrize("zipped", [False, True])
def test_photographs_without_a_split(tmp_path, zipped):
    """One fifth is for testing, the same whenever and from wherever it is read."""
    root = tmp_path / "photos"
    for index in range(15):
        write(noise(240, 230, seed=index), root / f"n{index:08d}" / f"n{index:08d}_name.jpg")
    path = root
    if zipped:
        path = tmp_path / "photos.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for file in root.rglob("*.jpg"):
                archive.write(file, f"photos/{file.relative_to(root)}")
    dataset = load_dataset(path)
    assert dataset.name == "15 ImageNet photographs"
    assert (len(dataset.train), len(dataset.test), len(dataset.classes)) == (12, 3, 15)
    assert sorted([*dataset.train.labels, *dataset.test.labels]) == list(range(15))
    assert list(dataset.test.ids) == list(load_dataset(root).test.ids)
    assert dataset.test.labels.tolist() == load_dataset(root).test.labels.tolist()
    file = root / dataset.classes[0] / f"{dataset.classes[0]}_name.jpg"
    file.write_bytes(b"no picture")
    loaded = load_dataset(root)
    images = loaded.train.images if 0 in loaded.train.labels else loaded.test.images
    with pytest.raises(CgsimError, match=r"n00000000/n00000000_name.jpg' cannot be read"):
        images[:]


def test_imagenet_folders_that_do_not_fit(photographs, tmp_path):
    (photographs / "val/n09999999").mkdir()
    write(noise(30, 30), photographs / "val/n09999999/a.jpg")
    with pytest.raises(CgsimError, match="class 'n09999999' is in val, but not in train"):
        load_dataset(photographs)
    flat = tmp_path / "flat"
    write(noise(30, 30), flat / "train/n01440764/a.jpg")
    write(noise(30, 30), flat / "val/a.jpg")
    with pytest.raises(CgsimError, match=r"no images val/CLASS/NAME\.jpg; ImageNet's validation images must"):
        load_dataset(flat)
