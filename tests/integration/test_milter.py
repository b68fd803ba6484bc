# SPDX-License-Identifier: ISC
"""Milters: a scripted one for every reply of the protocol, and the real opendkim, rspamd and clamav-milter."""

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import time

import pytest

from conftest import IS_ROOT, Scripted, free_port, message, wait_until

EVENTS = {"C": "connect", "H": "helo", "M": "mail", "R": "rcpt", "T": "data", "L": "header", "N": "eoh", "B": "body", "E": "eom"}


class Milter(Scripted):
    """Speaks version 6; `script` names for an event the packets to answer with, else it goes on."""

    def __init__(self, script=None, protocol=0, actions=0x1ff):
        self.script, self.protocol, self.actions = script or {}, protocol, actions
        self.seen, self.macros, self.headers, self.body, self.aborts = [], {}, [], b"", 0
        super().__init__()

    def serve(self, s):
        try:
            self.talk(s)
        except (OSError, ConnectionError):
            pass
        finally:
            s.close()

    def take(self, s, n):
        data = b""
        while len(data) < n:
            part = s.recv(n - len(data))
            if not part:
                raise ConnectionError
            data += part
        return data

    def talk(self, s):
        while True:
            n, = struct.unpack(">I", self.take(s, 4))
            packet = self.take(s, n)
            letter, data = packet[:1].decode(), packet[1:]
            if letter == "O":
                self.reply(s, "O", struct.pack(">III", 6, self.actions, self.protocol))
                continue
            if letter == "D":
                words = data[1:].split(b"\0")
                self.macros.update(zip((w.decode() for w in words[::2]), (w.decode() for w in words[1::2])))
                continue
            if letter == "A":
                self.aborts += 1
                continue
            if letter == "Q":
                return
            if letter not in EVENTS:
                continue
            event = EVENTS[letter]
            self.seen.append((event, data))
            if event == "mail":
                self.headers, self.body = [], b""
            if event == "header":
                self.headers.append(tuple(data.rstrip(b"\0").split(b"\0", 1)))
            if event == "body":
                self.body += data
            for answer, payload in self.script.get(event, [("c", b"")]):
                if answer == "close":
                    raise ConnectionError
                if answer == "silence":
                    time.sleep(30)
                    raise ConnectionError
                self.reply(s, answer, payload)

    def reply(self, s, letter, data=b""):
        s.sendall(struct.pack(">I", len(data) + 1) + letter.encode() + data)

    def words(self, event):
        return [data for e, data in self.seen if e == event]


@pytest.fixture
def milter():
    made = []

    def make(script=None, **kw):
        made.append(Milter(script, **kw))
        return made[-1]
    yield make
    for m in made:
        m.end()


def start(suite, sink, *milters, settings=()):
    hop = sink()
    suite.start("smtpd_milters = " + ", ".join(f"inet:127.0.0.1:{m.port}" for m in milters), f"relayhost = [127.0.0.1]:{hop.port}", *settings)
    return hop


def test_a_milter_sees_everything_with_its_macros(suite, sink, milter):
    m = milter()
    hop = start(suite, sink, m, settings=["milter_macro_daemon_name = ORIGINATING"])
    suite.send("b@elsewhere.example", body="line\n.dot\nlast\n", X_Long="a\n\tb")
    assert hop.wait(1)
    name, rest = m.words("connect")[0].split(b"\0", 1)
    assert name == b"localhost" and rest[:1] == b"4" and rest[3:] == b"127.0.0.1\0"
    assert m.words("helo") == [b"client.example\0"]
    assert m.words("mail") == [b"<a@source.example>\0"]
    assert m.words("rcpt") == [b"<b@elsewhere.example>\0"]
    assert [e for e, _ in m.seen if e not in ("header", "body")] == ["connect", "helo", "mail", "rcpt", "data", "eoh", "eom"]
    assert m.headers == [(b"Subject", b"test"), (b"X-Long", b"a\n\tb")]
    assert m.body == b"line\r\n.dot\r\nlast\r\n"
    assert m.macros["j"] == "localhost.localdomain" or m.macros["j"]
    assert m.macros["{daemon_name}"] == "ORIGINATING"
    assert m.macros["{mail_addr}"] == "a@source.example" and m.macros["{rcpt_addr}"] == "b@elsewhere.example"
    assert re.match(r"[0-9A-F]{19}$", m.macros["i"]) and m.macros["v"].startswith("kingpost ")
    assert m.macros["_"] == "localhost [127.0.0.1]"


