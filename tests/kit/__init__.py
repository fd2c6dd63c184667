"""What every engine promises, as tests to be run on any of them: describe yours in a `Case` and inherit the suites.

from tests.kit.promises import Promises, case, engine

MINE = Case({"kind": "my.toml", "model": "/models/mine"}, writes=True, shapes=frozenset({"regex"}))

@cases({"mine": MINE})
class TestMine(Promises, Writing):
    pass
"""
