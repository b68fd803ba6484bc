# SPDX-License-Identifier: ISC
"""Rows of docs/rfc.md and docs/features.md that need a whole instance: SMTPUTF8, REQUIRETLS of notices, IPv6, AUTH= of MAIL, names of a service."""

import re
import socket
import ssl

import pytest

from conftest import USERS, Suite, free_port, message, wait_until
from test_auth import PATIENT, SUBMISSION, Line, b64
from test_tls import Certificates, context, put, starttls


class Six:
    """A client on [::1]."""

    def __init__(self, port):
        self.socket = socket.create_connection(("::1", port), 20)
        self.file = self.socket.makefile("rb")
        self.greeting = self.reply()

    def reply(self):
        while True:
            line = self.file.readline().decode()
            if line[3:4] != "-":
                return line.rstrip("\r\n")

    def say(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.socket.close()


def test_a_client_by_ipv6(suite):
    suite.start("mynetworks = [::1]/128", "smtpd_recipient_restrictions = check_client_access inline:{{::1 = OK}}, reject", "mydestination = localhost")
    c = Six(suite.port)
    assert c.greeting.startswith("220 ")
    assert c.say("EHLO [IPv6:::1]").startswith("250 ")
    assert c.say("MAIL FROM:<a@source.example>").startswith("250 ") and c.say(f"RCPT TO:<{USERS[0]}@localhost>").startswith("250 ")
    assert c.say("DATA").startswith("354 ") and c.say("Subject: six\r\n\r\nbody\r\n.").startswith("250 ")
    assert c.say("QUIT").startswith("221 ")
    c.close()
    (_, text), *_ = suite.wait_mail(having=b"Subject: six")
    assert re.match(rb"(?s).*Received: from \[IPv6:::1\] \((localhost|unknown|ip6-localhost|\S+) \[IPv6:::1\]\)\r?\n", text), text
    suite.wait_log(r"connect from \S+\[::1\]")
    assert any(r["client_addr"] == "::1" and r.get("client_port") for r in suite.events("connect"))
    # The same limits and relay rules; a client by IPv4 is another.
    assert Line(suite.port).say("MAIL FROM:<a@source.example>").startswith("250")
    other = Line(suite.port)
    other.say("MAIL FROM:<a@source.example>")
    assert other.say(f"RCPT TO:<{USERS[0]}@localhost>").startswith("554 5.7.1")
    other.close()


def test_ipv6_networks_count_as_one(suite):
    suite.start("mynetworks = 127.0.0.1/32", "smtpd_client_connection_count_limit = 2", "smtpd_client_event_limit_exceptions =")
    kept = [Six(suite.port), Six(suite.port)]
    refused = Six(suite.port)
    assert re.match(r"421 4\.7\.0 .* Error: too many connections from ::1", refused.greeting)
    suite.kingpost("block", "add", "::1")
    for c in kept:
        c.close()
    wait_until(lambda: "is blocked" in Six(suite.port).greeting, 10, "the block")
    suite.kingpost("block", "remove", "::1")


def test_each_service_has_its_name_and_banner(suite):
    suite.start("myhostname = mail.example", services=[("submission", "myhostname = submit.example"), ("submission", "smtpd_banner = $myhostname says hello")])

    def said(port):
        with socket.create_connection(("127.0.0.1", port), 20) as s, s.makefile("rb") as f:
            greeting = f.readline()
            s.sendall(b"HELO c.example\r\n")
            return greeting, f.readline()
    greeting, hello = said(suite.port)
    assert greeting.startswith(b"220 mail.example ESMTP") and hello == b"250 mail.example\r\n"
    assert said(suite.submission_port) == (b"220 submit.example says hello\r\n", b"250 submit.example\r\n")


# --- SMTPUTF8 (RFC 6531) ---


def test_vrfy_in_utf8(suite):
    suite.start("virtual_mailbox_domains = v.example", "virtual_mailbox_maps = inline:{müller@v.example=m/}", "smtpd_hard_error_limit = 100")
    c = Line(suite.port)
    assert c.say("VRFY <müller@v.example> SMTPUTF8") == "252 2.0.0 müller@v.example"
    assert c.say("VRFY <meier@v.example> SMTPUTF8").startswith("550 5.1.1 ")
    refused = c.say("VRFY <müller@v.example>")
    assert refused[:3] in ("501", "550", "553") and refused.isascii(), refused
    assert c.say("VRFY <meier@v.example> NONSENSE")[:3] in ("501", "504", "555")
    c.close()


def test_received_says_utf8smtp(suite):
    suite.start("mydestination = localhost")
    for options, word in ((["SMTPUTF8", "BODY=8BITMIME"], "UTF8SMTP"), ([], "ESMTP")):
        id = suite.send(f"{USERS[0]}@localhost", subject=f"by {word}", mail_options=options)
        (_, text), *_ = suite.wait_mail(having=f"Subject: by {word}".encode())
        assert re.search(rf"\swith {word} id {id}".encode(), text), text


def test_received_says_utf8smtpsa(suite):
    certs = Certificates(f"{suite.base}/r/etc/kingpost/certs")
    suite.start(f"smtpd_tls_chain_files = {certs.make('mail', 'mail.example', kind='ec')}", "mydestination = localhost", *PATIENT, services=SUBMISSION)
    suite.kingpost("user", "add", "ann", input="secret\n")
    with starttls(suite, port=suite.submission_port) as c:
        assert c.docmd("AUTH", "PLAIN " + b64("", "ann", "secret"))[0] == 235
        put(c, to=f"{USERS[0]}@localhost", subject="all of it", options=["SMTPUTF8"])
    (_, text), *_ = suite.wait_mail(having=b"Subject: all of it")
    assert b"with UTF8SMTPSA id" in text, text


# --- REQUIRETLS (RFC 8689 5): notices ---


def test_notices_of_requiretls_keep_to_it(suite, sink):
    """The notice has no content of the message, and does not go in plain either."""
    hop = sink()
    certs = Certificates(f"{suite.base}/r/etc/kingpost/certs")
    suite.start(f"smtpd_tls_chain_files = {certs.make('mail', 'mail.example', kind='ec')}", f"relayhost = [127.0.0.1]:{hop.port}", "mydestination = localhost",
                "myorigin = localhost", f"twobounce_notice_recipient = {USERS[0]}")
    secret = "Subject: quiet\r\n\r\nthe secret body\r\n".encode()
    with starttls(suite) as c:
        for sender in (f"{USERS[0]}@localhost", "far@source.example"):
            assert c.mail(sender, ["REQUIRETLS"])[0] == 250 and c.rcpt("b@far.example")[0] == 250
            assert c.data(secret)[0] == 250
    (_, text), *_ = suite.wait_mail(having=b"Undelivered Mail Returned to Sender")
    assert b"Subject: quiet" in text and b"the secret body" not in text and b"REQUIRETLS support required" in text
    (_, text), *_ = suite.wait_mail(having=b"Postmaster Copy")
    assert b"far@source.example" in text and b"the secret body" not in text
    assert hop.messages() == []


# --- AUTH= of MAIL (RFC 4954 5) ---


def test_auth_of_mail_is_understood_and_not_given_on(suite, server):
    hop = server(extensions="PIPELINING,AUTH PLAIN LOGIN,8BITMIME")
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", *PATIENT, services=SUBMISSION)
    suite.kingpost("user", "add", "ann", input="secret\n")
    c = Line(suite.submission_port)
    assert c.say("AUTH PLAIN " + b64("", "ann", "secret")).startswith("235")
    for value, code in (("<>", "250"), ("e+3Dmc2@example.com", "250"), ("e+3mc2@example.com", "501"), ("", "501"), ("a b", "5")):
        assert c.say(f"MAIL FROM:<ann@source.example> AUTH={value}").startswith(code), value
        c.say("RSET")
    assert c.say("MAIL FROM:<ann@source.example> AUTH=ann@source.example").startswith("250")
    assert c.say("RCPT TO:<x@far.example>").startswith("250") and c.say("DATA").startswith("354")
    assert c.say(message("given on").replace("\n", "\r\n") + "\r\n.").startswith("250")
    c.close()
    wait_until(lambda: hop.mail, 20, "the message")
    (mail,) = [line for line in hop.said if line.startswith("MAIL")]
    assert "AUTH=" not in mail and not any(line.startswith("AUTH") for line in hop.said)
