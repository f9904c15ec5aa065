"""The code on which a result depends: a digest of the modules in an import closure, plugins' modules included."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from priorgap.core import plugins
from priorgap.core.receivers import PACKAGE, own_packages, under

# Modules that only determine how numbers are shown, so that a changed title makes no measurement outdated.
_SHOWN = frozenset({"priorgap.core.measures", "priorgap.core.catalogue"})
_ROOT = Path(__file__).parents[2]


@cache
def _graph(roots: tuple[str, ...]) -> Any:
    import grimp

    return grimp.build_graph(*roots, cache_dir=None, exclude_type_checking_imports=True)


def module_file(module: str) -> Path:
    """Return the source file of a module of priorgap, or of a plugin."""
    root, *rest = module.split(".")
    path = (_ROOT if root == PACKAGE else plugins.folder(root)).joinpath(*rest)
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def closure(modules: Iterable[str]) -> list[str]:
    """Return the modules of priorgap and of plugins that `modules` import, with `modules` themselves, sorted.

    The catalogue of measures is left out, because it only determines how numbers are shown, and so are other
    packages, whose versions are in a result's provenance.
    """
    own = [module for module in modules if under(module, own_packages())]
    # A plugin may import another one; without any plugin only priorgap has to be read.
    packages = own_packages() if any(not under(module, (PACKAGE,)) for module in own) else (PACKAGE,)
    graph = _graph(packages)
    found: set[str] = set()
    for module in own:
        if module not in graph.modules:
            raise ValueError(f"{module}: not a module of {module.partition('.')[0]}")
        found |= {module, *graph.find_upstream_modules(module)}
    return sorted(found - _SHOWN)


@cache
def module_digest(module: str) -> str:
    """Return the digest of a module's code without comments, docstrings and layout."""
    tree = ast.parse(module_file(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[1:] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()


@cache
def code_digest(modules: tuple[str, ...], *, plugins_only: bool = False) -> str:
    """Return the digest of the code in the import closure of `modules`.

    Args:
        modules: modules of priorgap and of plugins; those of other packages are ignored.
        plugins_only: whether to leave out priorgap's own modules.
    """
    found = [m for m in closure(modules) if not (plugins_only and under(m, (PACKAGE,)))]
    text = "\n".join(f"{module} {module_digest(module)}" for module in found)
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
