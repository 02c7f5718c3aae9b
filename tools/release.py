"""Is what `make dist` built fit to be released? `make release` asks.

    python tools/release.py

It looks into the files in dist/, builds them again elsewhere, and installs them into
an environment that is made for it, alone and then beside the references, from the
index. The exit status is 1 where anything is not as it should be.
"""

import functools
import json
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

import dist

ROOT = dist.ROOT
DIST = ROOT / "dist"
BUILT_BY = ("PKG-INFO", "setup.cfg", "src/renga_jax.egg-info/")  # What setuptools adds.
UV = pathlib.Path(sys.executable).with_name("uv")
REFERENCES = {name: version for name, (version, _) in dist.STAND_INS.items()}
THEIR_NEEDS = ["absl-py", "jmp", "tabulate"]  # Without these they fail to import.
# Packages of others that require the references by name.
REQUIRES_DM_HAIKU = "haiku-geometric==0.0.5"
REQUIRES_BOTH = "jumanji[train]==1.1.2"

SEED_PROGRAM_ENDS = """
import numpy as np
images = np.random.default_rng(0).normal(size=[8, 784]).astype("f4")
params = loss_obj.init(jax.random.key(0), images, np.arange(8))
loss, grads = jax.value_and_grad(loss_obj.apply)(params, None, images, np.arange(8))
assert np.isfinite(loss) and sorted(grads) == ["linear", "linear_1", "linear_2"]
"""
OP_ENDS = """
assert td_errors.shape == a_tm1.shape and np.isfinite(loss)
"""
INSTALLED = """
import importlib.metadata, re
for its in importlib.metadata.distributions():
    print(re.sub("[-_.]+", "-", its.metadata["Name"]).lower(), its.version)
"""
# All that a distribution needs and that is installed, by what each says of itself.
NEEDS = """
import importlib.metadata, re
todo, done = ["renga-jax"], set()
while todo:
    name = re.sub("[-_.]+", "-", todo.pop()).lower()
    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        continue  # On other platforms.
    if name not in done:
        done.add(name)
        todo += [re.match(r"[\\w.-]+", x)[0] for x in lines if "extra ==" not in x]
print(*done)
"""
GRAPH_PROGRAM = """
import haiku as hk, haiku_geometric, jax, jax.numpy as jnp
net = hk.transform(lambda *graph: haiku_geometric.nn.GCNConv(3)(*graph))
graph = jnp.ones([4, 2]), jnp.array([0, 1, 2]), jnp.array([1, 2, 3])
params = net.init(jax.random.key(0), *graph)
assert net.apply(params, None, *graph).shape == (4, 3)
"""


