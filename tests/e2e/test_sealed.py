"""Nothing leaves the host, and documents show nowhere but where they are kept: a fleet with no way out of its network.

It takes a network namespace, for which Linux wants root or user namespaces; without them it is skipped, and said to be.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.sealing import KEPT_IN, sealed_day

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one day in there was like."""
    return sealed_day(tmp_path_factory.mktemp("sealed"))


def test_nothing_is_sent_out(told: dict[str, Any]) -> None:
    """Nor tried: the kernel counts each attempt, as one of the test's own shows."""
    assert told["would_be_seen"] >= 1
    assert told["sent_out"] == 0


def test_documents_show_only_in_the_records_of_their_jobs(told: dict[str, Any]) -> None:
    """Not in a log of a process or an engine, in an event, on a page of Flower, in a figure, or under another key."""
    found = told["found"]
    assert told["events"] > 10
    assert found["redis"], "it would prove nothing that never was found"
    assert set(found.pop("redis")) <= KEPT_IN
    assert found == {"files": [], "flower": [], "figures": [], "events": []}


def test_no_command_line_shows_a_secret(told: dict[str, Any]) -> None:
    """`ps` is everybody's."""
    assert told["argv"] == []
