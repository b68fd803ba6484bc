# SPDX-License-Identifier: ISC
"""Greylisting: our own (check_greylist), and the real postgrey as a policy server."""

import os
import re
import shutil
import socket
import subprocess
import time

import pytest

from conftest import IS_ROOT, free_port, wait_until
from test_limits import INSIDE, hello


def attempt(suite, address, sender="a@source.example", recipient="postmaster@localhost"):
    c = hello(suite, address)
    assert c.say(f"MAIL FROM:<{sender}>").startswith("250")
    reply = c.say(f"RCPT TO:<{recipient}>")
    c.close()
    return reply


def test_our_own(suite):
    suite.start(INSIDE, "smtpd_recipient_restrictions = permit_mynetworks, check_greylist", "greylist_delay = 2s", "greylist_auto_clients = 2",
                "smtpd_client_ipv4_prefix_length = 32")
    first = attempt(suite, "127.0.0.2")
    assert re.match(r"450 4\.2\.0 <postmaster@localhost>: Recipient address rejected: Greylisted, try again in [12] seconds", first), first
    assert attempt(suite, "127.0.0.2").startswith("450"), "too early"
    assert attempt(suite, "127.0.0.1").startswith("250"), "the own network"
    time.sleep(2.2)
    assert attempt(suite, "127.0.0.2").startswith("250")
    assert attempt(suite, "127.0.0.2").startswith("250"), "known now"
    assert attempt(suite, "127.0.0.3").startswith("450"), "another client"
    assert attempt(suite, "127.0.0.2", "B@Source.example").startswith("450"), "another sender"
    time.sleep(2.2)
    assert attempt(suite, "127.0.0.2", "b@source.example").startswith("250"), "the case of letters is no matter"
    assert attempt(suite, "127.0.0.2", "c@source.example").startswith("250"), "a client that came back twice passes at once"
    assert suite.status()["metrics"]["smtpd_greylisted_total"]["value"] == 4


def test_it_survives_limiter(suite):
    suite.start(INSIDE, "smtpd_recipient_restrictions = check_greylist", "greylist_delay = 1s")
    assert attempt(suite, "127.0.0.2").startswith("450")
    time.sleep(2.2)
    suite.stop()
    suite.start_again()
    assert attempt(suite, "127.0.0.2").startswith("250")


def test_postgrey(suite, tmp_path):
    program = shutil.which("postgrey") or "/usr/sbin/postgrey"
    if not os.path.exists(program) or not IS_ROOT:
        pytest.skip("postgrey is not installed, or not root")
    port = free_port()
    shutil.chown(tmp_path, "nobody", "nogroup")
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        os.chmod(folder, 0o755)
    process = subprocess.Popen([program, f"--inet=127.0.0.1:{port}", "--delay=2", f"--dbdir={tmp_path}", "--user=nobody", "--group=nogroup",
                                "--exim"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def listens():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    try:
        wait_until(listens, 15, "postgrey")
        suite.start(INSIDE, f"smtpd_recipient_restrictions = permit_mynetworks, check_policy_service inet:127.0.0.1:{port}",
                    "smtpd_policy_service_default_action = 554 5.3.0 no policy server")
        first = attempt(suite, "127.0.0.2", recipient="root@localhost")
        assert first.startswith("450 ") and "reylist" in first, first
        time.sleep(3.2)
        assert attempt(suite, "127.0.0.2", recipient="root@localhost").startswith("250")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:  # it may be asleep in a request
            process.kill()
            process.wait(10)
