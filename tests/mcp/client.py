"""A session of the official Python SDK with the fixture: its mode (legacy: with a session), then URL, or
a command for stdio. Prints what it saw as JSON."""

import json
import sys

import anyio
from mcp import StdioServerParameters
from mcp.client import Client

mode, *words = sys.argv[1:]
target = words[0] if words[0].startswith("http") else StdioServerParameters(command=words[0], args=words[1:])


async def main():
    progress = []

    async def on_progress(value, total, message):
        progress.append(message)

    async with Client(target, mode=mode) as client:
        seen = {
            "server": client.server_info.name,
            "version": client.protocol_version,
            "tools": [tool.name for tool in (await client.list_tools()).tools],
            "prompts": [prompt.name for prompt in (await client.list_prompts()).prompts],
            "resource": (await client.read_resource("test://static-text")).contents[0].text,
            "text": (await client.call_tool("test_simple_text")).content[0].text,
            "failed": (await client.call_tool("test_error_handling")).is_error,
        }
        await client.call_tool("test_tool_with_progress", progress_callback=on_progress)
        with anyio.move_on_after(0.2) as scope:
            await client.call_tool("test_until_cancelled")
        seen["cancelled"] = scope.cancelled_caught
        seen["after"] = (await client.call_tool("test_simple_text")).content[0].text
    print(json.dumps({**seen, "progress": progress}))


anyio.run(main)
