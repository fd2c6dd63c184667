"""`docs/errors.md` has every code that there is, with its status, and none that there is not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from viiwork import errors
from viiwork.api.problems import NAMED
from viiwork.documents.outcomes import OUTCOMES
from viiwork_workers.engines.server.meanings import MEANINGS, OWN_DOING

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "errors.md"
ROW = re.compile(r"^\| `([a-z_]+)` \|(?: (\d{3}) \|)?", re.MULTILINE)
CODE = re.compile(r"[a-z]+(_[a-z]+)*")
LUA_FAULT = re.compile(r"fail\(job, (?:state|'[a-z]+'), '([a-z_]+)'")


def trees() -> Iterator[ast.Module]:
    for folder in ("viiwork", "workers/viiwork_workers"):
        for file in (ROOT / folder).rglob("*.py"):
            yield ast.parse(file.read_text("utf-8"))


def constants(parsed: list[ast.Module]) -> dict[str, set[str]]:
    """The texts that module-level names stand for, such as `UNABLE`."""
    found: dict[str, set[str]] = {}
    for tree in parsed:
        for node in tree.body:
            if not isinstance(node, ast.Assign):
                continue
            (target,) = node.targets[:1]
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            for name, value in pairs:
                if isinstance(name, ast.Name) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found.setdefault(name.id, set()).add(value.value)
    return found


def literals(parsed: list[ast.Module]) -> set[str]:
    """What is written as `code=…` in a call or `code = …` in a class."""
    named = constants(parsed)
    found: set[str] = set()
    for tree in parsed:
        for node in ast.walk(tree):
            if isinstance(node, ast.keyword) and node.arg == "code":
                if isinstance(node.value, ast.Constant):
                    found.add(str(node.value.value))
                elif isinstance(node.value, ast.Name):
                    found |= named.get(node.value.id, set())
            elif isinstance(node, ast.ClassDef):
                for line in node.body:
                    if isinstance(line, ast.Assign) and ast.unparse(line.targets[0]) == "code":
                        found.add(str(ast.literal_eval(line.value)))
    return {code for code in found if CODE.fullmatch(code)}


def used() -> set[str]:
    lua = {code for file in (ROOT / "viiwork/store/lua").glob("*.lua") for code in LUA_FAULT.findall(file.read_text())}
    meant = {meaning.code for meaning in (*MEANINGS, *OWN_DOING)}
    return literals(list(trees())) | set(OUTCOMES) | {code for code, _ in NAMED.values()} | lua | meant


def kinds(root: type[errors.ViiworkError] = errors.ViiworkError) -> Iterator[type[errors.ViiworkError]]:
    yield root
    for below in root.__subclasses__():
        yield from kinds(below)


def test_every_code_is_told_and_no_other() -> None:
    told = {code for code, _ in ROW.findall(PAGE.read_text("utf-8"))}
    found = used()
    assert found - told == set(), "docs/errors.md lacks these codes"
    assert told - found == set(), "docs/errors.md tells of codes that nothing uses"


def test_the_statuses_are_those_of_the_errors() -> None:
    """Of each kind of error that has a code of its own, where the page gives its status."""
    told = {code: int(status) for code, status in ROW.findall(PAGE.read_text("utf-8")) if status}
    for kind in kinds():
        if kind.code in told:
            assert told[kind.code] == kind.http_status, kind
    for status, (code, _) in NAMED.items():
        assert told[code] == status
