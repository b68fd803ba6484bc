# SPDX-License-Identifier: ISC
"""Who may send to whom: restriction lists, a row each, against a real DNS server; access tables; policy servers; SPF."""

import os
import re
import shutil
import socket
import subprocess

import pytest

from conftest import Scripted, Suite, free_port, message, wait_until

pytestmark = pytest.mark.skipif(not shutil.which("knotd") and not os.path.exists("/usr/sbin/knotd"), reason="knot is not installed")

# The client of each test is one of 127.0.0.0/8 but 127.0.0.1, which is mynetworks.
ZONES = {
    "example": """
@ 300 SOA ns.example. h.example. 1 60 60 60 60
@ NS ns
ns A 127.0.0.1
good MX 10 mail.good
mail.good A 127.0.0.3
host A 45.45.45.3
liar A 45.45.45.9
null MX 0 .
nothing TXT "no mail here"
backup MX 10 mail.good.example.
backup MX 20 ours.example.
ours A 127.0.0.1
pass TXT "v=spf1 ip4:127.0.0.9 -all"
fail TXT "v=spf1 ip4:192.0.2.1 -all exp=why.fail.example"
why.fail TXT "%{i} may not send for %{d}"
soft TXT "v=spf1 ~all"
broken TXT "v=spf1 ipv4:1.2.3.4 -all"
twice TXT "v=spf1 -all"
twice TXT "v=spf1 +all"
macro TXT "v=spf1 exists:%{ir}.%{l1r-}.spf.example -all"
9.0.0.127.joe.spf A 127.0.0.2
deep TXT "v=spf1 include:deep.example -all"
v A 45.45.45.8
v MX 10 mail.good
listed.rhsbl A 127.0.0.2
good.example.rhsbl A 127.0.0.2
bad.example.rhsbl A 127.0.0.2
bad.example.rhsbl TXT "bad domain"
""",
    "rbl": """
@ 300 SOA ns.example. h.example. 1 60 60 60 60
@ NS ns.example.
9.0.0.127 A 127.0.0.2
9.0.0.127 TXT "listed as 127.0.0.9"
8.0.0.127 A 127.0.0.4
7.0.0.127 A 127.0.0.10
""",
    "deleg.example": """
@ 300 SOA ns.example. h.example. 1 60 60 60 60
@ NS ns.example.
@ MX 10 mail.good.example.
""",
    "45.45.45.in-addr.arpa": """
@ 300 SOA ns.example. h.example. 1 60 60 60 60
@ NS ns.example.
3 PTR host.example.
4 PTR liar.example.
5 PTR missing.example.
6 PTR good.example.
7 PTR deleg.example.
""",
}


