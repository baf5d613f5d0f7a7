"""The python version of CIFAR-10 and CIFAR-100, read without executing the pickles that it comes in."""

from __future__ import annotations

import pickletools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cgsim.errors import CgsimError
from cgsim.models.data import CIFAR10_CLASSES, CIFAR100_CLASSES, Dataset, ImageSet, image_set

_MARK = object()
_RECONSTRUCT = frozenset(f"numpy.{core}.multiarray _reconstruct" for core in ("core", "_core"))
_ALLOWED = _RECONSTRUCT | {"numpy ndarray", "numpy dtype", "_codecs encode"}
_IGNORED = frozenset(("PROTO", "FRAME"))
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
# fmt: off
_VALUES = frozenset((
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
))
# fmt: on


@dataclass
class _Global:
    """A name that the pickle mentions; never looked up."""

    name: str


@dataclass
class _Array:
    """What stands for a NumPy array or dtype until its content is known."""

    kind: str
    arguments: tuple[Any, ...]
    state: Any = None


class _Reader:
    """A stack machine for the few opcodes that dicts, lists and uint8 arrays need; it calls nothing."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        """The object that the pickle describes."""
        for opcode, argument, _position in pickletools.genops(data):
            name = opcode.name
            if name == "STOP":
                return self.stack.pop()
            if name in _IGNORED:
                continue
            if name in _VALUES:
                self.stack.append(argument)
            elif name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            else:
                method = getattr(self, f"_{name.lower()}", None)
                if method is None:
                    raise ValueError(f"opcode {name} is not allowed")
                method(argument)
        raise ValueError("no end")

    def _items(self) -> list[Any]:
        index = len(self.stack) - 1
        while self.stack[index] is not _MARK:
            index -= 1
        items = self.stack[index + 1 :]
        del self.stack[index:]
        return items

    def _mark(self, _argument: Any) -> None:
        self.stack.append(_MARK)

    def _empty_dict(self, _argument: Any) -> None:
        self.stack.append({})

    def _empty_list(self, _argument: Any) -> None:
        self.stack.append([])

    def _empty_tuple(self, _argument: Any) -> None:
        self.stack.append(())

    def _dict(self, _argument: Any) -> None:
        items = self._items()
        self.stack.append(dict(zip(items[::2], items[1::2], strict=True)))

    def _list(self, _argument: Any) -> None:
        self.stack.append(self._items())

    def _tuple(self, _argument: Any) -> None:
        self.stack.append(tuple(self._items()))

    def _tuple1(self, _argument: Any) -> None:
        self.stack[-1:] = [(self.stack[-1],)]

    def _tuple2(self, _argument: Any) -> None:
        self.stack[-2:] = [tuple(self.stack[-2:])]

    def _tuple3(self, _argument: Any) -> None:
        self.stack[-3:] = [tuple(self.stack[-3:])]

    def _append(self, _argument: Any) -> None:
        value = self.stack.pop()
        self.stack[-1].append(value)

    def _appends(self, _argument: Any) -> None:
        items = self._items()
        self.stack[-1].extend(items)

    def _setitem(self, _argument: Any) -> None:
        key, value = self.stack[-2:]
        del self.stack[-2:]
        self.stack[-1][key] = value

    def _setitems(self, _argument: Any) -> None:
        items = self._items()
        self.stack[-1].update(zip(items[::2], items[1::2], strict=True))

    def _put(self, argument: Any) -> None:
        self.memo[int(argument)] = self.stack[-1]

    _binput = _long_binput = _put

    def _memoize(self, _argument: Any) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _get(self, argument: Any) -> None:
        self.stack.append(self.memo[int(argument)])

    _binget = _long_binget = _get

    def _global(self, argument: Any) -> None:
        if argument not in _ALLOWED:
            raise ValueError(f"it asks for {argument.replace(' ', '.')}, which is not allowed")
        self.stack.append(_Global(argument))

    def _stack_global(self, _argument: Any) -> None:
        module, name = self.stack[-2:]
        del self.stack[-2:]
        self._global(f"{module} {name}")

    def _reduce(self, _argument: Any) -> None:
        function, arguments = self.stack[-2:]
        del self.stack[-2:]
        if not isinstance(function, _Global) or not isinstance(arguments, tuple):
            raise ValueError("a call that is not allowed")
        if function.name == "_codecs encode":
            self.stack.append(str(arguments[0]).encode("latin-1"))
        else:
            self.stack.append(_Array(function.name, arguments))

    def _build(self, _argument: Any) -> None:
        state = self.stack.pop()
        if not isinstance(self.stack[-1], _Array):
            raise ValueError("a state that is not allowed")
        self.stack[-1].state = state


def read_batch(path: Path, labels: str = "labels", name: str = "CIFAR-10") -> dict[str, Any]:
    """The dict in one batch file: "data" uint8 [N, 3072], "labels" as the file has them under `labels`.

    Nothing in the file is executed: its opcodes only build lists, dicts and one array. Raises
    CgsimError for any other content.
    """
    try:
        found = _Reader().run(path.read_bytes())
        table = {_text(key): value for key, value in found.items()}
        return table | {"data": _array(table["data"]), "labels": np.array(table[labels], np.int64)}
    except OSError as error:
        raise CgsimError(f"data {str(path)!r}: cannot be read: {error}") from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CgsimError(f"data {str(path)!r}: not a {name} batch of the python version: {reason}") from error


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _array(value: Any) -> np.ndarray:
    if not isinstance(value, _Array) or value.kind not in _RECONSTRUCT:
        raise ValueError("'data' is no array")
    _version, shape, dtype, fortran, content = value.state
    if not isinstance(dtype, _Array) or _text(dtype.arguments[0]) not in ("u1", "|u1"):
        raise ValueError("'data' is not of unsigned bytes")
    raw = content if isinstance(content, bytes) else str(content).encode("latin-1")
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


def load(folder: Path) -> Dataset:
    """CIFAR-10 from data_batch_1.. and test_batch in `folder`."""
    training = sorted(file.name for file in folder.glob("data_batch_*"))
    splits = [
        _split([read_batch(folder / name) for name in names], folder, split)
        for names, split in ((training, "train"), (["test_batch"], "test"))
    ]
    return Dataset("CIFAR-10", CIFAR10_CLASSES, *splits)


def load_hundred(folder: Path) -> Dataset:
    """CIFAR-100 with its fine labels from train and test in `folder`."""
    splits = [
        _split([read_batch(folder / split, "fine_labels", "CIFAR-100")], folder, split)
        for split in ("train", "test")
    ]
    return Dataset("CIFAR-100", CIFAR100_CLASSES, *splits)


def _split(batches: list[dict[str, Any]], folder: Path, split: str) -> ImageSet:
    images = np.concatenate([batch["data"] for batch in batches])
    if images.ndim != 2 or images.shape[1] != 3072:
        raise CgsimError(
            f"data {str(folder)!r}: {split} images of shape {list(images.shape)}, expected [N, 3072]"
        )
    labels = np.concatenate([batch["labels"] for batch in batches])
    return image_set(images.reshape(-1, 3, 32, 32), labels, split, str(folder))
