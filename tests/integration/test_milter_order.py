# SPDX-License-Identifier: ISC
"""Milters see what checks have made of a message, whatever its size; and what they make of it is what is delivered."""

import base64
import os
import re
import struct
import subprocess

import pytest

from conftest import free_port, message, of_release, wait_until
from test_edits import refused, table  # noqa: F401: a fixture
from test_milter import listening, milter, need, running  # noqa: F401: fixtures

LINE = "line {} of a large message, which goes by a file of its own\n"
BIG = "".join(LINE.format(n) for n in range(12000))
BODIES = pytest.mark.parametrize("body", ["body\n", BIG], ids=["small", "large"])
WAYS = pytest.mark.parametrize("way", ["smtp", "sendmail"])


def start(suite, sink, *milters, settings=(), **kw):
    hop = sink()
    ports = ", ".join(f"inet:127.0.0.1:{getattr(m, 'port', m)}" for m in milters)
    suite.start(f"smtpd_milters = {ports}", f"non_smtpd_milters = {ports}", f"relayhost = [127.0.0.1]:{hop.port}", *settings, **kw)
    return hop


def send(suite, way, content, check=True):
    """One way in or the other; the refusal's text, "" where there was none."""
    if way == "sendmail":
        done = suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input=content, check=False)
        assert not check or done.returncode == 0, done.err
        return done.err if done.returncode != 0 else ""
    code, text = refused(suite, content)
    assert not check or code == 250, (code, text)
    return f"{code} {text.decode()}" if code != 250 else ""


def plain(text):
    return text.replace(b"\r\n", b"\n")


HEADER = {"From": "a@source.example", "Date": "Sun, 22 Nov 2026 10:00:00 +0000", "Message_Id": "<1@source.example>"}


@BODIES
@WAYS
def test_milters_see_what_checks_have_made(suite, sink, milter, table, way, body):  # noqa: F811
    header, lines = table("/^X-Gone:/ IGNORE", "/^X-Hit:/ REPLACE X-Was-Hit: yes", "/^X-Mine:/ REJECT not from a milter"), table(
        "/^(body|line 5 of)/ REPLACE changed", "/^line 650 / PREPEND put before")
    m = milter({"eom": [("h", b"X-Mine\0yes\0"), ("c", b"")]})
    hop = start(suite, sink, m, settings=[f"header_checks = pcre:{header}", f"body_checks = pcre:{lines}"])
    send(suite, way, message(body=body, X_Gone="1", X_Hit="1", **HEADER))
    names = [n for n, _ in m.headers]
    assert b"X-Gone" not in names and b"X-Hit" not in names and (b"X-Was-Hit", b"yes") in m.headers and b"Received" not in names
    wanted = ["changed" if line in ("body",) or line.startswith("line 5 of") else line for line in body.split("\n")]
    if len(wanted) > 650:
        wanted.insert(650, "put before")
    assert m.body.decode() == "\r\n".join(wanted)
    head, text = plain(hop.wait(1, 60)[0]).split(b"\n\n", 1)
    assert b"\nX-Was-Hit: yes\n" in head and head.endswith(b"X-Mine: yes") and b"X-Gone" not in head, "header_checks do not see what milters add"
    assert text.decode().rstrip("\n") == "\n".join(wanted).rstrip("\n")


@BODIES
@WAYS
def test_checks_refuse_before_a_milter_sees_the_content(suite, sink, milter, table, way, body):  # noqa: F811
    m = milter()
    start(suite, sink, m, settings=[f"header_checks = pcre:{table('/^Subject: bad/ REJECT no')}", f"body_checks = pcre:{table('/evil/ REJECT no')}",
                                    "body_checks_size_limit = 100M"])
    assert "no" in send(suite, way, message("bad", body=body), check=False)
    assert "no" in send(suite, way, message(body=body + "evil\n"), check=False)
    assert not [e for e, _ in m.seen if e in ("header", "eoh", "body", "eom")]
    send(suite, way, message(body=body))
    assert m.words("eom")


