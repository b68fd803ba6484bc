# SPDX-License-Identifier: ISC
"""Delivery status notifications (RFC 3461, 3464, 6533), read by Python's own parser."""

import email
import email.policy
import re
import time

import pytest

from conftest import USERS, Server, Suite, message, root_only, wait_until

pytestmark = root_only

USER, OTHER = USERS[0], USERS[-1]
SENDER = f"{USER}@localhost"
REFUSAL = "550-5.1.1 no such\r\n550 5.1.1 user here"


@pytest.fixture(scope="module")
def hops():
    made = {
        "fail": Server({"RCPT": REFUSAL}),
        "odd": Server({"dot": "554 5.7.1 " + "very long words " * 60 + "\x07\x1b[31m--bound\xff"}),
        "later": Server({"MAIL": "451 4.7.1 not now", "RCPT": "451 4.7.1 not now", "DATA": "451 4.7.1 not now"}),
        "plain": Server({"extensions": "PIPELINING,8BITMIME"}),
        "dsn": Server({"extensions": "PIPELINING,8BITMIME,DSN,SIZE 10000000"}),
        "half": Server({"RCPT": lambda s: "550 5.2.1 closed" if "bad" in s.said[-1] else "250 2.1.5 ok", "extensions": "8BITMIME"}),
    }
    yield made
    for s in made.values():
        s.end()


@pytest.fixture(scope="module")
def box(hops):
    s = Suite()
    transports = ", ".join(f"{name}.example=smtp:[127.0.0.1]:{hop.port}" for name, hop in hops.items())
    s.start(f"transport_maps = inline:{{{transports}}}", "mydestination = localhost", "myhostname = mx.here.example",
            "myorigin = localhost", "minimal_backoff_time = 1000s",
            "virtual_alias_maps = inline:{ { team@localhost = gone@fail.example }, { pair@localhost = a@plain.example, " + OTHER + "@localhost } }")
    with open(f"{s.root}/etc/aliases", "w") as f:
        f.write(f"postmaster: {OTHER}\nmailer-daemon: postmaster\nlist: {USER}, far@plain.example\nowner-list: {OTHER}\n"
                f"many: {USER}, {OTHER}, a@plain.example\n")
    s.command("bin/newaliases")
    yield s
    s.end()


def notices(suite, token, user=USER):
    return [email.message_from_bytes(m[1], policy=email.policy.default) for m in suite.mail(user)
            if b"multipart/report" in m[1] and token.encode() in m[1]]


class Report:
    """A notification in its three parts."""

    def __init__(self, m):
        self.message = m
        assert m.get_content_type() == "multipart/report" and m.get_param("report-type") == "delivery-status"
        assert not m.defects and m["MIME-Version"] == "1.0" and m["Message-Id"] and m["Date"]
        self.text, self.status, self.original = m.get_payload()
        assert self.text.get_content_type() == "text/plain"
        assert self.status.get_content_type() == "message/delivery-status"
        self.about, *self.recipients = self.status.get_payload()

    def of(self, address):
        found, = [r for r in self.recipients if r["Final-Recipient"] == f"rfc822; {address}"]
        return found


def report(suite, token, user=USER):
    made = wait_until(lambda: notices(suite, token, user), 20, f"notification about {token}")
    assert len(made) == 1
    return Report(made[0])


def no_report(suite, token, user=USER):
    suite.wait_empty()
    assert not notices(suite, token, user)


def test_the_form_of_a_bounce(box):
    qid = box.send("gone@fail.example", "bounce-form", "the body\n.with a dot\n", sender=SENDER)
    r = report(box, "bounce-form")
    m = r.message
    assert m["Return-Path"] == "<>" and m["To"] == SENDER and m["Subject"] == "Undelivered Mail Returned to Sender"
    assert "\nFrom: MAILER-DAEMON@mx.here.example (Mail Delivery System)\n" in m.as_string() and m["Auto-Submitted"] == "auto-replied"
    text = r.text.get_content()
    assert "This is the mail system at host mx.here.example." in text
    assert re.search(r"^<gone@fail\.example>: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550", text, re.M)
    assert r.about["Reporting-MTA"] == "dns; mx.here.example" and r.about["Arrival-Date"]
    assert r.about["X-Kingpost-Queue-ID"] == qid and r.about["X-Kingpost-Sender"] == f"rfc822; {SENDER}"
    one, = r.recipients
    assert one["Final-Recipient"] == "rfc822; gone@fail.example" and one["Action"] == "failed" and one["Status"] == "5.1.1"
    assert one["Remote-MTA"] == "dns; 127.0.0.1" and one["Last-Attempt-Date"]
    assert re.match(r"smtp; 550.5\.1\.1 no such 550 5\.1\.1 user here|smtp; 550-5\.1\.1 no such 550 5\.1\.1 user here", one["Diagnostic-Code"])
    assert r.original.get_content_type() == "message/rfc822"
    original, = r.original.get_payload()
    assert original["Subject"] == "bounce-form" and original.get_content() == "the body\n.with a dot\n"
    assert original["Received"].startswith("from client.example")
    box.wait_log(rf"bounce\[\d+\]: {qid}: sender non-delivery notification: [0-9A-F]+")
    box.wait_log(rf"{qid}: to=<gone@fail\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*dsn=5\.1\.1, status=bounced \(host .* said: 550")
    box.wait_empty()


