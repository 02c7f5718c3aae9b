"""Tells what is installed here, and compares checkpoints.

    python -m haiku                # versions, devices, extras, who owns which name
    python -m haiku compare A B    # what differs between two checkpoints

`python -m rlax` is the same. The exit status is 1 where something is wrong, and what to
run stands below it.

Of the package itself only what compares is imported, and that late: this file has to
speak as well where dm-haiku or rlax was installed over the package.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

OURS = "renga-jax"
NAMES = ("haiku", "rlax")
PEERS = {"haiku": "dm-haiku", "rlax": "rlax"}
# Files that a peer puts into the folder and we don't.
PEER_FILES = {"haiku": "_src/base.py", "rlax": "_src/base.py"}
NOT_FOR_USERS = {"demo", "dev", "docs", "hooks", "release"}


class Owner(NamedTuple):
    """A distribution that has an import name, and what became of its files there."""

    name: str
    version: str
    editable: bool
    lost: tuple[str, ...]  # Files that are gone, or that another one wrote over.
    has_init: bool  # Whether the package's `__init__.py` is the one that it brought.

    def __str__(self) -> str:
        return f"{self.name} {self.version}{' (editable)' if self.editable else ''}"


# ---- Who owns a name ----------------------------------------------------------------


def owners_of(name: str) -> list[Owner]:
    """The distributions that have an import name, ours first."""
    found = importlib.metadata.packages_distributions().get(name, [])
    owners = [_owner(distribution, name) for distribution in set(found)]
    return sorted(owners, key=lambda owner: (owner.name != OURS, owner.name))


def _owner(distribution: str, name: str) -> Owner:
    its = importlib.metadata.distribution(distribution)
    # Not `its.files`, which leaves out what is gone. A folder of sources has no record.
    record = its.read_text("RECORD")
    lost, has_init = [], False
    for file, digest, _ in csv.reader((record or "").splitlines()):
        if not file.startswith(f"{name}/") or not digest:
            continue
        if not _has_digest(pathlib.Path(str(its.locate_file(file))), digest):
            lost.append(file)
        elif file == f"{name}/__init__.py":
            has_init = True
    in_place = record is None or _origin(its).get("dir_info", {}).get("editable")
    shown = its.metadata["Name"]
    return Owner(shown, its.version, bool(in_place), tuple(lost), has_init)


def _has_digest(path: pathlib.Path, digest: str) -> bool:
    if not path.is_file():
        return False
    kind, _, wanted = digest.partition("=")
    have = hashlib.new(kind, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(have).rstrip(b"=").decode() == wanted


def _origin(its: importlib.metadata.Distribution) -> dict:
    """Where a distribution was installed from, if it was not an index."""
    return json.loads(its.read_text("direct_url.json") or "{}")


def _to_install_again() -> str:
    """What pip takes to install our distribution from where it came."""
    its = importlib.metadata.distribution(OURS)
    origin = _origin(its)
    url = origin.get("url", f"{OURS}=={its.version}")
    version_control = origin.get("vcs_info")
    if version_control:
        return f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    return url.removeprefix("file://")


def folder_of(name: str) -> pathlib.Path | None:
    """The folder that an import of a package reads."""
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return pathlib.Path(places[0]) if places else None


def troubles() -> Iterator[str]:
    """What is wrong with the import names, and what to run."""
    others, broken, left = [], False, []
    for name in NAMES:
        folder, owners = folder_of(name), owners_of(name)
        ours = [owner for owner in owners if owner.name == OURS]
        theirs = [owner for owner in owners if owner.name != OURS]
        others += [owner.name for owner in theirs if owner.name not in others]
        broken |= any(owner.lost for owner in ours)
        if theirs:
            yield _shared(name, folder, ours, theirs)
        elif any(owner.lost for owner in ours):
            yield _lost(ours[0])
        elif folder and (folder / PEER_FILES[name]).exists():
            left.append(folder)
            yield (
                f"{folder} holds files of {PEERS[name]}, which is not installed: "
                f"{PEER_FILES[name]} is one."
            )
    if others or broken or left:
        yield "To have Renga alone, run"
        yield from (f"    {command}" for command in _commands(others, left))
        if set(others) & set(PEERS.values()):
            yield (
                "If a package requires one of them by name, install the wheel that "
                "stands for it."
            )
        yield "See docs/from/switching.md in Renga's repository."


def _shared(
    name: str, folder: pathlib.Path | None, ours: list[Owner], theirs: list[Owner]
) -> str:
    owners = " and ".join(map(str, [*ours, *theirs]))
    text = f"`import {name}` is in {owners}"
    if ours and not ours[0].editable:
        text += ", in one folder: each wrote over files of the other"
        first = next((o for o in [*ours, *theirs] if o.has_init), None)
        last = f"{first.name} was last" if first else "neither is whole"
        text += f". {last}, and {_count(ours[0])} of Renga's files are gone"
    return f"{text}. It reads {folder}."


def _lost(ours: Owner) -> str:
    return (
        f"{_count(ours)} of the files that {ours} brought are gone or changed, as when "
        f"dm-haiku or rlax is uninstalled that was installed beside it: "
        f"{', '.join(ours.lost[:3])}{', ...' if ours.lost[3:] else '.'}"
    )


def _count(owner: Owner) -> str:
    return f"{len(owner.lost) or 'none'}"


def _commands(others: list[str], left: list[pathlib.Path]) -> Iterator[str]:
    has_pip = importlib.util.find_spec("pip") is not None
    python = sys.executable
    pip = f"{python} -m pip" if has_pip else "uv pip"
    which = "" if has_pip else f" --python {python}"
    sure = " -y" if has_pip else ""
    installed = [owner for name in NAMES for owner in owners_of(name)]
    ours = [owner for owner in installed if owner.name == OURS and not owner.editable]
    again = _to_install_again() if ours else ""
    gone = [*others, *([OURS] if ours else [])]
    yield f"{pip} uninstall{sure}{which} {' '.join(gone)}" if gone else ""
    for folder in left:
        yield f"{python} -c \"import shutil; shutil.rmtree('{folder}')\""
    if again:
        yield f"{pip} install{which} {again}"


# ---- What else is here --------------------------------------------------------------


def environment() -> Iterator[str]:
    """Versions, devices, extras, and where the packages lie."""
    yield f"{OURS:11}{_version(OURS) or 'not installed, only on the path'}"
    for name in NAMES:
        owners = ", ".join(map(str, owners_of(name))) or "no distribution"
        yield f"  {name:9}{folder_of(name)}, of {owners}"
    for peer in PEERS.values():
        if "+renga" in (version := _version(peer)):
            yield f"  {peer} {version} stands for {peer}, without code"
    yield f"{'python':11}{platform.python_version()}, {sys.executable}"
    yield f"{'platform':11}{platform.platform()}"
    for package in ("jax", "jaxlib", "numpy"):
        yield f"{package:11}{_version(package) or 'missing'}"
    yield f"{'devices':11}{_devices()}"
    for extra, wanted in sorted(_extras().items()):
        have = [f"{package} {_version(package)}" for package in wanted]
        have = [text for text in have if not text.endswith(" ")]
        without = [package for package in wanted if not _version(package)]
        text = ", ".join(have) or "nothing"
        text += f"; without {', '.join(without)}" if have and without else ""
        yield f"{'[' + extra + ']':11}{text}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _devices() -> str:
    # A look at a GPU need not take its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        import jax

        counts: dict[str, int] = {}
        for device in jax.devices():
            kinds = dict.fromkeys((device.platform, device.device_kind))
            kind = " ".join(kinds)
            counts[kind] = counts.get(kind, 0) + 1
    except Exception as error:
        return f"JAX finds none: {type(error).__name__}: {error}"
    return ", ".join(f"{count} x {kind}" for kind, count in counts.items())


def _extras() -> dict[str, list[str]]:
    """The packages that each extra of ours asks for."""
    try:
        lines = importlib.metadata.requires(OURS) or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    out: dict[str, list[str]] = {}
    for line in lines:
        extra = re.search(r"""extra == ["']([\w-]+)["']""", line)
        package = re.match(r"[\w.-]+", line)
        if extra and package and extra[1] not in NOT_FOR_USERS:
            out.setdefault(extra[1], []).append(package[0])
    return out


# ---- The command --------------------------------------------------------------------


def main(arguments: list[str]) -> int:
    """Runs the command; returns its exit status."""
    if arguments and arguments[0] == "compare":
        from haiku._compare.command import main as compare

        return compare(arguments[1:])
    if arguments:
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    for line in environment():
        print(line)
    found = list(troubles())
    if found:
        print("", *found, sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
