"""Calls to the data account, by an access log of Azurite."""

import re
from collections import Counter
from collections.abc import Iterable


def calls_by_service(lines: Iterable[str]) -> Counter[str]:
    """Calls in the log's lines, as `table GET`."""
    line = re.compile(r'"(GET|PUT|POST|DELETE|HEAD|MERGE|PATCH) (\S+) HTTP')
    found = (match.groups() for text in lines if (match := line.search(text)))
    return Counter(f"{_service(url)} {method}" for method, url in found)


def _service(url: str) -> str:
    is_table = re.search(r"Tables|\$batch|\$filter|/(exports|exporttasks|secrets|steps)\(", url)
    return "table" if is_table else "blob"