class Knot:
    def __init__(self, folder):
        self.port = free_port()
        zones = ""
        for name, text in ZONES.items():
            zones += f'  - domain: {name}\n    storage: "{folder}"\n    file: {name}.zone\n'
            with open(f"{folder}/{name}.zone", "w") as f:
                f.write(f"$ORIGIN {name}.\n$TTL 60\n{text}")
        with open(f"{folder}/knot.conf", "w") as f:
            f.write(f'server:\n    rundir: "{folder}"\n    listen: 127.0.0.1@{self.port}\ndatabase:\n    storage: "{folder}"\nzone:\n{zones}')
        self.process = subprocess.Popen(["/usr/sbin/knotd", "-c", f"{folder}/knot.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 10, "knot")

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self):
        self.process.terminate()
        self.process.wait(20)


class Client:
    """A client at an address of its own."""

    def __init__(self, suite, address="127.0.0.9", port=None):
        self.socket = socket.create_connection(("127.0.0.1", port or suite.port), timeout=30, source_address=(address, 0))
        self.file = self.socket.makefile("rwb")
        self.greeting = self.reply()

    def reply(self):
        lines = []
        while True:
            line = self.file.readline().decode()
            lines.append(line.rstrip("\r\n"))
            if line[3:4] != "-":
                return lines[-1]

    def say(self, line):
        self.file.write(line.encode() + b"\r\n")
        self.file.flush()
        return self.reply()

    def try_mail(self, sender="a@good.example", rcpt="u@v.example", helo="host.example", xclient=None):
        if xclient:
            assert self.say("EHLO x.example")[:3] == "250"
            assert self.say(f"XCLIENT {xclient}")[:3] == "220"
        replies = [self.say(f"EHLO {helo}"), self.say(f"MAIL FROM:<{sender}>"), self.say(f"RCPT TO:<{rcpt}>")]
        return next((r for r in replies if r[0] in "45"), replies[-1])

    def content(self, text=None):
        assert self.say("DATA")[:3] == "354"
        return self.say((text or message()).replace("\n", "\r\n") + "\r\n.")

    def end(self):
        self.file.close()
        self.socket.close()


LISTS = "client helo sender relay recipient data end_of_data".split()


class World:
    """One instance; each test gives it the lists that it is about."""

    def __init__(self, folder):
        self.knot = Knot(folder)
        self.suite = Suite()
        self.folder = str(folder)
        os.chmod(self.folder, 0o755)
        self.suite.start(f"dns_servers = 127.0.0.1@{self.knot.port}", "mynetworks = 127.0.0.1/32", "smtpd_authorized_xclient_hosts = 127.0.0.9/32", "mydestination = localhost",
                         "virtual_mailbox_domains = v.example", "virtual_mailbox_maps = inline:{u@v.example=u/, w@v.example=w/}",
                         "virtual_alias_domains = alias.example", "virtual_alias_maps = inline:{x@alias.example=u@v.example}",
                         "relay_domains = relay.example", "recipient_delimiter = +", "dns_timeout = 2s", "smtpd_client_connection_count_limit = 0",
                         "smtpd_unknown_recipient_delay = 0", "smtpd_harvest_limit = 0", "smtpd_error_sleep_time = 0",
                         "virtual_mailbox_base = /nonexistent", "virtual_uid_maps = static:65534", "virtual_gid_maps = static:65534")

    def configure(self, lists=None, **settings):
        values = {f"smtpd_{name}_restrictions": "" for name in LISTS if name != "relay"}
        values["smtpd_relay_restrictions"] = "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination"
        values["smtpd_restriction_classes"] = ""
        values.update({f"smtpd_{k}_restrictions": v for k, v in (lists or {}).items()})
        values.update(settings)
        self.suite.configure(**values)

    def file(self, name, text):
        path = f"{self.suite.base}/{name}"
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o644)
        return path

    def ask(self, address="127.0.0.9", **kw):
        client = Client(self.suite, address)
        try:
            return client.try_mail(**kw)
        finally:
            client.end()

    def end(self):
        self.suite.end()
        self.knot.end()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    w = World(tmp_path_factory.mktemp("world"))
    yield w
    w.end()


OK = "250 2.1.5 Ok"

