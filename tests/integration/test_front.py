# SPDX-License-Identifier: ISC
"""smtpd as strangers see it: nmap's search for an open relay; crowds that must starve nobody; a worker that dies."""

import os
import re
import select
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from conftest import Suite, free_port, root_only, wait_until


@pytest.fixture(scope="module")
def front():
    """One worker, so that whoever starves another shares a loop with it; a wrapped port; outsiders are not in mynetworks."""
    s = Suite()
    certs = f"{s.base}/r/etc/kingpost/certs"
    os.makedirs(certs)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{certs}/key", "-out", f"{certs}/cert", "-days",
                    "3", "-subj", "/CN=mail.example"], check=True, stderr=subprocess.DEVNULL)
    with open(f"{certs}/chain", "w") as out:
        out.write(open(f"{certs}/key").read() + open(f"{certs}/cert").read())
    os.chmod(f"{certs}/key", 0o600)
    os.chmod(f"{certs}/chain", 0o600)
    s.wrapped = free_port()
    s.start("mynetworks = 192.0.2.0/24", "mydestination = local.example", "local_recipient_maps =", "default_transport = discard:",
            "local_transport = discard:", "smtpd_client_event_limit_exceptions = 127.0.0.0/8", f"smtpd_tls_chain_files = {certs}/chain",
            f"shared_paths = {s.base}",
            services=[("smtp", "workers = 1"), ("wrapped", "workers = 1"), ("wrapped", "program = smtpd"), ("wrapped", f"listen = 127.0.0.1:{s.wrapped}"), ("wrapped", "smtpd_tls_wrappermode = yes")])
    yield s
    s.end()


def connect(port):
    s = socket.create_connection(("127.0.0.1", port), 20)
    assert s.recv(500).startswith(b"220")
    return s


def ask(s, line):
    s.sendall(line + b"\r\n")
    got = b""
    while not got.endswith(b"\n") or got.splitlines()[-1][3:4] == b"-":
        part = s.recv(4000)
        assert part, got
        got += part
    return got


def transaction(port):
    """The seconds that a whole small message takes in a session of its own."""
    began = time.monotonic()
    s = connect(port)
    for line, code in ((b"EHLO c.example", b"250"), (b"MAIL FROM:<a@x.example>", b"250"), (b"RCPT TO:<b@local.example>", b"250"),
                       (b"DATA", b"354"), (b"Subject: x\r\n\r\nx\r\n.", b"250"), (b"QUIT", b"221")):
        got = ask(s, line)
        assert got.startswith(code), (line, got)
    s.close()
    return time.monotonic() - began


def beside(port, tries=20):
    """The slowest of some."""
    return max(transaction(port) for _ in range(tries))


# --- relaying ---


