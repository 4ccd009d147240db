"""Notifications that were not delivered: found page by page, and sent again as the same event."""

from dataclasses import replace

import pytest

from durable_app.starting import delivery_instance
from mobexport.config import ExportsConfig
from mobexport.durable_names import notify_instance
from mobexport.errors import Conflict, NotFound, Rejected, RequestError
from mobexport.pipeline.notify.delivery import Deliverer
from mobexport.pipeline.notify.undelivered import (
    NotificationQuery,
    Notifications,
    notifications,
    parse_query,
    show_notification,
)
from mobexport.pipeline.registry.registry import Registry
from mobexport.pipeline.registry.states import State
from mobexport.storage import EXPORTS_TABLE
from mobexport.wire import AttemptRef, Outcome

CONFIG = ExportsConfig.model_validate(
    {"targets": {name: {"kind": "storage-queue", "queue": "q-q"} for name in ("ops", "chat", "gone")}}
)


@pytest.fixture
def listed(registry) -> Notifications:
    return Notifications(registry, CONFIG)


class Receiver:
    """A target that refuses what it is told to, and keeps the events that came."""

    def __init__(self, registry) -> None:
        self.refused: set[str] = set()
        self.events: list = []
        self.deliverer = Deliverer(registry, self._post)

    def _post(self, target: str, event) -> None:
        self.events.append((target, event))
        if target in self.refused:
            raise Rejected("the webhook answered HTTP 410", status=410)

    def send(self, row, name: str) -> None:
        try:
            self.deliverer.send(row.ref, name, tries=1, attempts=15)
        except Rejected:
            assert name in self.refused


@pytest.fixture
def receiver(registry) -> Receiver:
    return Receiver(registry)


@pytest.fixture
def fail(registry, storage, source, make_request, receiver):
    """An export that failed, whose notifications to some targets were refused."""
    from mobexport.pipeline.finishing import Finisher

    def make(refused: tuple[str, ...], notify=("ops", "chat"), **changes):
        row, _ = registry.request(make_request(notify=notify, **changes), rerun=False)
        finisher = Finisher(registry, storage, None, lambda _: source)  # type: ignore[arg-type]
        row = finisher.finish(row.ref, Outcome.failed("Gone", "no such job", kind="remote"))
        receiver.refused = set(refused)
        for name in notify:
            receiver.send(row, name)
        return registry.get(row.id)

    return make


def test_given_a_refused_notification_then_it_is_listed_with_its_error(fail, listed, make_request) -> None:
    row = fail(("ops",))
    app = make_request().app
    (found,) = listed.page(NotificationQuery(app=app)).found
    assert (found.export_id, found.target, found.event, found.state, found.tries) == (
        row.id, "ops", "failed", "Failed", 1
    )  # fmt: skip
    assert found.error == "the webhook answered HTTP 410"
    assert listed.page(NotificationQuery(app=app, state="pending")).found == []
    shown = show_notification(found, "https://app/api")
    assert shown["links"]["resend"] == f"https://app/api/exports/{row.id}/notifications/ops/resend"
    assert {one.state for one in notifications(row)} == {"Failed", "Delivered"}


def test_given_one_failed_and_one_pending_then_each_in_its_list(fail, listed, registry) -> None:
    row = fail(("ops",))
    pending = {"event": "failed", "state": "Retrying", "tries": 2, "at": "x"}
    registry.record_delivery(row.ref, "chat", pending)
    for state, name in (("failed", "ops"), ("pending", "chat")):
        found = listed.page(NotificationQuery(state=state, app=row.request.app)).found
        assert [one.name for one in found] == [name]


def test_given_many_exports_when_listed_then_page_by_page_each_once(fail, listed, make_request) -> None:
    types = ("Event", "Session", "Job", "Crash", "Error")
    ids = {fail(("ops", "chat"), export_type=one).id for one in types}
    # Nothing of this one is left.
    fail((), export_type="Activity")
    query, found, pages = NotificationQuery(app=make_request().app, limit=2), [], 0
    while True:
        page = listed.page(query)
        pages += 1
        found += [(one.export_id, one.name) for one in page.found]
        if page.token is None:
            break
        parsed = parse_query({"app": query.app, "limit": "2", "continuation": page.token})
        query = parsed
    assert sorted(found) == sorted((id_, name) for id_ in ids for name in ("ops", "chat"))
    assert pages >= 3


def test_given_a_failed_notification_when_resent_then_the_same_event(
    fail, listed, registry, receiver
) -> None:
    row = fail(("ops",))
    first = receiver.events[0]
    row, again = listed.resend(row.id, "ops")
    assert (again.state, again.resent, row.open, row.pending_deliveries) == (
        "Pending", 1, True, ((1, "ops"),)
    )  # fmt: skip
    # The tick looks for this instance, and a caller starts it.
    assert delivery_instance(row, 1, "ops") == f"notify-{row.ref}-ops~1"
    # While it is being tried nobody begins it again.
    with pytest.raises(Conflict, match="is still being tried"):
        listed.resend(row.id, "ops")
    receiver.refused = set()
    receiver.send(row, "ops")
    assert receiver.events[-1] == first
    row = registry.get(row.id)
    assert (row.delivery("ops")["state"], row.delivery("ops")["resent"], row.open) == ("Delivered", 1, False)
    # What was delivered to all is dropped.
    assert row.events == {}
    with pytest.raises(Conflict, match="was delivered at"):
        listed.resend(row.id, "ops")


