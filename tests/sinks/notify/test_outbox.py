"""What waits, what is told and what is not, without any network."""

from __future__ import annotations

import datetime as dt

from sinks.notify.alerts_world import BEGAN, an_alert
from tokentide_schemas.alert_deliveries import AlertDelivery, DeliveryOutcome
from tokentide_schemas.alerting.receivers import AlertmanagerReceiver, AnyReceiver, LogReceiver, WebhookReceiver
from tokentide_sinks.notify import outbox as outboxes
from tokentide_sinks.notify.answers import DeliveryResult, Verdict
from tokentide_sinks.notify.outbox import Letter, Outbox

NOW = BEGAN + dt.timedelta(minutes=2)
HOOK = WebhookReceiver(name="hook", url="http://127.0.0.1:9/x", max_attempts=3)
MANAGER = AlertmanagerReceiver(name="manager", url="http://127.0.0.1:9")
YES = DeliveryResult(Verdict.DELIVERED, 200)
LATER = DeliveryResult(Verdict.TRY_AGAIN, 503, "answered 503")
NEVER = DeliveryResult(Verdict.REFUSED, 404, "answered 404")


def live(*receivers: AnyReceiver, from_offset: int | None = 0) -> Outbox:
    outbox = Outbox(receivers or (HOOK,), from_offset)
    assert outbox.go_live(NOW) == []
    return outbox


def take(outbox: Outbox, receiver: str = "hook", now_s: float = 0.0) -> Letter:
    letter = outbox.next_letter(receiver, now_s)
    assert letter is not None
    return letter


def test_firing_and_its_end_are_told_to_each_receiver_once() -> None:
    outbox = live(HOOK, LogReceiver(name="log"))
    outbox.read_change(0, an_alert(), NOW)
    outbox.read_change(1, an_alert(), NOW)
    for name in ("hook", "log"):
        letter = take(outbox, name)
        assert outbox.next_letter(name, 0.0) is None
        assert outbox.settle(letter, YES, NOW, 0.0, 1.0).outcome is DeliveryOutcome.DELIVERED
    outbox.read_change(2, an_alert(), NOW)
    assert outbox.next_letter("hook", 99.0) is None
    outbox.read_change(3, an_alert(state="resolved"), NOW)
    assert take(outbox).change.state == "resolved"


def test_pending_and_silenced_changes_and_the_end_of_silenced_ones_are_not_told() -> None:
    outbox = live()
    outbox.read_change(0, an_alert(state="pending"), NOW)
    outbox.read_change(1, an_alert(is_silenced=True), NOW)
    outbox.read_change(2, an_alert(state="resolved"), NOW)
    assert outbox.next_letter("hook", 0.0) is None
    assert outbox.safe_offset() == 3


def test_a_failed_attempt_waits_its_time_and_ends_after_the_last_one() -> None:
    outbox = live()
    outbox.read_change(0, an_alert(), NOW)
    for attempt in (1, 2):
        record = outbox.settle(take(outbox, now_s=100.0 * attempt), LATER, NOW, 100.0 * attempt, 50.0)
        assert (record.outcome, record.attempts) == (DeliveryOutcome.RETRYING, attempt)
        assert outbox.next_letter("hook", 100.0 * attempt + 49) is None
        assert outbox.safe_offset() == 0
    record = outbox.settle(take(outbox, now_s=300.0), LATER, NOW, 300.0, 50.0)
    assert (record.outcome, record.attempts) == (DeliveryOutcome.GIVEN_UP, 3)
    assert "max_attempts" in record.error
    assert outbox.safe_offset() == 1


def test_a_refusal_is_final() -> None:
    outbox = live()
    outbox.read_change(0, an_alert(), NOW)
    assert outbox.settle(take(outbox), NEVER, NOW, 0.0, 1.0).outcome is DeliveryOutcome.REFUSED
    assert outbox.next_letter("hook", 1e6) is None


def test_what_failed_before_does_not_keep_a_new_alert_waiting() -> None:
    outbox = live()
    outbox.read_change(0, an_alert(1), NOW)
    outbox.settle(take(outbox), LATER, NOW, 0.0, 5.0)
    outbox.read_change(1, an_alert(2), NOW)
    assert take(outbox, now_s=10.0).change.alert_id == an_alert(2).alert_id