def test_a_message_to_be_thrown_away_is_not_shown(suite, sink, milter, table):  # noqa: F811
    m = milter()
    start(suite, sink, m, settings=[f"header_checks = pcre:{table('/^Subject: away/ DISCARD')}"])
    send(suite, "smtp", message("away"))
    suite.wait_log("discard: header Subject: away")
    assert not m.words("eom") and m.words("rcpt")


@BODIES
@WAYS
def test_milter_header_checks(suite, sink, milter, table, way, body):  # noqa: F811
    checks = table("/^X-Spam: yes/ REJECT 5.7.9 spam", "/^X-Drop:/ IGNORE", "/^X-Turn: (.*)/ REPLACE X-Turned: $1", "/^X-Own:/ REJECT ours", "/^X-Hold:/ HOLD as told")
    m = milter({"eom": [("h", b"X-Drop\0a\0"), ("i", struct.pack(">I", 1) + b"X-Turn\0b\0"), ("h", b"X-Stay\0c\0"), ("c", b"")]})
    hop = start(suite, sink, m, settings=[f"milter_header_checks = pcre:{checks}"])
    send(suite, way, message(body=body, X_Own="not a milter's"))
    head, text = plain(hop.wait(1, 60)[0]).split(b"\n\n", 1)
    assert b"X-Turned: b\n" in head and b"X-Stay: c" in head and b"X-Drop" not in head and b"X-Own" in head and text.rstrip(b"\n") == body.rstrip("\n").encode()
    assert head.index(b"X-Turned") < head.index(b"Subject:")
    suite.wait_log(r"milter-header-replace: header X-Turn: b from .*: X-Turned: b")
    m.script["eom"] = [("h", b"X-Spam\0yes\0"), ("c", b"")]
    assert "spam" in send(suite, way, message(body=body), check=False)
    suite.wait_log(r"milter-header-reject: header X-Spam: yes from .*: 5\.7\.9 spam")
    m.script["eom"] = [("h", b"X-Hold\0yes\0"), ("c", b"")]
    send(suite, way, message(body=body))
    wait_until(lambda: [r["queue_name"] for r in suite.queue()] == ["hold"], 10, "the message on hold")


@WAYS
@pytest.mark.parametrize("body,new", [("body\n", "new\n"), ("body\n", BIG), (BIG, "new\n"), (BIG, BIG.replace("line", "word"))], ids=["small", "grown", "shrunk", "large"])
def test_a_replaced_body(suite, sink, milter, way, body, new):  # noqa: F811
    parts = [new.encode()[i:i + 50000] for i in range(0, len(new), 50000)]
    first = milter({"eom": [("b", b"never seen at the end\n"), ("h", b"X-One\x001\0"), ("c", b"")]})
    second = milter({"eom": [*(("b", p) for p in parts), ("m", struct.pack(">I", 1) + b"Subject\0changed\0"), ("c", b"")]})
    third = milter()
    hop = start(suite, sink, first, second, third)
    send(suite, way, message(body=body))
    assert first.body == body.replace("\n", "\r\n").encode() and second.body == b"never seen at the end\r\n"
    assert third.body == new.replace("\n", "\r\n").encode() and (b"Subject", b"changed") in third.headers and (b"X-One", b"1") in third.headers
    head, text = plain(hop.wait(1, 60)[0]).split(b"\n\n", 1)
    assert text.rstrip(b"\n") == new.rstrip("\n").encode() and b"Subject: changed" in head and b"X-One: 1" in head
    suite.wait_empty()


