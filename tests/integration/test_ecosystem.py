# SPDX-License-Identifier: ISC
"""What other programs of a mail site speak to smtpd: XCLIENT, XFORWARD, LMTP, ETRN, LIMITS."""

import re
import smtplib
import time

import pytest

from conftest import Suite, wait_until
from test_limits import Client, hello

INSIDE = "mynetworks = 127.0.0.1/32"


def test_xclient_puts_another_client_in_the_place(suite, sink):
    hop = sink()
    suite.start(INSIDE, "smtpd_authorized_xclient_hosts = 127.0.0.1/32", f"relayhost = [127.0.0.1]:{hop.port}")
    outsider = hello(suite, "127.0.0.2")
    assert "XCLIENT" not in outsider.say("EHLO client.example")
    assert outsider.say("XCLIENT ADDR=192.0.2.1").startswith("550 5.7.0")
    c = hello(suite, "127.0.0.1")
    assert "250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT" in c.say("EHLO proxy.example")
    for bad in ("XCLIENT", "XCLIENT ADDR=nonsense", "XCLIENT NAME", "XCLIENT COLOUR=blue", "XCLIENT PORT=99999", "XCLIENT NAME=a+0Ab"):
        assert c.say(bad).startswith("501 5.5.4"), bad
    assert c.say("XCLIENT NAME=mail.example.org ADDR=192.0.2.7 PORT=4711").startswith("220 ")
    assert c.say("MAIL FROM:<a@source.example>").startswith("503"), "the session begins anew"
    c.say("EHLO mail.example.org")
    c.say("MAIL FROM:<a@source.example>")
    assert c.say("RCPT TO:<b@elsewhere.example>").startswith("554 5.7.1"), "not trusted any more"
    suite.wait_log(r"NOQUEUE: reject: RCPT from mail\.example\.org\[192\.0\.2\.7\]: 554 5\.7\.1 <b@elsewhere\.example>: Relay access denied")
    assert c.say("XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE]").startswith("503"), "not within a transaction"
    c.say("RSET")
    assert c.say("XCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE] LOGIN=alice").startswith("220 ")
    c.say("EHLO v6.example")
    c.say("MAIL FROM:<a@source.example>")
    assert c.say("RCPT TO:<b@elsewhere.example>").startswith("250"), "a login may relay"
    c.say("DATA")
    queued = c.say("Subject: x\r\n\r\nbody\r\n.")
    qid = re.search(r"queued as (\w+)", queued).group(1)
    suite.wait_log(rf"{qid}: client=unknown\[2001:db8::7\], sasl_method=XCLIENT, sasl_username=alice")
    assert b"(v6.example" not in hop.wait(1)[0]
    assert b"2001:db8::7" in hop.messages()[0]


def test_xforward_names_the_original_client_in_the_log(suite, sink):
    hop = sink()
    suite.start(INSIDE, "smtpd_authorized_xforward_hosts = 127.0.0.1/32", f"relayhost = [127.0.0.1]:{hop.port}")
    outsider = hello(suite, "127.0.0.2")
    assert outsider.say("XFORWARD ADDR=192.0.2.1").startswith("550 5.7.0")
    c = hello(suite, "127.0.0.1")
    assert "250-XFORWARD NAME ADDR PROTO HELO PORT IDENT SOURCE" in c.say("EHLO filter.example")
    assert c.say("XFORWARD LOGIN=x").startswith("501")
    assert c.say("XFORWARD NAME=mail.example.org ADDR=192.0.2.7 IDENT=ABC123 PROTO=ESMTP HELO=mail.example.org SOURCE=REMOTE").startswith("250")
    for n in range(2):
        c.say("MAIL FROM:<a@source.example>")
        c.say("RCPT TO:<b@elsewhere.example>")
        c.say("DATA")
        qid = re.search(r"queued as (\w+)", c.say("Subject: x\r\n\r\nbody\r\n.")).group(1)
        if n == 0:
            suite.wait_log(rf"{qid}: client=\S+\[127\.0\.0\.1\], orig_queue_id=ABC123, orig_client=mail\.example\.org\[192\.0\.2\.7\]\n")
        else:
            suite.wait_log(rf"{qid}: client=\S+\[127\.0\.0\.1\]\n")


def test_lmtp_answers_for_each_recipient(suite, sink):
    hop = sink()
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", services=[("submission", "protocol = lmtp")])
    with smtplib.LMTP("127.0.0.1", suite.submission_port, local_hostname="client.example") as c:
        assert c.sendmail("a@source.example", ["x@elsewhere.example"], "Subject: by lmtp\r\n\r\nbody\r\n") == {}
        code, text = c.docmd("EHLO client.example")
        assert code == 500
        code, text = c.docmd("LHLO client.example")
        assert code == 250
        c.docmd("MAIL FROM:<a@source.example>")
        for r in "xyz":
            assert c.docmd(f"RCPT TO:<{r}@elsewhere.example>")[0] == 250
        assert c.docmd("RCPT TO:<no-such-user@localhost>")[0] == 550
        assert c.docmd("DATA")[0] == 354
        c.send(b"Subject: three\r\n\r\nbody\r\n.\r\n")
        replies = [c.getreply() for _ in range(3)]
        assert [r[0] for r in replies] == [250] * 3 and b"<x@elsewhere.example>" in replies[0][1]
    assert b"with LMTP" in hop.wait(2)[0]
    with smtplib.SMTP("127.0.0.1", suite.port) as c:
        assert c.docmd("LHLO client.example")[0] == 500


