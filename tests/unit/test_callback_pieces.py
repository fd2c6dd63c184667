"""Callbacks piece by piece: pauses, bodies, seals and signatures, stalls."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from viiwork.callbacks.body import body_of
from viiwork.callbacks.patience import Patience, asked_s
from viiwork.callbacks.stalls import QueueLook, Stalls, unheld
from viiwork.callbacks.vault import KEY_FILE, Sealed, Vault, make_key, new_secret, signatures
from viiwork.errors import SettingsError
from viiwork.jobs import Lane
from viiwork.roster import FleetStatus, WorkerCard, WorkerStatus
from viiwork.settings import CallbacksSection
from viiwork.store.endpoints import SealedPair

DAYS_3 = 3 * 86_400.0
PATIENT = Patience(base_s=5, cap_s=21_600, give_up_s=DAYS_3)


class TestPauses:
    def test_a_receiver_that_is_down_for_three_days_is_tried_about_twenty_times(self) -> None:
        """The last try is at the end of the time, not six hours before it."""
        age_s, tries = 0.0, 1
        while (pause_s := PATIENT.pause_s(tries=tries, age_s=age_s, lot=0)) is not None:
            age_s, tries = age_s + pause_s, tries + 1
        assert DAYS_3 <= age_s < DAYS_3 + 2
        assert 15 <= tries <= 25

    @given(st.integers(1, 10_000), st.floats(0, DAYS_3 - 1), st.floats(0, 1), st.floats(0, 1e7))
    def test_no_pause_is_longer_than_the_longest(self, tries: int, age_s: float, lot: float, asked: float) -> None:
        pause_s = PATIENT.pause_s(tries=tries, age_s=age_s, lot=lot, asked_s=asked)
        assert pause_s is not None
        assert 0 < pause_s <= 21_600

    def test_a_receiver_that_asks_for_a_pause_gets_it(self) -> None:
        assert PATIENT.pause_s(tries=1, age_s=0, lot=0, asked_s=100) == 100
        assert [asked_s(each) for each in ("30", "", "Wed, 21 Oct 2026 07:28:00 GMT", "-1", "9" * 20)] == [
            30,
            0,
            0,
            0,
            0,
        ]


class TestBodies:
    def test_an_analysis_is_told_by_ids_counts_and_where_its_results_are(self) -> None:
        record = {
            "type": "analysis.completed",
            "subject": "an_1",
            "created_ms": "1700000000123",
            "ended": "completed",
            "task": "ask",
            "model": "m",
            "total": "3",
            "succeeded": "2",
            "failed": "1",
            "finished_ms": "1700000000123",
            "expires_ms": "0",
            "metadata": '{"case":"7"}',
            "tenant": "anna@lab",
        }
        told = json.loads(body_of("msg_1", record, base_url="https://head.lab/"))
        assert told == {
            "id": "msg_1",
            "object": "event",
            "type": "analysis.completed",
            "created_at": 1700000000,
            "timestamp": "2023-11-14T22:13:20Z",
            "data": {
                "id": "an_1",
                "state": "completed",
                "task": "ask",
                "model": "m",
                "counts": {"total": 3, "succeeded": 2, "failed": 1, "cancelled": 0},
                "finished_ms": 1700000000123,
                "metadata": {"case": "7"},
                "result_url": "https://head.lab/v1/analyses/an_1/results",
            },
        }

    def test_a_stall_is_told_by_its_queue(self) -> None:
        record = {"type": "fleet.stalled", "subject": "batch.m", "created_ms": "1", "model": "m", "waiting": "4"}
        data = json.loads(body_of("msg_1", record, base_url="http://h"))["data"]
        assert data == {"id": "batch.m", "model": "m", "waiting": 4, "result_url": "http://h/v1/fleet"}


class TestSecrets:
    def test_what_is_sealed_opens_for_its_owner_with_its_key_alone(self, tmp_path: Path) -> None:
        """Whoever can write to Redis cannot pass one endpoint's secret off as another's."""
        vault, secret = Vault(CallbacksSection(), tmp_path), new_secret()
        sealed = vault.seal(secret, owner="ep_1")
        assert secret[6:] not in sealed
        assert Vault(CallbacksSection(), tmp_path).open(sealed, owner="ep_1") == secret
        assert (tmp_path / KEY_FILE).stat().st_mode & 0o077 == 0
        other = Vault(CallbacksSection(key="k" * 40), tmp_path)
        for wrong, owner in ((vault, "ep_2"), (other, "ep_1")):
            with pytest.raises(Sealed):
                wrong.open(sealed, owner=owner)
        with pytest.raises(Sealed):
            vault.open("not base64!", owner="ep_1")

    def test_of_processes_that_make_the_key_at_once_the_first_ones_stays(self, tmp_path: Path) -> None:
        """Each has seen that there is none. What one of them sealed could else never be opened again."""
        make_key(tmp_path / "state" / KEY_FILE)
        sealed = Vault(CallbacksSection(), tmp_path / "state").seal("secret", owner="ep_1")
        make_key(tmp_path / "state" / KEY_FILE)
        assert Vault(CallbacksSection(), tmp_path / "state").open(sealed, owner="ep_1") == "secret"
        assert [path.name for path in (tmp_path / "state").iterdir()] == [KEY_FILE]

    def test_a_key_that_is_too_short_or_unreadable_is_refused_and_never_replaced(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match="at least 32"):
            Vault(CallbacksSection(key="short"), tmp_path).seal("x", owner="y")
        (tmp_path / KEY_FILE).write_bytes(b"\xff\xfe")
        with pytest.raises(SettingsError, match="cannot be read"):
            Vault(CallbacksSection(), tmp_path).seal("x", owner="y")
        assert (tmp_path / KEY_FILE).read_bytes() == b"\xff\xfe"

    def test_both_secrets_sign_during_a_rotation(self) -> None:
        """A receiver that has either of them verifies the callback by the official library; a stranger's does not."""
        old, new, body = new_secret(), new_secret(), '{"a":"ä"}'
        at_s = int(datetime.now(UTC).timestamp())
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(at_s),
            "webhook-signature": signatures([new, old], message_id="msg_1", at_s=at_s, body=body),
        }
        for secret in (old, new):
            assert Webhook(secret).verify(body.encode(), headers) == {"a": "ä"}
        with pytest.raises(WebhookVerificationError):
            Webhook(new_secret()).verify(body, headers)

    def test_the_secret_before_signs_until_its_time_is_over(self) -> None:
        pair = SealedPair("a").after("b", until_ms=1000)
        assert (pair.at(999), pair.at(1000)) == (("b", "a"), ("b",))
        assert pair.after("c", until_ms=0).at(0) == ("c",)


