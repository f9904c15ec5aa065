"""The rooms: no circle of files, and only `pipeline` knows the frameworks (the layers are import-linter's)."""

import grimp
import pytest


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules that import each other, directly or not (Tarjan's components of more than one)."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    names = sorted(edges)
    at = {name: i for i, name in enumerate(names)}
    pairs = [(at[a], at[b]) for a in names for b in edges[a]]
    rows, columns = zip(*pairs, strict=True)
    graph = csr_array(([1] * len(pairs), (rows, columns)), shape=(len(names), len(names)))
    _, label = connected_components(graph, connection="strong")
    groups: dict[int, list[str]] = {}
    for name in names:
        groups.setdefault(int(label[at[name]]), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


@pytest.fixture(scope="module")
def edges():
    graph = grimp.build_graph("priorgap", cache_dir=None, exclude_type_checking_imports=True)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def test_there_is_no_circle_of_files(edges):
    assert circles(edges) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
