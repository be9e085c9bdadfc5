#!/usr/bin/env python3
"""Makes the synchronous flavour out of the asyncio one: the same words without async and await.

    tools/generate_sync.py            writes src/microsandbox/_sync
    tools/generate_sync.py --check    fails if what is there is not what would be written
"""

import pathlib
import re
import sys

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "src/microsandbox"
BY_HAND = {"_flavour.py"}  # exists in both, in its own words
NOTE = "# Generated from ../_async/{name} by tools/generate_sync.py: edit that.\n"

# In this order: later ones see what earlier ones have made.
WORDS = [
    (r"`_sync` is generated from this folder by tools/generate_sync\.py\.", "Generated from `_async`."),
    (r"The asyncio flavour\.", "The synchronous flavour."),
    (r"an `async with`", "a `with`"),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(Iterator|Client)\b", r"\1"),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"__a(iter|next|enter|exit)__", r"__\1__"),
    (r"\ba(close|read|iter_bytes)\b", r"\1"),
    (r"\b_async\b", "_sync"),
]


def synchronous(name: str, text: str) -> str:
    for pattern, replacement in WORDS:
        text = re.sub(pattern, replacement, text)
    return NOTE.format(name=name) + text


def main() -> int:
    stale = []
    for source in sorted((PACKAGE / "_async").glob("*.py")):
        if source.name in BY_HAND:
            continue
        target = PACKAGE / "_sync" / source.name
        text = synchronous(source.name, source.read_text(encoding="utf-8"))
        if target.exists() and target.read_text(encoding="utf-8") == text:
            continue
        stale.append(target.name)
        if "--check" not in sys.argv[1:]:
            target.write_text(text, encoding="utf-8")
    if stale and "--check" in sys.argv[1:]:
        print(f"_sync is not what _async gives ({', '.join(stale)}): run {sys.argv[0]}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