def test_etrn_tries_what_waits_for_a_domain(suite, sink):
    suite.start("relay_domains = branch.example", "minimal_backoff_time = 300s", "smtp_connect_timeout = 2s",
                "transport_maps = inline:{ branch.example=relay:[127.0.0.1]:1, sub.branch.example=relay:[127.0.0.1]:1, elsewhere.example=relay:[127.0.0.1]:1 }")
    for to in ("x@branch.example", "y@sub.branch.example", "z@elsewhere.example"):
        suite.send(to)
    suite.wait_log(r"to=<x@branch.example>.*status=deferred")
    suite.wait_log(r"to=<y@sub.branch.example>.*status=deferred")
    suite.wait_log(r"to=<z@elsewhere.example>.*status=deferred")
    c = hello(suite, "127.0.0.1")
    assert c.say("ETRN").startswith("501")
    assert c.say("ETRN elsewhere.example").startswith("459")
    before = suite.log().count("status=deferred")
    assert c.say("ETRN branch.example").startswith("250")
    wait_until(lambda: suite.log().count("status=deferred") >= before + 2, 15, "new attempts")
    assert len(re.findall(r"to=<z@elsewhere.example>.*status=deferred", suite.log())) == 1


def test_limits_are_announced(suite):
    suite.start("smtpd_recipient_limit = 77")
    with suite.smtp() as c:
        c.ehlo()
        assert c.esmtp_features["limits"] == "RCPTMAX=77"


V2 = b"\r\n\r\n\x00\r\nQUIT\n"


def proxied(suite, head, address="127.0.0.1", pieces=1):
    c = Client(suite, address, greeting=False)
    step = max(1, len(head) // pieces)
    for at in range(0, len(head), step):
        c.s.sendall(head[at:at + step])
        if pieces > 1:
            time.sleep(0.02)
    return c


@pytest.mark.parametrize("pieces", [1, 9])
@pytest.mark.parametrize("head,seen", [
    (b"PROXY TCP4 192.0.2.7 192.0.2.1 4711 25\r\n", "192.0.2.7"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 25\r\n", "2001:db8::7"),
    (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    (V2 + b"\x21\x11\x00\x0c" + bytes([192, 0, 2, 8, 192, 0, 2, 1, 0x12, 0x34, 0, 25]), "192.0.2.8"),
    (V2 + b"\x21\x21\x00\x27" + bytes.fromhex("20010db8" + "00" * 11 + "09") + bytes(16) + b"\x12\x34\x00\x19" + b"\x04\x00\x00", "2001:db8::9"),
    (V2 + b"\x20\x00\x00\x00", "127.0.0.1"),
])
def test_proxy_protocol(proxy, head, seen, pieces):
    c = proxied(proxy, head, pieces=pieces)
    assert c.reply().startswith("220")
    proxy.wait_log(rf"connect from \S+\[{seen}\]")
    c.say("EHLO client.example")
    c.say("MAIL FROM:<a@source.example>")
    verdict = c.say("RCPT TO:<b@elsewhere.example>")
    assert verdict.startswith("250" if seen == "127.0.0.1" else "554"), verdict


@pytest.mark.parametrize("head", [
    b"EHLO client.example\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.1 4711\r\n", b"PROXY TCP4 nonsense 192.0.2.1 1 25\r\n", b"PROXY " + b"x" * 200,
    V2 + b"\x31\x11\x00\x0c" + bytes(12), V2 + b"\x21\x11\x00\x04" + bytes(4), V2 + b"\x21\x11\xff\xff",
])
def test_no_proxy_header_no_session(proxy, head):
    before = proxy.log().count("haproxy read: ")
    c = proxied(proxy, head)
    try:
        assert c.f.readline() == b""
    except ConnectionResetError:
        pass
    wait_until(lambda: proxy.log().count("haproxy read: ") == before + 1, 5, "a word in the log")


def test_only_known_balancers_are_believed(proxy):
    c = proxied(proxy, b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n", "127.0.0.2")
    try:
        assert c.f.readline() == b""
    except ConnectionResetError:
        pass
    proxy.wait_log(r"haproxy read: not in smtpd_upstream_proxy_hosts, from \[127\.0\.0\.2\]")
    quiet = Client(proxy, "127.0.0.1", greeting=False)
    assert quiet.f.readline() == b""
    proxy.wait_log(r"haproxy read: no PROXY header in time, from \[127\.0\.0\.1\]")


@pytest.fixture(scope="module")
def proxy():
    s = Suite()
    s.start(INSIDE, "relayhost = [127.0.0.1]:1", services=[("smtp", "smtpd_upstream_proxy_protocol = haproxy"), ("smtp", "smtpd_upstream_proxy_timeout = 2s")])
    yield s
    s.end()
