"""The words of the made-up data: screens, events, goods and tags."""

SCREENS = (
    "Home",
    "Search",
    "Product",
    "Basket",
    "Checkout",
    "Account",
    "Wunschliste",
    "ニュース",
    "Réglages",
)

EVENTS = (
    "view_item",
    "search",
    "add_to_cart",
    "share",
    "open_push",
    "purchase",
    "rate",
    "sign_in",
    "scan_code",
)
EVENT_WEIGHTS = (30, 18, 14, 9, 8, 6, 6, 5, 4)

ITEMS = (
    "Kaffeemühle",
    "café crème",
    "お茶",
    "велосипед",
    "blue mug",
    'frame 10" by 8"',
    "two\nlines",
    "emoji 🙂",
    "tab\tstop",
)

TAGS: dict[str, tuple[object, ...]] = {
    "plan": ("free", "plus", "family"),
    "language": ("de", "en", "fr", "日本語"),
    "newsletter": (True, False),
    "loyaltyPoints": (0, 120, 2_147_483_648, 9_007_199_254_740_993),
    "firstPurchase": ("2024-11-03", "2025-01-19"),
}
