# SPDX-License-Identifier: ISC
"""DNSSEC with a zone that a real server signs, and several hosts of one preference."""

import os
import socket
import subprocess

import pytest

from conftest import Server, Suite, free_port, wait_until
from test_dns import send

pytestmark = pytest.mark.skipif(not os.path.exists("/usr/sbin/knotd") or not os.path.exists("/usr/sbin/keymgr"), reason="knot is not installed")

ZONE = """$ORIGIN signed.example.
@ 300 SOA ns.signed.example. h.signed.example. 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
@ MX 10 one
@ MX 10 two
one A 127.0.0.2
two A 127.0.0.3
greets-badly MX 5 bad
greets-badly MX 10 one
bad A 127.0.0.4
"""


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    folder, port = tmp_path_factory.mktemp("signed"), free_port()
    conf = folder / "knot.conf"
    conf.write_text(f'server:\n    rundir: "{folder}"\n    listen: 127.0.0.1@{port}\ndatabase:\n    storage: "{folder}"\n'
                    f'zone:\n  - domain: signed.example\n    storage: "{folder}"\n    file: signed.zone\n    dnssec-signing: on\n')
    (folder / "signed.zone").write_text(ZONE)
    process = subprocess.Popen(["/usr/sbin/knotd", "-c", str(conf)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0

    def keys():
        done = subprocess.run(["/usr/sbin/keymgr", "-c", str(conf), "signed.example", "ds"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return [line for line in done.stdout.splitlines() if " DS " in line and " 2 " in line]
    wait_until(answers, 10, "knot")
    yield port, wait_until(keys, 10, "a key")[0]
    process.terminate()
    process.wait(20)


def world(signed, anchor):
    port, _ = signed
    smtp = free_port()
    suite = Suite()
    path = f"{suite.base}/anchor"
    with open(path, "w") as f:
        f.write(anchor + "\n")
    os.chmod(path, 0o644)
    suite.start(f"dns_servers = 127.0.0.1@{port}", f"dns_trust_anchor = {path}", f"smtp_tcp_port = {smtp}", "smtp_connection_idle_time = 0",
                "dns_timeout = 3s", "smtp_connect_timeout = 3s", "smtp_greeting_timeout = 3s")
    return suite, smtp


def test_a_signed_zone_is_believed_and_equal_hosts_share_the_mail(signed):
    suite, smtp = world(signed, signed[1])
    hosts = [Server({}, address=(address, smtp)) for address in ("127.0.0.2", "127.0.0.3")]
    try:
        for n in range(16):
            _, _, status, reason = send(suite, f"u{n}@signed.example")
            assert status == "sent", reason
        assert all(h.mail for h in hosts), [len(h.mail) for h in hosts]
    finally:
        suite.end()
        for h in hosts:
            h.end()


def test_a_host_that_greets_with_4xx_is_passed_over(signed):
    suite, smtp = world(signed, signed[1])
    bad, good = Server({}, address=("127.0.0.4", smtp)), Server({}, address=("127.0.0.2", smtp))
    bad.script["greeting"] = "421 4.3.2 not now"
    try:
        relay, _, status, reason = send(suite, "u@greets-badly.signed.example")
        assert status == "sent" and relay.startswith("one.signed.example[127.0.0.2]"), reason
        assert bad.connections == 1 and not bad.mail and len(good.mail) == 1
    finally:
        suite.end()
        bad.end()
        good.end()


def test_a_signature_that_does_not_hold_defers(signed):
    words = signed[1].split()
    words[-1] = ("0" if words[-1][0] != "0" else "1") + words[-1][1:]
    suite, smtp = world(signed, " ".join(words))
    host = Server({}, address=("127.0.0.2", smtp))
    try:
        _, code, status, reason = send(suite, "u@signed.example")
        assert status == "deferred" and code.startswith("4.4.3"), (code, reason)
        assert not host.mail
    finally:
        suite.end()
        host.end()
