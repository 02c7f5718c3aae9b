"""Folders as Hugging Face's libraries keep a model: a config, and weights in shards.

The weights are `model.safetensors`, or several files that
`model.safetensors.index.json` lists. diffusers' files are called
`diffusion_pytorch_model` instead of `model`.
"""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from haiku.pretrained.atomic import new_file, replacing_files
from haiku.pretrained.json_files import (
    check_is_file,
    json_text,
    read_object,
    shown,
)
from haiku.pretrained.safetensors import as_array, read, write_to
from haiku.pretrained.safetensors_header import header_of
from haiku.pretrained.taking_turns import write_together

__all__ = [
    "MODEL_STEMS",
    "Weights",
    "file_in",
    "has_file",
    "read_config",
    "read_weights",
    "write_folder",
]

MODEL_STEMS = ("model", "diffusion_pytorch_model")
_METADATA = {"format": "pt"}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

Folder = str | os.PathLike[str]


class Weights(NamedTuple):
    """Arrays by name, and the file that holds each, for errors about it."""

    arrays: dict[str, np.ndarray]
    files: dict[str, pathlib.Path]


# ---- Reading -------------------------------------------------------------------------


def file_in(folder: Folder, name: str) -> pathlib.Path:
    """The path of a file of a folder, which may not lead out of it.

    A link of Hugging Face's cache, from `snapshots/REVISION` to `blobs` beside it, may.

    Raises:
      FileNotFoundError: The file doesn't exist.
      ValueError: The name or a link leads out of the folder, or to a pipe or a folder.
    """
    folder = pathlib.Path(folder)
    _check_is_folder(folder)
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ValueError(f"{folder}: {shown(name)} can't be the name of a file.")
    path, below = folder / name, pathlib.PurePath(name)
    if below.anchor or ".." in below.parts:
        raise ValueError(
            f"{folder}: the name {shown(name)} leads out of the folder. Files of a "
            "model must lie in its folder, and names must be relative to it."
        )
    check_is_file(path)
    target, home = path.resolve(), folder.resolve()
    homes = [home]
    if home.parent.name == "snapshots":
        homes.append(home.parent.parent / "blobs")
    if not any(target.is_relative_to(place) for place in homes):
        raise ValueError(
            f"{path} is a link out of the folder, to {target}. Files of a model must "
            "lie in its folder: copy the file there."
        )
    return path


def _check_is_folder(folder: pathlib.Path) -> None:
    if folder.is_dir():
        return
    if folder.exists():
        raise ValueError(f"{folder} must be a folder, and is a file.")
    raise FileNotFoundError(f"The folder {folder} doesn't exist.")


def has_file(folder: Folder, name: str) -> bool:
    """Whether a folder has an entry of that name, of whatever kind."""
    return os.path.lexists(pathlib.Path(folder) / name)


def read_config(folder: Folder, name: str = "config.json") -> dict[str, Any]:
    """Reads a JSON file of a folder.

    Raises:
      FileNotFoundError: The folder or the file doesn't exist.
      ValueError: The file isn't one JSON object with each key once.
    """
    return read_object(file_in(folder, name))


def read_weights(folder: Folder, stems: tuple[str, ...] = MODEL_STEMS) -> Weights:
    """Reads the arrays of a folder as views of its mapped files.

    Args:
      folder: Holds `STEM.safetensors`, or `STEM.safetensors.index.json` and shards.
      stems: What the files may be called; the first that is there counts.

    Raises:
      FileNotFoundError: The folder, its weights or one of their shards is missing.
      ValueError: A file is damaged, index and shards disagree, or the weights are
        there only as pickles, which are never read.
    """
    folder = pathlib.Path(folder)
    _check_is_folder(folder)
    for stem in stems:
        whole, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
        if has_file(folder, whole):
            path = file_in(folder, whole)
            arrays = read(path)
            return Weights(arrays, dict.fromkeys(arrays, path))
        if has_file(folder, index):
            return _read_shards(folder, file_in(folder, index))
    raise _no_weights(folder, stems)


def _read_shards(folder: pathlib.Path, index: pathlib.Path) -> Weights:
    shards = _shards_of(index)
    arrays: dict[str, np.ndarray] = {}
    files: dict[str, pathlib.Path] = {}
    for shard in sorted(set(shards.values())):
        place = _shard_in(folder, shard, index)
        for name, array in read(place).items():
            if name in files:
                raise ValueError(
                    f"{place}, tensor {shown(name)}: {files[name]} holds it too."
                )
            arrays[name], files[name] = array, place
    for name, shard in shards.items():
        if name not in files:
            raise ValueError(
                f"{folder / shard}, tensor {shown(name)}: it is missing. {index} says "
                "that it is there."
            )
    for name, place in files.items():
        if name not in shards:
            raise ValueError(f"{place}, tensor {shown(name)}: {index} doesn't list it.")
        if folder / shards[name] != place:
            raise ValueError(
                f"{place}, tensor {shown(name)}: {index} says that it is in "
                f"{shards[name]}."
            )
    return Weights(dict(sorted(arrays.items())), files)


