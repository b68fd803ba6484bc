# SPDX-License-Identifier: ISC
"""What changes a message on its way in: access tables, header and body checks, filters, copies."""

import re
import smtplib

import pytest

from conftest import Scripted, message, wait_until

BIG = "".join(f"line {n} of a large message, which goes by a file of its own\n" for n in range(12000))


@pytest.fixture
def table(tmp_path):
    made = [0]

    def make(*lines):
        made[0] += 1
        path = tmp_path / f"t{made[0]}"
        path.write_text("".join(line + "\n" for line in lines))
        tmp_path.chmod(0o755)
        for parent in list(tmp_path.parents)[:3]:
            parent.chmod(parent.stat().st_mode | 0o055) if parent.owner() == tmp_path.owner() and str(parent) not in ("/", "/tmp") else None
        path.chmod(0o644)
        return path
    yield make


def start(suite, sink, *settings, **kw):
    hop = sink()
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", *settings, **kw)
    return hop


def refused(suite, content, to="b@elsewhere.example"):
    with suite.smtp() as c:
        c.ehlo()
        c.mail("a@source.example")
        c.rcpt(to)
        return c.data(content.replace("\n", "\r\n").encode())


def plain(text):
    return text.replace(b"\r\n", b"\n")


# --- changes by access tables ---

@pytest.mark.parametrize("body", ["body\n", BIG], ids=["small", "large"])
@pytest.mark.parametrize("stage", ["recipient", "end_of_data"])
def test_changes_of_access_tables(suite, sink, table, body, stage):
    rules = table("/^prepend@/ PREPEND X-Added: yes", "/^bcc@/ BCC copy@elsewhere.example", "/^hold@/ HOLD looks odd",
                  "/^redirect@/ REDIRECT other@elsewhere.example", "/^discard@/ DISCARD no thanks")
    hop = start(suite, sink, f"smtpd_{stage}_restrictions = check_sender_access pcre:{rules}, permit_mynetworks, reject")
    suite.send("b@elsewhere.example", body=body, sender="prepend@source.example")
    got = plain(hop.wait(1)[0])
    header, text = got.split(b"\n\n", 1)
    assert b"\nX-Added: yes\n" in header and text.startswith(body.encode())
    assert header.index(b"X-Added") < header.index(b"(kingpost)")
    suite.send("b@elsewhere.example", body=body, sender="bcc@source.example")
    assert any(b"X-Rcpt-Args: <copy@elsewhere.example>" in m for m in wait_until(lambda: len(hop.messages()) == 2 and hop.wait(2), 20, "a copy"))
    suite.send(["b@elsewhere.example", "c@elsewhere.example"], body=body, sender="redirect@source.example")
    got = [m for m in hop.wait(3) if b"redirect@" in m][0]
    assert re.findall(rb"X-Rcpt-Args: <(.*?)>", got) == [b"other@elsewhere.example"]
    qid = suite.send("b@elsewhere.example", body=body, sender="hold@source.example")
    wait_until(lambda: any(r["queue_id"] == qid and r["queue_name"] == "hold" for r in suite.queue()), 10, "the message on hold")
    assert "looks odd" in suite.kingpost("queue", "show", qid).out
    suite.kingpost("queue", "delete", qid)
    with suite.smtp() as c:
        c.sendmail("discard@source.example", ["b@elsewhere.example"], message(body=body))
    suite.wait_log(r"discard: .*no thanks")
    suite.wait_empty()
    assert len(hop.messages()) == 3


def test_an_added_recipient_is_expanded_and_routed(suite, sink, table):
    aliases = table("team@source.example one@elsewhere.example, two@elsewhere.example, b@elsewhere.example")
    rules = table("/^bcc@/ BCC team@source.example")
    hop = start(suite, sink, "virtual_alias_domains = source.example", f"virtual_alias_maps = texthash:{aliases}",
                f"smtpd_recipient_restrictions = check_sender_access pcre:{rules}, permit_mynetworks, reject")
    suite.send("b@elsewhere.example", sender="bcc@elsewhere.example")
    got = b"".join(hop.wait(1))
    suite.wait_empty()
    assert sorted(re.findall(rb"X-Rcpt-Args: <(.*?)>", got)) == [b"b@elsewhere.example", b"one@elsewhere.example", b"two@elsewhere.example"]


# --- header and body checks ---

