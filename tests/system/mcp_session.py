"""A session of MCP over HTTP, as small as the tests of the server need one."""

import json

VERSION = "2025-06-18"


class McpSession:
    def __init__(self, server, headers=None):
        self.server, self.headers = server, dict(headers or {})
        _, answered, _ = self._tell({"id": 1, "method": "initialize", "params": {
            "protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}})
        self.headers |= {"Mcp-Session-Id": answered["Mcp-Session-Id"], "MCP-Protocol-Version": VERSION}
        self._tell({"method": "notifications/initialized"})

    def tools(self):
        return self._tell({"id": 2, "method": "tools/list"})[2]["result"]["tools"]

    def call(self, tool, arguments):
        """HTTP's status, the response."""
        status, _, answer = self._tell(
            {"id": 3, "method": "tools/call", "params": {"name": tool, "arguments": arguments}})
        return status, answer

    def _tell(self, message):
        status, headers, body = self.server.ask("POST", "/mcp", json.dumps({"jsonrpc": "2.0", **message}), {
            "Content-Type": "application/json", "Accept": "application/json, text/event-stream", **self.headers})
        data = body.split(b"data: ")[-1] if b"data: " in body else body
        return status, headers, json.loads(data) if data.strip() else None