def test_an_alert_that_ended_before_it_could_be_told_is_told_as_ended_only() -> None:
    outbox = live()
    outbox.read_change(0, an_alert(), NOW)
    outbox.settle(take(outbox), LATER, NOW, 0.0, 5.0)
    records = outbox.read_change(1, an_alert(state="resolved"), NOW)
    assert [record.outcome for record in records] == [DeliveryOutcome.SUPERSEDED]
    letter = take(outbox, now_s=1.0)
    assert (letter.change.state, letter.firing) == ("resolved", an_alert())


def test_the_end_waits_while_the_begin_is_on_its_way() -> None:
    outbox = live()
    outbox.read_change(0, an_alert(), NOW)
    begin = take(outbox)
    assert outbox.read_change(1, an_alert(state="resolved"), NOW) == []
    assert outbox.next_letter("hook", 0.0) is None
    outbox.settle(begin, YES, NOW, 0.0, 1.0)
    assert take(outbox).change.state == "resolved"


def delivered(number: int, outcome: DeliveryOutcome = DeliveryOutcome.DELIVERED, attempts: int = 1) -> AlertDelivery:
    change = an_alert(number)
    return AlertDelivery(
        receiver="hook",
        receiver_type="webhook",
        alert_id=change.alert_id,
        state=change.state,
        outcome=outcome,
        attempts=attempts,
        changed_at=change.changed_at,
        attempted_at=NOW,
    )


def test_after_a_restart_only_what_was_not_told_is_told_and_attempts_go_on_counting() -> None:
    outbox = Outbox((HOOK,), 1)
    for offset, number in enumerate((1, 2, 3, 4)):
        outbox.read_change(offset, an_alert(number), NOW)
    outbox.read_delivery(4, delivered(2))
    outbox.read_delivery(5, delivered(3, DeliveryOutcome.RETRYING, 2))
    assert outbox.next_letter("hook", 0.0) is None, "nothing is told before the topic was read to its end"
    outbox.go_live(NOW)
    letters = [take(outbox), take(outbox)]
    assert outbox.next_letter("hook", 0.0) is None
    # 1 was committed, 2 was told.
    assert sorted((letter.change.alert_id.int, letter.attempts) for letter in letters) == [(3, 2), (4, 0)]
    assert outbox.safe_offset() == 2


def test_a_notifier_that_never_ran_leaves_old_alerts_alone() -> None:
    outbox = Outbox((HOOK,), None)
    outbox.read_change(0, an_alert(1, emitted_at=NOW - dt.timedelta(days=3)), NOW)
    outbox.read_change(1, an_alert(2, emitted_at=NOW - dt.timedelta(minutes=5)), NOW)
    outbox.go_live(NOW)
    assert take(outbox).change.alert_id.int == 2
    assert outbox.next_letter("hook", 0.0) is None


def test_too_many_alerts_for_one_receiver_give_up_the_oldest_and_hold_no_other() -> None:
    outbox = live(HOOK, LogReceiver(name="log"))
    records = []
    for number in range(outboxes.MAX_WAITING + 2):
        records += outbox.read_change(number, an_alert(number + 1), NOW)
        outbox.settle(take(outbox, "log"), YES, NOW, 0.0, 1.0)
    assert [(record.alert_id.int, record.outcome) for record in records] == [
        (1, DeliveryOutcome.GIVEN_UP),
        (2, DeliveryOutcome.GIVEN_UP),
    ]


def test_alertmanager_hears_again_of_what_goes_on_and_not_of_what_has_ended() -> None:
    outbox = live(MANAGER, HOOK)
    outbox.read_change(0, an_alert(1), NOW)
    assert outbox.to_repeat(MANAGER, 1e6) is None, "it was never told"
    outbox.settle(take(outbox, "manager"), YES, NOW, 10.0, 1.0)
    assert outbox.to_repeat(MANAGER, 10.0 + outboxes.RESEND_EVERY_S - 1) is None
    assert outbox.to_repeat(MANAGER, 10.0 + outboxes.RESEND_EVERY_S) == an_alert(1)
    assert outbox.to_repeat(MANAGER, 11.0 + outboxes.RESEND_EVERY_S) is None
    assert outbox.to_repeat(HOOK, 1e6) is None
    outbox.read_change(1, an_alert(1, "resolved"), NOW)
    assert outbox.to_repeat(MANAGER, 1e6) is None
