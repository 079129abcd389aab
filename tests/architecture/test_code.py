"""The shape of the code: sizes, where SQL stands, what nobody does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = sorted(
    path
    for folder in ("contracts", "chassis", "services", "gateway", "deploy")
    for path in (ROOT / folder).rglob("src/**/*.py")
)
LONGEST_MODULE = 300
LONGEST_FUNCTION = 50
SQL = re.compile(r"\s*(SELECT|INSERT INTO|UPDATE|DELETE FROM|WITH)\s", re.ASCII)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def sql_in(source: str) -> list[str]:
    """The first words of every SQL statement in a module, docstrings aside."""
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    return [
        node.value.strip()[:40]
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
        and SQL.match(node.value)
    ]


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_module_is_one_noun(path):
    assert len(path.read_text().splitlines()) <= LONGEST_MODULE


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_a_function_is_one_thought(path):
    long = {node.name: node.end_lineno - node.lineno for node in functions(path)}
    assert {name: size for name, size in long.items() if size > LONGEST_FUNCTION} == {}


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_sql_stands_in_stores_and_the_chassis(path):
    if not path.name.startswith("store") and path.relative_to(ROOT).parts[0] in {"services", "gateway", "contracts"}:
        assert sql_in(path.read_text()) == []


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_nobody_subscribes_past_the_inbox(path):
    calls = [node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
    assert named(path) == "chassis/src/chassis/consumer.py" or not {"subscriber", "publish_batch"} & set(calls)


@pytest.mark.parametrize("path", SOURCES, ids=named)
def test_no_module_is_named_for_nothing(path):
    assert path.stem not in {"utils", "helpers", "common", "base", "models", "service", "manager"} or (
        named(path) == "chassis/src/chassis/service.py"
    )


def test_the_sql_check_finds_sql():
    assert sql_in('async def f(conn):\n    """SELECT is a word."""\n    await conn.rows("SELECT 1 FROM x")\n') == [
        "SELECT 1 FROM x"
    ]
