# SPDX-License-Identifier: ISC
"""Restrictions that ask for what only a real session has (certificates, logins, ETRN), lookups of every kind, and the real policyd-spf."""

import glob
import os
import re
import shutil
import subprocess
import sys

import pytest

import test_restrict
from conftest import Scripted, Suite, message, root_only, wait_until
from test_auth import PATIENT, b64
from test_restrict import OK, Client, quote, world  # noqa: F401
from test_tls import Certificates, context, openssl, starttls

pytestmark = test_restrict.pytestmark

GOOD, DELEGATED, HOST = ("NAME=good.example ADDR=45.45.45.6", "NAME=deleg.example ADDR=45.45.45.7", "NAME=host.example ADDR=45.45.45.3")
CLIENT, UNVERIFIED, HELO = "Client host", "Unverified Client host", "Helo command"

# list, restriction, what is tried, what is said
ROWS = [
    ("client", "check_client_mx_access inline:{mail.good.example=REJECT}", {"xclient": GOOD}, f"554 5.7.1 <good.example[45.45.45.6]>: {CLIENT} rejected"),
    ("client", "check_client_mx_access inline:{127.0.0.3=REJECT}", {"xclient": GOOD}, "554 5.7.1"),
    ("client", "check_client_mx_access inline:{mail.good.example=REJECT}", {"xclient": HOST}, OK),
    ("client", "check_client_ns_access inline:{ns.example=REJECT}", {"xclient": DELEGATED}, f"554 5.7.1 <deleg.example[45.45.45.7]>: {CLIENT} rejected"),
    ("client", "check_client_ns_access inline:{ns.other=REJECT}", {"xclient": DELEGATED}, OK),
    ("client", "check_reverse_client_hostname_a_access inline:{45.45.45.9=REJECT}", {"xclient": "NAME=[UNAVAILABLE] ADDR=45.45.45.4"}, f"554 5.7.1 <liar.example>: {UNVERIFIED} rejected"),
    ("client", "check_reverse_client_hostname_a_access inline:{45.45.45.4=REJECT}", {"xclient": "NAME=[UNAVAILABLE] ADDR=45.45.45.4"}, OK),
    ("client", "check_reverse_client_hostname_mx_access inline:{mail.good.example=REJECT}", {"xclient": GOOD}, f"554 5.7.1 <good.example>: {UNVERIFIED} rejected"),
    ("client", "check_reverse_client_hostname_ns_access inline:{ns.example=REJECT}", {"xclient": DELEGATED}, f"554 5.7.1 <deleg.example>: {UNVERIFIED} rejected"),
    ("client", "reject_rhsbl_reverse_client rhsbl.example", {"xclient": GOOD}, f"554 5.7.1 Service unavailable; {UNVERIFIED} [good.example] blocked using rhsbl.example"),
    ("client", "reject_rhsbl_reverse_client rhsbl.example", {"xclient": HOST}, OK),
    ("helo", "check_helo_mx_access inline:{mail.good.example=REJECT}", {"helo": "good.example"}, f"554 5.7.1 <good.example>: {HELO} rejected"),
    ("helo", "check_helo_mx_access inline:{mail.good.example=REJECT}", {}, OK),
    ("sender", "check_sender_a_access inline:{45.45.45.3=REJECT}", {"sender": "a@host.example"}, "554 5.7.1 <a@host.example>: Sender address rejected"),
    ("sender", "check_sender_a_access inline:{45.45.45.3=REJECT}", {}, OK),
    ("recipient", "check_recipient_a_access inline:{45.45.45.8=REJECT}", {}, "554 5.7.1 <u@v.example>: Recipient address rejected"),
    ("recipient", "check_recipient_mx_access inline:{mail.good.example=REJECT}", {}, "554 5.7.1 <u@v.example>: Recipient address rejected"),
    ("recipient", "check_recipient_ns_access inline:{ns.example=REJECT}", {"rcpt": "x@sub.deleg.example", "address": "127.0.0.1"}, "554 5.7.1 <x@sub.deleg.example>: Recipient address rejected"),
    ("recipient", "check_recipient_ns_access inline:{ns.other=REJECT}", {"rcpt": "x@sub.deleg.example", "address": "127.0.0.1"}, OK),
]


