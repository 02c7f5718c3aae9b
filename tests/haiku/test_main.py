"""`python -m haiku` and imports, alone or with dm-haiku or rlax in the same folder.

These tests lay out the folders by hand in pip's way; `make release` uses real packages.
"""

import base64
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

import jax
import pytest

import haiku as hk

SRC = pathlib.Path(hk.__file__).parent.parent
DM_HAIKU = {
    "haiku/__init__.py": "from haiku import nets\n",
    "haiku/_src/base.py": "",
    "haiku/nets.py": "",
}
RLAX = {"rlax/__init__.py": "", "rlax/_src/base.py": ""}


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """A folder with Renga installed."""
    site = tmp_path_factory.mktemp("site")
    files = {
        str(path.relative_to(SRC)): path.read_text()
        for package in ("haiku", "rlax")
        for path in (SRC / package).rglob("*.py")
    }
    install(site, "renga-jax", hk.__version__, files)
    return site


@pytest.fixture
def site(ours, tmp_path):
    return pathlib.Path(shutil.copytree(ours, tmp_path / "site"))


def install(site, name, version, files):
    rows = []
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
        digest = hashlib.sha256(text.encode()).digest()
        digest = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}")
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    )
    (info / "RECORD").write_text("\n".join([*rows, f"{info.name}/RECORD,,", ""]))


def uninstall(site, name):
    (info,) = site.glob(f"{name.replace('-', '_')}-*.dist-info")
    for row in (info / "RECORD").read_text().splitlines():
        (site / row.partition(",")[0]).unlink(missing_ok=True)
    shutil.rmtree(info)


def run(*arguments, path):
    """Runs Python with only these folders, and JAX's, on its path."""
    packages = pathlib.Path(jax.__file__).parent.parent
    places = os.pathsep.join(map(str, [*path, packages]))
    return subprocess.run(
        # -S skips the file through which Python finds an editable install of ours.
        [sys.executable, "-S", *arguments],
        env={**os.environ, "PYTHONPATH": places},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_clean_installation_lists_versions(site):
    install(site, "dm-haiku", "0.0.17+renga.0.1.0", {})
    install(site, "rlax", "0.1.9+renga.0.1.0", {})
    done = run("-W", "error", "-m", "haiku", path=[site])
    assert done.returncode == 0 and not done.stderr, done
    for line in (
        f"renga-jax  {hk.__version__}",
        f"  haiku    {site / 'haiku'}, of renga-jax {hk.__version__}",
        f"  rlax     {site / 'rlax'}, of renga-jax {hk.__version__}",
        "  dm-haiku 0.0.17+renga.0.1.0 stands in for dm-haiku, without code",
        "  rlax 0.1.9+renga.0.1.0 stands in for rlax, without code",
        f"python     3.{sys.version_info.minor}",
        "jax        0.",
    ):
        assert f"\n{line}" in f"\n{done.stdout}", line
    assert run("-m", "rlax", path=[site]).stdout == done.stdout


def test_dm_haiku_over_ours_raises_and_lists_commands(site):
    install(site, "dm-haiku", "0.0.17", DM_HAIKU)
    error = run("-c", "import haiku", path=[site]).stderr
    assert "ImportError: dm-haiku is installed over Renga" in error
    assert "`python -m rlax` lists the commands" in error
    done = run("-m", "rlax", path=[site])
    assert done.returncode == 1
    assert (
        f"`import haiku` belongs to renga-jax {hk.__version__} and dm-haiku"
        in done.stdout
    )
    assert "dm-haiku was last, and 1 of Renga's files are gone" in done.stdout
    assert "uninstall -y dm-haiku renga-jax\n" in done.stdout
    assert f"pip install renga-jax=={hk.__version__}\n" in done.stdout


def test_ours_over_dm_haiku_and_rlax_warns(site):
    uninstall(site, "renga-jax")
    install(site, "dm-haiku", "0.0.17", DM_HAIKU)
    install(site, "rlax", "0.1.9", RLAX)
    shutil.copytree(SRC, site, dirs_exist_ok=True)
    done = run("-c", "import haiku, rlax; haiku.Linear, rlax.q_learning", path=[site])
    assert done.returncode == 0
    assert "UserWarning: Renga is installed over dm-haiku" in done.stderr
    assert "UserWarning: Renga is installed over rlax" in done.stderr
    assert 'File "<string>", line 1' in done.stderr or "<string>:1:" in done.stderr


def test_files_lost_with_dm_haiku_are_counted(site):
    install(site, "dm-haiku", "0.0.17", DM_HAIKU)
    uninstall(site, "dm-haiku")
    done = run("-m", "haiku", path=[site])
    assert done.returncode == 1
    assert f"1 of the files of renga-jax {hk.__version__} are" in done.stdout
    assert "uninstall -y renga-jax\n" in done.stdout


def test_leftover_files_of_dm_haiku_are_found(site):
    (site / "haiku/_src/base.py").write_text("")
    done = run("-m", "haiku", path=[site])
    assert done.returncode == 1
    assert "holds files of dm-haiku, which is not installed" in done.stdout
    assert f"rmtree('{site / 'haiku'}')" in done.stdout


def test_dm_haiku_behind_our_sources_is_found(site):
    shutil.rmtree(site)
    install(site, "dm-haiku", "0.0.17", DM_HAIKU)
    done = run("-m", "haiku", path=[SRC, site])
    assert done.returncode == 1
    assert "dm-haiku 0.0.17" in done.stdout
    assert f"It reads {SRC / 'haiku'}." in done.stdout
    assert "uninstall -y dm-haiku\n" in done.stdout


def test_unknown_arguments_print_the_usage():
    assert run("-m", "haiku", "--help", path=[SRC]).returncode == 0
    done = run("-m", "haiku", "nothing", path=[SRC])
    assert done.returncode == 2 and "python -m haiku compare A B" in done.stdout
