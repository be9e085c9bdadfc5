# Generated from ../_async/__init__.py by tools/generate_sync.py: edit that.
"""The synchronous flavour. Generated from `_sync`."""
