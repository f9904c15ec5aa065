"""What code a result depends on: a digest of the modules in an import closure."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

PACKAGE = "priorgap"
# how numbers are shown, never what they are: a changed title makes no measurement stale
_SHOWN = frozenset({"priorgap.core.measures", "priorgap.core.catalogue"})
_ROOT = Path(__file__).parents[2]


@cache
def _graph() -> Any:
    import grimp

    return grimp.build_graph(PACKAGE, cache_dir=None, exclude_type_checking_imports=True)


def module_file(module: str) -> Path:
    """Return the source file of one of the package's modules."""
    path = _ROOT.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def closure(modules: Iterable[str]) -> list[str]:
    """Return the modules of the package that `modules` import, directly or not, with themselves, sorted.

    Without the catalogue of measures, which says how numbers are shown.
    """
    graph = _graph()
    found: set[str] = set()
    for module in modules:
        if module not in graph.modules:
            raise ValueError(f"{module}: not a module of {PACKAGE}")
        found |= {module, *graph.find_upstream_modules(module)}
    return sorted(found - _SHOWN)


@cache
def module_digest(module: str) -> str:
    """Return the digest of a module's code: comments, docstrings and layout do not count."""
    tree = ast.parse(module_file(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


@cache
def code_digest(modules: tuple[str, ...]) -> str:
    """Return the digest of the code in the import closure of `modules`."""
    text = "\n".join(f"{module} {module_digest(module)}" for module in closure(modules))
    return hashlib.sha256(text.encode()).hexdigest()


def tree_digest(paths: Iterable[Path]) -> str:
    """Return the digest of the bytes of all source and YAML files under some folders (or files)."""
    result = hashlib.sha256()
    for path in paths:
        files = (
            [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix in (".py", ".yaml"))
        )
        for file in files:
            result.update(str(file.relative_to(path.parent)).encode())
            result.update(hashlib.sha256(file.read_bytes()).digest())
    return result.hexdigest()