# list, restriction, what is tried, what is said
ROWS = [
    ("recipient", "permit", {}, OK),
    ("recipient", "reject", {}, "554 5.7.1 <u@v.example>: Recipient address rejected: Access denied"),
    ("recipient", "defer", {}, "450 4.3.2 <u@v.example>: Recipient address rejected: Try again later"),
    ("recipient", "defer_if_permit, reject_unauth_destination", {}, "450 4.3.2 <u@v.example>: Recipient address rejected: defer_if_permit requested"),
    ("recipient", "defer_if_reject, reject", {}, "450 4.3.2 <u@v.example>: Recipient address rejected: defer_if_reject requested"),
    ("recipient", "warn_if_reject reject", {}, OK),
    ("recipient", "{ permit_mynetworks, reject }", {}, "554 5.7.1"),
    ("recipient", "sleep 1, reject", {}, "554 5.7.1"),
    ("client", "permit_inet_interfaces, reject", {}, "554 5.7.1 <unknown[127.0.0.9]>: Client host rejected: Access denied"),
    ("client", "permit_mynetworks, reject", {"address": "127.0.0.1"}, OK),
    ("client", "permit_sasl_authenticated, permit_tls_all_clientcerts, permit_tls_clientcerts, reject", {}, "554 5.7.1"),
    ("client", "reject_unknown_client_hostname", {}, "450 4.7.25 Client host rejected: cannot find your hostname, [127.0.0.9]"),
    ("client", "reject_unknown_client_hostname", {"xclient": "NAME=host.example ADDR=45.45.45.3"}, OK),
    ("client", "reject_unknown_client_hostname", {"xclient": "NAME=[UNAVAILABLE] ADDR=45.45.45.4"}, "450 4.7.25 Client host rejected: cannot find your hostname, [45.45.45.4]"),
    ("client", "reject_unknown_reverse_client_hostname", {}, "450 4.7.25 Client host rejected: cannot find your reverse hostname, [127.0.0.9]"),
    ("client", "reject_unknown_reverse_client_hostname", {"xclient": "NAME=[UNAVAILABLE] ADDR=45.45.45.4"}, OK),
    ("client", "reject_unknown_forward_client_hostname", {"xclient": "NAME=[UNAVAILABLE] ADDR=45.45.45.5"}, "450 4.7.25 Client host rejected: cannot find your forward hostname"),
    ("client", "reject_rbl_client rbl", {}, "554 5.7.1 Service unavailable; Client host [127.0.0.9] blocked using rbl; listed as 127.0.0.9"),
    ("client", "reject_rbl_client rbl", {"address": "127.0.0.6"}, OK),
    ("client", "reject_rbl_client rbl=127.0.0.[3..5;9]", {}, OK),
    ("client", "reject_rbl_client rbl=127.0.0.[3..5;9]", {"address": "127.0.0.8"}, "554 5.7.1 Service unavailable; Client host [127.0.0.8] blocked using rbl"),
    ("client", "permit_dnswl_client rbl=127.0.0.10, reject", {"address": "127.0.0.7"}, OK),
    ("client", "permit_dnswl_client rbl=127.0.0.10, reject", {}, "554 5.7.1"),
    ("client", "reject_rhsbl_client rhsbl.example", {"xclient": "NAME=host.example ADDR=45.45.45.3"}, OK),
    ("client", "permit_rhswl_client rhsbl.example, reject", {"xclient": "NAME=host.example ADDR=45.45.45.3"}, "554 5.7.1"),
    ("client", "reject_plaintext_session", {}, "450 4.7.1 <unknown[127.0.0.9]>: Client host rejected: Session encryption is required"),
    ("helo", "reject_invalid_helo_hostname", {"helo": "a..b"}, "501 5.5.2 <a..b>: Helo command rejected: Invalid name"),
    ("helo", "reject_non_fqdn_helo_hostname", {"helo": "host"}, "504 5.5.2 <host>: Helo command rejected: need fully-qualified hostname"),
    ("helo", "reject_non_fqdn_helo_hostname", {"helo": "[127.0.0.9]"}, OK),
    ("helo", "reject_unknown_helo_hostname", {"helo": "missing.example"}, "450 4.7.1 <missing.example>: Helo command rejected: Host not found"),
    ("helo", "reject_unknown_helo_hostname", {}, OK),
    ("helo", "reject_rhsbl_helo rhsbl.example", {"helo": "bad.example"}, "554 5.7.1 Service unavailable; Helo command [bad.example] blocked using rhsbl.example; bad domain"),
    ("sender", "reject_non_fqdn_sender", {"sender": "a@host"}, "504 5.5.2 <a@host>: Sender address rejected: need fully-qualified address"),
    ("sender", "reject_non_fqdn_sender", {"sender": ""}, OK),
    ("sender", "reject_unknown_sender_domain", {"sender": "a@missing.example"}, "450 4.1.8 <a@missing.example>: Sender address rejected: Domain not found"),
    ("sender", "reject_unknown_sender_domain", {"sender": "a@nothing.example"}, "450 4.1.8"),
    ("sender", "reject_unknown_sender_domain", {"sender": "a@null.example"}, "550 5.7.27 <a@null.example>: Sender address rejected: Domain null.example does not accept mail (nullMX)"),
    ("sender", "reject_unknown_sender_domain", {}, OK),
    ("sender", "reject_unlisted_sender", {"sender": "no@v.example"}, "550 5.1.0 <no@v.example>: Sender address rejected: User unknown in virtual mailbox table"),
    ("sender", "reject_unlisted_sender", {"sender": "w@v.example"}, OK),
    ("sender", "reject_rhsbl_sender rhsbl.example", {"sender": "a@bad.example"}, "554 5.7.1 Service unavailable; Sender address [a@bad.example] blocked using rhsbl.example"),
    ("sender", "reject_sender_login_mismatch", {"sender": "owned@good.example"}, "553 5.7.1 <owned@good.example>: Sender address rejected: not logged in"),
    ("sender", "reject_unauthenticated_sender_login_mismatch", {"sender": "owned@good.example"}, "553 5.7.1"),
    ("sender", "reject_authenticated_sender_login_mismatch", {"sender": "owned@good.example"}, OK),
    ("sender", "reject_known_sender_login_mismatch", {"sender": "other@good.example"}, OK),
    ("recipient", "reject_non_fqdn_recipient", {"rcpt": "u@v"}, "554 5.7.1 <u@v>: Relay access denied"),
    ("recipient", "reject_unknown_recipient_domain", {}, OK),
    ("recipient", "permit_auth_destination, reject", {}, OK),
    ("recipient", "reject_unauth_pipelining", {}, OK),
    ("recipient", "reject_rhsbl_recipient rhsbl.example", {}, OK),
    ("recipient", "reject_unlisted_recipient", {"rcpt": "no@v.example"}, "550 5.1.1 <no@v.example>: Recipient address rejected: User unknown in virtual mailbox table"),
    ("recipient", "reject_multi_recipient_bounce", {"sender": ""}, OK),
    ("recipient", "check_recipient_access static:REJECT", {}, "554 5.7.1 <u@v.example>: Recipient address rejected: Access denied"),
    ("recipient", "static:{450 4.7.3 later}", {}, "450 4.7.3 <u@v.example>: Recipient address rejected: later"),
    ("recipient", "strict", {}, "550 5.7.9 <u@v.example>: Recipient address rejected: in a class"),
    ("recipient", "check_recipient_access static:strict", {}, "550 5.7.9 <u@v.example>: Recipient address rejected: in a class"),
    ("recipient", "check_recipient_access static:{reject_rbl_client rbl}", {}, "554 5.7.1 Service unavailable; Client host [127.0.0.9]"),
    ("recipient", "check_recipient_access static:{reject_nonsense}", {}, "451 4.3.5 <u@v.example>: Recipient address rejected: Server configuration error"),
    ("client", "check_client_access inline:{{127.0 = REJECT by network}}", {}, "554 5.7.1 <unknown[127.0.0.9]>: Client host rejected: by network"),
    ("client", "check_client_access inline:{host.example=REJECT}", {"xclient": "NAME=host.example ADDR=45.45.45.3"}, "554 5.7.1 <host.example[45.45.45.3]>: Client host rejected"),
    ("client", "check_client_access inline:{example=REJECT}", {"xclient": "NAME=host.example ADDR=45.45.45.3"}, "554 5.7.1"),
    ("client", "check_reverse_client_hostname_access inline:{liar.example=REJECT}", {"xclient": "NAME=[UNAVAILABLE] ADDR=45.45.45.4"}, "554 5.7.1 <liar.example>: Unverified Client host rejected"),
    ("client", "check_client_a_access inline:{45.45.45.3=REJECT}", {"xclient": "NAME=host.example ADDR=45.45.45.3"}, "554 5.7.1"),
    ("helo", "check_helo_access inline:{{host.example = 504 no}}", {}, "504 5.7.1 <host.example>: Helo command rejected: no"),
    ("helo", "check_helo_a_access inline:{45.45=REJECT}", {}, "554 5.7.1 <host.example>: Helo command rejected"),
    ("helo", "check_helo_ns_access inline:{ns.example=REJECT}", {"helo": "deleg.example"}, "554 5.7.1 <deleg.example>: Helo command rejected"),
    ("sender", "check_sender_access inline:{{<> = 550 5.7.1 no bounces}}", {"sender": ""}, "550 5.7.1 <>: Sender address rejected: no bounces"),
    ("sender", "check_sender_access inline:{{a@ = REJECT a}}", {}, "554 5.7.1 <a@good.example>: Sender address rejected: a"),
    ("sender", "check_sender_access inline:{a@good.example=REJECT}", {"sender": "a+x@good.example"}, "554 5.7.1"),
    ("sender", "check_sender_mx_access inline:{mail.good.example=REJECT}", {}, "554 5.7.1 <a@good.example>: Sender address rejected"),
    ("sender", "check_sender_mx_access inline:{127.0.0.3=REJECT}", {}, "554 5.7.1"),
    ("sender", "check_sender_ns_access inline:{127.0.0.1=REJECT}", {"sender": "a@deleg.example"}, "554 5.7.1"),
    ("sender", "check_sender_access fail:no", {}, "451 4.3.5 <a@good.example>: Sender address rejected: Server configuration error"),
    ("sender", "check_sender_access texthash:/nonexistent/table", {}, "451 4.3.5"),
    ("sender", "check_sender_access static:DUNNO, reject", {}, "554 5.7.1"),
    ("sender", "check_sender_access static:OK, reject", {}, OK),
    ("sender", "check_sender_access static:12345, reject", {}, OK),
    ("sender", "check_sender_access static:{DEFER_IF_PERMIT 4.7.2 perhaps}", {}, "450 4.7.2 <a@good.example>: Sender address rejected: perhaps"),
    ("sender", "check_sender_access static:{DEFER_IF_REJECT 4.7.2 perhaps}", {}, OK),
    ("sender", "check_sender_access static:{WARN look}", {}, OK),
    ("sender", "reject_spf_fail", {"sender": "a@fail.example"}, "550 5.7.23 <a@fail.example>: Sender address rejected: SPF fail for 127.0.0.9: the domain explains: 127.0.0.9 may not send for fail.example"),
    ("sender", "reject_spf_fail", {"sender": "a@pass.example"}, OK),
    ("sender", "reject_spf_fail", {"sender": "a@soft.example"}, OK),
    ("sender", "reject_spf_fail {softfail=defer}", {"sender": "a@soft.example"}, "451 4.7.23"),
    ("sender", "reject_spf_fail {permerror=reject}", {"sender": "a@broken.example"}, "550 5.7.24 <a@broken.example>: Sender address rejected: SPF permerror"),
    ("sender", "reject_spf_fail {permerror=reject}", {"sender": "a@twice.example"}, "550 5.7.24"),
    ("sender", "reject_spf_fail {permerror=reject}", {"sender": "a@deep.example"}, "550 5.7.24"),
    ("sender", "reject_spf_fail", {"sender": "joe@macro.example"}, OK),
    ("sender", "reject_spf_fail", {"sender": "jim@macro.example"}, "550 5.7.23"),
    ("relay", "reject_unauth_destination", {"rcpt": "u@good.example"}, "554 5.7.1 <u@good.example>: Relay access denied"),
    ("relay", "defer_unauth_destination", {"rcpt": "u@good.example"}, "454 4.7.1 <u@good.example>: Relay access denied"),
    ("relay", "permit_mx_backup, reject_unauth_destination", {"rcpt": "u@backup.example"}, OK),
    ("relay", "permit_mx_backup, reject_unauth_destination", {"rcpt": "u@good.example"}, "554 5.7.1"),
    ("relay", "reject_unauth_destination", {"rcpt": "u@relay.example"}, OK),
]


