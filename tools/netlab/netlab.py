#!/usr/bin/env python3
"""A laboratory of network links on one Linux machine: each host is a network namespace on a common switch.

    sudo python3 tools/netlab/netlab.py '[{"name": "server", "ip": "10.78.0.1", "up_mbit": 200, "down_mbit": 200},
                                          {"name": "w0", "ip": "10.78.0.2", "up_mbit": 50, "down_mbit": 50, "delay_ms": 20.5}]'

prints one line, {"namespaces": {"server": "netlab-server", ...}}, when the links are up, and takes them down when its standard input
ends or it is told to stop. A second laboratory on the machine waits for the first one's end. Programs run in a host with `ip netns exec netlab-w0 ...`.

Fields of a host (rates in Mbit/s of Ethernet frames, 0: unlimited):
  up_mbit, down_mbit   what the host sends and receives
  delay_ms             one way, each way
  loss                 fraction of frames lost, each way
  queue_ms             how long a frame may wait for a link before it is dropped (default 100)
  congestion           TCP congestion control of the host (default cubic; the kernel's own default may be BBR)

A host with neither delay nor loss hangs on a veth pair shaped by the kernel's token bucket filter. The others hang on TAP devices, between
which this program carries the frames: kernels of small machines have no netem. It is exact to a millisecond up to some 400 Mbit/s in all.
"""
import ctypes
import fcntl
import json
import math
import os
import random
import select
import signal
import struct
import subprocess
import sys
import time
from collections import deque

PREFIX = 'netlab-'
LOCK = '/run/netlab.lock'
SWITCH = PREFIX + 'switch'
PACKET_BYTES = 65536
FRAMES_A_TURN = 64
TURN_S = 0.0005

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x0002 | 0x1000
CLONE_NEWNET = 0x40000000
TCP_SYSCTL = '/proc/sys/net/ipv4/tcp_'
IFF_VNET_HDR = 0x4000
TUNSETOFFLOAD = 0x400454D0
TUN_F_CSUM_TSO4 = 0x01 | 0x02
# Each by itself is a timer and a wake-up: four links of 50 Mbit/s kept one and a half cores busy.
SEGMENTS = 4
VIRTIO_NET_HDR = struct.Struct('<BBHHHH')


def run(command):
    subprocess.run(command.split(), check=True)


def write(path, text):
    with open(path, 'w') as file:
        file.write(text)


def namespaces():
    names = os.listdir('/var/run/netns') if os.path.isdir('/var/run/netns') else []
    return [name for name in names if name.startswith(PREFIX)]


def remove_namespaces():
    for name in namespaces():
        run(f'ip netns del {name}')


class InNamespace:
    """Runs the block's system calls in a network namespace."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        self.home = os.open('/proc/self/ns/net', os.O_RDONLY)
        self.enter(f'/var/run/netns/{self.name}')

    def __exit__(self, *_):
        self.set(self.home)
        os.close(self.home)

    def enter(self, path):
        fd = os.open(path, os.O_RDONLY)
        self.set(fd)
        os.close(fd)

    @staticmethod
    def set(fd):
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), 'setns')


def open_tap(namespace, name):
    with InNamespace(namespace):
        fd = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP_NO_PI | IFF_VNET_HDR))
        fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM_TSO4)
    return fd


def limit_segments(namespace, device, most):
    """How many of TCP's segments pass the stacks as one, as through a network card that cuts them."""
    run(f'ip -n {namespace} link set {device} gso_max_segs {most}')


def wire_bytes(packet):
    """Of the Ethernet frames that a TAP device gives as one."""
    _, kind, _, segment, tcp, _ = VIRTIO_NET_HDR.unpack_from(packet)
    length = len(packet) - VIRTIO_NET_HDR.size
    if not kind:
        return length
    headers = tcp + 4 * (packet[VIRTIO_NET_HDR.size + tcp + 12] >> 4)
    return length + (math.ceil((length - headers) / segment) - 1) * headers


def shape(namespace, device, mbit, queue_ms):
    if mbit:
        run(f'tc -n {namespace} qdisc add dev {device} root tbf rate {mbit}mbit burst 16kb latency {queue_ms}ms')