def _shards_of(index: pathlib.Path) -> dict[str, str]:
    """The name of the file that holds each tensor, by the index."""
    shards = read_object(index).get("weight_map")
    if not isinstance(shards, dict):
        raise ValueError(
            f"{index}: weight_map must be an object, {{tensor: file}}, and is "
            f"{shown(shards)}."
        )
    for name, shard in shards.items():
        if not isinstance(shard, str):
            raise ValueError(
                f"{index}, tensor {shown(name)}: wanted the name of a file, got "
                f"{shown(shard)}."
            )
    return shards


def _shard_in(folder: pathlib.Path, shard: str, index: pathlib.Path) -> pathlib.Path:
    try:
        return file_in(folder, shard)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{index} lists {shown(shard)}: {error}") from error
    except ValueError as error:
        raise ValueError(f"{index} lists {shown(shard)}: {error}") from error


def _no_weights(folder: pathlib.Path, stems: tuple[str, ...]) -> Exception:
    names = sorted(os.listdir(folder))
    wanted = " or ".join(f"{stem}.safetensors" for stem in stems)
    pickles = sorted(path.name for kind in _PICKLES for path in folder.glob(kind))
    if pickles:
        return ValueError(
            f"{folder} has no {wanted}, and {shown(pickles)} may be pickles, which run "
            "code when they are read and are never read here. If you trust them, "
            "convert them once, where torch and safetensors are installed:\n\n"
            "    import torch; from safetensors.torch import save_file\n"
            "    tensors = {}\n"
            f"    for file in {pickles}:\n"
            f"        tensors |= torch.load({str(folder)!r} + '/' + file, "
            "map_location='cpu', weights_only=True)\n"
            "    tensors = {k: v.clone().contiguous() for k, v in tensors.items()}\n"
            f"    save_file(tensors, {str(folder / stems[0]) + '.safetensors'!r}, "
            "{'format': 'pt'})\n"
        )
    return FileNotFoundError(f"{folder} has no {wanted}. It has {shown(names)}.")


# ---- Writing -------------------------------------------------------------------------


def write_folder(
    folder: Folder,
    tensors: Mapping[str, Any],
    texts: Mapping[str, Mapping[str, Any] | bytes],
    *,
    stem: str = "model",
    max_shard_size: int = 5 * 10**9,
    together: bool = False,
) -> None:
    """Writes weights and other files: all of them, or the folder stays as it was.

    Weights that the folder had are replaced; files of other names stay.

    Args:
      folder: Made if it isn't there.
      tensors: Arrays by name. Shards take them in this order.
      texts: Other files by name: an object to write as JSON, or the bytes.
      stem: What the files of weights are called.
      max_shard_size: Bytes of arrays in one file. A larger array has its own file.
      together: Whether all processes call this, since arrays lie in several.
    """
    if type(max_shard_size) is not int or max_shard_size < 1:
        raise ValueError(
            "hk.pretrained: max_shard_size must be a number of bytes, at least 1, and "
            f"is {shown(max_shard_size)}."
        )
    arrays = {name: as_array(name, value) for name, value in tensors.items()}
    sizes = {name: array.size * array.dtype.itemsize for name, array in arrays.items()}
    shards = list(_shards(sizes, max_shard_size))
    files = [f"{stem}.safetensors"]
    if len(shards) > 1:
        files = [
            f"{stem}-{i:05d}-of-{len(shards):05d}.safetensors"
            for i in range(1, len(shards) + 1)
        ]
        places = {name: file for file, names in zip(files, shards) for name in names}
        index = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": places}
        texts = {**texts, f"{stem}.safetensors.index.json": index}

    def write(arrays: Mapping[str, Any]) -> None:
        with replacing_files(pathlib.Path(folder), _weights_of(stem)) as aside:
            for name, names in zip(files, shards):
                with new_file(aside / name) as file:
                    write_to(file, {x: arrays[x] for x in names}, _METADATA)
            for name, text in texts.items():
                with new_file(aside / name) as file:
                    file.write(text if isinstance(text, bytes) else json_text(text))

    if together:
        of_files = ({x: arrays[x] for x in names} for names in shards)
        order = [name for own in of_files for name in header_of(own, _METADATA)[0]]
        write_together(arrays, order, write)
    else:
        write(arrays)


def _shards(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Splits names into runs of at most `most` bytes, or of one name."""
    run, total = [], 0
    for name, size in sizes.items():
        if run and total + size > most:
            yield run
            run, total = [], 0
        run.append(name)
        total += size
    yield run


def _weights_of(stem: str) -> Callable[[str], bool]:
    """Tells the names of weights that new ones replace."""
    stems = MODEL_STEMS if stem in MODEL_STEMS else (stem,)
    pattern = rf"({'|'.join(stems)})(-\d+-of-\d+)?\.safetensors(\.index\.json)?"
    return lambda name: re.fullmatch(pattern, name) is not None
