"""Checks what every module of the house promises: its first line, its size and what it imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "inrcodec"
MODULES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}

MAX_LINES = 300
ENTROPY_CODER = "coding/entropy.py"
RUN_WHAT_THEY_READ = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}

every_module = pytest.mark.parametrize("path", MODULES.values(), ids=MODULES.keys())


def imports(tree: ast.AST) -> dict[str, str]:
    """Every imported name, as the module spells it, with its full name."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                root = alias.name.partition(".")[0]
                names[alias.asname or alias.name] = alias.name
                names.setdefault(root, root)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def runs_data_as_code(call: ast.Call, names: dict[str, str]) -> bool:
    root, dot, rest = ast.unparse(call.func).partition(".")
    name = names.get(root, root) + dot + rest
    if name.removeprefix("builtins.") in {"eval", "exec"}:
        return True
    if name.startswith("torch.") and name.endswith(".load"):
        return True
    if name == "numpy.load" and len(call.args) > 2:
        return True
    return any(
        keyword.arg == "allow_pickle"
        and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
        for keyword in call.keywords
    )


def offences(source: str) -> list[str]:
    """Each import or call through which bytes of a file could run as code."""
    tree = ast.parse(source)
    names = imports(tree)
    roots = {name.partition(".")[0] for name in names.values()}
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return sorted(roots & RUN_WHAT_THEY_READ) + [
        ast.unparse(call) for call in calls if runs_data_as_code(call, names)
    ]


@every_module
def test_first_line_is_one_sentence(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree, clean=False)
    assert docstring, "a module starts with a docstring"
    assert tree.body[0].lineno == 1
    first = docstring.splitlines()[0]
    assert re.fullmatch(r"[A-Z].*\.", first), first
    assert not re.search(r"[a-z]\. [A-Z]", first), f"more than one sentence: {first}"


@every_module
def test_module_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@every_module
def test_no_module_runs_data_as_code(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from marshal import loads",
        "def f():\n    import shelve as s",
        "eval(text)",
        "exec(text)",
        "import torch as t; t.load(path)",
        "from torch import load; load(path)",
        "import numpy as np; np.load(path, allow_pickle=True)",
        "import numpy as np; np.load(path, None, True)",
    ],
)
def test_the_check_sees_the_danger(source: str) -> None:
    assert len(offences(source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "model.eval()",
        "import numpy as np; np.load(path)",
        "import numpy as np; np.load(path, allow_pickle=False)",
        "import json; json.load(file)",
        "import torch; torch.sin(x)",
    ],
)
def test_the_check_sees_only_the_danger(source: str) -> None:
    assert offences(source) == []


def test_one_module_names_constriction() -> None:
    importers = {
        name
        for name, path in MODULES.items()
        for imported in imports(ast.parse(path.read_text(encoding="utf-8"))).values()
        if imported.partition(".")[0] == "constriction"
    }
    assert importers == {ENTROPY_CODER}


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("inrcodec", {"torch"}),
        ("inrcodec.bitstream.container", {"torch", "numpy", "constriction"}),
        ("inrcodec.cli.decode", {"torch", "secrets", "threadpoolctl", "PIL.ImageCms"}),
    ],
    ids=["inrcodec", "container", "decode"],
)
def test_import_stays_light(module: str, heavy: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted(sys.modules.keys() & {heavy}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_hooks_run_what_make_lint_runs() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    lint = re.search(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert lint
    commands = [line.strip().replace("$(BIN)", ".venv/bin") for line in lint[1].splitlines()]
    assert re.findall(r"entry: (.*)", hooks) == commands