def test_header_checks(suite, sink, table):
    checks = table(r"/^Subject: .*viagra/ REJECT", r"/^Subject: folded\n\s+evil/ REJECT 5.6.9 no folds", "/^X-Warn: / WARN odd one", "/^X-Info: / INFO",
                   "/^X-Ignore: / IGNORE", "/^X-Strip: / STRIP", r"/^X-Replace: (.*)$/ REPLACE X-Replaced: <$1>", "/^X-Before: / PREPEND X-New: put before",
                   "/^X-Bcc: / BCC copy@elsewhere.example", "/^X-Hold: / HOLD by its header", "/^X-Discard: / DISCARD", "/^X-Redirect: / REDIRECT r@elsewhere.example",
                   "/^X-Pass: / PASS", "/^X-Wrong: / NONSENSE")
    hop = start(suite, sink, f"header_checks = pcre:{checks}")
    assert refused(suite, message("cheap VIAGRA")) == (550, b"5.7.1 message content rejected")
    suite.wait_log(r"[0-9A-F]+: reject: header Subject: cheap VIAGRA from localhost\[127\.0\.0\.1\]; from=<a@source\.example> "
                   r"to=<b@elsewhere\.example> proto=ESMTP helo=<client\.example>: 5\.7\.1 message content rejected\n")
    assert refused(suite, message("folded\n evil")) == (550, b"5.6.9 no folds")
    assert refused(suite, message(X_Wrong="1"))[0] == 451
    for to_do in ["X_Warn", "X_Info", "X_Ignore", "X_Strip", "X_Replace", "X_Before"]:
        suite.send("b@elsewhere.example", subject=to_do, **{to_do: "some text", "X_Last": "last"})
    got = {re.search(rb"Subject: (\S+)", m).group(1).decode(): plain(m).split(b"\n\n")[0] for m in hop.wait(6)}
    assert b"X-Warn: some text" in got["X_Warn"] and b"X-Info: some text" in got["X_Info"]
    assert b"X-Ignore" not in got["X_Ignore"] and b"X-Last: last" in got["X_Ignore"] and b"X-Strip:" not in got["X_Strip"]
    assert b"\nX-Replaced: <some text>\nX-Last" in got["X_Replace"] and b"X-Replace:" not in got["X_Replace"]
    assert b"\nX-New: put before\nX-Before: some text\n" in got["X_Before"]
    for line in [r"warning: header X-Warn: some text from .*: odd one", "info: header X-Info: some text from", "strip: header X-Strip: ",
                 "replace: header X-Replace: some text from .*: X-Replaced: <some text>", "prepend: header X-Before: "]:
        suite.wait_log(line)
    assert "ignore:" not in suite.log()
    suite.send("b@elsewhere.example", X_Bcc="1")
    assert sorted(re.findall(rb"X-Rcpt-Args: <(.*?)>", b"".join(m for m in hop.wait(7) if b"X-Bcc" in m))) == [
        b"b@elsewhere.example", b"copy@elsewhere.example"]
    suite.send(["b@elsewhere.example", "c@elsewhere.example"], X_Redirect="1")
    assert re.findall(rb"X-Rcpt-Args: <(.*?)>", b"".join(m for m in hop.wait(8) if b"X-Redirect" in m)) == [b"r@elsewhere.example"]
    suite.send("b@elsewhere.example", X_Discard="1")
    suite.wait_log(r"discard: header X-Discard: 1 from")
    qid = suite.send("b@elsewhere.example", X_Hold="1")
    wait_until(lambda: [r["queue_name"] for r in suite.queue()] == ["hold"], 10, "the message on hold")
    assert "by its header" in suite.kingpost("queue", "show", qid).out
    suite.send("b@elsewhere.example", X_Pass="1", **{"X_Wrong": "never looked at"})
    assert len(hop.wait(9)) == 9


def test_sendmail_hears_of_a_rejected_header(suite, sink, table):
    checks = table("/^Subject: bad/ REJECT not here", "/^X-Gone:/ IGNORE")
    hop = start(suite, sink, f"header_checks = pcre:{checks}")
    done = suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input="Subject: bad\n\nx\n", check=False)
    assert done.returncode != 0 and "not here" in done.err
    suite.wait_log(r"reject: header Subject: bad from local; from=<a@source\.example> to=<b@elsewhere\.example>: 5\.7\.1 not here")
    suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input="X-Gone: 1\nBcc: secret@elsewhere.example\nSubject: good\n\nx\n")
    got = plain(hop.wait(1)[0])
    assert b"Subject: good" in got and b"X-Gone" not in got and b"Bcc:" not in got


PARTS = """MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="outer"

preamble
--outer
Content-Type: text/plain
X-Mime: in a part

body {word}
--outer
Content-Type: message/rfc822

Subject: nested {word}
Content-Type: multipart/alternative;
\tboundary=inner

--inner
Content-Disposition: attachment; filename="{name}"

deep body
--inner--
--outer--
epilogue
"""


