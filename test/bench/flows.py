"""Both ends of the bench of the rules: many small connections, datagrams there and back, a stream.

usage: flows.py serve PORT ADDRESS…   answers on the ports below (PORT `-`), or takes connections on PORT alone; says
                                      `ready` and goes on until it is killed
       flows.py load             takes a line of JSON after another on stdin, answers each with one:
           {"kind": "connect", "address", "port", "count"}   {"us": microseconds of each connect(2)}
           {"kind": "udp", "address", "port", "count"}       {"us": of each datagram and its answer}
           {"kind": "bulk", "address", "port", "bytes"}      {"mbPerSecond"}
"""

import json
import os
import socket
import struct
import sys
import threading
from time import perf_counter_ns

CONNECT_PORTS = (8080, 443)
UDP_PORT, BULK_PORT = 8081, 8082
# Closes with a reset: no port waits for its peer's last segments.
AT_ONCE = struct.pack("ii", 1, 0)


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def listen(address, port):
    listener = socket.socket(family(address), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(4096)
    return listener


def accept_and_close(listener):
    while True:
        listener.accept()[0].close()


def swallow(listener):
    room = bytearray(1 << 20)
    while True:
        stream = listener.accept()[0]
        while stream.recv_into(room):
            pass
        stream.sendall(b"!")
        stream.close()


def echo(address):
    answerer = socket.socket(family(address), socket.SOCK_DGRAM)
    answerer.bind((address, UDP_PORT))
    while True:
        answerer.sendto(*answerer.recvfrom(2048))


def serve(port, addresses):
    def start(work, of):
        threading.Thread(target=work, args=(of,), daemon=True).start()

    for address in addresses:
        for each in CONNECT_PORTS if port == "-" else (int(port),):
            start(accept_and_close, listen(address, each))
        if port != "-":
            continue
        start(swallow, listen(address, BULK_PORT))
        start(echo, address)
    print("ready", flush=True)
    threading.Event().wait()


def connects(asked):
    end, kind = (asked["address"], asked["port"]), family(asked["address"])
    taken = []
    for _ in range(asked["count"]):
        sock = socket.socket(kind, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
        began = perf_counter_ns()
        sock.connect(end)
        taken.append((perf_counter_ns() - began) / 1000)
        sock.close()
    return {"us": taken}


def round_trips(asked):
    sock = socket.socket(family(asked["address"]), socket.SOCK_DGRAM)
    sock.connect((asked["address"], asked["port"]))
    sock.settimeout(5)
    taken = []
    for _ in range(asked["count"]):
        began = perf_counter_ns()
        sock.send(b"x" * 64)
        sock.recv(2048)
        taken.append((perf_counter_ns() - began) / 1000)
    return {"us": taken}


def bulk(asked):
    sock = socket.create_connection((asked["address"], asked["port"]))
    chunk, left = bytes(1 << 20), asked["bytes"]
    began = perf_counter_ns()
    while left > 0:
        sock.sendall(chunk)
        left -= len(chunk)
    sock.shutdown(socket.SHUT_WR)
    sock.recv(1)
    return {"mbPerSecond": asked["bytes"] / (perf_counter_ns() - began) * 1000}


KINDS = {"connect": connects, "udp": round_trips, "bulk": bulk}

if sys.argv[1] == "serve":
    serve(sys.argv[2], sys.argv[3:])
# Ahead of whatever else the machine does, and on a processor of its own.
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
for line in sys.stdin:
    asked = json.loads(line)
    print(json.dumps(KINDS[asked["kind"]](asked)), flush=True)