def quote(rules):
    return re.sub(r"static:\{([^}]*)\}", r"{static:\1}", rules)


def test_each_restriction(world):
    """Rows of one list share an instance's configuration."""
    wrong = []
    groups = {}
    for row in ROWS:
        groups.setdefault((row[0], row[1]), []).append(row)
    for (where, rules), rows in groups.items():
        world.configure({where: quote(rules)}, smtpd_restriction_classes="strict={check_recipient_access {static:550 5.7.9 in a class}}",
                        smtpd_sender_login_maps="inline:{owned@good.example=joe}")
        for _, _, what, said in rows:
            got = world.ask(**what)
            if not got.startswith(said):
                wrong.append(f"{where}: {rules}: {what}: {got!r}, not {said!r}")
    assert not wrong, "\n".join(wrong) + world.suite.errors()


def test_tables_of_each_type(world):
    cidr = world.file("cidr", "127.0.0.0/29 OK\n127.0.0.9/32 REJECT by cidr\n")
    pcre = world.file("pcre", "/^(b)@good/ REJECT $1 by pcre\n")
    text = world.file("text", "good.example REJECT by texthash\n")
    lmdb = world.file("lmdb", "c@bad.example 550 5.7.8 by lmdb\n")
    world.suite.kingpost("map", "build", lmdb)
    world.configure({"sender": f"check_client_access cidr:{cidr}, permit"})
    assert world.ask() == "554 5.7.1 <unknown[127.0.0.9]>: Client host rejected: by cidr"
    assert world.ask(address="127.0.0.2") == OK
    world.configure({"sender": f"check_sender_access pcre:{pcre}, check_sender_access lmdb:{lmdb}, check_sender_access texthash:{text}"})
    assert world.ask(sender="b@good.example") == "554 5.7.1 <b@good.example>: Sender address rejected: b by pcre"
    assert world.ask(sender="a@good.example") == "554 5.7.1 <a@good.example>: Sender address rejected: by texthash"
    assert world.ask(sender="c@bad.example") == "550 5.7.8 <c@bad.example>: Sender address rejected: by lmdb"
    assert world.ask(sender="d@bad.example") == OK
    world.file("text", "bad.example REJECT now\n")
    wait_until(lambda: world.ask(sender="d@bad.example").startswith("554"), 10, "the changed table")