@BODIES
def test_all_changes_of_a_message_in_its_file_survive_a_restart(suite, sink, milter, body):  # noqa: F811
    """What is a file with pieces is read by others: the queue's commands, bounce, a successor of qmgr."""
    m = milter({"eom": [("h", b"X-Seen\0yes\0"), ("q", b"wait\0"), ("c", b"")]})
    hop = start(suite, sink, m)
    qid = suite.send("b@elsewhere.example", body=body, **HEADER)
    wait_until(lambda: [r["queue_name"] for r in suite.queue()] == ["hold"], 10, "the message on hold")
    suite.wait_log(f"{qid}: message-id=<1@source.example>")
    shown = suite.kingpost("queue", "show", qid).out
    assert "wait" in shown
    suite.stop()
    suite.start_again()
    suite.kingpost("queue", "release", qid)
    head, text = plain(hop.wait(1, 60)[0]).split(b"\n\n", 1)
    assert head.count(b"X-Seen: yes") == 1 and text.rstrip(b"\n") == body.rstrip("\n").encode()


@WAYS
@pytest.mark.parametrize("fault,when", [("close", "body"), ("silence", "body"), ("close", "eom"), ("half", "eom")])
@pytest.mark.parametrize("action", ["tempfail", "accept"])
def test_a_milter_that_dies_in_a_large_body(suite, sink, milter, way, fault, when, action):  # noqa: F811
    fails = [("b", b"half a body\n"), ("h", b"X-Half\0yes\0"), ("close", b"")] if fault == "half" else [(fault, b"")]
    m, after = milter({when: fails}), milter({"eom": [("h", b"X-After\0yes\0"), ("c", b"")]})
    hop = start(suite, sink, m, after, settings=[f"milter_default_action = {action}", "milter_command_timeout = 1s", "milter_content_timeout = 1s"])
    said = send(suite, way, message(body=BIG), check=False)
    if action == "tempfail":
        if way == "sendmail":  # it waits in the maildrop
            suite.wait_log(r"milter-reject: END-OF-MESSAGE .* try again later")
        else:
            assert said.startswith("451 4.7.1"), said
        assert not hop.messages()
        return
    assert said == ""
    head, text = plain(hop.wait(1, 60)[0]).split(b"\n\n", 1)
    assert text.rstrip(b"\n") == BIG.rstrip("\n").encode() and b"X-After: yes" in head and b"X-Half" not in head, "what it had begun does not count"


def test_a_submission_is_completed_before_milters_see_it(suite, sink, milter):  # noqa: F811
    m = milter({"eom": [("h", b"X-Seen\0yes\0"), ("c", b"")]})
    hop = start(suite, sink, m, services=[("submission", s) for s in ["smtpd_tls_security_level = none", "smtpd_sasl_auth_enable = no", "smtpd_client_restrictions = ",
                                                                      "smtpd_recipient_restrictions = permit_mynetworks, reject"]])
    with suite.smtp(suite.submission_port) as c:
        c.sendmail("a@source.example", ["b@elsewhere.example"], "Subject: x\r\n\r\nbody\r\n")
        c.sendmail("a@source.example", ["b@elsewhere.example"], "no header at all\r\n")
    texts = [plain(t) for t in hop.wait(2)]
    names = [n for n, _ in m.headers]
    for text in texts:
        assert all(text.count(b"\n" + name + b":") == 1 for name in [b"Message-Id", b"Date", b"From", b"X-Seen"]), text
    assert {b"Message-Id", b"Date", b"From"} <= set(names) and m.body == b"no header at all\r\n"


def test_macros_of_sender_recipient_and_queue_id(suite, sink, milter):  # noqa: F811
    m = milter()
    hop = start(suite, sink, m)
    at = {}
    take = m.take

    def note(s, n):
        data = take(s, n)
        if data[:1] == b"D":
            words = data[2:].split(b"\0")
            at.setdefault(data[1:2].decode(), {}).update(zip((w.decode() for w in words[::2]), (w.decode() for w in words[1::2])))
        return data
    m.take = note
    qid = suite.send("b@elsewhere.example")
    assert at["M"]["{mail_addr}"] == "a@source.example" and at["M"]["{mail_mailer}"] == "smtp" and str(hop.port) in at["M"]["{mail_host}"]
    assert at["R"]["{rcpt_addr}"] == "b@elsewhere.example" and at["R"]["{rcpt_mailer}"] == "smtp" and str(hop.port) in at["R"]["{rcpt_host}"]
    assert at["E"]["i"] == qid and re.match("[0-9A-F]{16}$", at["M"]["i"])
    suite.send("b@elsewhere.example", sender="")
    assert at["M"]["{mail_addr}"] == "" and at["M"]["{mail_host}"] == ""