class Environment:
    """A virtual environment; what runs in it finds no tools and none of our files."""

    def __init__(self, folder):
        self.folder = folder
        self.python = folder / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        # How to reach the index, and nothing else.
        kept = re.compile(r"(PIP|SSL|REQUESTS|CURL)_|(?i:https?|no|all)_proxy$")
        self.variables = {k: v for k, v in os.environ.items() if kept.match(k)} | {
            "PATH": "",
            "HOME": str(folder),
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def run(self, *arguments, status=0):
        """What a program prints; an error unless it ends with that status."""
        done = subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        shown = " ".join(map(str, arguments))
        want(done.returncode == status, f"{shown}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def pip(self, *arguments):
        return self.run("-m", "pip", *arguments)

    def installed(self):
        """Versions by name, names as pip writes them."""
        return dict(line.split() for line in self.run("-c", INSTALLED).splitlines())


def want(fact, why):
    if not fact:
        raise AssertionError(why)


def files(pattern):
    return sorted(DIST.glob(pattern))


def only(pattern):
    (found,) = files(pattern)
    return found


def known(folder="."):
    return {name for name in dist.git("ls-files", "-z", folder).split("\0") if name}


# ---- The files' contents ------------------------------------------------------------


def the_wheel_holds_the_two_packages_alone(_):
    with zipfile.ZipFile(only("renga_jax-*.whl")) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    source = {name.removeprefix("src/") for name in known("src")}
    want(names == source, f"not the same: {sorted(names ^ source)}")


def the_sdist_holds_what_git_knows(_):
    with tarfile.open(only("renga_jax-*.tar.gz")) as sdist:
        members = {
            member.name.partition("/")[2]: sdist.extractfile(member).read()
            for member in sdist.getmembers()
            if member.isfile()
        }
    odd = {n for n in set(members) - known() if not n.startswith(BUILT_BY)}
    want(not odd, f"not known to git: {sorted(odd)}")
    hidden = {name for name in known() if name.startswith(".")}
    missing = known() - hidden - set(members)
    want(not missing, f"missing: {sorted(missing)}")
    for here in (str(ROOT), f"{pathlib.Path.home()}/"):
        tell = [name for name, data in members.items() if here.encode() in data]
        want(not tell, f"a path of this machine, {here}, is in {tell}")


def built_again_elsewhere_they_are_the_same_bytes(work):
    out, temporary = work / "again", work / "temporary"
    temporary.mkdir()
    elsewhere = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "TMPDIR": str(temporary)}
    subprocess.run(
        [sys.executable, ROOT / "tools/dist.py", out],
        cwd=work,
        env={**os.environ, **elsewhere, "PYTHONHASHSEED": "7"},
        umask=0o077,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    names = [path.name for path in files("*")]
    want(names == sorted(p.name for p in out.iterdir()), "other files")
    differ = [n for n in names if (DIST / n).read_bytes() != (out / n).read_bytes()]
    want(not differ, f"differ: {differ}")


# ---- Alone --------------------------------------------------------------------------


@functools.cache
def environment(work):
    """The environment, made empty once; each step leaves Renga alone in it."""
    return Environment(work / "environment")


def one_pip_line_into_an_empty_environment(work):
    empty = environment(work)
    before = set(empty.installed())
    empty.pip("install", str(only("renga_jax-*.whl")))
    wanted = set(empty.run("-c", NEEDS).split())
    have = set(empty.installed()) - before
    want(have == wanted, f"installed {sorted(have)}, not {sorted(wanted)}")
    print("   ", ", ".join(f"{n} {v}" for n, v in sorted(empty.installed().items())))


def the_seed_program_and_an_op_of_rlax_run(work):
    blocks = re.findall(
        r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S
    )
    (seed,) = (block for block in blocks if "loss_obj = hk.transform(loss_fn)" in block)
    (op,) = (block for block in blocks if "rlax.q_learning" in block)
    program = seed + SEED_PROGRAM_ENDS + op + OP_ENDS
    environment(work).run("-W", "error", "-c", program)


def it_tells_of_its_environment(work):
    message = environment(work).run("-W", "error", "-m", "haiku")
    want(re.search(r"^devices +\d+ x ", message, re.M), message)


# ---- In place of the references -----------------------------------------------------


def a_package_that_requires_dm_haiku_has_ours(work):
    there = environment(work)
    there.pip("install", *map(str, stand_ins()))
    there.pip("install", REQUIRES_DM_HAIKU)
    stand_for_the_references(there)
    there.pip("check")
    there.run("-W", "error::UserWarning:__main__", "-c", GRAPH_PROGRAM)


def a_package_that_requires_rlax_as_well_has_ours(work):
    there = environment(work)
    # It requires 90 packages in all; only those from the references are checked.
    there.pip("download", "--no-deps", "-d", "downloads", REQUIRES_BOTH)
    (wheel,) = there.folder.glob("downloads/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (n for n in archive.namelist() if n.endswith("/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    asked = [
        re.match(r"Requires-Dist: ((dm-haiku|rlax)[^;]*); extra", x) for x in lines
    ]
    asked = {found[2]: found[1] for found in asked if found}
    want(set(asked) == set(REFERENCES), f"{REQUIRES_BOTH} requires {asked}")
    report = there.folder / "report.json"
    there.pip("install", "--dry-run", "--report", str(report), *asked.values())
    want(not json.loads(report.read_text())["install"], report.read_text())
    # uv resolves all of it.
    command = [UV, "pip", "install", "--dry-run", "--python", there.python]
    done = subprocess.run(
        [*command, REQUIRES_BOTH], capture_output=True, text=True, check=True
    )
    new = re.findall(r"^ [+] ([\w-]+)==", done.stderr, re.M)
    want("jumanji" in new and "distrax" in new, done.stderr)
    want(not {"dm-haiku", "rlax", "renga-jax"} & set(new), done.stderr)


def uv_takes_ours_as_well(work):
    project = work / "project"
    shutil.copytree(DIST, project / "wheels")
    versions = [path.name.split("-")[:2] for path in stand_ins()]
    overrides = [f"{name.replace('_', '-')}=={version}" for name, version in versions]
    (project / "pyproject.toml").write_text(
        f"""\
[project]
name = "my-project"
version = "1"
requires-python = ">={sys.version_info.major}.{sys.version_info.minor}"
dependencies = ["renga-jax", "{REQUIRES_DM_HAIKU}"]

[tool.uv]
find-links = ["wheels"]
override-dependencies = {json.dumps(overrides)}
"""
    )
    command = [UV, "lock", "--python", sys.executable, "--quiet"]
    subprocess.run(command, cwd=project, check=True)
    locked = (project / "uv.lock").read_text()
    found = re.findall(r'^name = "dm-haiku"\nversion = "(.*)"$', locked, re.M)
    want(found == [versions[0][1]], f"locked {found}")


def stand_ins():
    return [*files("dm_haiku-*.whl"), *files("rlax-*.whl")]


def stand_for_the_references(there):
    have = there.installed()
    for name, version in REFERENCES.items():
        want(have[name].startswith(f"{version}+renga."), f"{name} {have[name]}")


# ---- Beside the references ----------------------------------------------------------


def dm_haiku_over_ours_is_told_of(work):
    there = environment(work)
    there.pip("uninstall", "-y", *REFERENCES)
    reference = f"dm-haiku=={REFERENCES['dm-haiku']}"
    there.pip("install", "--no-deps", reference, *THEIR_NEEDS)
    error = there.run("-c", "import haiku", status=1)
    want("ImportError: dm-haiku is installed over Renga" in error, error)
    message = there.run("-m", "rlax", status=1)
    want("dm-haiku was last" in message, message)
    obeyed(there, message)


def ours_over_the_references_is_told_of(work):
    there = environment(work)
    there.pip("uninstall", "-y", "renga-jax")
    references = [f"{name}=={version}" for name, version in REFERENCES.items()]
    there.pip("install", "--no-deps", *references)
    there.pip("install", str(only("renga_jax-*.whl")))
    warning = there.run("-c", "import haiku, rlax; haiku.Linear, rlax.q_learning")
    for name in REFERENCES:
        want(f"UserWarning: Renga is installed over {name}" in warning, warning)
    message = there.run("-m", "haiku", status=1)
    want("renga-jax was last, and none of" in message, message)
    obeyed(there, message)


def obeyed(there, message):
    """Runs the commands in a message, after which nothing may be wrong."""
    commands = re.findall(r"^    (\S*python\S* -m pip .*)$", message, re.M)
    want(len(commands) == 2, message)
    for command in commands:
        python, *arguments = command.split()
        want(pathlib.Path(python) == there.python, command)
        there.run(*arguments)
    there.run("-W", "error", "-m", "haiku")


STEPS = [
    the_wheel_holds_the_two_packages_alone,
    the_sdist_holds_what_git_knows,
    built_again_elsewhere_they_are_the_same_bytes,
    one_pip_line_into_an_empty_environment,
    the_seed_program_and_an_op_of_rlax_run,
    it_tells_of_its_environment,
    a_package_that_requires_dm_haiku_has_ours,
    a_package_that_requires_rlax_as_well_has_ours,
    uv_takes_ours_as_well,
    dm_haiku_over_ours_is_told_of,
    ours_over_the_references_is_told_of,
]


def main():
    with tempfile.TemporaryDirectory() as name:
        for done, step in enumerate(STEPS):
            start = time.perf_counter()
            words = step.__name__.replace("_", " ")
            try:
                step(pathlib.Path(name).resolve())
            except AssertionError as error:
                print(f"Not so: {words}\n{error}\n{done} passed, 1 failed")
                return 1
            seconds = time.perf_counter() - start
            print(f"{done + 1:2} {words} ({seconds:.0f} s)", flush=True)
    print(f"{len(STEPS)} passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
