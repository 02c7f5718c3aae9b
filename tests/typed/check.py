"""Do pyright and mypy see in users' programs what is wrong there, and nothing else?

    python tests/typed/check.py

A line that ends with `# error: ...` must fail, and no other line may.
"""

import json
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
PROGRAMS = sorted(path for path in HERE.glob("*.py") if path.name != "check.py")


def marked(program):
    """Numbers of the lines that must fail."""
    lines = program.read_text(encoding="utf-8").splitlines()
    return {i for i, line in enumerate(lines, 1) if "  # error: " in line}


def pyright():
    """Pairs (file's name, line) with an error."""
    command = ["pyright", "--pythonpath", sys.executable, "--outputjson"]
    done = _run([*command, *map(str, PROGRAMS)])
    for found in json.loads(done.stdout)["generalDiagnostics"]:
        if found["severity"] != "information":
            line = found["range"]["start"]["line"] + 1
            yield pathlib.Path(found["file"]).name, line, found["message"]


def mypy():
    """Pairs (file's name, line) with an error."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--no-error-summary",
        "--hide-error-context",
    ]
    done = _run([*command, *map(str, PROGRAMS)])
    for line in done.stdout.splitlines():
        if found := re.match(r"(\S+?):(\d+): error: (.*)", line):
            yield pathlib.Path(found[1]).name, int(found[2]), found[3]


def _run(command):
    path = pathlib.Path(sys.executable).parent
    command = [str(path / command[0]), *command[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def main():
    wrong, must_fail = 0, {p.name: marked(p) for p in PROGRAMS}
    for checker in pyright, mypy:
        found = list(checker())
        seen = {(file, line) for file, line, _ in found}
        for file, lines in must_fail.items():
            for line in sorted(lines - {n for f, n in seen if f == file}):
                print(f"{file}:{line}: {checker.__name__} sees nothing wrong")
                wrong += 1
        for file, line, message in found:
            if line not in must_fail[file]:
                print(f"{file}:{line}: {checker.__name__}: {message}")
                wrong += 1
    count = sum(map(len, must_fail.values()))
    print(f"{len(PROGRAMS)} programs, {count} lines that must fail: {wrong} surprises")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
