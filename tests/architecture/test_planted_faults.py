"""What docs/planted-faults names is there: every test, and every place to break."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = sorted((ROOT / "docs/planted-faults").glob("*.md"))
SOURCES = [
    *(
        path
        for folder in ("contracts", "chassis", "services", "gateway", "deploy")
        for kind in ("py", "sql", "css", "html", "json")
        for path in (ROOT / folder).rglob(f"src/**/*.{kind}")
    ),
    *(ROOT / "tests/chassis/messaging").glob("*.py"),  # the faults that they plant themselves have names
    ROOT / "docker-compose.yml",
    ROOT / "deploy/Dockerfile",
]
CODE = re.compile(r"`([^`]+)`")
WITHIN = re.compile(r"`(?P<what>[^`]+)` (?:in|of) `(?P<where>[^`]+)`")
TEST = re.compile(r"(?:(?P<module>[\w/.-]+)::)?(?P<name>(?=test_|…)[\w…]+)(?:\[[^\]]*\])?", re.ASCII)
MODULE = re.compile(r"(?:[\w-]+/)*test_\w+\.py", re.ASCII)
IN_SQL = re.compile(r"\b(?:TABLE|INDEX|FUNCTION|(?:CONSTRAINT )?TRIGGER|CONSTRAINT)\s+\"?(\w+)", re.ASCII)
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef


def defined(body: list[ast.stmt], lines: list[str]) -> Iterator[tuple[str, str]]:
    """What a module or a class defines: names and texts."""
    for node in body:
        text = "\n".join(lines[node.lineno - 1 : node.end_lineno])
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from ((target.id, text) for target in targets if isinstance(target, ast.Name))
        if isinstance(node, FUNCTION | ast.ClassDef):
            yield node.name, text


def places() -> dict[str, list[str]]:
    """The texts of each place: of a file, by each ending of its path; of what it defines, by name alone or behind its module or class."""
    found = defaultdict(list)
    for path in SOURCES:
        text, steps = path.read_text(), path.relative_to(ROOT).parts
        for first in range(len(steps)):
            found["/".join(steps[first:])].append(text)
        for name in IN_SQL.findall(text) if path.suffix == ".sql" else ():
            found[name].append(text)
        if path.suffix == ".py":
            for name, its in in_python(text, path.relative_to(ROOT).with_suffix("").parts):
                found[name].append(its)
    return found


def in_python(text: str, steps: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The places of a module, itself among them."""
    tree, lines = ast.parse(text), text.splitlines()
    steps = [step for step in steps if step != "__init__"]
    modules = [".".join(steps[first:]) for first in range(len(steps))]
    yield from ((module, text) for module in modules)
    for name, its in defined(tree.body, lines):
        yield from ((each, its) for each in (name, *(f"{module}.{name}" for module in modules)))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            for name, its in defined(node.body, lines):
                yield from ((name, its), (f"{node.name}.{name}", its))
            stored = [each for each in ast.walk(node) if isinstance(each, ast.Attribute)]
            its = "\n".join(lines[node.lineno - 1 : node.end_lineno])
            yield from ((f"{node.name}.{each.attr}", its) for each in stored if isinstance(each.ctx, ast.Store))


def all_tests() -> dict[str, set[str]]:
    """The tests of each module, by its path."""
    return {
        str(path.relative_to(ROOT).with_suffix("")): {
            node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, FUNCTION)
        }
        for path in (ROOT / "tests").rglob("test_*.py")
    }


PLACES, TESTS = places(), all_tests()


def is_there(module: str | None, name: str) -> bool:
    """Whether a test is there. A module may be said without ``test_``; ``…`` is any text."""
    ending = re.compile(r".*" if module is None else rf"(?:.*[/_])?{module.removesuffix('.py')}")
    named = re.compile(name.replace("…", r"\w*"))
    return any(named.fullmatch(each) for path, its in TESTS.items() if ending.fullmatch(path) for each in its)


@pytest.mark.parametrize("doc", DOCS, ids=lambda doc: doc.stem)
def test_a_named_test_is_there(doc):
    named = CODE.findall(doc.read_text())
    tests = [(test["module"], test["name"]) for code in named if (test := TEST.fullmatch(code))]
    modules = [(code, "…") for code in named if MODULE.fullmatch(code)]
    assert [test for test in [*tests, *modules] if not is_there(*test)] == []


def where(doc: Path) -> Iterator[str]:
    """What the tables of a document say under "where"; in a table without it, what they say first."""
    column = None
    for line in doc.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if not cells:
            column = None
        elif column is None:
            column = cells.index("where") if "where" in cells else 0
        else:
            yield cells[column]


def stands(what: str, *named: str) -> bool:
    """Whether this text, of whole words, is in one of the places; ``…`` is any text."""
    words = r"[\s\S]*?".join(re.escape(part.strip()) for part in what.split("…"))
    text = re.compile(rf"(?<!\w){words}(?:(?<!\w)|(?!\w))")
    return any(text.search(its) for place in named for its in PLACES.get(place, ()))


def nowhere(cell: str) -> list[str]:
    """What a cell names that is no place, nor stands in the place that it says, or in another that it names."""
    named = CODE.findall(cell)
    within = {pair["what"]: pair["where"] for pair in WITHIN.finditer(cell)}
    there = [stands(code, within[code]) if code in within else code in PLACES or stands(code, *named) for code in named]
    return [code for code, found in zip(named, there, strict=True) if not found]


@pytest.mark.parametrize("doc", [doc for doc in DOCS if doc.stem != "README"], ids=lambda doc: doc.stem)
def test_a_place_to_break_is_there(doc):
    cells = [cell for cell in where(doc) if CODE.search(cell)]
    assert cells != []
    assert [(cell, wrong) for cell in cells if (wrong := nowhere(cell))] == []


@pytest.mark.parametrize(
    "cell",
    [
        "`store_carts._gone`",
        "`_gone`",
        "`_gone.py`",
        "`_gone` in `orders.py`",
        "`orders.py`, `_gone`",
        "`_acc` in `orders.py`",
        "`_accept` in `_gone.py`",
        "`_accept` in `orders._refuse`",
        "`FOR UPDATE` in `store_carts.cart_of`",
    ],
)
def test_a_place_that_is_gone_is_noticed(cell):
    assert nowhere(cell) != []