@pytest.mark.parametrize("event", ["connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom"])
@pytest.mark.parametrize("answer,code", [
    (("r", b""), "550 5.7.1"), (("t", b""), "451 4.7.1"), (("y", b"554 5.6.7 no such thing\0"), "554 5.6.7 no such thing"),
    (("y", b"421 4.2.1 go away\0"), "421 4.2.1 go away"),
])
def test_refusals_at_each_event(refusing, event, answer, code):
    suite, m, hop = refusing
    m.script.clear()
    m.script[event] = [answer]
    replies = []
    before = len(hop.messages())
    try:
        with suite.smtp() as c:
            replies.append(c.ehlo())
            replies.append(c.mail("a@source.example"))
            replies.append(c.rcpt("b@elsewhere.example"))
            if all(r[0] < 400 for r in replies):
                c.putcmd("data")
                first = c.getreply()
                replies.append(first)
                if first[0] == 354:
                    c.send(b"Subject: x\r\n\r\nbody\r\n.\r\n")
                    replies.append(c.getreply())
    except Exception as e:
        replies.append((getattr(e, "smtp_code", 0), getattr(e, "smtp_error", b"")))
    said = [f"{code} {text.decode()}" for code, text in replies]
    assert any(code in s for s in said), said
    assert len(hop.messages()) == before


@pytest.fixture(scope="module")
def refusing(peers):
    from conftest import Sink, Suite
    suite, m, hop = Suite(), Milter(), Sink(peers)
    suite.start(f"smtpd_milters = inet:127.0.0.1:{m.port}", f"relayhost = [127.0.0.1]:{hop.port}", "smtpd_hard_error_limit = 1000")
    yield suite, m, hop
    suite.end()
    m.end()
    hop.end()


def test_all_changes(suite, sink, milter):
    first = milter({"eom": [
        ("h", b"X-Added\0by one\n\tfolded\0"), ("i", struct.pack(">I", 0) + b"X-First\0top\0"), ("m", struct.pack(">I", 2) + b"X-Twice\0changed\0"),
        ("m", struct.pack(">I", 1) + b"X-Gone\0\0"), ("h", b"X-Evil\0a\r\n\r\nbody\r\nX: y\0"), ("c", b"")]})
    second = milter({"eom": [
        ("b", b"new body\nsecond "), ("p", b""), ("b", b"part\r\n"), ("+", b"<extra@elsewhere.example>\0"), ("-", b"<c@elsewhere.example>\0"),
        ("e", b"<new-sender@source.example>\0"), ("c", b"")]})
    hop = start(suite, sink, first, second)
    suite.send(["b@elsewhere.example", "c@elsewhere.example"], X_Gone="1", **{"X_Twice": "one\nX-Twice: two"})
    got = b"\n".join(hop.wait(1))
    assert b"X-Rcpt-Args: <extra@elsewhere.example>" in got and b"X-Rcpt-Args: <b@elsewhere.example>" in got
    assert b"<c@elsewhere.example>" not in got
    assert b"X-Mail-Args: <new-sender@source.example>" in got
    text = hop.messages()[0].replace(b"\r\n", b"\n")
    header, body = text.split(b"\n\n", 1)
    assert b"X-First: top\n" in header and b"X-Added: by one\n\tfolded" in header
    assert header.index(b"X-First") < header.index(b"Subject")
    assert b"X-Twice: one\nX-Twice: changed" in header and b"X-Gone" not in header
    assert b"\nX: y" not in header and b"X-Evil: a\n\tbody\n\tX: y" in header
    assert body.startswith(b"new body\nsecond part\n") and b"body\n" not in body[20:]
    assert (b"X-Added", b"by one\n\tfolded") in second.headers, "the second sees what the first made"


def test_a_large_message_is_seen_whole_and_changed(suite, sink, milter):
    m = milter({"eom": [("h", b"X-Seen\0yes\0"), ("c", b"")]})
    hop = start(suite, sink, m)
    body = "".join(f"line {n} of a large message, which goes by a file of its own\n" for n in range(40000))
    suite.send("b@elsewhere.example", body=body)
    text = hop.wait(1, 60)[0].replace(b"\r\n", b"\n")
    assert m.body == body.replace("\n", "\r\n").encode()
    assert b"X-Seen: yes" in text and body.encode() in text


