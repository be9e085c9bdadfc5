"""A client of WebSockets, as small as the tests need one: text both ways, no fragments."""

import base64
import json
import os
import struct


class WebSocket:
    def __init__(self, server, headers=None, path="/api/v1/ws"):
        self.connection = server.connect()
        key = base64.b64encode(os.urandom(16)).decode()
        self.connection.request("GET", path, headers={
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": key, **server.headers, **(headers or {})})
        self.socket = self.connection.sock
        self.answer = self.connection.getresponse()
        self.status = self.answer.status
        self.close_code = None
        self.data = b""  # of a message that has begun

    def send(self, message):
        data = json.dumps(message).encode()
        mask = os.urandom(4)
        size = bytes([0x80 | len(data)]) if len(data) < 126 else struct.pack("!BH", 0x80 | 126, len(data))
        self.socket.sendall(b"\x81" + size + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))

    def receive(self):
        """The next message; None at the end."""
        first = self._read(2)
        if len(first) < 2:
            return None
        size = first[1] & 0x7F
        if size >= 126:
            size = int.from_bytes(self._read(2 if size == 126 else 8))
        piece = self._read(size)
        if first[0] & 0x0F == 8:
            self.close_code = int.from_bytes(piece[:2])
            return None
        if first[0] & 0x0F not in (0, 1):
            return self.receive()
        self.data += piece
        if not first[0] & 0x80:
            return self.receive()
        data, self.data = self.data, b""
        return json.loads(data)

    def call(self, method, params, id=1):
        """The response, with the events that came before it left out."""
        self.send({"jsonrpc": "2.0", "method": method, "params": params, "id": id})
        while (message := self.receive()) is not None:
            if message.get("id") == id:
                return message
        raise EOFError(method)

    def _read(self, size):
        data = b""
        while len(data) < size and (more := self.socket.recv(size - len(data))):
            data += more
        return data

    def close(self):
        self.connection.close()
