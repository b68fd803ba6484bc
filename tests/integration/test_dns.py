# SPDX-License-Identifier: ISC
"""Where mail goes by DNS: a real authoritative server (knot), next hops on loopback addresses of one test port."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from conftest import USERS, Server, Suite, free_port, message, wait_until

pytestmark = pytest.mark.skipif(not shutil.which("knotd") and not os.path.exists("/usr/sbin/knotd"), reason="knot is not installed")

ZONE = """$ORIGIN example.
@ 300 SOA ns.example. h.example. 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
two MX 10 dead.example.
two MX 20 live.example.
dead A 127.0.0.66
live A 127.0.0.2
nomx A 127.0.0.2
null MX 0 .
cn CNAME two.example.
self MX 10 host.example.
host A 127.0.0.1
only6 MX 10 v6.example.
v6 AAAA ::1
nothing TXT "neither MX nor address"
"""


class Knot:
    def __init__(self, folder):
        self.port = free_port()
        with open(f"{folder}/knot.conf", "w") as f:
            f.write(f'server:\n    rundir: "{folder}"\n    listen: 127.0.0.1@{self.port}\n'
                    f'database:\n    storage: "{folder}"\n'
                    f'zone:\n  - domain: example\n    storage: "{folder}"\n    file: example.zone\n')
        with open(f"{folder}/example.zone", "w") as f:
            f.write(ZONE)
        self.process = subprocess.Popen(["/usr/sbin/knotd", "-c", f"{folder}/knot.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 10, "knot")

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    port = free_port()
    knot = Knot(tmp_path_factory.mktemp("knot"))
    hosts = {"live": Server({}, address=("127.0.0.2", port)), "v6": Server({}, address=("::1", port))}
    suite = Suite()
    suite.start(f"dns_servers = 127.0.0.1@{knot.port}", "myhostname = host.example", "mydestination = localhost",
                f"smtp_tcp_port = {port}", "smtp_connect_timeout = 3s", "dns_timeout = 2s")
    yield suite, hosts, knot
    suite.end()
    for h in hosts.values():
        h.end()
    if knot.process.poll() is None:
        knot.end()


def send(suite, to):
    suite.sendmail("-f", f"{USERS[0]}@localhost", to, input=message(f"to {to}"))
    return suite.wait_log(rf"to=<{re.escape(to)}>, relay=([^,]*), .*dsn=([^,]*), status=(\w+) \((.*)\)").groups()


def test_the_next_mx_where_the_first_is_dead(world):
    suite, hosts, _ = world
    relay, _, status, _ = send(suite, "u@two.example")
    assert status == "sent" and relay.startswith("live.example[127.0.0.2]:")
    assert re.search(r"connect to dead\.example\[127\.0\.0\.66\]:\d+: Connection refused", suite.log())


@pytest.mark.parametrize("domain,host", [("nomx.example", "nomx.example[127.0.0.2]"), ("cn.example", "live.example[127.0.0.2]"),
                                         ("only6.example", "v6.example[::1]"), ("[127.0.0.2]", "127.0.0.2[127.0.0.2]")])
def test_other_ways_to_a_host(world, domain, host):
    relay, _, status, _ = send(world[0], f"u@{domain}")
    assert status == "sent" and relay.startswith(f"{host}:")


@pytest.mark.parametrize("domain,dsn,text", [
    ("null.example", "5.1.10", "does not accept mail"), ("missing.example", "5.4.4", "Host not found"),
    ("nothing.example", "5.4.4", "nothing.example"), ("self.example", "5.4.6", "loops back to myself")])
def test_what_bounces_at_once(world, domain, dsn, text):
    relay, code, status, reason = send(world[0], f"u@{domain}")
    assert (relay, code, status) == ("none", dsn, "bounced") and text in reason
    world[0].wait_mail(1, having=f"Final-Recipient: rfc822; u@{domain}".encode())


def test_a_server_that_is_gone_defers(world):
    suite, _, knot = world
    knot.end()
    _, code, status, _ = send(suite, "u@later.example")
    assert (code, status) == ("4.4.3", "deferred")
    assert [m["recipients"][0]["address"] for m in suite.queue()] == ["u@later.example"]
