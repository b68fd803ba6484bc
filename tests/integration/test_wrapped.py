# SPDX-License-Identifier: ISC
"""Implicit TLS: who may not connect is closed without a handshake."""

import re
import socket
import ssl
import struct

import pytest

from conftest import Suite, free_port, wait_until
from test_limits import INSIDE
from test_tls import Certificates, context


@pytest.fixture
def wrapped(suite):
    """wrapped(SETTING...) starts an instance whose port `wrapped` is TLS from the first octet on."""
    suite.certs = Certificates(f"{suite.base}/r/etc/kingpost/certs")
    suite.certs.make("mail", "mail.example", kind="ec")
    suite.wrapped = free_port()

    def start(*settings, **kw):
        suite.start(INSIDE, f"smtpd_tls_chain_files = {suite.certs.path('mail.pem')}", *settings, services=[
            ("wrapped", "program = smtpd"), ("wrapped", f"listen = 127.0.0.1:{suite.wrapped}"), ("wrapped", "smtpd_tls_wrappermode = yes"),
            *[("wrapped", text) for text in kw.get("own", [])]])
        return suite
    return start


def connect(suite, address="127.0.0.2", head=b""):
    """The session after its handshake and greeting, or None: closed instead, without an octet."""
    raw = socket.create_connection(("127.0.0.1", suite.wrapped), 20, source_address=(address, 0))
    try:
        raw.sendall(head)
        s = context().wrap_socket(raw)
    except (ssl.SSLError, OSError) as e:
        assert isinstance(e, (ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionError)), e
        raw.close()
        return None
    with s.makefile("rb") as f:
        s.greeting = f.readline().decode()
    return s


def silent(suite, address):
    """What a client hears that says nothing at all."""
    with socket.create_connection(("127.0.0.1", suite.wrapped), 20, source_address=(address, 0)) as s:
        return s.recv(1000)


def handshakes(suite):
    m = suite.status()["metrics"]
    return m["smtpd_tls_handshakes_total"]["value"] + m["smtpd_tls_failed_total"]["value"]


def test_sessions_at_once(wrapped):
    suite = wrapped("smtpd_client_connection_count_limit = 2")
    kept = [connect(suite), connect(suite, "127.0.0.3")]
    assert all(s.greeting.startswith("220") for s in kept)
    before, signed = handshakes(suite), suite.status()["metrics"]["keeper_signatures_total"]["value"]
    for _ in range(20):
        assert silent(suite, "127.0.0.4") == b""
        assert connect(suite, "127.0.0.4") is None
    suite.wait_log(r"warning: Connection concurrency limit exceeded: 3 from \S+\[127\.0\.0\.4\] for service wrapped")
    suite.wait_log(r"reject: CONNECT from \S+\[127\.0\.0\.4\]: 421 4\.7\.0 \S+ Error: too many connections from 127\.0\.0\.4; ")
    assert handshakes(suite) == before and suite.status()["metrics"]["keeper_signatures_total"]["value"] == signed
    assert connect(suite, "127.0.0.1") is not None, "the own network is not counted"
    kept.pop().close()

    def room():
        s = connect(suite, "127.0.0.4")
        if s:
            s.close()
        return s
    wait_until(room, 10, "room for one more")


def test_rates_count_each_connection_once(wrapped):
    suite = wrapped("smtpd_client_connection_rate_limit = 3", "anvil_rate_time_unit = 60s")
    for _ in range(3):
        s = connect(suite)
        assert s.greeting.startswith("220")
        s.close()
    assert connect(suite) is None
    suite.wait_log(r"warning: Connection rate limit exceeded: 4 from ")


def test_blocks(wrapped):
    suite = wrapped()
    connect(suite).close()
    suite.kingpost("block", "add", "127.0.0.0/24", "we know why")
    before = handshakes(suite)
    assert connect(suite) is None and silent(suite, "127.0.0.9") == b""
    suite.wait_log(r"reject: CONNECT from \S+\[127\.0\.0\.2\]: 421 4\.7\.0 \S+ Error: 127\.0\.0\.2 is blocked: we know why")
    assert handshakes(suite) == before
    suite.kingpost("block", "remove", "127.0.0.0/24")
    connect(suite).close()


@pytest.mark.parametrize("version", [1, 2])
def test_behind_a_balancer_the_client_counts(wrapped, version):
    suite = wrapped("smtpd_client_connection_count_limit = 1", own=["smtpd_upstream_proxy_protocol = haproxy"])

    def head(client):
        if version == 1:
            return f"PROXY TCP4 {client} 192.0.2.1 1234 465\r\n".encode()
        return b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack("!H", 12) + socket.inet_aton(client) + socket.inet_aton("192.0.2.1") + struct.pack("!HH", 1234, 465)
    one = connect(suite, "127.0.0.1", head("198.51.100.1"))
    assert one.greeting.startswith("220")
    before = handshakes(suite)
    assert connect(suite, "127.0.0.1", head("198.51.100.2")) is None, "of the same network"
    assert handshakes(suite) == before
    other = connect(suite, "127.0.0.1", head("203.0.113.1"))
    assert other.greeting.startswith("220")
    suite.wait_log(r"reject: CONNECT from \S+\[198\.51\.100\.2\]: 421 4\.7\.0 ")
    suite.kingpost("block", "add", "203.0.113.77")
    assert connect(suite, "127.0.0.1", head("203.0.113.77")) is None


def test_the_other_tests_follow_the_handshake(wrapped):
    """What has words for the client is said within TLS."""
    suite = wrapped(own=["smtpd_client_restrictions = check_client_access inline:{{127.0.0.7=REJECT go away}}", "smtpd_delay_reject = no"])
    s = connect(suite, "127.0.0.7")
    assert re.match(r"554 5\.7\.1 .*go away", s.greeting), s.greeting
    s.close()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_words_behind_the_handshake_in_one_segment(wrapped, version):
    """What comes along with the client's last octets of the handshake has been read with them, and is answered at once."""
    suite = wrapped()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", suite.port), 10) as raw:
            plain = raw.makefile("rb")
            plain.readline()
            raw.sendall(b"STARTTLS\r\n")
            assert plain.readline().startswith(b"220")
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            tls = context(minimum_version=version, maximum_version=version).wrap_bio(incoming, outgoing)
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    raw.sendall(outgoing.read())
                    incoming.write(raw.recv(65536))
            tls.write(b"EHLO c.example\r\n")
            raw.sendall(outgoing.read())
            said = b""
            while not re.search(rb"^250 .*\r\n", said, re.M):
                incoming.write(raw.recv(65536))
                try:
                    said += tls.read(65536)
                except ssl.SSLWantReadError:
                    pass
