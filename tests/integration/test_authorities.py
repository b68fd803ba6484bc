# SPDX-License-Identifier: ISC
"""smtpd_tls_CAfile is watched: other authorities count without a reload."""

import os
import re
import signal
import socket
import ssl
import time

import pytest

from conftest import wait_until
from test_auth import PATIENT
from test_tls import Certificates, context, starttls

DENIED, OK = 554, 250


@pytest.fixture
def relay(suite):
    """Who has a certificate of an authority in the file may relay."""
    suite.certs = c = Certificates(f"{suite.base}/r/etc/kingpost/certs")
    c.make("other-ca", "Other Authority", kind="ec", extra=["-addext", "basicConstraints=critical,CA:TRUE"])
    c.make("mail", "mail.example", kind="ec")
    c.make("one", "one.example", kind="ec", ca="ca")
    c.make("two", "two.example", kind="ec", ca="other-ca")
    suite.file = c.path("clients.pem")
    put(suite, "ca")
    suite.start(f"smtpd_tls_chain_files = {c.path('mail.pem')}", "smtpd_tls_ask_ccert = yes", f"smtpd_tls_CAfile = {suite.file}", "mynetworks = 192.0.2.0/24",
                "smtpd_relay_restrictions = permit_tls_all_clientcerts, reject_unauth_destination", "tls_file_check_interval = 300ms", "default_transport = discard:",
                *PATIENT, services=[("smtp", "workers = 2")])
    return suite


def put(suite, *authorities, more=b""):
    with open(f"{suite.file}.new", "wb") as out:
        for name in authorities:
            with open(suite.certs.path(f"{name}.crt"), "rb") as f:
                out.write(b"# a comment\n" + f.read())
        out.write(more)
    os.rename(f"{suite.file}.new", suite.file)


def may(suite, cert):
    """The reply to a recipient elsewhere, of a client with this certificate."""
    c = context(maximum_version=ssl.TLSVersion.TLSv1_2)
    c.load_cert_chain(suite.certs.path(f"{cert}.crt"), suite.certs.path(f"{cert}.key"))
    s = starttls(suite, c)
    s.mail("a@source.example")
    code = s.rcpt("x@far.example")[0]
    s.quit()
    return code


def all_say(suite, cert, code):
    """Several sessions, so that each worker is asked."""
    return all(may(suite, cert) == code for _ in range(6))


def test_authorities_are_taken_without_a_reload(relay):
    before = relay.pids("smtpd")
    assert may(relay, "one") == OK and may(relay, "two") == DENIED
    put(relay, "ca", "other-ca")
    wait_until(lambda: all_say(relay, "two", OK), 15, "the second authority")
    assert all_say(relay, "one", OK)
    put(relay, "other-ca")
    wait_until(lambda: all_say(relay, "one", DENIED), 15, "the end of the first authority")
    assert all_say(relay, "two", OK) and relay.pids("smtpd") == before
    assert len(re.findall(r"keeper\[\d+\]: \S+clients\.pem: new authorities\n", relay.log())) == 2


def resumed(suite, cert, session):
    """The session's ticket, whether it was resumed, and the reply to a recipient elsewhere."""
    c = resumed.contexts.setdefault(cert, context(maximum_version=ssl.TLSVersion.TLSv1_2))
    c.load_cert_chain(suite.certs.path(f"{cert}.crt"), suite.certs.path(f"{cert}.key"))
    raw = socket.create_connection(("127.0.0.1", suite.port), 20)
    with raw.makefile("rb") as f:
        f.readline()
        raw.sendall(b"STARTTLS\r\n")
        assert f.readline().startswith(b"220")
    s = c.wrap_socket(raw, session=session)
    with s.makefile("rb") as f:
        for line in (b"EHLO c.example", b"MAIL FROM:<a@source.example>", b"RCPT TO:<x@far.example>"):
            s.sendall(line + b"\r\n")
            reply = b"250-"
            while reply[3:4] == b"-":
                reply = f.readline()
    found = s.session, s.session_reused, int(reply[:3])
    s.close()
    return found


def test_a_session_of_before_is_not_resumed(relay):
    resumed.contexts = {}
    session, again, code = resumed(relay, "one", None)
    assert (again, code) == (False, OK)
    session, again, code = resumed(relay, "one", session)
    assert (again, code) == (True, OK)
    put(relay, "other-ca")
    wait_until(lambda: all_say(relay, "one", DENIED), 15, "the end of the first authority")
    for _ in range(4):
        _, again, code = resumed(relay, "one", session)
        assert (again, code) == (False, DENIED)


@pytest.mark.parametrize("more", [b"-----BEGIN CERTIFICATE-----\nMIIB\n", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"], ids=["cut", "rubbish"])
def test_a_broken_file_is_refused_and_the_old_one_kept(relay, more):
    assert may(relay, "one") == OK
    put(relay, "other-ca", more=more)
    relay.wait_log(r"warning: \S+clients\.pem: certificate 2 cannot be read; what was there before stays\n")
    time.sleep(1)
    assert len(re.findall("what was there before stays", relay.log())) == 1
    assert all_say(relay, "one", OK) and all_say(relay, "two", DENIED)
    put(relay, "other-ca")
    wait_until(lambda: all_say(relay, "two", OK), 15, "the mended file")


def test_no_private_key_comes_out(relay):
    """A file that has a key besides is taken for its certificates."""
    with open(relay.certs.path("other-ca.key"), "rb") as f:
        put(relay, "ca", "other-ca", more=f.read())
    wait_until(lambda: all_say(relay, "two", OK), 15, "the second authority")


def test_after_keeper_has_died(relay):
    assert may(relay, "one") == OK
    (pid,) = relay.pids("keeper")
    put(relay, "other-ca")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: relay.pids("keeper") and all(w["state"] == "ready" for w in relay.status()["workers"]), 15, "a new keeper")

    def taken():
        try:
            return all_say(relay, "two", OK) and all_say(relay, "one", DENIED)
        except (AssertionError, OSError):
            return False
    wait_until(taken, 15, "the new authority")