def test_actions_on_the_message(world):
    world.configure({"recipient": "check_sender_access inline:{{h@good.example = HOLD look at it}, {d@good.example = DISCARD gone}, "
                                  "{p@good.example = PREPEND X-Seen: yes}, {r@good.example = REDIRECT w@v.example}}, check_sender_access static:DUNNO"})
    suite = world.suite
    said = {}
    for name in "hdpr":
        client = Client(suite)
        assert client.try_mail(sender=f"{name}@good.example") == OK
        said[name] = client.content()
        client.end()
    assert said["d"] == "250 2.0.0 Ok"
    suite.wait_log(r"discard: RCPT from unknown\[127.0.0.9\]: <d@good.example>: Sender address gone")
    redirected = re.search(r"queued as (\w+)", said["r"]).group(1)
    assert re.findall(r"to=<([^>]*)>", suite.wait_log(rf"{redirected}: to=<[^>]*>").group(0)) == ["w@v.example"]
    held = re.search(r"queued as (\w+)", said["h"]).group(1)
    wait_until(lambda: [m for m in suite.queue() if m["queue_id"] == held and m["queue_name"] == "hold"], 10, "the held message")
    done = re.search(r"queued as (\w+)", said["p"]).group(1)
    suite.kingpost("queue", "hold", done, check=False)
    assert "X-Seen: yes" in suite.kingpost("queue", "cat", done).out


