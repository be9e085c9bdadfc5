"""A stand-in for Claude Code: `claude mcp add` prints the server that it would configure."""

import argparse
import json

parser = argparse.ArgumentParser(prog="claude")
parser.add_argument("mcp", choices=["mcp"])
parser.add_argument("add", choices=["add"])
parser.add_argument("--transport", choices=["stdio", "http"], default="stdio")
parser.add_argument("--header", action="append", default=[])
parser.add_argument("name")
parser.add_argument("where", nargs="+")
given = parser.parse_args()
if given.transport == "http":
    (url,) = given.where
    server = {"url": url, "headers": dict(header.split(": ", 1) for header in given.header)}
else:
    server = {"command": given.where[0], "args": given.where[1:]}
print(json.dumps({given.name: server}))
