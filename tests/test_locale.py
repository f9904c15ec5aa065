"""Text is UTF-8 whatever the locale: no file is read or written in an encoding that is not named."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"
_TEXT_METHODS = ("read_text", "write_text")


def _names_no_encoding(call: ast.Call) -> bool:
    """Whether a call reads or writes text in the locale's encoding."""
    given = {keyword.arg for keyword in call.keywords}
    function = call.func
    if "encoding" in given or None in given:
        return False
    if any(k.arg in ("text", "universal_newlines") for k in call.keywords):
        return True
    mode = next((k.value for k in call.keywords if k.arg == "mode"), None)
    if isinstance(function, ast.Name) and function.id == "open":
        mode = mode or (call.args[1] if len(call.args) > 1 else None)
    elif isinstance(function, ast.Attribute) and function.attr == "open":
        # of a path; other objects' `open` takes a first argument that is no mode
        mode = mode or (call.args[0] if call.args else None)
        if call.args and not (isinstance(mode, ast.Constant) and set(str(mode.value)) <= set("rwaxbt+")):
            return False
    elif isinstance(function, ast.Attribute) and function.attr in _TEXT_METHODS:
        return not (isinstance(function.value, ast.Name) and function.value.id == "artifacts")
    else:
        return False
    return not (isinstance(mode, ast.Constant) and "b" in str(mode.value))


def test_all_text_is_read_and_written_in_a_named_encoding():
    found = [
        f"{file.relative_to(SOURCE)}:{node.lineno}"
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and _names_no_encoding(node)
    ]
    assert found == []


@pytest.mark.parametrize(
    ("code", "wrong"),
    [
        ("open(p)", True),
        ("open(p, 'w')", True),
        ("open(p, mode='wb')", False),
        ("open(p, encoding='utf-8')", False),
        ("p.open()", True),
        ("p.open(newline='')", True),
        ("p.open('rb')", False),
        ("Image.open(p)", False),
        ("p.read_text()", True),
        ("artifacts.write_text(p, t)", False),
        ("subprocess.run(c, text=True)", True),
    ],
)
def test_the_check_sees_what_it_should(code, wrong):
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call) and _names_no_encoding(call) == wrong