def test_given_a_second_failure_when_resent_then_counted_on(fail, listed, receiver, registry) -> None:
    row = fail(("ops",))
    for number in (1, 2):
        row, again = listed.resend(row.id, "ops")
        assert again.resent == number
        receiver.send(row, "ops")
    assert len({event["id"] for target, event in receiver.events if target == "ops"}) == 1
    assert registry.get(row.id).delivery("ops")["state"] == "Failed"


def test_given_two_failed_attempts_when_resent_then_the_newest_first(fail, listed, registry) -> None:
    row = fail(("ops",))
    registry.amend(
        row.id,
        lambda now: replace(
            now,
            deliveries={**now.deliveries, "2/ops": now.deliveries["1/ops"]},
            events={**now.events, "2": {"id": "second"}},
        ),
    )
    assert [listed.resend(row.id, "ops")[1].attempt for _ in range(2)] == [2, 1]


@pytest.mark.parametrize(
    ("name", "raised", "says"),
    [
        ("none", NotFound, "has no notification 'none'; there are: chat, gone, ops"),
        ("chat", Conflict, "was delivered at"),
        ("x" * 5000, NotFound, "has no notification"),
    ],
)
def test_given_nothing_to_send_again_then_why(fail, listed, name: str, raised, says: str) -> None:
    row = fail(("ops", "gone"), notify=("ops", "chat", "gone"))
    with pytest.raises(raised, match=says) as error:
        listed.resend(row.id, name)
    assert len(error.value.message) < 400


def test_given_a_target_or_event_that_is_gone_then_why(fail, registry) -> None:
    row = fail(("ops",))
    without = Notifications(registry, ExportsConfig())
    with pytest.raises(Conflict, match=r"exports\.toml has no \[targets\.ops\] any more"):
        without.resend(row.id, "ops")
    # As an earlier version left it.
    registry.amend(row.id, lambda now: replace(now, events={}))
    with pytest.raises(Conflict, match="was not kept"):
        Notifications(registry, CONFIG).resend(row.id, "ops")
    with pytest.raises(NotFound, match="there is no export 'none'"):
        without.resend("none", "ops")


def test_given_a_next_attempt_then_failed_ones_before_it_are_dropped(fail, registry) -> None:
    row = fail(("ops",))
    again, _ = registry.request(row.request, rerun=False)
    assert (again.attempt, notifications(again)) == (2, [])


def test_given_a_row_that_cannot_be_read_then_it_is_named_beside(fail, listed, storage) -> None:
    row = fail(("ops",))
    table = storage.table(EXPORTS_TABLE)
    broken = {"deliveries": '{"1/ops": {}}', "updated_at": ""}
    table.update_entity({"PartitionKey": "exports", "RowKey": row.id, **broken})
    Registry(storage).mend_list()
    try:
        page = listed.page(NotificationQuery(app=row.request.app))
        assert (page.found, page.unreadable) == ([], [row.id])
    finally:
        table.delete_entity("exports", row.id)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "lost"}, "state"),
        ({"limit": "0"}, "limit"),
        ({"limit": "201"}, "limit"),
        ({"app": "../x"}, "app"),
        ({"continuation": "forged"}, "continuation"),
        ({"order": "newest"}, "order"),
    ],
)
def test_given_a_wrong_option_then_it_is_named(query: dict[str, str], field: str) -> None:
    with pytest.raises(RequestError) as error:
        parse_query(query)
    assert [one[0] for one in error.value.problems] == [field]


def test_given_options_in_any_case_and_a_key_then_they_count() -> None:
    found = parse_query({"State": "pending", "LIMIT": "7", "code": "key", "app": ""})
    assert (found.state, found.limit, found.app) == ("pending", 7, "")


def test_given_a_target_whose_name_ends_in_a_number_then_other_instances() -> None:
    ref = AttemptRef("e", 1)
    ids = {notify_instance(ref, name, resent) for name in ("ops", "ops-1", "ops.1") for resent in range(3)}
    ids |= {notify_instance(ref, f"ops~{kind}", resent) for kind in ("reject-rate",) for resent in range(3)}
    assert len(ids) == 12
    assert notify_instance(ref, "ops") == "notify-e-1-ops"


def test_given_a_notification_resent_then_its_export_stays_as_it_was(fail, registry, listed) -> None:
    row = fail(("ops",))
    row, _ = listed.resend(row.id, "ops")
    assert (row.state, row.attempt, row.error["code"]) == (State.FAILED, 1, "Gone")