def test_quarantine_and_discard(suite, sink, milter):
    m = milter({"eom": [("q", b"looks odd\0"), ("c", b"")]})
    hop = start(suite, sink, m)
    qid = suite.send("b@elsewhere.example")
    wait_until(lambda: any(r["queue_id"] == qid and r["queue_name"] == "hold" for r in suite.queue()), 10, "the message on hold")
    assert "looks odd" in suite.kingpost("queue", "show", qid).out
    m.script["eom"] = [("d", b"")]
    with suite.smtp() as c:
        c.sendmail("a@source.example", ["b@elsewhere.example"], message())
    suite.wait_log(r"milter-discard: from localhost\[127\.0\.0\.1\]; from=<a@source\.example>")
    suite.kingpost("queue", "release", qid)
    assert len(hop.wait(1)) == 1


@pytest.mark.parametrize("action,code", [("tempfail", 451), ("reject", 550), ("accept", 250)])
@pytest.mark.parametrize("fault", ["absent", "close", "silence", "garbage", "huge"])
def test_a_milter_that_fails(suite, sink, milter, action, code, fault):
    m = milter({"mail": {"close": [("close", b"")], "silence": [("silence", b"")], "garbage": [("Z", b"")], "huge": [("c", b"")]}.get(fault, [("c", b"")])})
    if fault == "huge":
        m.reply = lambda s, letter, data=b"": s.sendall(b"\xff\xff\xff\xff" + letter.encode() + data)
    hop = sink()
    port = free_port() if fault == "absent" else m.port
    suite.start(f"smtpd_milters = {{ inet:127.0.0.1:{port}, default_action={action}, command_timeout=1s, connect_timeout=1s }}", f"relayhost = [127.0.0.1]:{hop.port}")
    with suite.smtp() as c:
        c.ehlo()
        assert c.mail("a@source.example")[0] == code
        if code == 250:
            c.rcpt("b@elsewhere.example")
            assert c.data(message().replace("\n", "\r\n").encode())[0] == 250
            assert hop.wait(1)
    suite.wait_log(rf"warning: milter inet:127\.0\.0\.1:{port}: .*; the default action is {action}")


def test_rset_and_a_second_message(suite, sink, milter):
    m = milter()
    hop = start(suite, sink, m)
    with suite.smtp() as c:
        c.ehlo()
        c.mail("a@source.example")
        c.rset()
        wait_until(lambda: m.aborts == 1, 5, "an abort")
        for _ in range(2):
            c.sendmail("a@source.example", ["b@elsewhere.example"], message())
    assert len(hop.wait(2)) == 2 and m.connections == 1 and m.aborts == 1


def test_what_a_milter_does_not_want_is_not_sent(suite, sink, milter):
    m = milter(protocol=0x01 | 0x02 | 0x08 | 0x10 | 0x80)
    hop = start(suite, sink, m)
    m.script["header"] = []
    suite.send("b@elsewhere.example")
    assert hop.wait(1)
    assert [e for e, _ in m.seen] == ["mail", "data", "header", "eoh", "eom"]


def test_a_milter_that_accepts_is_asked_no_more(suite, sink, milter):
    m = milter({"mail": [("a", b"")]})
    hop = start(suite, sink, m)
    with suite.smtp() as c:
        for _ in range(2):
            c.sendmail("a@source.example", ["b@elsewhere.example"], message())
    assert len(hop.wait(2)) == 2
    assert [e for e, _ in m.seen] == ["connect", "helo", "mail", "mail"]


# --- mail that comes in by `sendmail` ---

def start_local(suite, sink, *milters, settings=()):
    hop = sink()
    suite.start("non_smtpd_milters = " + ", ".join(f"inet:127.0.0.1:{m.port}" for m in milters), f"relayhost = [127.0.0.1]:{hop.port}", *settings)
    return hop


LARGE = "".join(f"line {n} of a large message, which goes by a file of its own\n" for n in range(12000))


