"""The source of the package as syntax trees, for the tests of the house rules."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "pipeline"
SOURCES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))
TREES = {name: ast.parse((ROOT / name).read_text()) for name in SOURCES}
each_source = pytest.mark.parametrize("name", SOURCES)


def module_of(name: str) -> str:
    parts = Path("pipeline", name).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def is_main_block(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"


def imported(node: ast.AST) -> Iterator[str]:
    """Yield the modules that an import statement names; `from pipeline import x` names pipeline.x."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports hide where something comes from"
        for alias in node.names:
            inner = f"{node.module}.{alias.name}"
            yield inner if module_path(inner) else node.module or ""


def module_path(module: str) -> Path | None:
    path = ROOT.parent.joinpath(*module.split("."))
    return next((p for p in (path.with_suffix(".py"), path / "__init__.py") if p.is_file()), None)


def imports(name: str) -> set[str]:
    """Return all that a module imports, at every level, but for its last lines as a program."""
    body = [node for node in TREES[name].body if not is_main_block(node)]
    return {module for top in body for node in ast.walk(top) for module in imported(node)}


def own_imports(name: str) -> set[str]:
    return {module for module in imports(name) if module.split(".")[0] == "pipeline"} - {"pipeline"}


def calls(name: str) -> Iterator[tuple[ast.Call, str]]:
    """Yield each call with the dotted text of what is called, as in `np.save`."""
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)