def test_only_what_failed_is_told_in_one_notification(box, hops):
    box.send(["good@half.example", "bad1@half.example", "gone@fail.example", "bad2@half.example", f"{OTHER}@localhost"], "mixed", sender=SENDER)
    r = report(box, "mixed")
    assert {x["Final-Recipient"].split(" ")[1] for x in r.recipients} == {"bad1@half.example", "bad2@half.example", "gone@fail.example"}
    assert r.of("bad1@half.example")["Status"] == "5.2.1" and r.of("gone@fail.example")["Status"] == "5.1.1"
    assert "good@half.example" not in r.message.as_string().split("message/rfc822")[0]
    box.wait_empty()


def test_what_a_peer_says_is_made_harmless(box):
    box.send("x@odd.example", "odd-reply", "body with\n--boundary\n\n--\n", sender=SENDER)
    r = report(box, "odd-reply")
    diagnostic = r.recipients[0]["Diagnostic-Code"]
    raw = box.wait_mail(1, having=b"odd-reply")[0][1]
    assert "very long words very long words" in diagnostic and len(diagnostic) > 300
    assert b"\x07" not in raw and b"\x1b" not in raw and all(len(line) <= 998 for line in raw.split(b"\n"))


@pytest.mark.parametrize("notify,told", [("NEVER", False), ("SUCCESS", False), ("DELAY", False), ("FAILURE", True), ("SUCCESS,FAILURE,DELAY", True)])
def test_notify_decides_on_failures(box, notify, told):
    token = f"notify-{notify.replace(',', '-')}"
    box.send("gone@fail.example", token, sender=SENDER, rcpt_options=[f"NOTIFY={notify}"])
    if told:
        assert report(box, token).recipients[0]["Action"] == "failed"
    else:
        no_report(box, token)


def test_notify_is_of_each_recipient(box):
    with box.smtp() as c:
        c.ehlo()
        c.mail(SENDER)
        c.rcpt("one@fail.example", ["NOTIFY=NEVER"])
        c.rcpt("two@fail.example")
        c.data(b"Subject: notify-each\r\n\r\nx\r\n")
    assert [x["Final-Recipient"] for x in report(box, "notify-each").recipients] == ["rfc822; two@fail.example"]


@pytest.mark.parametrize("ret,kind", [("FULL", "message/rfc822"), ("HDRS", "text/rfc822-headers")])
def test_ret(box, ret, kind):
    box.send("gone@fail.example", f"ret-{ret}", "secret body\n", sender=SENDER, mail_options=[f"RET={ret}"])
    r = report(box, f"ret-{ret}")
    assert r.original.get_content_type() == kind and ("secret body" in r.message.as_string()) == (ret == "FULL")
    assert f"Subject: ret-{ret}" in r.original.as_string()


def test_a_large_original_comes_as_its_header(box):
    box.send("gone@fail.example", "large-original", ("z" * 70 + "\n") * 1000, sender=SENDER)
    r = report(box, "large-original")
    assert r.original.get_content_type() == "text/rfc822-headers" and "zzzz" not in r.message.as_string()
    assert len(r.message.as_bytes()) < 5000


def test_envid_and_orcpt(box):
    box.send("gone@fail.example", "envid", sender=SENDER, mail_options=["ENVID=QQ+2B314159"], rcpt_options=["ORCPT=rfc822;Bob+20Jones@first.example"])
    r = report(box, "envid")
    assert r.about["Original-Envelope-Id"] == "QQ+314159"
    assert re.match(r"rfc822; ?Bob Jones@first\.example", r.recipients[0]["Original-Recipient"])


def test_an_alias_is_named_with_what_it_became(box):
    box.send("team@localhost", "expanded-fails", sender=SENDER)
    r = report(box, "expanded-fails")
    assert r.of("gone@fail.example")["Original-Recipient"] == "rfc822; team@localhost"
    assert "<gone@fail.example> (expanded from <team@localhost>)" in r.text.get_content()


# --- success ---

