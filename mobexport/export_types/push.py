"""Push: reactions to each campaign on each device, as a list of distinct status flags.

A raw record is one flag. An element is one exported record; the flags beyond the first of a device and
campaign are merged into it and count as superseded.
"""

from __future__ import annotations

from typing import Final

from mobexport.export_types.model import Collected, ExportType, Field, FieldKind, Parameters, Route

CAMPAIGN_TYPES: Final = ("Announcement", "DataPush", "NativePush", "Poll")
FLAGS: Final = (
    "None",
    "Queued",
    "Dropped",
    "InAppNotificationDisplayed",
    "InAppNotificationActioned",
    "InAppNotificationExited",
    "SystemNotificationDisplayed",
    "SystemNotificationActioned",
    "SystemNotificationExited",
    "ContentDisplayed",
    "ContentActioned",
    "ContentExited",
)

PUSH: Final = ExportType(
    name="Push",
    route="feedbackByDate",
    kind="pushes",
    historical=False,
    shape=Collected(field="status"),
    group=("deviceId", "campaignType", "campaignId"),
    time="timestamp",
    fields=(
        Field("deviceId", FieldKind.ID, required=True, help="the device"),
        Field("campaignType", FieldKind.TEXT, required=True, choices=CAMPAIGN_TYPES, help="kind of campaign"),
        Field("campaignId", FieldKind.INTEGER, required=True, help="the campaign, within its kind"),
        Field("timestamp", FieldKind.TIME, required=True, help="when the flag was set"),
        Field("status", FieldKind.TEXT, required=True, choices=FLAGS, help="one flag; exported as a list"),
    ),
    routes=(
        Route("feedbackByDate", Parameters.FEEDBACK_DATES),
        Route("feedbackByCampaign", Parameters.FEEDBACK_CAMPAIGNS),
    ),
    samples=(
        (
            '{"deviceId":"9f1c3e0a-6a0b-4c1e-9d6a-0b1f2c3d4e5f","campaignType":"Announcement","campaignId":1,'
            '"timestamp":"2025-03-23T14:47:43.479Z","status":"SystemNotificationDisplayed"}'
        ),
    ),
)