def test_mime_structure(suite, sink, table):
    mime, nested = table("/filename=.*\\.exe/ REJECT no programs", "/^X-Mime: / REPLACE X-Seen: part"), table("/^Subject: nested evil/ REJECT nested")
    body = table("/^body bad/ REJECT words", "/^deep (.*)/ REPLACE shallow $1", "/^epilogue/ IGNORE")
    hop = start(suite, sink, f"mime_header_checks = pcre:{mime}", f"nested_header_checks = pcre:{nested}", f"body_checks = pcre:{body}")

    def parts(word="good", name="a.txt"):
        return "Subject: nested evil, but not nested\n" + PARTS.format(word=word, name=name)
    assert refused(suite, parts(name="a.exe")) == (550, b"5.7.1 no programs")
    assert refused(suite, parts("evil")) == (550, b"5.7.1 nested")
    assert refused(suite, parts("bad")) == (550, b"5.7.1 words")
    assert refused(suite, parts())[0] == 250
    got = plain(hop.wait(1)[0])
    assert b"\nX-Seen: part\n\nbody good\n" in got and b"\nshallow body\n--inner--\n--outer--\n" in got
    assert b"epilogue" not in got and b"deep" not in got


def test_checks_of_a_large_message(suite, sink, table):
    header, body = table("/^X-Gone:/ IGNORE", "/^X-Hit:/ REPLACE X-Was-Hit: yes"), table("/^line (5|700) of/ REPLACE changed $1", "/^line 650 of/ PREPEND put before",
                                                                                     "/^line 11999 / REJECT too far")
    hop = start(suite, sink, f"header_checks = pcre:{header}", f"body_checks = pcre:{body}")
    suite.send("b@elsewhere.example", body=BIG, X_Gone="1", X_Hit="1")
    head, text = plain(hop.wait(1)[0]).split(b"\n\n", 1)
    assert b"X-Gone" not in head and head.endswith(b"\nX-Was-Hit: yes") and b"X-Hit" not in head
    lines = BIG.split("\n")
    lines[5], lines[700] = "changed 5", "changed 700"
    lines.insert(650, "put before")
    assert text.rstrip(b"\n") == "\n".join(lines).rstrip("\n").encode(), "what lies behind body_checks_size_limit is not looked at"
    suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input="X-Hit: 1\nBcc: x@y.example\nSubject: s\n\n" + BIG)
    head, text = plain([m for m in hop.wait(2) if b"Subject: s" in m][0]).split(b"\n\n", 1)
    assert b"\nX-Was-Hit: yes\n" in head and b"Bcc" not in head
    assert text.rstrip(b"\n") == "\n".join(lines).rstrip("\n").encode()


def test_a_table_that_cannot_be_read_puts_off(suite, sink, tmp_path):
    start(suite, sink, f"header_checks = pcre:{tmp_path}/absent")
    assert refused(suite, message())[0] == 451


def test_notifications_are_not_checked(suite, sink, table):
    checks = table("/^Subject: .*[Uu]ndelivered/ REJECT", "/MAILER-DAEMON/ REJECT")
    hop = sink()
    suite.start(f"header_checks = pcre:{checks}", f"body_checks = pcre:{checks}", f"relayhost = [127.0.0.1]:{hop.port}", "virtual_alias_domains = gone.example",
                f"smtpd_recipient_restrictions = permit_mynetworks, reject", "smtpd_reject_unlisted_recipient = no")
    suite.send("nobody@gone.example", sender="a@elsewhere.example")
    assert any(b"X-Rcpt-Args: <a@elsewhere.example>" in m for m in hop.wait(1))


# --- filters and copies ---

class Filter(Scripted):
    """An after-queue filter: takes each message by SMTP and gives it back to another port, with a line more. `offers`: attributes of
    XFORWARD, answered with `answer`; what it was told it passes on where `tells` says so."""

    def __init__(self, back, offers="NAME ADDR PROTO HELO PORT IDENT SOURCE", answer="250 2.0.0 Ok", tells=False):
        self.back, self.offers, self.answer, self.tells, self.said = back, offers, answer, tells, []
        super().__init__()

    def give_back(self, told, sender, rcpts, data):
        try:
            with smtplib.SMTP("127.0.0.1", self.back, local_hostname="filter.example", timeout=10) as c:
                c.ehlo()
                for command in told if self.tells else []:
                    code, text = c.docmd(command)
                    if code != 250:
                        return f"451 4.3.0 {command}: {code} {text.decode()}"[:200]
                c.sendmail(sender, rcpts, b"X-Filtered: yes\r\n" + data)
            return "250 2.0.0 given back"
        except smtplib.SMTPException as e:
            return f"451 4.3.0 {e!r}"[:200]

    def serve(self, s):
        f = s.makefile("rwb")

        def reply(text):
            f.write(text.encode() + b"\r\n")
            f.flush()
        reply("220 filter.example ESMTP")
        sender, rcpts, told = "", [], []
        while line := f.readline().decode().strip():
            self.said.append(line)
            verb = line.split(" ")[0].upper()
            if verb == "EHLO":
                reply("250-filter.example\r\n250-PIPELINING\r\n" + (f"250-XFORWARD {self.offers}\r\n" if self.offers else "") + "250 8BITMIME")
            elif verb == "XFORWARD":
                if self.answer.startswith("250"):
                    told.append(line)
                reply(self.answer)
            elif verb == "MAIL":
                sender, rcpts = re.search("<(.*?)>", line).group(1), []
                reply("250 ok")
            elif verb == "RCPT":
                rcpts.append(re.search("<(.*?)>", line).group(1))
                reply("250 ok")
            elif verb == "DATA":
                reply("354 go on")
                data = b""
                while (part := f.readline()) not in (b".\r\n", b""):
                    data += part[1:] if part.startswith(b".") else part
                reply(self.give_back(told, sender, rcpts, data))
                told = []
            elif verb == "QUIT":
                reply("221 bye")
                return
            else:
                reply("250 ok")