@pytest.mark.parametrize("body", ["body\n", LARGE], ids=["small", "large"])
def test_sendmail_is_seen_and_changed(suite, sink, milter, body):
    m = milter({"eom": [("h", b"X-Seen\0yes\0"), ("+", b"<extra@elsewhere.example>\0"), ("-", b"<c@elsewhere.example>\0"), ("e", b"<new@source.example>\0"), ("c", b"")]})
    hop = start_local(suite, sink, m)
    suite.sendmail("-f", "a@source.example", "b@elsewhere.example", "c@elsewhere.example", input="Subject: local\nBcc: secret@elsewhere.example\n\n" + body)
    text = hop.wait(1, 60)[0].replace(b"\r\n", b"\n")
    assert [e for e, _ in m.seen if e not in ("header", "body")] == ["connect", "helo", "mail", "rcpt", "rcpt", "data", "eoh", "eom"]
    name, rest = m.words("connect")[0].split(b"\0", 1)
    assert name == b"localhost" and rest[3:] == b"127.0.0.1\0"
    assert m.words("mail") == [b"<a@source.example>\0"] and m.words("rcpt") == [b"<b@elsewhere.example>\0", b"<c@elsewhere.example>\0"]
    names = [n for n, _ in m.headers]
    assert b"From" in names and b"Date" in names and b"Message-Id" in names and b"Bcc" not in names, "they see what will be sent"
    assert m.body == body.replace("\n", "\r\n").encode() and m.macros["_"] == "localhost [127.0.0.1]"
    assert b"X-Seen: yes" in text and text.count(b"Message-Id:") == 1 and body.encode() in text and b"X-Mail-Args: <new@source.example>" in text
    assert sorted(re.findall(rb"X-Rcpt-Args: <(.*?)>", text)) == [b"b@elsewhere.example", b"extra@elsewhere.example"]


@pytest.mark.parametrize("event", ["connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body", "eom"])
def test_sendmail_hears_a_refusal(suite, sink, milter, event):
    m = milter({event: [("y", b"554 5.6.7 no such thing\0")]})
    hop = start_local(suite, sink, m)
    done = suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input="Subject: x\n\nbody\n", check=False)
    assert done.returncode != 0 and "no such thing" in done.err
    suite.wait_log(r"milter-reject: [A-Z-]+ from localhost\[127\.0\.0\.1\]: 5\.6\.7 no such thing; from=<a@source\.example>")
    m.script.clear()
    suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input="Subject: x\n\nbody\n")
    assert len(hop.wait(1)) == 1


def test_sendmail_quarantine_discard_and_failure(suite, sink, milter):
    m = milter({"eom": [("q", b"looks odd\0"), ("c", b"")]})
    hop = start_local(suite, sink, m, settings=["milter_default_action = accept", "milter_command_timeout = 1s"])
    send = ["-f", "a@source.example", "b@elsewhere.example"]
    suite.sendmail(*send, input="Subject: q\n\nbody\n")
    wait_until(lambda: [r["queue_name"] for r in suite.queue()] == ["hold"], 10, "the message on hold")
    m.script["eom"] = [("d", b"")]
    suite.sendmail(*send, input="Subject: d\n\nbody\n")
    suite.wait_log(r"milter-discard: from localhost\[127\.0\.0\.1\]; from=<a@source\.example>")
    for fault in ["silence", "close"]:
        m.script["eom"] = [(fault, b"")]
        suite.sendmail(*send, input=f"Subject: {fault}\n\nbody\n")
    m.end()
    suite.sendmail(*send, input="Subject: gone\n\nbody\n")
    subjects = {re.search(rb"Subject: (\w+)", t).group(1) for t in hop.wait(3)}
    assert subjects == {b"silence", b"close", b"gone"}


# --- real ones ---

def need(program):
    path = shutil.which(program) or (f"/usr/sbin/{program}" if os.path.exists(f"/usr/sbin/{program}") else None)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


def listening(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def test_opendkim_signs(suite, sink, tmp_path):
    program, port = need("opendkim"), free_port()
    key = tmp_path / "key.pem"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, stderr=subprocess.DEVNULL)
    os.chmod(key, 0o600)
    conf = tmp_path / "opendkim.conf"
    conf.write_text("RequireSafeKeys no\n")  # the folder of temporary files is open to others
    process = subprocess.Popen([program, "-f", "-p", f"inet:{port}@127.0.0.1", "-d", "source.example", "-k", str(key), "-s", "sel", "-b", "s", "-x", str(conf)],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: listening(port), 15, "opendkim")
        hop = sink()
        suite.start(f"smtpd_milters = inet:127.0.0.1:{port}", f"relayhost = [127.0.0.1]:{hop.port}")
        suite.send("b@elsewhere.example", From="a@source.example", Date="Sun, 22 Nov 2026 10:00:00 +0000")
        text = hop.wait(1)[0]
        assert b"DKIM-Signature: v=1; a=rsa-sha256" in text and b"d=source.example" in text
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def running():
    """running(PORT, ARGUMENTS...) starts a milter and waits until it listens; it is ended with the test."""
    made = []

    def make(port, *args, seconds=15, **kw):
        made.append(subprocess.Popen(args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, **kw))
        wait_until(lambda: listening(port) or made[-1].poll() is not None, seconds, args[0])
        assert made[-1].poll() is None, f"{args[0]} has ended: {made[-1].returncode}"
        return made[-1]
    yield make
    for process in reversed(made):
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\n"


