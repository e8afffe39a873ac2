"""The rooms: which way imports go, proved by reading the source; `--help` loads nothing heavy."""

import ast
import subprocess
import sys

import pytest

from tests.sources import (
    ROOT,
    SOURCES,
    TREES,
    each_source,
    imported,
    imports,
    is_main_block,
    module_of,
    own_imports,
)

STAGES = ("download", "prepare", "folds", "train", "predict", "ensemble", "submit", "report")
COMMANDS = ("status", "new", "plan", "compare", "tune", "export", "demo", "clean")
GROUND = (
    "artifacts",
    "class_balance",
    "config",
    "config_doc",
    "config_fields",
    "config_teachers",
    "config_text",
    "config_train",
    "terminal",
    "errors",
    "randomness",
    "interrupt",
)
# Each room with the rooms below it, which are all that it may import; a room may import itself, a stage not
# another stage. `command` and `__main__` start a module as a program: only the last lines of one name them.
BELOW: dict[str, set[str]] = {"ground": set(), "score": set()}
BELOW["dataset"] = {"ground", "score"}
BELOW["learn"] = BELOW["dataset"] | {"dataset"}
BELOW["leaderboard"] = BELOW["page"] = BELOW["learn"] | {"learn"}
BELOW["blending"] = BELOW["leaderboard"] | {"leaderboard"}
BELOW["stages"] = BELOW["blending"] | {"blending", "page"}
BELOW["commands"] = BELOW["stages"] | {"stages"}
BELOW["start"] = BELOW["commands"] | {"commands"}
STARTERS = {"pipeline.__main__", "pipeline.command"}
HEAVY = {"torch", "torchvision", "timm", "pandas", "pyarrow", "albumentations", "cv2", "PIL", "sklearn",
         "scipy", "skimage", "plotly", "jinja2", "rich", "safetensors", "optuna"}  # fmt: skip
LOADED_LATER = HEAVY - {"rich"}
LIGHT_ROOMS = ("ground", "stages", "commands", "start")


def room(module: str) -> str:
    """Return the room of a module of ours; a new top-level module must be given one here."""
    top = module.split(".")[1] if "." in module else ""
    if top in STAGES:
        return "stages"
    if top in COMMANDS:
        return "commands"
    if top in GROUND or top == "":
        return "ground"
    return "start" if f"pipeline.{top}" in STARTERS else top


@each_source
def test_imports_go_down(name):
    own = room(module_of(name))
    for module in own_imports(name):
        target = room(module)
        if own != target:
            assert target in BELOW[own], f"{name} ({own}) imports {module} ({target})"
        assert own != "stages" or target != "stages", f"stage {name} imports stage {module}"


@each_source
def test_only_the_last_lines_start_a_program(name):
    tree = TREES[name]
    blocks = [node for node in tree.body if is_main_block(node)]
    assert not blocks or blocks == [tree.body[-1]]
    assert name in ("__main__.py", "command.py") or not own_imports(name) & STARTERS


def test_score_imports_nothing_but_numbers():
    allowed = {*sys.stdlib_module_names, "numpy", "scipy", "sklearn"}
    for name in (source for source in SOURCES if source.startswith("score/")):
        for module in imports(name):
            assert module.split(".")[0] in allowed or module.startswith("pipeline.score"), f"{name}: {module}"


def test_no_import_goes_in_a_circle():
    graph = {module_of(name): own_imports(name) for name in SOURCES if name != "__main__.py"}
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " imports ".join([*above[above.index(module) :], module])
        if module not in done:
            for below in graph.get(module, ()):
                visit(below, (*above, module))
            done.add(module)

    for module in graph:
        visit(module, ())


@each_source
def test_help_stays_quick_since_heavy_imports_wait(name):
    if room(module_of(name)) in LIGHT_ROOMS:
        at_import = [node for node in TREES[name].body if isinstance(node, ast.Import | ast.ImportFrom)]
        top = {module.split(".")[0] for node in at_import for module in imported(node)}
        assert not top & HEAVY


@each_source
def test_module_says_what_it_is_for_and_has_one_subject(name):
    assert ast.get_docstring(TREES[name]), "a module starts with what it is for"
    assert len((ROOT / name).read_text().splitlines()) <= 300


@pytest.mark.parametrize("stage", [*STAGES, "status", "config", "compare", "tune", "clean", "__main__"])
def test_help_answers_without_loading_what_computes(stage):
    if not (ROOT / f"{stage}.py").exists():
        pytest.skip("not built yet")
    code = f"""
import runpy, sys
sys.argv = ["{stage}", "--help"]
try:
    runpy.run_module("pipeline.{stage}", run_name="__main__", alter_sys=True)
except SystemExit as end:
    assert end.code == 0, end.code
assert not set({sorted(LOADED_LATER)}) & set(sys.modules), sorted(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "--config" in done.stdout
