"""What a report's HTML carries, for tests."""

import base64
import json
import re
import zlib
from typing import Any


def embedded(text: str) -> dict[str, Any]:
    """The data in a page."""
    match = re.search(r'<script type="application/octet-stream" id="report-data">(.*?)</script>', text, re.S)
    assert match
    return json.loads(zlib.decompress(base64.b64decode(match.group(1))))
