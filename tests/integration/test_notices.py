# SPDX-License-Identifier: ISC
"""What the operator is told by mail: an account whose mail goes to hold, once for each hold."""

import email
import os
import re
import signal
import time

import pytest

from conftest import USERS, wait_until

LOGINS = [("submission", "smtpd_sasl_auth_enable = yes"), ("submission", "smtpd_tls_auth_only = no"),
          ("submission", "smtpd_sasl_security_options = noanonymous")]


def start(suite, *settings):
    suite.start("usage_hold_minimum = 3", "default_transport = discard:", f"error_notice_recipient = {USERS[0]}", "mydestination = localhost, $myhostname",
                "myorigin = localhost", *settings, services=LOGINS)
    for user in ("alice", "it's me"):
        suite.kingpost("user", "add", user, input="a secret\n")


def send(suite, user, n=5, tag=""):
    with suite.smtp(suite.submission_port) as c:
        c.login(user, "a secret")
        c.sendmail("thief@source.example", [f"victim-{i}{tag}@elsewhere.example" for i in range(n)], "Subject: x\r\n\r\nbody\r\n")


def notices(suite):
    return [email.message_from_bytes(text) for _, text in suite.mail()]


def test_a_stolen_account_is_told_once(suite):
    start(suite)
    before = len(notices(suite))
    for n in range(4):
        send(suite, "alice", tag=f"-{n}")
    suite.wait_log(r"warning: account alice: 5 recipients within an hour, usual are 0; its mail goes to hold")
    (m,) = wait_until(lambda: notices(suite)[before:], 20, "a notice")
    assert m["Subject"] == "Account alice: its mail goes to hold" and m["Auto-Submitted"] == "auto-generated"
    assert m["To"] == f"{USERS[0]}@localhost" and m["From"].startswith("MAILER-DAEMON@") and m["Return-Path"] == "<double-bounce@localhost>"
    text = m.get_payload()
    assert "    account alice: 5 recipients within an hour, usual are 0\n" in text
    assert "    kingpost account purge alice\n" in text and "    kingpost account release alice\n" in text
    suite.wait_log(r"bounce\[\d+\]: account alice: the operator is told: [0-9A-F]+\n")
    # The commands do what the mail says.
    held = wait_until(lambda: [r for r in suite.queue() if r["queue_name"] == "hold"], 10, "held mail")
    assert suite.kingpost("account", "purge", "alice").out == f"delete: {len(held)} messages\n"
    time.sleep(1)
    os.kill(next(iter(suite.pids("limiter"))), signal.SIGKILL)
    wait_until(lambda: suite.pids("limiter") and all(w["state"] == "ready" for w in suite.status()["workers"]), 10, "a new limiter")
    send(suite, "alice", tag="-again")
    wait_until(lambda: len(re.findall("its mail goes to hold", suite.log())) == 2, 10, "the second finding")
    send(suite, "it's me")
    wait_until(lambda: len(notices(suite)) == before + 2, 20, "the other's notice")
    assert "\n    kingpost account purge 'it'\\''s me'\n" in notices(suite)[-1].get_payload() + notices(suite)[-2].get_payload()
    time.sleep(2)
    assert len(notices(suite)) == before + 2, "the hour's hold of alice is told once, also by the next limiter"


def test_not_where_it_is_not_wanted(suite):
    start(suite, "notify_classes = 2bounce")
    before = len(notices(suite))
    send(suite, "alice")
    suite.wait_log(r"its mail goes to hold")
    time.sleep(3)
    assert len(notices(suite)) == before and "the operator is told" not in suite.log()


def test_it_waits_for_bounce(suite):
    start(suite)
    before = len(notices(suite))
    (pid,) = suite.pids("bounce")
    os.kill(pid, signal.SIGSTOP)
    send(suite, "alice")
    suite.wait_log(r"its mail goes to hold")
    time.sleep(2.5)
    os.kill(next(iter(suite.pids("limiter"))), signal.SIGKILL)  # it has written down what is due
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(notices(suite)) == before + 1, 40, "the notice")
    assert len(re.findall("the operator is told", suite.log())) == 1