def test_success_in_a_mailbox_and_relayed(box, hops):
    box.send([f"{OTHER}@localhost", "far@plain.example"], "success", sender=SENDER, mail_options=["RET=FULL"], rcpt_options=["NOTIFY=SUCCESS"])
    wait_until(lambda: sum(len(Report(m).recipients) for m in notices(box, "success")) == 2, 20, "two successes")
    seen = {}
    for m in notices(box, "success"):
        r = Report(m)
        assert m["Subject"] == "Successful Mail Delivery Report"
        assert r.original.get_content_type() == "text/rfc822-headers"  # RFC 3461 4.3: the whole only for failures
        seen.update({x["Final-Recipient"]: (x["Action"], x["Status"]) for x in r.recipients})
    assert seen == {f"rfc822; {OTHER}@localhost": ("delivered", "2.0.0"), "rfc822; far@plain.example": ("relayed", "2.0.0")}
    assert not [c for c in hops["plain"].said if "NOTIFY" in c or "RET=" in c]


def test_a_peer_with_dsn_gets_the_parameters(box, hops):
    box.send("far@dsn.example", "passed-on", sender=SENDER, mail_options=["RET=HDRS", "ENVID=abc+3Ddef"],
             rcpt_options=["NOTIFY=SUCCESS,FAILURE,DELAY", "ORCPT=rfc822;first@first.example"])
    wait_until(lambda: [m for m in hops["dsn"].mail if b"passed-on" in m], what="mail")
    mail = [c for c in hops["dsn"].said if c.startswith("MAIL")][-1].split(" ")
    rcpt = [c for c in hops["dsn"].said if c.startswith("RCPT")][-1].split(" ")
    assert {"RET=HDRS", "ENVID=abc+3Ddef"} <= set(mail)
    assert "ORCPT=rfc822;first@first.example" in rcpt
    assert set([w for w in rcpt if w.startswith("NOTIFY=")][0][7:].split(",")) == {"SUCCESS", "FAILURE", "DELAY"}
    no_report(box, "passed-on")
    box.send("never@dsn.example", "never-passed", sender=SENDER, rcpt_options=["NOTIFY=NEVER"])
    wait_until(lambda: [m for m in hops["dsn"].mail if b"never-passed" in m], what="mail")
    assert "NOTIFY=NEVER" in [c for c in hops["dsn"].said if "never@" in c][-1]


def test_an_orcpt_is_made_where_there_was_none(box, hops):
    box.send("plain+x@dsn.example", "orcpt-made", sender=SENDER, rcpt_options=["NOTIFY=FAILURE"])
    wait_until(lambda: [m for m in hops["dsn"].mail if b"orcpt-made" in m], what="mail")
    assert "ORCPT=rfc822;plain+2Bx@dsn.example" in [c for c in hops["dsn"].said if "plain+x" in c][-1]


def test_success_of_aliases(box):
    box.send("many@localhost", "alias-success", sender=SENDER, rcpt_options=["NOTIFY=SUCCESS"])
    actions = lambda: sorted(x["Action"] for m in notices(box, "alias-success") for x in Report(m).recipients)  # noqa: E731
    box.wait_empty()
    # RFC 3461 5.2.7.2: either the alias is said to be expanded, or each of its members has its own report.
    assert actions() in (["expanded"], ["delivered", "delivered", "expanded", "relayed"], ["delivered", "delivered", "relayed"]), actions()
    box.send("list@localhost", "list-success", sender=SENDER, rcpt_options=["NOTIFY=SUCCESS"])
    r = report(box, "list-success")
    assert r.recipients[0]["Final-Recipient"] == "rfc822; list@localhost" and r.recipients[0]["Action"] == "delivered"
    no_report(box, "list-success", OTHER)


def test_sendmail_asks_for_notifications(box):
    box.sendmail("-f", SENDER, "-N", "success,failure", "-R", "hdrs", "-V", "env-of-sendmail", "x@plain.example", "gone@fail.example",
                 input=message("by-sendmail", "secret body\n"))
    made = wait_until(lambda: [Report(m) for m in notices(box, "by-sendmail")] if len(notices(box, "by-sendmail")) == 2 else None, 20, "two")
    assert {r.recipients[0]["Action"] for r in made} == {"relayed", "failed"}
    assert all(r.about["Original-Envelope-Id"] == "env-of-sendmail" and "secret body" not in r.message.as_string() for r in made)


# --- late mail ---

def test_notify_decides_on_delays(box):
    box.configure(delay_warning_time="1s", minimal_backoff_time="1s", maximal_backoff_time="1s")
    for notify in ("NEVER", "FAILURE", "SUCCESS", "DELAY"):
        box.send("x@later.example", f"delay-{notify}", sender=SENDER, rcpt_options=[f"NOTIFY={notify}"])
    r = report(box, "delay-DELAY")
    assert r.message["Subject"] == "Delayed Mail (still being retried)" and r.recipients[0]["Action"] == "delayed"
    assert r.recipients[0]["Will-Retry-Until"] and r.recipients[0]["Status"] == "4.7.1"
    assert r.original.get_content_type() == "text/rfc822-headers"
    time.sleep(1.5)
    for notify in ("NEVER", "FAILURE", "SUCCESS"):
        assert not notices(box, f"delay-{notify}")
    assert len(notices(box, "delay-DELAY")) == 1
    box.kingpost("queue", "delete", "--all")
    box.configure(delay_warning_time="0", minimal_backoff_time="1000s", maximal_backoff_time="4000s")


