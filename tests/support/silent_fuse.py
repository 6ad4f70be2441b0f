# SPDX-License-Identifier: Apache-2.0
"""A file system with one file, whose server stops to answer when it gets SIGUSR1: what a dead network share looks like.

usage: silent_fuse.py FOLDER FILE     (as root; mounts a copy of FILE as FOLDER/libnccl.so.2, prints "ready")

The protocol is that of linux/fuse.h, 7.12 and later, as far as reading one file needs it.
"""
import ctypes
import os
import signal
import struct
import sys

INIT, LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, OPENDIR = 26, 1, 2, 3, 14, 15, 18, 25, 27
folder, content = sys.argv[1], open(sys.argv[2], "rb").read()
silent = False


def fall_silent(*_):
    global silent
    silent = True


signal.signal(signal.SIGUSR1, fall_silent)
device = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
if libc.mount(b"silent", folder.encode(), b"fuse", 0, options) != 0:
    sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")


def attributes(node):
    size, mode = (0, 0o40755) if node == 1 else (len(content), 0o100644)
    return struct.pack("<QQQQQQIIIIIIIIII", node, size, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node, body):
    if opcode == INIT:
        return struct.pack("<IIIIHHIIHHI", 7, 31, 65536, 0, 16, 12, 65536, 1, 16, 0, 0) + bytes(28)
    if opcode == LOOKUP:
        if body.rstrip(b"\0") != b"libnccl.so.2":
            return 2
        return struct.pack("<QQQQII", 2, 0, 3600, 3600, 0, 0) + attributes(2)
    if opcode == GETATTR:
        return struct.pack("<QII", 3600, 0, 0) + attributes(node)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("<QII", 1, 0, 0)
    if opcode == READ:
        offset, size = struct.unpack_from("<QI", body, 8)
        return content[offset : offset + size]
    return b"" if opcode in (RELEASE, FLUSH) else 38


print("ready", flush=True)
while True:
    try:
        request = os.read(device, 1 << 17)
    except InterruptedError:
        continue
    length, opcode, unique, node = struct.unpack_from("<IIQQ", request)
    if opcode == FORGET or silent:
        continue
    result = answer(opcode, node, request[40:length])
    error = result if isinstance(result, int) else 0
    body = b"" if error else result
    os.write(device, struct.pack("<IiQ", 16 + len(body), -error, unique) + body)
