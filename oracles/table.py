"""The page that says which library's values each op of today is checked against.

python oracles/table.py            # is docs/rlax_oracles.md what the values say?
python oracles/table.py --write    # writes it
"""

import collections
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).parents[1]
PAGE = ROOT / "docs/rlax_oracles.md"
PAPER = "the paper's formula"
HEAD = """\
# What the ops of today are checked against

Each op is compared with other libraries, called as they are, and with formulas that
were written from the papers in PyTorch: values and gradients within 1e-5, in single and
in double precision, for every case. `make oracles` computes the numbers in its own
environment and keeps them in small files (`tests/rlax/oracle_values`), which `make
test` reads. Many ops are beside loops in NumPy too, in their own tests.

In brackets: how many cases. A library's convention (a factor of ½, a sign, who divides)
is turned into ours; `oracles/peers` says where.

"""

# Where libraries compute something else, found while the cases were written.
ELSEWHERE = [
    ("verl", "log ratios are cut at 20 in policy losses and weights, k3 at 10"),
    ("verl", "a group of one answer keeps its reward as advantage; here it is 0"),
    ("verl", "the penalty for long answers goes on below -1 beyond the largest length"),
    ("verl", "a reward on a masked token is lost; here the token before gets it"),
    ("verl", "`compute_policy_loss_gspo` is GSPO-token, `token_level=True` here"),
    ("TRL", "an importance weight also multiplies the KL term; so may the ratio"),
    ("TorchRL", "`CQLLoss` takes a mean over random actions, not one sum over all"),
    ("TorchRL", "`categorical_kl_balanced` has free nats for each categorical"),
    ("TorchRL", "the KL term of `GRPOLoss` divides by masked tokens too"),
    ("TorchRL", "`AdaptiveKLController` lowered the coefficient in every call tried"),
    ("TorchRL", "`REDQLoss` with a subset of three or more critics took a pair"),
    ("sb3-contrib", "early iterates of `conjugate_gradient_solver` are 1e-4 apart"),
]
FOOT = """
## Where a library computes something else

In these modes the paper's formula stands instead.

| library | what |
| --- | --- |
"""


def rows():
    """Op -> library with version -> calls, and numbers of cases."""
    found = collections.defaultdict(
        lambda: collections.defaultdict(collections.Counter)
    )
    for path in sorted((ROOT / "tests/rlax/oracle_values").glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        paper = content["library"] == PAPER
        library = PAPER if paper else f"{content['library']} {content['version']}"
        for case in content["cases"]:
            op = case["op"].partition(".")[0]
            found[op][library][case["call"]] += 1
    return found


def cell(libraries):
    parts = []
    for library in sorted(libraries, key=lambda name: (name == PAPER, name.lower())):
        calls = libraries[library]
        names = ", ".join(f"`{x}`" if library != PAPER else x for x in sorted(calls))
        parts.append(f"{library}: {names} ({sum(calls.values())})")
    return "; ".join(parts)


def page():
    lines = ["| op | checked against |", "| --- | --- |"]
    lines += [
        f"| {{py:func}}`rlax.{op}` | {cell(found)} |"
        for op, found in sorted(rows().items())
    ]
    found = [f"| {library} | {what} |" for library, what in ELSEWHERE]
    return HEAD + "\n".join(lines) + "\n" + FOOT + "\n".join(found) + "\n"


def main():
    if "--write" in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit(
            "docs/rlax_oracles.md isn't up to date: python oracles/table.py --write"
        )


if __name__ == "__main__":
    main()
