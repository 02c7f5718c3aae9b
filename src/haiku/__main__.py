"""Describes the installation, compares checkpoints, runs and converts models.

    python -m haiku                # versions, devices, extras, who owns which name
    python -m haiku compare A B    # the differences between two checkpoints
    python -m haiku generate FOLDER --prompt TEXT        # a model continues a text
    python -m haiku convert IN OUT --dtype bfloat16      # a folder in another dtype
    python -m haiku plan --model 7b --devices 64 --rules fsdp+tensor  # does it fit?

`python -m rlax` does the same. The exit status is 1 if something is wrong; the commands
that fix it are printed at the end.

This file must work even if dm-haiku or rlax was installed over the package, so it
imports nothing of the package except, late, for the other commands.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib
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
# A file that only the peer puts into the folder.
PEER_FILES = {"haiku": "_src/base.py", "rlax": "_src/base.py"}
COMMANDS = {
    "compare": "haiku._compare.command",
    "convert": "haiku._commands.convert",
    "generate": "haiku._commands.generate",
    "plan": "haiku._commands.plan",
}
NOT_FOR_USERS = {"demo", "dev", "docs", "hooks", "release"}


class Owner(NamedTuple):
    """A distribution that owns an import name, and the condition of its files."""

    name: str
    version: str
    editable: bool
    lost: tuple[str, ...]  # Files that are missing or were overwritten.
    has_init: bool  # Whether the package's `__init__.py` is this distribution's.

    def __str__(self) -> str:
        return f"{self.name} {self.version}{' (editable)' if self.editable else ''}"


# ---- Who owns a name ----------------------------------------------------------------


def owners_of(name: str) -> list[Owner]:
    """The distributions that own an import name, ours first."""
    names = importlib.metadata.packages_distributions().get(name, [])
    owners = [_inspect_owner(distribution, name) for distribution in set(names)]
    return sorted(owners, key=lambda owner: (owner.name != OURS, owner.name))


def _inspect_owner(distribution: str, name: str) -> Owner:
    dist = importlib.metadata.distribution(distribution)
    # `dist.files` would omit missing files. A source folder has no record.
    record = dist.read_text("RECORD")
    lost, has_init = [], False
    for file, digest, _ in csv.reader((record or "").splitlines()):
        if not file.startswith(f"{name}/") or not digest:
            continue
        if not _has_digest(pathlib.Path(str(dist.locate_file(file))), digest):
            lost.append(file)
        elif file == f"{name}/__init__.py":
            has_init = True
    editable = record is None or _origin(dist).get("dir_info", {}).get("editable")
    name = dist.metadata["Name"]
    return Owner(name, dist.version, bool(editable), tuple(lost), has_init)


def _has_digest(path: pathlib.Path, digest: str) -> bool:
    if not path.is_file():
        return False
    kind, _, wanted = digest.partition("=")
    have = hashlib.new(kind, path.read_bytes()).digest()
    return base64.urlsafe_b64encode(have).rstrip(b"=").decode() == wanted


def _origin(dist: importlib.metadata.Distribution) -> dict:
    """The origin of a distribution that wasn't installed from an index."""
    return json.loads(dist.read_text("direct_url.json") or "{}")


def _requirement() -> str:
    """The argument with which pip installs our distribution again from its origin."""
    dist = importlib.metadata.distribution(OURS)
    origin = _origin(dist)
    url = origin.get("url", f"{OURS}=={dist.version}")
    version_control = origin.get("vcs_info")
    if version_control:
        return f"{version_control['vcs']}+{url}@{version_control['commit_id']}"
    return url.removeprefix("file://")


def folder_of(name: str) -> pathlib.Path | None:
    """The folder that importing a package reads."""
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return pathlib.Path(places[0]) if places else None


