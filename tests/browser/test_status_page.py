"""The status page in a browser: from form to finished export, live, by keyboard, on phones, for everybody."""

import re
from typing import Any

import pytest
from chromium import violations
from scripted_export_api import GOOD
from waiting import wait_for

WIDTHS = (360, 768, 1280)
PAGES = {
    "notifications": "/notifications",
    "exports": "",
    "export": "/exports/{id}",
    "request": "/request",
    "batch-form": "/batch",
    "schedules": "/schedules",
    "raw": "/raw?app=shop&last=2025-03-27",
    "charts": "/charts?app=shop&last=2025-03-27",
    "wrong-filter": "?state=none",
    "missing": "/exports/none-such",
}
FORM = {"exportType": "Event", "app": "shop"}


def fill(page: Any, fields: dict[str, str]) -> None:
    for name, value in fields.items():
        control = page.locator(f"#{name}")
        if control.evaluate("one => one.tagName") == "SELECT":
            control.select_option(value)
        else:
            control.fill(value)


def request_slow(stage: Any, day: str) -> Any:
    """A page with an export of the app `slow` whose job waits until the test says otherwise."""
    stage.slow.states = ("Queued",)
    page = stage.open("/request")
    fill(page, {"exportType": "Event", "app": "slow", "startDate": day, "endDate": day})
    page.get_by_role("button", name="Request").click()
    page.wait_for_url("**/exports/*")
    # Only then the job is there, for the test to move on.
    wait_for(lambda: page.locator("#head .state").inner_text() == "Queued", 20)
    return page


@pytest.mark.parametrize("script", [True, False], ids=["script", "no-script"])
def test_given_a_form_when_sent_then_a_finished_export(stage, script: bool) -> None:
    day = "2025-03-20" if script else "2025-03-21"
    page = stage.open("/request", java_script_enabled=script)
    if script:
        fill(page, {**FORM, "startDate": day, "endDate": day})
    else:
        page.locator("#exportType").select_option("Event")
        page.locator("#app").select_option("shop")
        page.locator("#startDate").fill(day)
        page.locator("#endDate").fill(day)
    page.get_by_role("button", name="Request").click()
    page.wait_for_url("**/exports/shop-event-*")
    assert page.get_by_role("status").filter(has_text="The export was requested").count() == 1

    def ended() -> bool:
        if not script:
            page.reload()
        return page.locator("#head .state").inner_text() == "Succeeded"

    wait_for(ended, 40)
    assert "The counts add up" in page.locator("#account").inner_text()
    assert "not-json" in page.locator("#rejects").inner_text()


def test_given_a_job_that_moves_then_the_page_follows_without_a_reload(stage) -> None:
    page = request_slow(stage, "2025-03-01")
    page.evaluate("window.kept = true")
    state = page.locator("#head .state")
    stage.slow.jobs[-1].states = ["Started"]
    wait_for(lambda: state.inner_text() == "Running", 20)
    assert "Running" in page.locator("#announcer").inner_text()
    assert page.locator("#timeline [aria-current=step] strong").inner_text() == "running"
    stage.slow.jobs[-1].states = ["Succeeded"]
    wait_for(lambda: state.inner_text() == "Empty", 20)
    assert page.get_by_role("button", name="Cancel this export").count() == 0
    assert page.get_by_role("button", name="Run it again").count() == 1
    assert page.evaluate("window.kept") is True


def test_given_a_running_export_when_cancelled_then_it_may_run_again(stage) -> None:
    page = request_slow(stage, "2025-03-02")
    page.get_by_role("button", name="Cancel this export").focus()
    stage.slow.jobs[-1].states = ["Started"]
    wait_for(lambda: page.locator("#head .state").inner_text() == "Running", 20)
    # What was focused still is, though its part was replaced.
    assert page.evaluate("document.activeElement.id") == "cancel"
    page.keyboard.press("Enter")
    page.wait_for_url("**?done=cancel")
    wait_for(lambda: page.locator("#head .state").inner_text() == "Cancelled", 30)
    assert "cancelled" in page.locator("#timeline").inner_text()
    stage.slow.states = GOOD
    page.get_by_role("button", name="Run it again").click()
    page.wait_for_url("**?done=rerun")
    wait_for(lambda: page.locator("#head .state").inner_text() == "Empty", 30)
    assert re.search(r"Attempt\s+2", page.locator("#head").inner_text())