@pytest.mark.parametrize("how", ["service", "FILTER", "header"])
def test_after_queue_filter(suite, sink, table, how):
    f = Filter(suite.submission_port)
    try:
        rules, checks = table(f"/./ FILTER smtp:[127.0.0.1]:{f.port}"), table(f"/^Subject:/ FILTER smtp:[127.0.0.1]:{f.port}", "/^X-Filtered/ REJECT")
        settings = {"service": [f"content_filter = smtp:[127.0.0.1]:{f.port}"],
                    "FILTER": [f"smtpd_recipient_restrictions = check_sender_access pcre:{rules}, permit_mynetworks, reject"],
                    "header": [f"header_checks = pcre:{checks}"]}[how]
        back = [("submission", s) for s in ["content_filter = ", "receive_override_options = no_header_body_checks, no_unknown_recipient_checks, no_milters",
                                                  "smtpd_recipient_restrictions = permit_mynetworks, reject", "smtpd_client_restrictions = ",
                                                  "smtpd_tls_security_level = none", "smtpd_sasl_auth_enable = no"]]
        hop = start(suite, sink, *settings, services=back)
        suite.send(["b@elsewhere.example", "c@other.example"])
        got = hop.wait(1)
        suite.wait_empty()
        got = plain(b"".join(hop.messages()))
        assert got.count(b"X-Filtered: yes") == len(hop.messages()) and b"Subject: test" in got
        assert set(re.findall(rb"X-Rcpt-Args: <(.*?)>", got)) == {b"b@elsewhere.example", b"c@other.example"}
        assert len([line for line in f.said if line.startswith("MAIL")]) == 1
        suite.wait_log(rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{f.port}, .*status=sent \(250 2\.0\.0 given back\)")
    finally:
        f.end()


def test_copies(suite, sink, table):
    senders, rcpts = table("a@source.example by-sender@elsewhere.example"), table("b@elsewhere.example by-rcpt@elsewhere.example", "@other.example by-domain@elsewhere.example")
    hop = start(suite, sink, "always_bcc = archive@elsewhere.example", f"sender_bcc_maps = texthash:{senders}", f"recipient_bcc_maps = texthash:{rcpts}")
    suite.send(["b@elsewhere.example"])
    assert sorted(re.findall(rb"X-Rcpt-Args: <(.*?)>", hop.wait(1)[0])) == [
        b"archive@elsewhere.example", b"b@elsewhere.example", b"by-rcpt@elsewhere.example", b"by-sender@elsewhere.example"]
    suite.send(["c@other.example"], sender="x@source.example")
    suite.wait_empty()
    got = b"".join(m for m in hop.messages() if b"<x@source" in m)
    assert sorted(set(re.findall(rb"X-Rcpt-Args: <(.*?)>", got))) == [b"archive@elsewhere.example", b"by-domain@elsewhere.example", b"c@other.example"]
    suite.sendmail("-f", "a@source.example", "z@elsewhere.example", input="Subject: local\n\nx\n")
    suite.wait_empty()
    got = b"".join(m for m in hop.messages() if b"Subject: local" in m)
    assert sorted(set(re.findall(rb"X-Rcpt-Args: <(.*?)>", got))) == [b"archive@elsewhere.example", b"by-sender@elsewhere.example", b"z@elsewhere.example"]


def test_no_address_mappings(suite, sink, table):
    aliases = table("b@elsewhere.example c@elsewhere.example")
    hop = start(suite, sink, "always_bcc = archive@elsewhere.example", f"virtual_alias_maps = texthash:{aliases}",
                "receive_override_options = no_address_mappings")
    suite.send("b@elsewhere.example")
    assert re.findall(rb"X-Rcpt-Args: <(.*?)>", b"".join(hop.wait(1))) == [b"b@elsewhere.example"]