def troubles() -> Iterator[str]:
    """Describes problems with the import names, and the commands that fix them."""
    others, broken, leftovers = [], False, []
    for name in NAMES:
        folder, owners = folder_of(name), owners_of(name)
        ours = [owner for owner in owners if owner.name == OURS]
        theirs = [owner for owner in owners if owner.name != OURS]
        others += [owner.name for owner in theirs if owner.name not in others]
        broken |= any(owner.lost for owner in ours)
        if theirs:
            yield _describe_shared(name, folder, ours, theirs)
        elif any(owner.lost for owner in ours):
            yield _describe_lost(ours[0])
        elif folder and (folder / PEER_FILES[name]).exists():
            leftovers.append(folder)
            yield (
                f"{folder} holds files of {PEERS[name]}, which is not installed, "
                f"for example {PEER_FILES[name]}."
            )
    if others or broken or leftovers:
        yield "To have Renga alone, run"
        yield from (f"    {command}" for command in _commands(others, leftovers))
        if set(others) & set(PEERS.values()):
            yield (
                "If a package requires one of them by name, install the wheel that "
                "stands in for it."
            )
        yield "See docs/from/switching.md in Renga's repository."


def _describe_shared(
    name: str, folder: pathlib.Path | None, ours: list[Owner], theirs: list[Owner]
) -> str:
    owners = " and ".join(map(str, [*ours, *theirs]))
    text = f"`import {name}` belongs to {owners}"
    if ours and not ours[0].editable:
        text += ", in one folder: each overwrote files of the other"
        last = next((o for o in [*ours, *theirs] if o.has_init), None)
        winner = f"{last.name} was last" if last else "neither is complete"
        text += f". {winner}, and {_lost_count(ours[0])} of Renga's files are gone"
    return f"{text}. It reads {folder}."


def _describe_lost(ours: Owner) -> str:
    return (
        f"{_lost_count(ours)} of the files of {ours} are missing or changed, as after "
        "uninstalling a dm-haiku or rlax that was installed beside it: "
        f"{', '.join(ours.lost[:3])}{', ...' if ours.lost[3:] else '.'}"
    )


def _lost_count(owner: Owner) -> str:
    return f"{len(owner.lost) or 'none'}"


def _commands(others: list[str], leftovers: list[pathlib.Path]) -> Iterator[str]:
    has_pip = importlib.util.find_spec("pip") is not None
    python = sys.executable
    pip = f"{python} -m pip" if has_pip else "uv pip"
    target = "" if has_pip else f" --python {python}"
    yes = " -y" if has_pip else ""
    installed = [owner for name in NAMES for owner in owners_of(name)]
    ours = [owner for owner in installed if owner.name == OURS and not owner.editable]
    requirement = _requirement() if ours else ""
    removals = [*others, *([OURS] if ours else [])]
    yield f"{pip} uninstall{yes}{target} {' '.join(removals)}" if removals else ""
    for folder in leftovers:
        yield f"{python} -c \"import shutil; shutil.rmtree('{folder}')\""
    if requirement:
        yield f"{pip} install{target} {requirement}"


# ---- Versions, devices and extras ---------------------------------------------------


def environment() -> Iterator[str]:
    """Lists versions, devices, extras, and the folders of the packages."""
    yield f"{OURS:11}{_version(OURS) or 'not installed, only on the path'}"
    for name in NAMES:
        owners = ", ".join(map(str, owners_of(name))) or "no distribution"
        yield f"  {name:9}{folder_of(name)}, of {owners}"
    for peer in PEERS.values():
        if "+renga" in (version := _version(peer)):
            yield f"  {peer} {version} stands in for {peer}, without code"
    yield f"{'python':11}{platform.python_version()}, {sys.executable}"
    yield f"{'platform':11}{platform.platform()}"
    for package in ("jax", "jaxlib", "numpy"):
        yield f"{package:11}{_version(package) or 'missing'}"
    yield f"{'devices':11}{_devices()}"
    for extra, wanted in sorted(_extras().items()):
        versions = {package: _version(package) for package in wanted}
        present = [f"{package} {v}" for package, v in versions.items() if v]
        missing = [package for package, v in versions.items() if not v]
        text = ", ".join(present) or "nothing"
        text += f"; without {', '.join(missing)}" if present and missing else ""
        yield f"{'[' + extra + ']':11}{text}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _devices() -> str:
    # Listing a GPU shouldn't reserve its memory.
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
    """The packages that each of our extras requires."""
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
    command = COMMANDS.get(arguments[0]) if arguments else None
    if command is not None:
        return importlib.import_module(command).main(arguments[1:])
    if arguments:
        print(__doc__)
        return 0 if arguments in (["-h"], ["--help"]) else 2
    for line in environment():
        print(line)
    problems = list(troubles())
    if problems:
        print("", *problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