def look(queue: str = "batch.m", *, ready: bool = True, running: int = 0, started: int = 5) -> QueueLook:
    return QueueLook(queue, ready, 3, running, started)


class TestStalls:
    def test_what_waits_without_anything_starting_stalls_after_its_time(self) -> None:
        stalls = Stalls(after_s=60)
        assert stalls.judge([look()], now_s=0) == []
        assert stalls.judge([look()], now_s=59) == []
        assert stalls.judge([look()], now_s=60) == [look()]

    @pytest.mark.parametrize("between", [look(started=6), look(running=1), look(ready=False)])
    def test_whatever_moves_begins_the_time_anew(self, between: QueueLook) -> None:
        stalls = Stalls(after_s=60)
        stalls.judge([look()], now_s=0)
        stalls.judge([between], now_s=59)
        assert stalls.judge([look(started=between.started)], now_s=61) == []

    def test_what_somebody_holds_back_does_not_stall(self) -> None:
        """A schedule that closes a lane, a measurement that holds the workers; and reading waits while models work."""
        card = WorkerCard(name="gpu0@h", incarnation="i", host="h", pid=1, engine="e", model="m", slots=1)
        closed = WorkerStatus(card=card.model_copy(update={"closed": (Lane.BATCH,)}))
        now = datetime.now(UTC)
        assert unheld([look()], FleetStatus(fleet="f", workers=(closed,)), now=now) == []
        held = WorkerStatus(card=card, hold="viiwork bench")
        assert unheld([look()], FleetStatus(fleet="f", workers=(held,)), now=now) == []
        status = FleetStatus(fleet="f", workers=(WorkerStatus(card=card),))
        assert unheld([look(), look("batch.read")], status, now=now) == [look(), look("batch.read")]
        works = look(running=1)
        assert unheld([works, look("batch.read")], status, now=now) == [works]