def test_what_dns_says_of_each_name(world):  # noqa: F811
    wrong, groups = [], {}
    for row in ROWS:
        groups.setdefault((row[0], row[1]), []).append(row)
    for (where, rules), rows in groups.items():
        world.configure({where: quote(rules)})
        for _, _, what, said in rows:
            got = world.ask(**what)
            if not got.startswith(said):
                wrong.append(f"{where}: {rules}: {what}: {got!r}, not {said!r}")
    assert not wrong, "\n".join(wrong) + world.suite.errors()


def held(suite, said):
    """What was put on hold."""
    id = re.search(r"queued as (\w+)", said).group(1)
    wait_until(lambda: [m for m in suite.queue() if m["queue_id"] == id and m["queue_name"] == "hold"], 10, "the held message")
    return id, suite.kingpost("queue", "cat", id).out


def test_check_spf_writes_what_it_found(world):  # noqa: F811
    world.configure({"recipient": "check_spf, check_sender_access static:HOLD"})
    for sender, word in (("a@pass.example", "pass"), ("a@soft.example", "softfail"), ("a@fail.example", "fail"), ("a@good.example", "none")):
        c = Client(world.suite)
        assert c.try_mail(sender=sender) == OK
        id, text = held(world.suite, c.content())
        c.end()
        assert re.search(rf"^Received-SPF: {word} ", text, re.M | re.I), (sender, text)
        world.suite.kingpost("queue", "delete", id)


def test_bcc(world):  # noqa: F811
    world.configure({"recipient": "check_sender_access static:HOLD, check_recipient_access {static:BCC w@v.example}"})
    c = Client(world.suite)
    assert c.try_mail() == OK
    id, text = held(world.suite, c.content())
    c.end()
    (m,) = [m for m in world.suite.queue() if m["queue_id"] == id]
    assert sorted(r["address"] for r in m["recipients"]) == ["u@v.example", "w@v.example"]
    assert "w@v.example" not in text.split("*** CONTENT ***")[1], "nobody sees it"
    world.suite.wait_log(r"bcc: RCPT from unknown\[127\.0\.0\.9\]: <u@v\.example>: Recipient address triggers BCC action")
    world.suite.kingpost("queue", "delete", id)


def test_etrn(world):  # noqa: F811
    world.configure({}, smtpd_etrn_restrictions="check_etrn_access inline:{{relay.example = REJECT not by this way}}, permit_mynetworks, reject",
                    fast_flush_domains="relay.example, v.example")
    for address, domain, said in (("127.0.0.9", "relay.example", "554 5.7.1 <relay.example>: Etrn command rejected: not by this way"),
                                  ("127.0.0.9", "v.example", "554 5.7.1 <v.example>: Etrn command rejected: Access denied"),
                                  ("127.0.0.1", "v.example", "250 ")):
        c = Client(world.suite, address)
        c.say("EHLO host.example")
        assert c.say(f"ETRN {domain}").startswith(said), (address, domain)
        c.end()
    world.suite.wait_log(r"reject: ETRN from \S+\[127\.0\.0\.9\]: 554 5\.7\.1 <relay\.example>: Etrn command rejected: not by this way")


# --- certificates and logins ---


@pytest.fixture(scope="module")
def secure():
    s = Suite()
    s.certs = c = Certificates(f"{s.base}/r/etc/kingpost/certs")
    c.make("mail", "mail.example", kind="ec")
    c.make("client", "client.example", kind="ec", ca="ca")
    c.make("stranger", "stranger.example", kind="ec")
    s.start(f"smtpd_tls_chain_files = {c.path('mail.pem')}", "smtpd_tls_ask_ccert = yes", f"smtpd_tls_CAfile = {c.path('ca.crt')}", "mynetworks = 192.0.2.0/24",
            "smtpd_sasl_auth_enable = yes", "default_transport = discard:", "virtual_mailbox_domains = v.example", "virtual_mailbox_maps = inline:{u@v.example=u/}",
            "virtual_transport = discard:", "smtpd_error_sleep_time = 0", *PATIENT)
    for user in ("joe", "jim"):
        s.kingpost("user", "add", user, input="secret\n")
    yield s
    s.end()


def tls(suite, cert=None, login=None):
    c = context()
    if cert:
        c.load_cert_chain(suite.certs.path(f"{cert}.crt"), suite.certs.path(f"{cert}.key"))
    s = starttls(suite, c)
    if login:
        assert s.docmd("AUTH", "PLAIN " + b64("", login, "secret"))[0] == 235
    return s