@pytest.mark.parametrize("setting,said", [("notify_classes = account, software", "expected one of account, 2bounce, not \"software\""),
                                          ("internal_mail_filter_classes = all", "expected one of bounce, notify, not \"all\"")])
def test_words_that_are_none_are_refused(suite, setting, said):
    done = suite.run_script("--port", str(suite.port), "--submission-port", str(suite.submission_port), "--set", setting, "--detach")
    text = done.stdout + done.stderr + suite.errors()
    assert done.returncode != 0 and said in text, text
    suite.stop = lambda: None


@pytest.mark.parametrize("classes,told", [("account, 2bounce", True), ("account", False)])
def test_notices_of_undeliverable_notifications(suite, server, classes, told):
    hop = server(RCPT="550 5.1.1 no such place")
    suite.start(f"notify_classes = {classes}", f"twobounce_notice_recipient = {USERS[0]}", "mydestination = localhost", "myorigin = localhost",
                f"relayhost = [127.0.0.1]:{hop.port}")
    before = len(notices(suite))
    id = suite.send("x@elsewhere.example", sender="gone@elsewhere.example")
    suite.outcome(id)
    if told:
        wait_until(lambda: len(notices(suite)) > before, 20, "the postmaster's copy")
        assert notices(suite)[-1]["Subject"] == "Postmaster Copy: Undelivered Mail"
    else:
        suite.wait_log(r"undeliverable, and dropped: it has no sender to return it to")
        assert len(notices(suite)) == before


@pytest.mark.parametrize("classes,caught", [("bounce", {"bounce"}), ("notify", {"notify"}), ("bounce, notify", {"bounce", "notify"}), ("", set())])
def test_internal_mail_is_checked_by_class(suite, server, classes, caught):
    """internal_mail_filter_classes: notifications are `bounce`, notices to the postmaster `notify`."""
    hop = server(RCPT="550 5.1.1 no such place")
    table = f"{suite.base}/checks"
    with open(table, "w") as f:
        f.write("/^Subject: (Undelivered|Postmaster Copy)/ HOLD internal mail\n")
    os.chmod(table, 0o644)
    suite.start(f"internal_mail_filter_classes = {classes}", f"header_checks = pcre:{table}", f"twobounce_notice_recipient = {USERS[0]}", f"relayhost = [127.0.0.1]:{hop.port}",
                "mydestination = localhost", "myorigin = localhost")
    before = len(notices(suite))
    suite.outcome(suite.send("x@elsewhere.example", sender=f"{USERS[0]}@localhost"))
    if "bounce" in caught:
        wait_until(lambda: [r for r in suite.queue() if r["queue_name"] == "hold" and r["sender"] == "MAILER-DAEMON"], 20, "the held notification")
        suite.kingpost("queue", "delete", "--queue", "hold")
    else:
        wait_until(lambda: len(notices(suite)) == before + 1, 20, "the notification")
    # One that cannot be returned: its notification is released, and the notice to the postmaster follows.
    suite.outcome(suite.send("y@elsewhere.example", sender="gone@elsewhere.example"))
    if "bounce" in caught:
        wait_until(lambda: [r for r in suite.queue() if r["queue_name"] == "hold"], 20, "the held notification")
        suite.kingpost("queue", "release", "--queue", "hold")
    if "notify" in caught:
        held = wait_until(lambda: [r for r in suite.queue() if r["queue_name"] == "hold" and r["sender"].startswith("double-bounce@")], 20, "the held notice")
        assert len(held) == 1
    else:
        wait_until(lambda: [m for m in notices(suite) if m["Subject"].startswith("Postmaster Copy")], 20, "the notice")