# --- memory ---

def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1)) * 1024


@of_release
@WAYS
def test_fifty_megabytes_stay_out_of_memory(suite, sink, milter, table, way):  # noqa: F811
    m = milter({"body": [("c", b"")], "eom": [("h", b"X-Seen\0yes\0"), ("c", b"")]})
    hop = start(suite, sink, m, settings=["message_size_limit = 100M", f"header_checks = pcre:{table('/^X-Gone:/ IGNORE')}"])
    line = "0123456789abcdef" * 4 + "\n"
    body = line * (50 * 1024 * 1024 // len(line))
    program = {"smtp": "smtpd", "sendmail": "pickup"}[way]
    before = {pid: resident(pid) for p in (program, "cleanup") for pid in suite.pids(p)}
    send(suite, way, message(body=body, X_Gone="1"))
    for pid, was in before.items():
        assert resident(pid) - was < 20 * 1024 * 1024 and resident(pid) < 30 * 1024 * 1024, (pid, was, resident(pid))
    assert len(m.body) == len(body) + body.count("\n")
    text = plain(hop.wait(1, 90)[0])
    assert b"\nX-Seen: yes" in text[:3000] and b"X-Gone" not in text[:3000] and len(text) > len(body)


# --- signatures ---

@pytest.fixture
def opendkim(running, tmp_path):  # noqa: F811
    """opendkim() starts a signer and returns its port and the record of its key."""
    def make(mode="s", **options):
        program, port, key = need("opendkim"), free_port(), tmp_path / "key.pem"
        if not key.exists():
            subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, stderr=subprocess.DEVNULL)
            os.chmod(key, 0o600)
        conf = tmp_path / f"opendkim-{mode}.conf"
        conf.write_text("RequireSafeKeys no\nCanonicalization simple/simple\n" + "".join(f"{k} {v}\n" for k, v in options.items()))
        running(port, program, "-f", "-p", f"inet:{port}@127.0.0.1", "-d", "source.example", "-k", str(key), "-s", "sel", "-b", mode, "-x", str(conf))
        public = subprocess.run(["openssl", "rsa", "-in", str(key), "-pubout", "-outform", "DER"], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
        return port, b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)
    yield make


@BODIES
@WAYS
def test_a_signature_stays_true_behind_checks(suite, sink, opendkim, table, way, body):
    dkim = pytest.importorskip("dkim")
    port, record = opendkim()
    header = table("/^X-Gone:/ IGNORE", "/^Subject: (.*)/ REPLACE Subject: [list] $1")
    lines = table("/^(body|line 7 )/ REPLACE another line", "/^line 9 / IGNORE")
    hop = start(suite, sink, port, settings=[f"header_checks = pcre:{header}", f"body_checks = pcre:{lines}"])
    send(suite, way, message(body=body, X_Gone="1", **HEADER))
    text = hop.wait(1, 60)[0]
    start_of = text.index(b"Received: ")  # what smtp-sink has put before it
    text = re.sub(rb"\r?\n", b"\r\n", text[start_of:])
    text = re.sub(rb"\r\n\r\n$", b"\r\n", text)
    assert b"DKIM-Signature: " in text and b"Subject: [list] test" in text and b"another line" in text and b"X-Gone" not in text
    assert dkim.verify(text, dnsfunc=lambda name, **kw: record if name.startswith(b"sel._domainkey") else None), text[:3000]
    assert not dkim.verify(text.replace(b"another line", b"any other line"), dnsfunc=lambda name, **kw: record)