def test_rspamd_rejects_gtube(suite, sink, running, tmp_path):
    program, port = need("rspamd"), free_port()
    for folder in ["db", "run", "log"]:
        (tmp_path / folder).mkdir()
    local = tmp_path / "local.conf"
    local.write_text(f"""
.include "/etc/rspamd/common.conf"
options {{ pidfile = "{tmp_path}/run/pid"; dns {{ nameserver = ["127.0.0.1:9:10"]; timeout = 0.1s; retransmits = 1; }} url_tld = "/usr/share/rspamd/effective_tld_names.dat"; filters = ""; }}
logging {{ type = "file"; filename = "{tmp_path}/log/rspamd.log"; level = "notice"; }}
worker "rspamd_proxy" {{ count = 1; bind_socket = "127.0.0.1:{port}"; milter = yes; timeout = 20s; upstream "local" {{ default = yes; self_scan = yes; }} }}
""")
    run_as = ["-u", "root", "-g", "root"] if IS_ROOT else []
    running(port, program, "-f", *(["-i"] if IS_ROOT else []), *run_as, "-c", str(local), f"--var=DBDIR={tmp_path}/db", f"--var=RUNDIR={tmp_path}/run", f"--var=LOGDIR={tmp_path}/log", seconds=60)
    hop = sink()
    suite.start(f"smtpd_milters = inet:127.0.0.1:{port}", f"non_smtpd_milters = inet:127.0.0.1:{port}", f"relayhost = [127.0.0.1]:{hop.port}", "milter_content_timeout = 60s")
    headers = {"From": "a@source.example", "Date": "Sun, 22 Nov 2026 10:00:00 +0000", "Message_Id": "<1@source.example>"}
    with suite.smtp() as c:
        c.ehlo()
        c.mail("a@source.example")
        c.rcpt("b@elsewhere.example")
        code, text = c.data(message(body=GTUBE, **headers).replace("\n", "\r\n").encode())
    assert code == 554 and text.startswith(b"5.7.1"), (code, text)
    suite.wait_log(r"milter-reject|reject: END-OF-MESSAGE")
    done = suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input=message(body=GTUBE, **headers), check=False)
    assert done.returncode != 0
    suite.send("b@elsewhere.example", **headers)
    assert hop.wait(1) and len(hop.messages()) == 1


def test_clamav_milter_finds_a_signature(suite, sink, running, tmp_path):
    clamd, milter_program, clamd_port, port = need("clamd"), need("clamav-milter"), free_port(), free_port()
    signatures = tmp_path / "db"
    signatures.mkdir()
    marker = b"this-line-is-what-the-test-looks-for"
    (signatures / "test.ndb").write_text(f"Kingpost.Test:0:*:{marker.hex()}\n")
    conf = tmp_path / "clamd.conf"
    conf.write_text(f"DatabaseDirectory {signatures}\nTCPSocket {clamd_port}\nTCPAddr 127.0.0.1\nForeground yes\nLogFile {tmp_path}/clamd.log\nTemporaryDirectory {tmp_path}\n"
                    "OfficialDatabaseOnly no\n")
    running(clamd_port, clamd, "-c", str(conf), seconds=60)
    milter_conf = tmp_path / "milter.conf"
    milter_conf.write_text(f"MilterSocket inet:{port}@127.0.0.1\nClamdSocket tcp:127.0.0.1:{clamd_port}\nForeground yes\nOnInfected Reject\n"
                           f"RejectMsg virus %v found\nAddHeader Replace\nLogFile {tmp_path}/milter.log\nTemporaryDirectory {tmp_path}\n")
    running(port, milter_program, "-c", str(milter_conf), seconds=30)
    hop = sink()
    suite.start(f"smtpd_milters = inet:127.0.0.1:{port}", f"non_smtpd_milters = inet:127.0.0.1:{port}", f"relayhost = [127.0.0.1]:{hop.port}")
    bad = message(body=f"{marker.decode()}\n")
    with suite.smtp() as c:
        c.ehlo()
        c.mail("a@source.example")
        c.rcpt("b@elsewhere.example")
        code, text = c.data(bad.replace("\n", "\r\n").encode())
    assert code == 550 and b"virus Kingpost.Test" in text, (code, text)
    done = suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input=bad, check=False)
    assert done.returncode != 0 and "virus Kingpost.Test" in done.err
    suite.send("b@elsewhere.example")
    suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input=message("from sendmail"))
    assert all(b"X-Virus-Scanned: " in text for text in hop.wait(2))
