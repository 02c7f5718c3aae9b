"""The files of `make dist`, as far as they can be checked without building."""

import base64
import hashlib
import importlib.util
import io
import pathlib
import re
import tarfile
import zipfile

import pytest

import haiku as hk
import rlax

ROOT = pathlib.Path(__file__).parent.parent


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


dist = tool("dist")


def test_one_version():
    assert rlax.__version__ == hk.__version__
    cited = re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.M)
    assert cited[1] == hk.__version__


# `renga` on the index is another project: nothing that we write may install it.
BARE_NAME = re.compile(
    r"\brenga\[|(?<!\+)\brenga==|install[^\n`]*(?<!\+)\brenga\b(?![-_]jax)"
)


@pytest.mark.parametrize(
    ("text", "is_bare"),
    [
        ("pip install '{}[views]'", True),
        ("pip install --upgrade {}", True),
        ("pip uninstall -y dm-haiku {}", True),
        ("{}==0.1.0", True),
        ("pip install '{}-jax[views]'", False),
        ("pip install wheels/{}_jax-0.1.0-py3-none-any.whl", False),
        ("pip install dm-haiku==0.0.17+{}.0.1.0", False),
    ],
)
def test_the_pattern_of_the_bare_name(text, is_bare):
    assert bool(BARE_NAME.search(text.format("renga"))) == is_bare


def test_nothing_tells_a_user_to_install_the_other_renga():
    found = []
    for name in dist.git("ls-files", "-z").split("\0"):
        path = ROOT / name
        if name and path.is_file() and b"\0" not in (data := path.read_bytes()):
            text = data.decode(errors="replace")
            found += [f"{name}: {match[0]}" for match in BARE_NAME.finditer(text)]
    assert not found


def test_the_page_on_switching_names_the_wheels_of_this_version():
    page = (ROOT / "docs/from/switching.md").read_text()
    wheels = [
        dist.stand_in(name, hk.__version__, dist.EARLIEST)[0] for name in dist.STAND_INS
    ]
    for wheel in (*wheels, f"renga_jax-{hk.__version__}-py3-none-any.whl"):
        assert f"    {wheel}\n" in page, wheel
    for wheel in wheels:
        name, version, *_ = wheel.split("-")
        assert page.count(f"{name.replace('_', '-')}=={version}") == 2, wheel


@pytest.mark.parametrize("name", dist.STAND_INS)
def test_a_wheel_in_place_of_a_reference_holds_no_code(name):
    file, content = dist.stand_in(name, "0.1.0", 1_700_000_000)
    reference, _ = dist.STAND_INS[name]
    stem = f"{name.replace('-', '_')}-{reference}+renga.0.1.0"
    assert file == f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(io.BytesIO(content)) as wheel:
        files = {path: wheel.read(path).decode() for path in wheel.namelist()}
    assert {path.rpartition("/")[0] for path in files} == {f"{stem}.dist-info"}
    metadata = files[f"{stem}.dist-info/METADATA"].splitlines()
    assert f"Name: {name}" in metadata and "Requires-Dist: renga-jax==0.1.0" in metadata
    *rows, own = files[f"{stem}.dist-info/RECORD"].splitlines()
    assert own == f"{stem}.dist-info/RECORD,," and len(rows) == len(files) - 1
    for row in rows:
        path, digest, size = row.split(",")
        data = files[path].encode()
        computed = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
        assert digest == f"sha256={computed.decode().rstrip('=')}"
        assert int(size) == len(data)


def test_an_sdist_tells_nothing_of_who_made_it_and_when(tmp_path):
    contents = []
    for number, names in enumerate([["a/x", "a/y"], ["a/y", "a/x"]]):
        path = tmp_path / f"{number}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            for name in names:
                member = tarfile.TarInfo(name)
                member.mtime, member.uid, member.uname = number, number, f"me{number}"
                member.mode, member.size = 0o600 + number, 1
                archive.addfile(member, io.BytesIO(name[-1:].encode()))
        contents.append(dist.normalised(path, 1_700_000_000))
    assert contents[0] == contents[1]
    with tarfile.open(fileobj=io.BytesIO(contents[0])) as archive:
        assert archive.getnames() == ["a/x", "a/y"]
        assert archive.extractfile("a/y").read() == b"y"