# --- where it ends ---

def test_a_bounce_that_cannot_be_returned_goes_to_the_postmaster(box):
    box.send("gone@fail.example", "double-bounce", sender="<>")
    r = report(box, "double-bounce", OTHER)
    assert r.message["Subject"] == "Postmaster Copy: Undelivered Mail" and r.message["Return-Path"] == "<double-bounce@localhost>"
    assert r.message["Auto-Submitted"] == "auto-generated" and r.recipients[0]["Status"] == "5.1.1"
    box.wait_log("postmaster non-delivery notification: ")
    box.wait_empty()


def test_a_bounce_to_a_sender_who_is_not_there_reaches_the_postmaster(box):
    box.send("gone@fail.example", "sender-gone", sender="nobody@fail.example")
    r = report(box, "sender-gone", OTHER)
    assert r.message["Return-Path"] == "<double-bounce@localhost>" and r.of("nobody@fail.example")["Action"] == "failed"
    box.wait_empty()


def test_a_notice_to_the_postmaster_ends_the_chain(box):
    box.configure(twobounce_notice_recipient="postmaster@fail.example")
    before = {u: len(box.mail(u)) for u in USERS}
    qid = box.send("gone@fail.example", "chain-ends", sender="<>")
    box.wait_log(r"undeliverable, and dropped")
    box.wait_empty()
    assert {u: len(box.mail(u)) for u in USERS} == before
    notices_made = [e for e in box.events("notification") if e["queue_id"] == qid]
    assert len(notices_made) == 1
    box.configure(twobounce_notice_recipient="postmaster")


# --- SMTPUTF8 and loops ---

def test_mail_that_needs_utf8(box):
    with box.smtp() as c:
        c.ehlo()
        c.mail(SENDER, ["SMTPUTF8", "BODY=8BITMIME"])
        assert rcpt_utf8(c, "jörg@plain.example")[0] == 250
        assert c.data("Subject: grüße-utf8\r\n\r\nKörper\r\n".encode())[0] == 250
    found = wait_until(lambda: [m for m in box.mail() if "grüße-utf8".encode() in m[1] and b"multipart/report" in m[1]], 20, "bounce")
    raw = found[0][1].decode()
    assert "Content-Type: message/global-delivery-status" in raw and "Final-Recipient: utf-8; jörg@plain.example" in raw
    assert "Status: 5.6.7" in raw and "Content-Type: message/global\n" in raw and "Körper" in raw


def rcpt_utf8(c, address):
    c.send(f"RCPT TO:<{address}>\r\n".encode())
    return c.getreply()


def test_too_many_hops(box):
    trace = "".join(f"Received: from h{i}.example by h{i + 1}.example; Mon, 1 Jan 2024 00:00:00 +0000\r\n" for i in range(60))
    with box.smtp() as c:
        c.ehlo()
        c.mail(SENDER)
        c.rcpt("x@plain.example")
        code, text = c.data((trace + "Subject: hops\r\n\r\nx\r\n").encode())
        assert code == 554 and b"5.4.6" in text, text
    done = box.sendmail("-f", SENDER, "x@plain.example", input=trace.replace("\r\n", "\n") + "Subject: hops-local\n\nx\n", check=False)
    assert done.returncode == 69 and "too many hops" in done.err, done.err
    no_report(box, "hops")


def test_mail_that_comes_back_is_returned(box):
    """A loop through another port is ended by its hops; through the usual one, at the first greeting."""
    box.configure(transport_maps=f"inline:{{loop.example=smtp:[127.0.0.1]:{box.port}}}")
    box.send("x@loop.example", "goes-round", sender=SENDER)
    r = report(box, "goes-round")
    assert r.recipients[0]["Status"] == "5.4.6" and "too many hops" in r.recipients[0]["Diagnostic-Code"]
    assert 40 < r.original.as_string().count("Received: from mx.here.example") <= 50
    box.configure(smtp_tcp_port=box.port)
    qid = box.send("x@loop.example", "comes-back", sender=SENDER)
    r = report(box, "comes-back")
    assert r.recipients[0]["Status"] == "5.4.6", r.recipients[0]["Diagnostic-Code"]
    box.wait_log(rf"{qid}: to=<x@loop\.example>.*status=bounced \(.*loops back to myself")
    box.wait_empty()