def scan(port):
    return subprocess.run(["nmap", "-Pn", "-n", "-p", str(port), "--script", "+smtp-open-relay", "--script-args",
                           "smtp-open-relay.ip=127.0.0.1,smtp-open-relay.domain=nmap.example", "127.0.0.1"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120).stdout


def test_nmap_finds_no_open_relay(suite):
    """16 ways to write a foreign recipient, all refused."""
    suite.start("mynetworks = 192.0.2.0/24", "default_transport = discard:")
    out = scan(suite.port)
    assert "smtp-open-relay" in out, out
    assert "Server is an open relay" not in out, out
    suite.wait_log(r"reject: RCPT from \S+\[127\.0\.0\.1\]: 554 5\.7\.1 ")


def test_nmap_finds_a_relay_that_is_open(suite):
    """The other half: without it the test above could not fail."""
    suite.start("mynetworks = 127.0.0.0/8", "default_transport = discard:")
    out = scan(suite.port)
    assert "Server is an open relay" in out, out


# --- crowds ---


def test_slowloris_starves_nobody(front):
    """300 sessions that send an octet now and then."""
    crowd = [connect(front.port) for _ in range(300)]
    stop = threading.Event()

    def trickle():
        text = b"EHLO " + b"x" * 200
        for i in range(len(text)):
            for s in crowd:
                s.send(text[i:i + 1])
            if stop.wait(0.02):
                return

    t = threading.Thread(target=trickle)
    t.start()
    try:
        assert beside(front.port) < 2
        assert t.is_alive()
    finally:
        stop.set()
        t.join()
    assert ask(crowd[0], b"").startswith((b"250", b"500", b"501"))
    for s in crowd:
        s.close()


def test_slow_command_ends(suite):
    """smtpd_timeout is for a whole command: octets that keep coming do not prolong it."""
    suite.start("smtpd_timeout = 2s")
    s = connect(suite.port)
    began = time.monotonic()
    got = b""
    while time.monotonic() - began < 10 and not got:
        try:
            s.send(b"x")
        except OSError:
            break
        if select.select([s], [], [], 0.2)[0]:
            got = s.recv(500)
    assert got.startswith(b"421 4.4.2"), got
    assert 1 < time.monotonic() - began < 6
    s.close()


def test_huge_pipeline_starves_nobody(front):
    """20 clients send commands without an end, and some never read the replies."""
    stop = threading.Event()
    sent = [0] * 20

    def flood(i):
        s = connect(front.port)
        ask(s, b"EHLO c.example")
        s.settimeout(0.2)
        lines = b"MAIL FROM:<a@x.example>\r\nRCPT TO:<b@local.example>\r\nRSET\r\n" * 200
        while not stop.is_set():
            try:
                sent[i] += s.send(lines)
                if i % 2 == 0:
                    s.recv(100000)
            except TimeoutError:
                pass
            except OSError:
                s = connect(front.port)
                ask(s, b"EHLO c.example")
                s.settimeout(0.2)
        s.close()

    threads = [threading.Thread(target=flood, args=(i,), daemon=True) for i in range(20)]
    for t in threads:
        t.start()
    try:
        wait_until(lambda: sum(sent) > 100000, 10, "the flood")
        assert beside(front.port, 10) < 5
    finally:
        stop.set()
        for t in threads:
            t.join(10)
    assert min(sent) > 0


def test_handshake_flood_slows_no_session(front):
    """8 clients do nothing but handshakes; a session in plain goes on beside them."""
    stop = threading.Event()
    done = [0] * 8

    def shake(i):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        while not stop.is_set():
            try:
                with socket.create_connection(("127.0.0.1", front.wrapped), 10) as s:
                    context.wrap_socket(s).close()
                    done[i] += 1
            except OSError:
                pass

    old = connect(front.port)
    threads = [threading.Thread(target=shake, args=(i,), daemon=True) for i in range(8)]
    for t in threads:
        t.start()
    try:
        wait_until(lambda: sum(done) > 50, 20, "handshakes")
        slowest = 0
        for _ in range(100):
            began = time.monotonic()
            assert ask(old, b"NOOP" if _ % 50 else b"EHLO c").startswith(b"250")
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 2
        assert beside(front.port, 5) < 5
    finally:
        stop.set()
        for t in threads:
            t.join(10)
    old.close()


# --- a worker that dies ---


def test_worker_dies_alone(suite):
    """Its sessions go with it; those of the other worker, and new ones, do not notice."""
    suite.start("mydestination = local.example", "local_recipient_maps =", "local_transport = discard:", services=[("smtp", "workers = 2")])
    sessions = [connect(suite.port) for _ in range(60)]
    for s in sessions:
        assert ask(s, b"EHLO c.example").startswith(b"250")
        assert ask(s, b"MAIL FROM:<a@x.example>").startswith(b"250")
    inodes = {pid: sockets_of(pid) for pid in suite.pids("smtpd")}
    victim = max(inodes, key=lambda pid: len(inodes[pid] & {inode_of(s) for s in sessions}))
    mine = [s for s in sessions if inode_of(s) in inodes[victim]]
    others = [s for s in sessions if s not in mine]
    if not others:
        pytest.skip("the kernel gave all sessions to one worker")
    os.kill(victim, signal.SIGKILL)
    for s in mine:
        try:
            assert s.recv(100) == b""
        except ConnectionResetError:
            pass
    for s in others:
        assert ask(s, b"RCPT TO:<b@local.example>").startswith(b"250")
        assert ask(s, b"DATA").startswith(b"354")
        assert ask(s, b"Subject: x\r\n\r\nx\r\n.").startswith(b"250")
    assert transaction(suite.port) < 10
    wait_until(lambda: len(suite.pids("smtpd")) == len(inodes), 20, "another worker")
    for s in sessions:
        s.close()


def sockets_of(pid):
    """The remote ends of its connections, as (address, port) in hexadecimal of /proc/net/tcp."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            name = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if name.startswith("socket:["):
            inodes.add(name[8:-1])
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f][1:]
    return {row[2] for row in rows if row[9] in inodes}


def inode_of(s):
    """Our end, as the server's row in /proc/net/tcp names it."""
    return f"0100007F:{s.getsockname()[1]:04X}"


# --- descriptors ---


@root_only
def test_sessions_beyond_descriptors_are_said(suite):
    """More sessions than a worker may have descriptors: it says so in the log when it starts."""
    suite.start("sessions = 900000")
    wait_until(lambda: re.search(r"sessions = 900000, but only \d+ descriptors", suite.errors() + suite.log()), 10, "word of it")
    connect(suite.port).close()
