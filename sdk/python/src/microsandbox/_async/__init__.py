"""The asyncio flavour. `_sync` is generated from this folder by tools/generate_sync.py."""
