# SPDX-License-Identifier: ISC
"""An after-queue filter is told who the original client was, and says so when it gives the mail back."""

import pytest

from test_edits import Filter

BACK = [("submission", s) for s in ["content_filter = ", "receive_override_options = no_header_body_checks, no_unknown_recipient_checks, no_milters",
                                    "smtpd_recipient_restrictions = permit_mynetworks, reject", "smtpd_client_restrictions = ", "smtpd_tls_security_level = none",
                                    "smtpd_sasl_auth_enable = no", "smtpd_authorized_xforward_hosts = 127.0.0.0/8"]]


@pytest.fixture
def start(suite, sink):
    made = []

    def make(*settings, **kw):
        f = Filter(suite.submission_port, tells=True, **kw)
        made.append(f)
        hop = sink()
        suite.start(f"content_filter = smtp:[127.0.0.1]:{f.port}", f"relayhost = [127.0.0.1]:{hop.port}", *settings, services=BACK)
        return f, hop
    yield make
    for f in made:
        f.end()


def told(f):
    return dict(pair.split("=", 1) for line in f.said if line.startswith("XFORWARD ") for pair in line.split(" ")[1:])


def test_the_original_client_is_named_in_the_log(suite, start):
    f, hop = start("smtp_send_xforward_command = yes")
    qid = suite.send("b@elsewhere.example")
    assert hop.wait(1)
    suite.wait_empty()
    said = told(f)
    assert said == {"NAME": "localhost", "ADDR": "127.0.0.1", "PORT": said["PORT"], "PROTO": "ESMTP", "HELO": "client.example", "IDENT": qid, "SOURCE": "REMOTE"}
    assert int(said["PORT"]) > 1023
    assert all(len(line) <= 510 for line in f.said)
    suite.wait_log(rf"[0-9A-F]+: client=localhost\[127\.0\.0\.1\], orig_queue_id={qid}, orig_client=localhost\[127\.0\.0\.1\]\n")
    suite.send("b@elsewhere.example")
    assert hop.wait(2)
    assert len([line for line in f.said if line.startswith("XFORWARD NAME")]) == 2, "each message has its own, over a connection used again, too"


def test_mail_of_sendmail_is_local(suite, start):
    f, hop = start("smtp_send_xforward_command = yes")
    suite.sendmail("-f", "a@source.example", "b@elsewhere.example", input="Subject: x\n\nbody\n")
    # pickup's mail goes by the filter, too
    assert hop.wait(1)
    said = told(f)
    assert said["SOURCE"] == "LOCAL" and said["NAME"] == said["ADDR"] == said["PORT"] == said["HELO"] == "[UNAVAILABLE]"


@pytest.mark.parametrize("settings,kw,wanted", [
    ([], {}, set()),
    (["lmtp_send_xforward_command = yes"], {}, set()),
    (["smtp_send_xforward_command = yes"], {"offers": ""}, set()),
    (["smtp_send_xforward_command = yes"], {"offers": "ADDR HELO"}, {"ADDR", "HELO"}),
    (["smtp_send_xforward_command = yes", "smtp_discard_ehlo_keywords = xforward"], {}, set()),
], ids=["default", "lmtp-only", "not-offered", "some", "discarded"])
def test_nothing_is_said_that_is_not_wanted(suite, start, settings, kw, wanted):
    f, hop = start(*settings, **kw)
    suite.send("b@elsewhere.example")
    assert hop.wait(1)
    assert set(told(f)) == wanted


def test_a_refusal_of_xforward_does_not_stop_the_mail(suite, start):
    f, hop = start("smtp_send_xforward_command = yes", answer="550 5.7.0 not you")
    suite.send("b@elsewhere.example")
    assert hop.wait(1)
    suite.wait_log(r"said: 550 5\.7\.0 not you \(in reply to XFORWARD")
