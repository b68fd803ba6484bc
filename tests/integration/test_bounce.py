# SPDX-License-Identifier: ISC
"""Notifications: their form by RFC 3464, and who gets which by RFC 3461."""

import email
import time

import pytest

from conftest import USERS, message, wait_until

USER = USERS[0]
SENDER = f"{USER}@localhost"


def submit(suite, to, mail_options=(), rcpt_options=(), sender=SENDER, subject="original"):
    with suite.smtp() as c:
        c.ehlo()
        assert c.mail(sender, mail_options)[0] == 250
        code, text = c.rcpt(to, rcpt_options)
        assert code == 250, text
        assert c.data(message(subject, "the body\n").replace("\n", "\r\n"))[0] == 250


def notification(suite, having, user=None):
    got = suite.wait_mail(1, user, having=having.encode())[0][1]
    report = email.message_from_bytes(got)
    assert report.get_content_type() == "multipart/report" and report.get_param("report-type") == "delivery-status"
    assert "Return-Path: <>" in got.decode() and report["Auto-Submitted"]
    text, status, original = report.get_payload()
    assert text.get_content_type() == "text/plain" and status.get_content_type() == "message/delivery-status"
    about_message, *recipients = status.get_payload()
    assert about_message["Reporting-MTA"].startswith("dns; ")
    return about_message, recipients, original


@pytest.fixture
def refusing(suite, server):
    hop = server(RCPT="550 5.1.1 nobody of that name")
    return suite.start(f"relayhost = [127.0.0.1]:{hop.port}")


def test_a_failure(refusing):
    submit(refusing, "x@gone.example", ["ENVID=an+2Bid"], ["ORCPT=rfc822;old+2Bname@here.example"])
    about, (r,), original = notification(refusing, "x@gone.example")
    assert about["Original-Envelope-Id"] == "an+id" and about["Arrival-Date"]
    assert r["Original-Recipient"] == "rfc822;old+name@here.example"
    assert r["Final-Recipient"] == "rfc822; x@gone.example" and r["Action"] == "failed" and r["Status"] == "5.1.1"
    assert "nobody of that name" in r["Diagnostic-Code"] and r["Diagnostic-Code"].startswith("smtp;")
    assert original.get_content_type() == "message/rfc822"
    assert original.get_payload()[0]["Subject"] == "original"
    assert "the body" in original.get_payload()[0].get_payload()
    refusing.wait_log("sender non-delivery notification: ")
    refusing.wait_empty()


def test_ret_hdrs(refusing):
    submit(refusing, "x@gone.example", ["RET=HDRS"])
    _, _, original = notification(refusing, "x@gone.example")
    assert original.get_content_type() == "text/rfc822-headers" and "the body" not in original.as_string()


def test_notify_never(refusing):
    submit(refusing, "x@gone.example", (), ["NOTIFY=NEVER"])
    refusing.wait_log("status=bounced")
    refusing.wait_empty()
    time.sleep(0.5)
    assert refusing.mail() == []


def test_success_of_a_local_delivery(shared):
    submit(shared, f"{USER}@localhost", ["ENVID=local-success"], ["NOTIFY=SUCCESS"])
    about, (r,), original = notification(shared, "Original-Envelope-Id: local-success")
    assert r["Action"] == "delivered" and r["Status"].startswith("2.")
    assert original.get_content_type() == "text/rfc822-headers"


def test_success_beyond_a_peer_without_dsn(suite, server):
    hop = server()
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}")
    submit(suite, "x@far.example", (), ["NOTIFY=SUCCESS"])
    _, (r,), _ = notification(suite, "x@far.example")
    assert r["Action"] == "relayed"
    assert not any("NOTIFY" in c for c in hop.said)


def test_a_peer_with_dsn_takes_it_over(suite, server):
    hop = server(extensions="PIPELINING,DSN,SIZE 10000000,8BITMIME")
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}")
    submit(suite, "x@far.example", ["RET=HDRS", "ENVID=kept"], ["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;o@p.example"])
    wait_until(lambda: hop.mail, what="message")
    mail, = [c for c in hop.said if c.startswith("MAIL")]
    rcpt, = [c for c in hop.said if c.startswith("RCPT")]
    assert "RET=HDRS" in mail and "ENVID=kept" in mail
    assert "NOTIFY=SUCCESS,FAILURE" in rcpt and "ORCPT=rfc822;o@p.example" in rcpt
    suite.wait_empty()
    assert suite.mail() == []


def test_what_has_no_sender_goes_to_the_postmaster(suite, server):
    hop = server(RCPT="550 5.1.1 nobody of that name")
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", f"twobounce_notice_recipient = {USER}")
    submit(suite, "x@gone.example", sender="")
    got = suite.wait_mail(1, having=b"Postmaster Copy")[0][1]
    assert b"Return-Path: <double-bounce@" in got and b"x@gone.example" in got
    suite.wait_empty()


def test_a_notice_that_cannot_be_delivered_ends_the_chain(suite, server):
    hop = server(RCPT="550 5.1.1 nobody of that name")
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", "twobounce_notice_recipient = pm@far.example")
    submit(suite, "x@gone.example", sender="")
    suite.wait_log(r"to=<pm@far\.example>, .*status=bounced")
    suite.wait_empty()
    time.sleep(0.5)
    assert suite.log().count("(queue active)") == 2


def test_a_delay_is_said_once(suite, server):
    hop = server(RCPT="451 4.7.1 later")
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", "delay_warning_time = 1s", "minimal_backoff_time = 1s", "maximal_backoff_time = 1s")
    submit(suite, "x@slow.example")
    _, (r,), _ = notification(suite, "x@slow.example")
    assert r["Action"] == "delayed" and r["Status"] == "4.7.1" and r["Will-Retry-Until"]
    time.sleep(3)
    assert len(suite.mail()) == 1 and len(suite.queue()) == 1
