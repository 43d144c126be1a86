"""A WebSocket client and server (RFC 6455) on the standard library, for tests: `serve` echoes, `talk` sends and checks.

    websocket.py serve            prints its port, then echoes every message in fragments of odd sizes
    websocket.py talk HOST PORT   sends messages of many sizes, a ping, reads slowly, closes; prints what it saw
"""

import base64
import hashlib
import os
import socket
import struct
import sys
import threading
import time

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_for(key):
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


class Peer:
    """One end of a WebSocket connection."""

    def __init__(self, sock, masks, early=b""):
        self.sock, self.masks, self.buffer = sock, masks, early

    def exact(self, length):
        parts, have = [self.buffer], len(self.buffer)
        while have < length:
            data = self.sock.recv(1 << 16)
            if not data:
                raise EOFError("the connection ended")
            parts.append(data)
            have += len(data)
        whole = b"".join(parts)
        self.buffer = whole[length:]
        return whole[:length]

    def send(self, opcode, payload, final=True):
        mask_bit = 0x80 if self.masks else 0
        head = bytes([(0x80 if final else 0) | opcode])
        if len(payload) < 126:
            head += bytes([mask_bit | len(payload)])
        elif len(payload) < 1 << 16:
            head += bytes([mask_bit | 126]) + struct.pack(">H", len(payload))
        else:
            head += bytes([mask_bit | 127]) + struct.pack(">Q", len(payload))
        if self.masks:
            mask = os.urandom(4)
            key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
            payload = (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")
            head += mask
        self.sock.sendall(head + payload)

    def frame(self):
        first, second = self.exact(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", self.exact(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", self.exact(8))
        assert bool(second & 0x80) != self.masks, "only clients mask"
        mask = self.exact(4) if second & 0x80 else None
        payload = self.exact(length)
        if mask and payload:
            key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
            payload = (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")
        return first & 0x80, first & 0x0F, payload

    def message(self):
        """Returns the next message; answers pings on the way, hands out pongs and closes."""
        kind, parts = None, []
        while True:
            final, opcode, payload = self.frame()
            if opcode == 9:
                self.send(10, payload)
                continue
            if opcode in (8, 10):
                return opcode, payload
            kind = kind or opcode
            parts.append(payload)
            if final:
                return kind, b"".join(parts)


def head_of(sock):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(4096)
        if not piece:
            raise EOFError("no head")
        data += piece
    head, early = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    fields = dict((k.lower(), v.strip()) for k, v in (line.split(":", 1) for line in lines[1:]))
    return lines[0], fields, early


def echo(sock):
    _, fields, early = head_of(sock)
    accept = accept_for(fields["sec-websocket-key"])
    sock.sendall(
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ).encode()
    )
    peer = Peer(sock, masks=False, early=early)
    while True:
        opcode, payload = peer.message()
        if opcode == 8:
            peer.send(8, payload)
            return
        pieces = [payload[at : at + 70_001] for at in range(0, len(payload), 70_001)] or [b""]
        for at, piece in enumerate(pieces):
            peer.send(opcode if at == 0 else 0, piece, at == len(pieces) - 1)


def serve():
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=echo, args=(sock,), daemon=True).start()


def talk(host, port):
    sock = socket.create_connection((host, int(port)), timeout=20)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        (
            "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    line, fields, early = head_of(sock)
    assert line.split()[1] == "101", line
    assert fields["sec-websocket-accept"] == accept_for(key), fields
    peer = Peer(sock, masks=True, early=early)
    total = 0
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_003, 4_000_000]:
        sent = os.urandom(size)
        # Sent aside: both directions are full at once when a message is larger than what lies on the way.
        sender = threading.Thread(target=peer.send, args=(2, sent))
        sender.start()
        if size > 1_000_000:
            time.sleep(0.2)
        opcode, back = peer.message()
        sender.join()
        assert opcode == 2 and back == sent, f"{size} bytes came back as {len(back)}"
        total += size
    peer.send(9, b"are you there")
    assert peer.message() == (10, b"are you there")
    peer.send(1, "größe".encode())
    assert peer.message() == (1, "größe".encode())
    peer.send(8, struct.pack(">H", 1000))
    assert peer.message() == (8, struct.pack(">H", 1000))
    # The server ends the connection behind its close frame.
    assert sock.recv(1) == b"", "the connection ends"
    print(f"{total} bytes there and back, closed with 1000")


if __name__ == "__main__":
    serve() if sys.argv[1] == "serve" else talk(*sys.argv[2:])