def ask(suite, cert=None, login=None, sender="a@source.example", rcpt="x@far.example"):
    """The first refusal, or the reply to RCPT."""
    s = tls(suite, cert, login)
    code, text = s.mail(sender)
    if code == 250:
        code, text = s.rcpt(rcpt)
    s.quit()
    return f"{code} {text.decode()}"


def fingerprint(suite, name, what="cert"):
    if what == "cert":
        return openssl("x509", "-in", suite.certs.path(f"{name}.crt"), "-noout", "-fingerprint", "-sha256").decode().strip().split("=")[1]
    der = openssl("pkey", "-in", suite.certs.path(f"{name}.key"), "-pubout", "-outform", "DER")
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, stdout=subprocess.PIPE, check=True).stdout.decode().split()[0].upper()
    return ":".join(digest[i:i + 2] for i in range(0, 64, 2))


DENIED = "554 5.7.1 <x@far.example>: Relay access denied"


def test_permit_tls_clientcerts(secure):
    listed = fingerprint(secure, "stranger")
    secure.configure(smtpd_relay_restrictions="permit_tls_clientcerts, reject_unauth_destination", relay_clientcerts=f"inline:{{{{{listed} = yes}}}}")
    assert ask(secure, "stranger") == OK, "the fingerprint is enough"
    assert ask(secure, "client") == DENIED and ask(secure) == DENIED
    secure.configure(relay_clientcerts=f"inline:{{{{{fingerprint(secure, 'client', 'key')} = yes}}}}")
    assert ask(secure, "client") == OK and ask(secure, "stranger") == DENIED
    secure.configure(relay_clientcerts="texthash:/nonexistent")
    assert ask(secure, "client").startswith("4"), "could not tell"


def test_permit_tls_all_clientcerts(secure):
    secure.configure(smtpd_relay_restrictions="permit_tls_all_clientcerts, reject_unauth_destination")
    assert ask(secure, "client") == OK
    assert ask(secure, "stranger") == DENIED and ask(secure) == DENIED


@pytest.mark.parametrize("what", ["cert", "key"])
def test_check_ccert_access(secure, what):
    secure.configure(smtpd_relay_restrictions="permit_tls_all_clientcerts, reject_unauth_destination",
                     smtpd_client_restrictions=f"check_ccert_access inline:{{{{{fingerprint(secure, 'client', what)} = REJECT stolen key}}}}")
    try:
        assert ask(secure, "client", rcpt="u@v.example").startswith("554 5.7.1 ") and "stolen key" in ask(secure, "client")
        assert ask(secure, "stranger", rcpt="u@v.example") == OK and ask(secure, rcpt="u@v.example") == OK
        secure.configure(smtpd_client_restrictions=f"check_ccert_access inline:{{{{{fingerprint(secure, 'stranger', what)} = REJECT}}}}")
        assert ask(secure, "stranger", rcpt="u@v.example").startswith("554 5.7.1 "), "signed by nobody we know"
    finally:
        secure.configure(smtpd_client_restrictions="")


def test_check_sasl_access(secure):
    secure.configure(smtpd_relay_restrictions="permit_sasl_authenticated, reject_unauth_destination",
                     smtpd_sender_restrictions="check_sasl_access inline:{{jim = REJECT left the company}}")
    try:
        assert ask(secure, login="joe") == OK and ask(secure, rcpt="u@v.example") == OK
        assert ask(secure, login="jim") == "554 5.7.1 <jim>: SASL login name rejected: left the company"
    finally:
        secure.configure(smtpd_sender_restrictions="")


NOT_OWNED, NOT_IN = "553 5.7.1 <{}>: Sender address rejected: not owned by user {}", "553 5.7.1 <{}>: Sender address rejected: not logged in"
OWNED, OTHER, FREE = "joe@v.example", "jim@v.example", "free@v.example"