class Direction:
    """One way of a link: a queue before a transmitter of a given rate, then a delay."""

    def __init__(self, source, target, mbit, delay_ms, loss, queue_ms):
        self.source, self.target = source, target
        self.seconds_a_byte = 8 / (mbit * 1e6) if mbit else 0
        self.delay, self.loss, self.longest_wait = delay_ms / 1e3, loss, queue_ms / 1e3
        self.busy_until = 0.0
        self.in_flight = deque()

    def receive(self, now):
        for _ in range(FRAMES_A_TURN):
            try:
                frame = os.read(self.source, PACKET_BYTES)
            except BlockingIOError:
                return
            if self.loss and random.random() < self.loss:
                continue
            start = max(self.busy_until, now)
            if start - now > self.longest_wait:
                continue
            self.busy_until = start + wire_bytes(frame) * self.seconds_a_byte
            self.in_flight.append((self.busy_until + self.delay, frame))

    def send_due(self, now):
        while self.in_flight and self.in_flight[0][0] <= now:
            try:
                os.write(self.target, self.in_flight.popleft()[1])
            except BlockingIOError:
                pass  # The host's own receive queue is full: the frame is lost there.


def allow_congestion_controls():
    """A namespace may only choose among those that the machine allows its users."""
    with open(f'{TCP_SYSCTL}available_congestion_control') as file:
        write(f'{TCP_SYSCTL}allowed_congestion_control', file.read())


def add_switch():
    run(f'ip netns add {SWITCH}')
    run(f'ip -n {SWITCH} link add br0 type bridge')
    run(f'ip -n {SWITCH} link set br0 up')


def add_host(host):
    """Makes the host's namespace and link; returns the directions that this program must carry."""
    name, queue_ms = PREFIX + host['name'], host.get('queue_ms', 100)
    port = 'p-' + host['name']
    run(f'ip netns add {name}')
    run(f'ip -n {name} link set lo up')
    with InNamespace(name):
        write(f'{TCP_SYSCTL}congestion_control', host.get('congestion', 'cubic'))
    directions = []
    if host.get('delay_ms') or host.get('loss'):
        inside, outside = open_tap(name, 'eth0'), open_tap(SWITCH, port)
        link = host.get('delay_ms', 0), host.get('loss', 0), queue_ms
        directions = [
            Direction(inside, outside, host.get('up_mbit', 0), *link),
            Direction(outside, inside, host.get('down_mbit', 0), *link),
        ]
    else:
        run(f'ip link add eth0 netns {name} type veth peer name {port} netns {SWITCH}')
        shape(name, 'eth0', host.get('up_mbit', 0), queue_ms)
        shape(SWITCH, port, host.get('down_mbit', 0), queue_ms)
    segments = 1 if host.get('loss') else SEGMENTS
    limit_segments(name, 'eth0', segments)
    limit_segments(SWITCH, port, segments)
    run(f'ip -n {SWITCH} link set {port} master br0 up')
    run(f"ip -n {name} addr add {host['ip']}/24 dev eth0")
    run(f'ip -n {name} link set eth0 up')
    return directions


def carry(directions):
    """Moves frames until standard input ends or a signal asks to stop."""
    stopped = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.append(True))
    by_source = {direction.source: direction for direction in directions}
    sources = [*by_source, sys.stdin.fileno()]
    turn_ends = time.monotonic()
    while not stopped:
        now = time.monotonic()
        next_due = min((d.in_flight[0][0] for d in directions if d.in_flight), default=now + 1)
        readable, _, _ = select.select(sources, [], [], max(0, next_due - now))
        # A turn's frames together: frame by frame, half of the work would be waking their receivers.
        gathering = max(0, turn_ends - time.monotonic())
        time.sleep(gathering)
        now = time.monotonic()
        came = now - TURN_S / 2 if gathering else now
        turn_ends = now + TURN_S
        for fd in readable:
            if fd == sys.stdin.fileno():
                if not os.read(fd, 1024):
                    return
            else:
                by_source[fd].receive(came)
        for direction in directions:
            direction.send_due(now + TURN_S / 2)


def main():
    hosts = json.loads(sys.argv[1])
    lock = open(LOCK, 'w')
    fcntl.flock(lock, fcntl.LOCK_EX)
    remove_namespaces()
    try:
        allow_congestion_controls()
        add_switch()
        directions = [direction for host in hosts for direction in add_host(host)]
        # Frames that leave late are a slower link than was asked for.
        os.nice(-15)
        print(json.dumps({'namespaces': {host['name']: PREFIX + host['name'] for host in hosts}}), flush=True)
        carry(directions)
    finally:
        remove_namespaces()


if __name__ == '__main__':
    main()