class Policy(Scripted):
    """A policy server that answers as `answer` says of the request's attributes; None: closes."""

    def __init__(self, answer):
        self.answer, self.requests = answer, []
        super().__init__()

    def serve(self, s):
        f = s.makefile("rwb")
        request = {}
        try:
            for line in f:
                line = line.decode().rstrip("\n")
                if line:
                    name, value = line.split("=", 1)
                    request[name] = value
                    continue
                self.requests.append(request)
                reply = self.answer(request)
                request = {}
                if reply is None:
                    break
                f.write(reply.encode())
                f.flush()
        except OSError:
            pass
        s.close()


def test_policy_service(world):
    server = Policy(lambda r: f"action={'554 5.7.1 by policy' if r['sender'].startswith('bad') else 'DUNNO'}\n\n")
    world.configure({"recipient": f"check_policy_service inet:127.0.0.1:{server.port}"})
    assert world.ask() == OK
    assert world.ask(sender="bad@good.example") == "554 5.7.1 <u@v.example>: Recipient address rejected: by policy"
    one = server.requests[0]
    assert one["request"] == "smtpd_access_policy" and one["client_address"] == "127.0.0.9" and one["helo_name"] == "host.example"
    assert one["server_address"] == "127.0.0.1" and one["server_port"] == str(world.suite.port)
    assert one["recipient"] == "u@v.example" and one["protocol_state"] == "RCPT" and one["instance"]
    assert server.connections <= 2  # kept, one a worker


