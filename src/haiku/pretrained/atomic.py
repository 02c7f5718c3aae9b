"""Files and folders written aside and moved into place: whole, or as they were."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import pathlib
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

__all__ = ["new_file", "replacing_file", "replacing_files"]


@contextlib.contextmanager
def replacing_file(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a file that takes the place of `path` when the block ends without error."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, not a file.")
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"The folder {path.parent} for {path.name} doesn't exist."
        )
    aside = _aside(path.parent)
    try:
        with new_file(aside) as file:
            yield file
        os.replace(aside, path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise
    _sync(path.parent)


@contextlib.contextmanager
def new_file(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Opens a new file, which lies on disk when the block ends."""
    with open(path, "xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing_files(
    folder: pathlib.Path, is_stale: Callable[[str], bool]
) -> Iterator[pathlib.Path]:
    """Yields an empty folder whose files come into `folder` when the block ends.

    All of them take their places at once: the new folder and the old one change names
    in one step. Other files of the old one stay in it. Where the system has no such
    step (other than Linux, or `folder` is a mount point, or the folder that the program
    runs in) each file is replaced by itself, one after the other.

    Args:
      folder: Made if it isn't there, and its parents.
      is_stale: Which other files of `folder` go, by name.
    """
    folder = pathlib.Path(os.path.realpath(folder))
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(f"{folder} must be a folder, and is a file.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    inside = folder.exists() and not _can_move(folder)
    aside = _aside(folder if inside else folder.parent)
    aside.mkdir()
    try:
        yield aside
        _sync(aside)
        for name in os.listdir(aside):
            if (folder / name).is_dir():
                raise IsADirectoryError(f"{folder / name} is a folder, not a file.")
        if not folder.exists():
            os.rename(aside, folder)
        elif inside or not _exchange_folders(aside, folder, is_stale):
            _replace_each(aside, folder, is_stale)
    finally:
        _remove(aside)
    _sync(folder.parent)


def _remove(aside: pathlib.Path) -> None:
    """Removes new files after an error, or else the old ones; never a subfolder."""
    with contextlib.suppress(OSError):
        for path in aside.iterdir():
            if not _is_folder(path):
                path.unlink()
        aside.rmdir()


def _is_folder(path: pathlib.Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _aside(folder: pathlib.Path) -> pathlib.Path:
    return folder / f".saving-{secrets.token_hex(8)}"


def _sync(folder: pathlib.Path) -> None:
    """Has a folder's names on disk, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _can_move(folder: pathlib.Path) -> bool:
    here = pathlib.Path(os.path.realpath(os.curdir))
    return (
        folder != here
        and not os.path.ismount(folder)
        and os.access(folder.parent, os.W_OK)
    )


def _exchange_folders(
    aside: pathlib.Path, folder: pathlib.Path, is_stale: Callable[[str], bool]
) -> bool:
    """Gives each folder the other's name; False if the system can't."""
    others = [
        path
        for path in folder.iterdir()
        if (_is_folder(path) or not is_stale(path.name))
        and not os.path.lexists(aside / path.name)
    ]
    folders = [path for path in others if _is_folder(path)]
    files = [path for path in others if path not in folders]
    for path in files:
        _link(path, aside / path.name)
    shutil.copymode(folder, aside)
    if not _exchange(aside, folder):
        for path in files:
            (aside / path.name).unlink()
        return False
    for path in folders:
        os.rename(aside / path.name, path)
    return True


def _link(old: pathlib.Path, new: pathlib.Path) -> None:
    try:
        os.link(old, new, follow_symlinks=False)
    except OSError:  # Some file systems have no second name for a file.
        shutil.copy2(old, new, follow_symlinks=False)


def _exchange(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Exchanges two names in one step, if the system can."""
    if not sys.platform.startswith("linux"):
        return False
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE, of <linux/fs.h>
    if rename(here, os.fsencode(a), here, os.fsencode(b), exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EBUSY, errno.EXDEV, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), str(b))


def _replace_each(
    aside: pathlib.Path, folder: pathlib.Path, is_stale: Callable[[str], bool]
) -> None:
    # JSON last: the config and the index name what the other files hold.
    new = sorted(os.listdir(aside), key=lambda name: (name.endswith(".json"), name))
    stale = [name for name in os.listdir(folder) if is_stale(name) and name not in new]
    for name in new:
        os.replace(aside / name, folder / name)
    for name in stale:
        if not _is_folder(folder / name):
            (folder / name).unlink()
    _sync(folder)