@pytest.mark.parametrize("rule,rows", [
    ("reject_sender_login_mismatch", [("joe", OWNED, OK), ("joe", OTHER, NOT_OWNED), ("joe", FREE, NOT_OWNED), (None, OWNED, NOT_IN), (None, FREE, OK)]),
    ("reject_authenticated_sender_login_mismatch", [("joe", OWNED, OK), ("joe", OTHER, NOT_OWNED), ("joe", FREE, NOT_OWNED), (None, OWNED, OK), (None, FREE, OK)]),
    ("reject_unauthenticated_sender_login_mismatch", [("joe", OWNED, OK), ("joe", OTHER, OK), ("joe", FREE, OK), (None, OWNED, NOT_IN), (None, FREE, OK)]),
    ("reject_known_sender_login_mismatch", [("joe", OWNED, OK), ("joe", OTHER, NOT_OWNED), ("joe", FREE, OK), (None, OWNED, NOT_IN), (None, FREE, OK)]),
])
def test_who_owns_the_sender(secure, rule, rows):
    secure.configure(smtpd_relay_restrictions="permit_sasl_authenticated, reject_unauth_destination", smtpd_sender_restrictions=rule,
                     smtpd_sender_login_maps=f"inline:{{{{{OWNED} = jack, joe}}, {{{OTHER} = jim}}}}")
    try:
        got = [(login, sender, ask(secure, login=login, sender=sender, rcpt="u@v.example")) for login, sender, _ in rows]
        assert got == [(login, sender, said.format(sender, login)) for login, sender, said in rows]
    finally:
        secure.configure(smtpd_sender_restrictions="")


def test_a_blocked_login_and_network(secure):
    secure.kingpost("block", "add", "jim", "his password is known")
    s = tls(secure)
    assert s.docmd("AUTH", "PLAIN " + b64("", "jim", "secret")) == (454, b"4.7.0 Error: too many failed logins, try again later")
    assert s.docmd("AUTH", "PLAIN " + b64("", "joe", "secret"))[0] == 235
    s.quit()
    secure.wait_log(r"SASL PLAIN authentication failed: blocked: his password is known, sasl_username=jim")
    assert re.search(r"login jim, \d+ s left: his password is known", secure.kingpost("block", "list").out)
    secure.kingpost("block", "remove", "jim")
    tls(secure, login="jim").quit()


# --- policy servers by unix socket ---


class Spawned(Scripted):
    """What Postfix's spawn does: each connection of a unix socket gets a program of its own as its other end."""

    def __init__(self, path, *command, **env):
        self.command, self.env, self.children, self.said = command, {**os.environ, **env}, [], []
        super().__init__(path)

    def serve(self, s):
        self.children.append(subprocess.Popen(self.command, stdin=s, stdout=s, stderr=subprocess.DEVNULL, env=self.env))
        s.close()

    def end(self):
        super().end()
        for child in self.children:
            child.terminate()
            child.wait(10)


RESOLVER = """
import dns.resolver
r = dns.resolver.default_resolver = dns.resolver.Resolver(configure=False)
r.nameservers, r.port = ["127.0.0.1"], {port}
"""


@root_only
def test_policyd_spf_by_unix_socket(world, tmp_path):  # noqa: F811
    if not os.path.exists("/usr/bin/policyd-spf"):
        pytest.skip("postfix-policyd-spf-python is not installed")
    conf = tmp_path / "policyd.conf"
    conf.write_text("debugLevel = 1\nTestOnly = 1\nHELO_reject = False\nMail_From_reject = Fail\nPermError_reject = False\nTempError_Defer = True\nskip_addresses = 192.0.2.0/24\n")
    (tmp_path / "sitecustomize.py").write_text(RESOLVER.format(port=world.knot.port))
    path = f"{world.suite.base}/spf.sock"
    server = Spawned(path, "/usr/bin/python3", "/usr/bin/policyd-spf", str(conf), PYTHONPATH=str(tmp_path))
    try:
        world.configure({"recipient": f"check_policy_service {{unix:{path}, timeout=20s, default_action=DEFER policyd-spf is away}}, check_sender_access static:HOLD"})
        refused = world.ask(sender="a@fail.example")
        assert refused.startswith("550 5.7.23 <u@v.example>: Recipient address rejected: Message rejected due to: 127.0.0.9 may not send for fail.example."), refused
        c = Client(world.suite)
        assert c.try_mail(sender="a@pass.example") == OK
        id, text = held(world.suite, c.content())
        c.end()
        assert re.search(r"^Received-SPF: Pass \(.*client-ip=127\.0\.0\.9", text, re.M | re.S), text
        world.suite.kingpost("queue", "delete", id)
        assert len(server.children) >= 1
    finally:
        server.end()
    os.unlink(path)
    assert world.ask(sender="a@pass.example").startswith("450 4.7.1 <u@v.example>: Recipient address rejected: policyd-spf is away")