@pytest.mark.parametrize("answer", [lambda r: None, lambda r: "garbage\n\n", lambda r: "\n", lambda r: "x" * 100000, lambda r: "action=\n\n"])
def test_hostile_policy_service(world, answer):
    server = Policy(answer)
    world.configure({"recipient": f"check_policy_service {{inet:127.0.0.1:{server.port}, timeout=2s, retry_delay=100ms}}"})
    assert world.ask() == "451 4.3.5 <u@v.example>: Recipient address rejected: Server configuration problem"
    world.suite.wait_log(rf"problem talking to server inet:127.0.0.1:{server.port}")


def test_a_silent_policy_service_has_its_default_action(world):
    server = Policy(lambda r: "")
    world.configure({"recipient": f"check_policy_service {{inet:127.0.0.1:{server.port}, timeout=1s, try_limit=1, default_action=DUNNO}}"})
    assert world.ask() == OK


def test_an_unreadable_table_is_logged_once(world):
    world.configure({"sender": "check_sender_access texthash:/nonexistent/once"})
    for _ in range(8):
        assert world.ask()[:3] == "451"
    world.suite.wait_log(r"warning: .*texthash:/nonexistent/once", 3)
    lines = re.findall(r"warning: .*texthash:/nonexistent/once", world.suite.log())
    workers = len([w for w in world.suite.status()["workers"] if w["program"] == "smtpd"])
    assert 1 <= len(lines) <= workers


def test_smtp_test_and_check_relay(world):
    world.configure({"client": "reject_rbl_client rbl"})
    done = world.suite.kingpost("smtp", "test", "--client", "127.0.0.9", "--helo", "h.example", "--from", "a@b.example", "--to", "u@v.example", check=False)
    assert done.returncode == 1
    assert "smtpd_client_restrictions: reject_rbl_client rbl: 554 5.7.1 Service unavailable" in done.out and "verdict: 554" in done.out
    done = world.suite.kingpost("smtp", "test", "--client", "127.0.0.2", "--to", "u@far.example", check=False)
    assert "smtpd_relay_restrictions: reject_unauth_destination: 554 5.7.1 <u@far.example>: Relay access denied" in done.out
    table = world.suite.kingpost("check", "--relay").out
    assert re.search(r"outside +anywhere else +no +smtpd_relay_restrictions: reject_unauth_destination", table)
    assert re.search(r"mynetworks +anywhere else +yes +smtpd_relay_restrictions: permit_mynetworks", table)
    assert re.search(r"outside +relay_domains +yes", table)


@pytest.mark.parametrize("setting,text", [
    ("smtpd_relay_restrictions = permit_mynetworks", "open relay"),
    ("smtpd_relay_restrictions = check_client_access static:OK, reject_unauth_destination", "open relay"),
    ("smtpd_recipient_restrictions = reject_unknown_sender_domian", "did you mean reject_unknown_sender_domain"),
    ("smtpd_client_restrictions = permit_naked_ip_address", "write permit_mynetworks"),
    ("smtpd_client_restrictions = reject_rbl_client", "needs a DNS zone"),
])
def test_what_is_refused_at_start(suite, setting, text):
    done = suite.run_script("--port", str(suite.port), "--submission-port", str(suite.submission_port), "--set", setting, "--detach")
    assert done.returncode != 0 and text in done.stdout + done.stderr + suite.errors()
    suite.stop = lambda: None
