"""What one use case costs a reader: how many files of a service an endpoint or a handler goes through."""

import ast
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAINS = [*sorted(ROOT.glob("services/*/src/*/main.py")), ROOT / "gateway/src/gateway/main.py"]
ENTRIES = sorted(
    path
    for package in ROOT.glob("services/*/src/*")
    for path in (package / "api.py", package / "consumers.py", *package.glob("api/*.py"))
    if path.exists()
)
USUAL, MOST = 3, 5


def own_names(tree: ast.Module, package: str) -> dict[str, str]:
    """Names that a module imports from its own package, and the file each comes from; a store's parts are one."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == package:
            for name in node.names:
                file = f"{node.module}.{name.name}".split(".")[1]
                found[name.asname or name.name] = "store" if file.startswith("store") else file
    return found


def names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def files_of(path: Path) -> dict[str, set[str]]:
    """The files that each endpoint or handler of a module goes through, its own included."""
    package = path.relative_to(ROOT).parts[3]
    entry = path.relative_to(ROOT).parts[4].removesuffix(".py")
    tree = ast.parse(path.read_text())
    own = own_names(tree, package)
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    cases = {}
    for name, node in functions.items():
        if not any("router." in ast.unparse(decorator) for decorator in node.decorator_list):
            continue
        seen, todo = set(), {name}
        while todo:
            seen |= todo
            used = {word for one in todo for word in names_in(functions[one])}
            todo = (used & functions.keys()) - seen
        words = {word for one in seen for word in names_in(functions[one])}
        cases[f"{package}.{name}"] = {entry} | {own[word] for word in words & own.keys()}
    return cases


CASES = {name: files for path in ENTRIES for name, files in files_of(path).items()}


def test_half_of_all_use_cases_take_three_files_and_none_more_than_five():
    """Counting the parts of a split store, or of a split api, as one; request models and types included."""
    assert len(CASES) > 50
    assert statistics.median(map(len, CASES.values())) <= USUAL
    assert {name: sorted(files) for name, files in CASES.items() if len(files) > MOST} == {}


@pytest.mark.parametrize("path", MAINS, ids=lambda path: path.parent.name)
def test_an_entry_file_is_short(path):
    assert len(path.read_text().splitlines()) < 20


def test_the_count_follows_private_functions(tmp_path):
    source = "from shop import store, rules\n@router.on(X)\nasync def on_x(e, conn):\n    await _do(conn)\n"
    source += "async def _do(conn):\n    rules.decide(store.read(conn))\nasync def other(conn):\n    pass\n"
    tree = ast.parse(source)
    assert own_names(tree, "shop") == {"store": "store", "rules": "rules"}
