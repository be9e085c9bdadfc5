"""A client of the official Python SDK that does what it is told, as an agent would. Its one argument is JSON:
`server` (as clients are configured), `mode` (legacy: with a session), `steps`. A step calls a tool; what is to
happen once its progress says `when` is `then`: another call, or "cancel". Prints what it saw as JSON."""

import json
import sys

import anyio
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

told = json.loads(sys.argv[1])


def target():
    server = told["server"]
    if "command" in server:
        return StdioServerParameters(**server)
    http = create_mcp_http_client(headers=server.get("headers"))
    return streamable_http_client(server["url"], http_client=http)


def seen_of(result):
    return {
        "text": "".join(part.text for part in result.content if part.type == "text"),
        "images": [[part.mime_type, part.data] for part in result.content if part.type == "image"],
        "structured": result.structured_content,
        "failed": bool(result.is_error),
    }


async def do(client, step):
    seen = {"progress": []}
    reached = anyio.Event()
    call = anyio.CancelScope()

    async def on_progress(value, total, message):
        seen["progress"].append(message)
        if step.get("when", "\0") in (message or ""):
            reached.set()

    async def then():
        await reached.wait()
        if step["then"] == "cancel":
            call.cancel()
        else:
            seen["then"] = seen_of(await client.call_tool(*step["then"]))

    async with anyio.create_task_group() as tasks:
        if "when" in step:
            tasks.start_soon(then)
        with call:
            seen.update(seen_of(await client.call_tool(*step["call"], progress_callback=on_progress)))
    return {**seen, "cancelled": call.cancelled_caught}


async def main():
    async with Client(target(), mode=told["mode"]) as client:
        prompt = await client.get_prompt("create_python_sandbox", {"sandbox_name": "box"})
        seen = {
            "server": client.server_info.name,
            "version": client.protocol_version,
            "instructions": client.instructions,
            "tools": [tool.name for tool in (await client.list_tools()).tools],
            "prompt": prompt.messages[0].content.text,
            "steps": [await do(client, step) for step in told["steps"]],
        }
    print(json.dumps(seen))


anyio.run(main)
