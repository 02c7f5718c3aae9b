"""Builds what is released, into dist/; `make dist` does, and has it checked.

    python tools/dist.py            # into dist/
    python tools/dist.py FOLDER

- `renga_jax-VERSION.tar.gz`, the sdist: the files that git knows, and no others;
- `renga_jax-VERSION-py3-none-any.whl`, built from that sdist;
- `dm_haiku-...+renga.VERSION-...whl` and `rlax-...whl`: without a file of code, for
  packages that require dm-haiku or rlax by name. They require renga-jax.

The same commit gives the same bytes, on any day and in any folder: files have the time
of the last commit, the same rights, no owner, and are in order.
"""

import base64
import gzip
import hashlib
import io
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The reference that each stands for, and its extras.
STAND_INS = {
    "dm-haiku": ("0.0.17", {"jax": [], "flax": ["renga-jax[interop]"]}),
    "rlax": ("0.1.9", {}),
}
EARLIEST = 315532800  # 1980: a zip knows no earlier time.


def git(*arguments, root=ROOT):
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(
            f"make dist builds what git knows: run it in a clone.\n{done.stderr}"
        )
    return done.stdout


def time_of_last_commit(root=ROOT):
    return max(EARLIEST, int(git("log", "-1", "--format=%ct", root=root)))


def copy_known_files(target, root=ROOT):
    """Copies the files that git knows, as they are now, whatever their rights are."""
    for name in git("ls-files", "-z", root=root).split("\0"):
        source = root / name
        if not name or not source.is_file():  # Nothing, or deleted and not committed.
            continue
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)


# ---- Renga --------------------------------------------------------------------------


def build(kind, source, out, epoch):
    """Runs `python -m build`, in an environment with pinned tools; returns the file."""
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": str(epoch),
        "PIP_CONSTRAINT": str(source / "constraints.txt"),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    command = [sys.executable, "-m", "build", kind, "--outdir", str(out), str(source)]
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    (built,) = out.iterdir()
    return built


def normalised(sdist, epoch):
    """The bytes of an sdist without traces of when, where and by whom it was made."""
    plain = io.BytesIO()
    with (
        tarfile.open(sdist) as old,
        tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as new,
    ):
        for member in sorted(old.getmembers(), key=lambda m: m.name):
            member.mtime, member.mode = epoch, 0o755 if member.isdir() else 0o644
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {}
            new.addfile(member, old.extractfile(member) if member.isfile() else None)
    return gzip.compress(plain.getvalue(), mtime=epoch)


# ---- In place of dm-haiku and rlax --------------------------------------------------

ABOUT = """\
This holds no code. It stands for {name} {reference} where a package requires that by
name: it requires renga-jax, which has the import name `{module}` and runs programs
for {name}. Nothing of {name} is then installed over the files of renga-jax.
"""
WHEEL = """\
Wheel-Version: 1.0
Generator: renga
Root-Is-Purelib: true
Tag: py3-none-any
"""


def stand_in(name, ours, epoch):
    """The file name and bytes of a wheel that holds metadata alone."""
    reference, extras = STAND_INS[name]
    version = f"{reference}+renga.{ours}"
    module = name.removeprefix("dm-")
    lines = [
        "Metadata-Version: 2.4",
        f"Name: {name}",
        f"Version: {version}",
        f"Summary: In place of {name}: requires renga-jax, which has its import name",
        "License-Expression: Apache-2.0",
        "Requires-Python: >=3.11",
        f"Requires-Dist: renga-jax=={ours}",
    ]
    for extra, wanted in extras.items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {w}; extra == "{extra}"' for w in wanted]
    lines += ["Description-Content-Type: text/plain", ""]
    about = ABOUT.format(name=name, reference=reference, module=module)
    stem = f"{name.replace('-', '_')}-{version}"
    files = {
        f"{stem}.dist-info/METADATA": "\n".join([*lines, about]),
        f"{stem}.dist-info/WHEEL": WHEEL,
    }
    record = f"{stem}.dist-info/RECORD"
    rows = [f"{path},{hash_of(text)},{len(text)}" for path, text in files.items()]
    files[record] = "\n".join([*rows, f"{record},,", ""])
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in files.items():
            info = zipfile.ZipInfo(path, time.gmtime(epoch)[:6])
            info.external_attr = 0o100644 << 16
            info.create_system = 3
            archive.writestr(info, text, zipfile.ZIP_DEFLATED)
    return f"{stem}-py3-none-any.whl", out.getvalue()


def hash_of(text):
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest())
    return f"sha256={digest.rstrip(b'=').decode()}"


def build_all(out, root=ROOT):
    """Builds everything into a folder, which is emptied; returns the files, sorted."""
    os.umask(0o022)
    epoch = time_of_last_commit(root)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        for folder in ("sdist", "wheel", "unpacked"):
            (work / folder).mkdir()
        copy_known_files(work / "source", root)
        rough = build("--sdist", work / "source", work / "sdist", epoch)
        sdist = out / rough.name
        sdist.write_bytes(normalised(rough, epoch))
        with tarfile.open(sdist) as archive:
            archive.extractall(work / "unpacked", filter="data")
        (unpacked,) = (work / "unpacked").iterdir()
        wheel = build("--wheel", unpacked, work / "wheel", epoch)
        shutil.copyfile(wheel, out / wheel.name)
    version = re.fullmatch(r"renga_jax-(.+)\.tar\.gz", sdist.name)[1]
    for reference in STAND_INS:
        file, content = stand_in(reference, version, epoch)
        (out / file).write_bytes(content)
    return sorted(out.iterdir())


if __name__ == "__main__":
    target = pathlib.Path(sys.argv[1] if sys.argv[1:] else ROOT / "dist").resolve()
    for built in build_all(target):
        print(f"{hashlib.sha256(built.read_bytes()).hexdigest()}  {built.name}")
