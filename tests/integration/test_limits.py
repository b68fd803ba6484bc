# SPDX-License-Identifier: ISC
"""Limits that workers share, tests before the greeting, blocks, stress mode: outside clients are other loopback addresses."""

import os
import re
import signal
import socket
import subprocess
import time

import pytest

from conftest import free_port, wait_until

INSIDE = "mynetworks = 127.0.0.1/32"


class Client:
    """One line at a time, from an address of its own."""

    def __init__(self, suite, address="127.0.0.2", greeting=True):
        self.s = socket.create_connection(("127.0.0.1", suite.port), 20, source_address=(address, 0))
        self.f = self.s.makefile("rwb")
        self.greeting = self.reply() if greeting else None

    def reply(self):
        lines = []
        while True:
            line = self.f.readline().decode()
            lines.append(line.rstrip("\r\n"))
            if not line or line[3:4] != "-":
                return "\n".join(lines)

    def say(self, line):
        self.f.write(line.encode() + b"\r\n")
        self.f.flush()
        return self.reply()

    def close(self):
        self.f.close()
        self.s.close()


def hello(suite, address="127.0.0.2"):
    c = Client(suite, address)
    assert c.greeting.startswith("220"), c.greeting
    assert c.say("EHLO client.example").startswith("250")
    return c


def test_sessions_at_once_are_counted_over_all_workers(suite):
    suite.start(INSIDE, "smtpd_client_connection_count_limit = 3", services=[("smtp", "workers = 2")])
    open_ones = [hello(suite, f"127.0.0.{n}") for n in (2, 3, 4)]
    refused = Client(suite, "127.0.0.5")
    assert re.match(r"421 4\.7\.0 .* Error: too many connections from 127\.0\.0\.5", refused.greeting)
    suite.wait_log(r"warning: Connection concurrency limit exceeded: 4 from unknown\[127\.0\.0\.5\] for service smtp")
    assert Client(suite, "127.0.0.1").greeting.startswith("220"), "the own network is not counted"
    open_ones.pop().close()
    wait_until(lambda: Client(suite, "127.0.0.6").greeting.startswith("220"), 10, "room for one more")


def test_a_dead_worker_gives_back_what_it_held(suite):
    suite.start(INSIDE, "smtpd_client_connection_count_limit = 2", services=[("smtp", "workers = 1")])
    kept = [hello(suite), hello(suite)]
    assert Client(suite).greeting.startswith("421")
    pid = next(w["pid"] for w in suite.status()["workers"] if w["service"] == "smtp")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: all(c.f.readline() == b"" for c in kept), 5, "end of the sessions")

    def accepted():
        try:
            return Client(suite).greeting.startswith("220")
        except OSError:
            return False
    wait_until(accepted, 10, "a greeting")


def test_a_new_limiter_learns_which_sessions_there_are(suite):
    suite.start(INSIDE, "smtpd_client_connection_count_limit = 2")
    kept = [hello(suite), hello(suite)]
    os.kill(next(iter(suite.pids("limiter"))), signal.SIGKILL)
    wait_until(lambda: suite.pids("limiter") and all(w["state"] == "ready" for w in suite.status()["workers"]), 10, "a new limiter")
    time.sleep(0.3)
    assert Client(suite).greeting.startswith("421")
    assert kept[0].say("NOOP").startswith("250")


@pytest.mark.parametrize("setting,code,text", [
    ("smtpd_client_connection_rate_limit", "421", "too many connections"),
    ("smtpd_client_message_rate_limit", "450", "too much mail"),
    ("smtpd_client_recipient_rate_limit", "450", "too many recipients"),
])
def test_rates(suite, setting, code, text):
    suite.start(INSIDE, f"{setting} = 3", "anvil_rate_time_unit = 4s")

    def one():
        c = Client(suite)
        if c.greeting.startswith("220"):
            c.say("EHLO client.example")
            reply = c.say("MAIL FROM:<a@source.example>")
            if reply.startswith("250"):
                reply = c.say("RCPT TO:<postmaster@localhost.localdomain>")
        else:
            reply = c.greeting
        c.close()
        return reply
    replies = [one() for _ in range(4)]
    assert all(r.startswith("2") or "Recipient" in r for r in replies[:3]), replies
    assert replies[3].startswith(code) and text in replies[3], replies
    suite.wait_log(r"rate limit exceeded: 4 from unknown\[127\.0\.0\.2\]")
    wait_until(lambda: not one().startswith(code), 10, "the next window", every=1)