def test_given_a_failed_job_then_the_page_says_why_as_text(stage) -> None:
    stage.slow.error = "<img src=x onerror=alert(1)> \u202eno"
    try:
        page = request_slow(stage, "2025-03-04")
        stage.slow.jobs[-1].error = stage.slow.error
        stage.slow.jobs[-1].states = ["Failed"]
        wait_for(lambda: page.locator("#head .state").inner_text() == "Failed", 30)
        assert "<img src=x onerror=alert(1)>" in page.locator("#head .problem").inner_text()
        assert page.locator("main img").count() == 0
        assert "\u202e" not in page.content()
    finally:
        stage.slow.error = None


def test_given_a_batch_form_when_sent_then_its_exports_are_followed(stage) -> None:
    page = stage.open("/batch")
    page.get_by_label("Event").check()
    fill(page, {"app": "shop", "startDate": "2025-03-20", "endDate": "2025-03-23", "windowDays": "2"})
    page.get_by_role("button", name="Request").click()
    page.wait_for_url("**/batches/batch-*")
    assert page.locator("tbody tr").count() == 2
    wait_for(lambda: page.locator("#batch dd .state").inner_text() == "Succeeded", 40)
    page.get_by_role("link", name=re.compile("2025-03-22 to 2025-03-23")).click()
    page.wait_for_url("**/exports/shop-event-*")


def test_given_a_schedule_when_run_now_then_what_it_would_request(stage) -> None:
    page = stage.open("/schedules")
    page.get_by_role("button", name="Run now for shop").click()
    page.wait_for_url("**/batches/daily-*-shop-*")
    assert page.locator("tbody tr").count() == 2
    wait_for(lambda: page.locator("#batch dd .state").inner_text() == "Succeeded", 40)
    page.go_back()
    page.get_by_role("button", name="Run now for shop").click()
    page.wait_for_url("**?done=known")


def test_given_a_missing_day_when_followed_then_the_form_is_filled_in(stage) -> None:
    page = stage.open("/raw?app=shop&last=2025-03-27")
    page.get_by_role("link", name=re.compile("crashes 2025-03-26.*not exported")).click()
    page.wait_for_url("**/request?**")
    assert page.locator("#exportType").input_value() == "Crash"
    assert page.locator("#endDate").input_value() == "2025-03-26"


def test_given_a_wrong_form_then_problems_are_read_first(stage) -> None:
    page = stage.open("/request")
    fill(page, {**FORM, "startDate": "2025-03-24", "endDate": "2025-03-23"})
    page.get_by_role("button", name="Request").click()
    page.get_by_role("alert").wait_for()
    stage.errors.clear()  # Chromium tells of every answer with status 400.
    assert page.evaluate("document.activeElement.className") == "problems"
    assert page.locator("#endDate").get_attribute("aria-invalid") == "true"
    assert page.locator("#startDate").input_value() == "2025-03-24"
    assert violations(page) == []


def test_given_the_keyboard_alone_then_a_request_and_back(stage) -> None:
    page = stage.open()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Request":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/request")
    for _ in range(30):
        page.keyboard.press("Tab")
        found = page.evaluate("[document.activeElement.id, document.activeElement.tagName]")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", found
        if found[0] == "exportType":
            page.keyboard.type("Tok")
        elif found[0] == "app":
            page.keyboard.type("sh")
        elif found[1] == "BUTTON":
            page.keyboard.press("Enter")
            break
    page.wait_for_url("**/exports/shop-token-*")
    page.get_by_role("link", name="Exports").first.press("Enter")
    page.wait_for_url("**/api/ui")
    assert page.get_by_role("link", name=re.compile("Token")).count() >= 1


def test_given_a_filter_when_used_then_the_list_has_nothing_else(stage, finished) -> None:
    page = stage.open()
    page.locator("#exportType").select_option("Tag")
    page.get_by_role("button", name="Filter").click()
    page.wait_for_url("**exportType=Tag**")
    names = page.locator("tbody th").all_inner_texts()
    assert names
    assert all(name.startswith("Tag") for name in names)


@pytest.mark.parametrize("name", PAGES)
def test_given_a_page_then_it_is_for_everybody_on_any_screen(stage, finished, shot, name: str) -> None:
    page = stage.open(PAGES[name].format(id=finished), color_scheme="light", reduced_motion="reduce")
    if name in ("wrong-filter", "missing"):
        stage.errors.clear()  # Chromium tells of every answer with status 400 or 404.
    shot(page, name)
    grounds = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert violations(page) == [], scheme
        grounds.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(grounds) == 2
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width, width
    page.set_viewport_size({"width": 390, "height": 800})
    shot(page, f"{name}-phone")


def test_given_a_script_that_came_in_anyhow_then_the_policy_stops_it(stage) -> None:
    page = stage.open()
    page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'window.ran = true';"
        " document.body.append(one); document.body.setAttribute('onclick', 'window.ran = true');"
        " document.body.click(); }"
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in one for one in stage.errors)
    stage.errors.clear()
