"""Vocabulary of the made-up data: screens, events, goods and tags."""

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

JOBS = ("sync", "upload photo", "download catalogue", "Bezahlung", "索引")
ERRORS = ("timeout", "HTTP 503", "no space left", "Zugriff verweigert")
CRASHES = ("java.lang.OutOfMemoryError", "NSRangeException", "SIGSEGV")

# Model, maker, firmware's version and name, Android's API level (0: none).
PHONES = (
    ("iPhone12,1", "Apple", "17.4", "iOS", 0),
    ("Pixel 4a", "Google", "13", "android", 33),
    ("Redmi Go", "Xiaomi", "8.1.0", "android", 27),
    ("SM-G991B", "samsung", "14", "android", 34),
)
PLACES: tuple[dict[str, object], ...] = (
    {"countrycode": "DE", "region": "Bayern", "locality": "München"},
    {"countrycode": "JP", "region": "東京都"},
    {"countrycode": "BR", "locality": "São Paulo"},
)