def test_a_harvest_is_blocked_and_the_operator_can_lift_it(suite):
    suite.start(INSIDE, "smtpd_harvest_limit = 5", "smtpd_unknown_recipient_delay = 0", "smtpd_hard_error_limit = 100",
                "smtpd_soft_error_limit = 100")
    c = hello(suite)
    c.say("MAIL FROM:<a@source.example>")
    replies = []
    for n in range(8):
        reply = c.say(f"RCPT TO:<nobody-{n}@localhost>")
        replies.append(reply)
        if reply.startswith("421") or not reply:
            break
    assert replies[0].startswith("550 5.1.1") and len(replies) <= 8
    suite.wait_log(r"warning: blocked: network 127\.0\.0\.0/24 for 3600s: \d unknown recipients: an address harvest")
    assert re.match(r"421 4\.7\.0 .* 127\.0\.0\.9 is blocked: \d unknown", Client(suite, "127.0.0.9").greeting)
    listed = suite.kingpost("block", "list").out
    assert re.match(r"network 127\.0\.0\.0/24, \d+ s left: \d unknown recipients", listed), listed
    time.sleep(1.3)
    os.kill(next(iter(suite.pids("limiter"))), signal.SIGKILL)
    wait_until(lambda: suite.pids("limiter") and all(w["state"] == "ready" for w in suite.status()["workers"]), 10, "a new limiter")
    assert Client(suite).greeting.startswith("421"), "a block survives limiter"
    suite.kingpost("block", "remove", "127.0.0.0/24")
    assert suite.kingpost("block", "remove", "127.0.0.0/24", check=False).returncode == 67
    hello(suite)
    suite.kingpost("block", "add", "127.0.0.77", "we know why")
    assert "we know why" in Client(suite, "127.0.0.77").greeting
    assert Client(suite, "127.0.0.78").greeting.startswith("220")


def test_an_unknown_recipient_makes_the_client_wait(suite):
    suite.start(INSIDE, "smtpd_unknown_recipient_delay = 2s")
    c = hello(suite)
    c.say("MAIL FROM:<a@source.example>")
    c.say("RCPT TO:<no-such-user@localhost>")
    began = time.time()
    c.say("NOOP")
    assert time.time() - began > 1.5


def test_refused_commands_are_counted_over_sessions(suite):
    suite.start(INSIDE, "smtpd_client_error_rate_limit = 4", "smtpd_error_sleep_time = 0")
    c = hello(suite)
    for _ in range(5):
        assert c.say("NONSENSE").startswith("500")
    c.close()
    wait_until(lambda: Client(suite).greeting.startswith("421"), 5, "a refusal")


def test_who_speaks_before_the_greeting(suite):
    suite.start(INSIDE, "postscreen_greet_action = drop", "postscreen_greet_wait = 1s", "smtpd_forbid_unauth_pipelining = no")
    began = time.time()
    c = hello(suite, "127.0.0.10")
    assert time.time() - began > 0.9
    suite.wait_log(r"PASS NEW \[127\.0\.0\.10\]")
    began = time.time()
    hello(suite, "127.0.0.10")
    assert time.time() - began < 0.9, "a client that passed is known"
    suite.wait_log(r"PASS OLD \[127\.0\.0\.10\]")
    early = Client(suite, "127.0.0.11", greeting=False)
    early.f.write(b"EHLO early.example\r\n")
    early.f.flush()
    assert early.reply().startswith("521 5.5.1")
    suite.wait_log(r"PREGREET 20 after [\d.e-]+ from \[127\.0\.0\.11\]")
    began = time.time()
    assert Client(suite, "127.0.0.1").greeting.startswith("220") and time.time() - began < 0.9
    c.close()


def test_enforce_lets_an_early_talker_name_its_mail(suite):
    suite.start(INSIDE, "postscreen_greet_action = enforce", "postscreen_greet_wait = 1s", "smtpd_forbid_unauth_pipelining = no")
    c = Client(suite, greeting=False)
    c.f.write(b"EHLO early.example\r\n")
    c.f.flush()
    assert c.reply().startswith("220")
    assert c.reply().startswith("250")
    assert c.say("MAIL FROM:<a@source.example>").startswith("250")
    assert c.say("RCPT TO:<postmaster@localhost>").startswith("550 5.5.1")
    suite.wait_log(r"NOQUEUE: reject: RCPT from unknown\[127\.0\.0\.2\]: 550 5\.5\.1 Protocol error; from=<a@source\.example> to=<postmaster@localhost>")


ZONE = """$ORIGIN bl.example.
@ 300 SOA ns.bl.example. h.bl.example. 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
20.0.0.127 A 127.0.0.3
21.0.0.127 A 127.0.0.9
22.0.0.127 A 127.0.0.3
22.0.0.127.ok A 127.0.0.1
"""


@pytest.fixture
def lists(tmp_path):
    if not os.path.exists("/usr/sbin/knotd"):
        pytest.skip("knot is not installed")
    port = free_port()
    (tmp_path / "knot.conf").write_text(f'server:\n    rundir: "{tmp_path}"\n    listen: 127.0.0.1@{port}\ndatabase:\n    storage: "{tmp_path}"\n'
                                        f'zone:\n  - domain: bl.example\n    storage: "{tmp_path}"\n    file: bl.zone\n')
    (tmp_path / "bl.zone").write_text(ZONE)
    process = subprocess.Popen(["/usr/sbin/knotd", "-c", str(tmp_path / "knot.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    wait_until(answers, 10, "knot")
    yield port
    process.terminate()
    process.wait(20)


def test_dns_lists_with_weights(suite, lists):
    suite.start(INSIDE, f"dns_servers = 127.0.0.1@{lists}", "postscreen_dnsbl_action = drop",
                "postscreen_dnsbl_threshold = 2", "postscreen_dnsbl_sites = bl.example=127.0.0.[2..8]*2, ok.bl.example*-2",
                "postscreen_greet_ttl = 1s")
    listed = Client(suite, "127.0.0.20")
    assert listed.greeting == "521 5.7.1 Service unavailable; client [127.0.0.20] blocked using bl.example", listed.greeting
    suite.wait_log(r"DNSBL rank 2 for \[127\.0\.0\.20\]:\d+")
    assert Client(suite, "127.0.0.21").greeting.startswith("220"), "an answer outside of the filter"
    assert Client(suite, "127.0.0.22").greeting.startswith("220"), "the allow list outweighs"
    assert Client(suite, "127.0.0.23").greeting.startswith("220")


def test_stress_sheds_idle_clients(suite):
    suite.start(INSIDE, "stress_threshold = 50", "smtpd_stress_timeout = 1s", services=[("smtp", "sessions = 10"), ("smtp", "workers = 1")])
    trusted = Client(suite, "127.0.0.1")
    calm = hello(suite)
    crowd = [hello(suite) for _ in range(6)]
    suite.wait_log(r"stress mode on: 5 of 10 sessions")
    assert suite.status()["metrics"]["smtpd_stress"]["value"] == 1
    began = time.time()
    assert "421 4.4.2" in crowd[5].reply() and time.time() - began < 5
    assert trusted.say("NOOP").startswith("250")
    for c in crowd[:3]:
        c.close()
    wait_until(lambda: "stress mode off" in suite.log(), 10, "the end of stress")
    assert calm.say("NOOP").startswith("250"), "who came before the stress keeps his time"


def test_an_account_that_sends_far_too_much(suite, sink):
    hop = sink()
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", "usage_hold_minimum = 5", services=[
        ("submission", "smtpd_sasl_auth_enable = yes"), ("submission", "smtpd_tls_auth_only = no"),
        ("submission", "smtpd_sasl_security_options = noanonymous")])
    for user in ("alice", "bob"):
        suite.kingpost("user", "add", user, input="a secret\n")

    def send(user, *to):
        with suite.smtp(suite.submission_port) as c:
            c.login(user, "a secret")
            c.sendmail(f"{user}@source.example", list(to), "Subject: x\r\n\r\nbody\r\n")
    send("alice", "a@elsewhere.example", "b@elsewhere.example")
    assert len(hop.wait(1)) == 1
    for n in range(3):
        send("alice", *(f"victim-{n}-{i}@elsewhere.example" for i in range(3)))
    send("bob", "c@elsewhere.example")
    suite.wait_log(r"warning: account alice: \d+ recipients within an hour, usual are 0; its mail goes to hold")
    held = wait_until(lambda: [r for r in suite.queue() if r["queue_name"] == "hold"], 10, "held mail")
    assert all(r["sender"] == "alice@source.example" for r in held)
    assert "account alice: " in suite.kingpost("queue", "list").out
    one, *_ = held
    assert "message" in suite.kingpost("account", "release", "alice").out
    suite.wait_log(rf"{one['queue_id']}: removed")
    send("alice", "late@elsewhere.example")
    wait_until(lambda: [r for r in suite.queue() if r["queue_name"] == "hold"], 10, "held mail")
    assert suite.kingpost("account", "purge", "alice").out == "delete: 1 message\n"
    suite.wait_empty()
    assert suite.status()["metrics"]["smtpd_account_held_total"]["value"] >= 2
