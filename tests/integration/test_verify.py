# SPDX-License-Identifier: ISC
"""Address verification: probes that never become mail, and what is made of their results."""

import os
import re
import signal
import sys
import threading
import time

import pytest

from conftest import TOP, Suite, USERS, free_port, message, root_only, wait_until

SENDER = "a@source.example"


def probes(hop, address=None):
    """The RCPT commands that a scripted server has had."""
    return [line for line in hop.said if line.upper().startswith("RCPT TO:") and (address is None or f"<{address}>" in line)]


def by_address(**replies):
    """What a scripted server says to RCPT, by the local part: ok by default."""
    def reply(hop):
        local = re.match(r"RCPT TO:<([^@>]*)", hop.said[-1], re.I).group(1)
        text = replies.get(local, "250 2.1.5 ok")
        return text() if callable(text) else text
    return reply


def ask(suite, to, sender=SENDER, port=None):
    """The reply to RCPT, or to a MAIL that was refused."""
    with suite.smtp(port) as c:
        c.ehlo()
        code, text = c.mail(sender)
        if code == 250:
            code, text = c.rcpt(to)
        return f"{code} {text.decode()}"


def no_mail(suite, *hops):
    """No probe has left anything behind."""
    suite.wait_empty()
    for hop in hops:
        assert not hop.mail and not [s for s in hop.said if s.upper().startswith(("DATA", "BDAT"))], hop.said
    assert not re.search(r"status=(sent|bounced|deferred)", suite.log())


REPLIES = {"gone": "550 5.1.1 no such user", "later": "450 4.2.1 come back", "odd": "550 5.7.1 caf\xe9 \x01 ends here"}


class World:
    def __init__(self, server):
        self.hop = server(RCPT=by_address(**REPLIES))
        self.lmtp = server(RCPT=by_address(gone="550 5.1.1 no such mailbox"))
        self.dead = free_port()
        self.suite = Suite()
        self.suite.start(
            "smtpd_recipient_restrictions = reject_unverified_recipient", "address_verify_poll_delay = 2s", "myorigin = localhost", "local_recipient_maps =",
            "always_bcc = copy@far.example", "header_checks = static:REJECT", "content_filter = smtp:[127.0.0.1]:1",
            "unverified_recipient_reject_code = 577", "unverified_recipient_defer_code = 457", "smtp_connect_timeout = 2s",
            f"transport_maps = inline:{{ far.example=smtp:[127.0.0.1]:{self.hop.port}, box.example=lmtp:inet:127.0.0.1:{self.lmtp.port}, "
            f"dead.example=smtp:[127.0.0.1]:{self.dead}, {{ refused.example = error:5.1.6 has moved }} }}",
            "virtual_alias_maps = inline:{ { many@localhost = ok@far.example, ok2@far.example }, one@localhost=gone@far.example}",
            f"alias_maps = inline:{{ {{ touch = \"|/bin/touch {self.suite.base}/was-run\" }}, into=/tmp/no-such-folder/box, "
            "list=:include:/no/such/list, sent-on=ok@far.example}")


@pytest.fixture(scope="module")
def world():
    from conftest import Server
    made = []

    def server(**script):
        made.append(Server(script))
        return made[-1]
    w = World(server)
    yield w
    w.suite.end()
    for s in made:
        s.end()


def test_what_the_probe_says(world):
    suite, hop = world.suite, world.hop
    assert ask(suite, "ok@far.example").startswith("250 2.1.5")
    assert re.fullmatch(r"577 5\.1\.1 <gone@far\.example>: Recipient address rejected: undeliverable address: host 127\.0\.0\.1\[127\.0\.0\.1\] "
                        r"said: 550 5\.1\.1 no such user \(in reply to RCPT TO command\)", ask(suite, "gone@far.example"))
    assert re.fullmatch(r"457 4\.1\.1 <later@far\.example>: Recipient address rejected: unverified address: host 127\.0\.0\.1\[127\.0\.0\.1\] "
                        r"said: 450 4\.2\.1 come back \(in reply to RCPT TO command\)", ask(suite, "later@far.example"))
    assert ask(suite, "odd@far.example").startswith("577 5.1.1 <odd@far.example>")
    for _ in range(3):
        assert ask(suite, "ok@FAR.example").startswith("250")
        assert ask(suite, "gone@far.example").startswith("577")
        assert ask(suite, "later@far.example").startswith("457")
    for local in ("ok", "gone", "later"):
        assert len(probes(hop, f"{local}@far.example")) == 1
    assert "MAIL FROM:<double-bounce@localhost>" in {line.split(" SIZE")[0] for line in hop.said if line.startswith("MAIL")}
    no_mail(suite, hop)
    suite.wait_log(r"smtp\[\d+\]: [0-9A-F]+: to=<ok@far\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=[\d.]+, delays=[\d./]+, "
                   r"dsn=2\.1\.5, status=deliverable \(250 2\.1\.5 ok\)")
    suite.wait_log(r"to=<gone@far\.example>, .*dsn=5\.1\.1, status=undeliverable \(host ")
    suite.wait_log(r"to=<later@far\.example>, .*dsn=4\.2\.1, status=undeliverable \(host ")
    suite.wait_log(r"NOQUEUE: reject: RCPT from .*: 577 5\.1\.1 <gone@far\.example>: Recipient address rejected: undeliverable address: ")
    assert not probes(hop, "copy@far.example")
    metrics = suite.status()["metrics"]
    assert not [name for name, m in metrics.items() if re.search("queued|sent|bounced|deferred|removed", name) and m.get("value")], metrics


def test_lmtp(world):
    assert ask(world.suite, "ok@box.example").startswith("250")
    assert "no such mailbox" in ask(world.suite, "gone@box.example")
    assert [s for s in world.lmtp.said if s.startswith("LHLO")]
    no_mail(world.suite, world.lmtp)


def test_a_dead_host(world):
    reply = ask(world.suite, "x@dead.example")
    assert re.match(r"457 4\.1\.1 <x@dead\.example>: Recipient address rejected: unverified address: connect to 127\.0\.0\.1", reply), reply
    no_mail(world.suite)


def test_local(world):
    suite, user = world.suite, USERS[0]
    assert ask(suite, f"{user}@localhost").startswith("250")
    assert re.match(r'577 5\.1\.1 <nobody-here@localhost>: Recipient address rejected: undeliverable address: unknown user: "nobody-here"',
                    ask(suite, "nobody-here@localhost"))
    for name, does in (("touch", "delivers to command"), ("into", "delivers to file"), ("list", "includes a list"),
                       ("sent-on", "forwards to other addresses")):
        assert ask(suite, f"{name}@localhost").startswith("250")
        suite.wait_log(rf"local\[\d+\]: [0-9A-F]+: to=<{name}@localhost>.* status=deliverable \({does}\)")
    suite.wait_log(rf"to=<{user}@localhost>.* status=deliverable \(delivers to mailbox\)")
    no_mail(suite)
    assert not suite.mail(user)
    assert not os.path.exists(f"{suite.base}/was-run")


def test_aliases(world):
    suite = world.suite
    assert ask(suite, "many@localhost").startswith("250")
    suite.wait_log(r"orig_to=<many@localhost>, relay=none, .*status=deliverable \(aliased to multiple recipients\)")
    assert not probes(world.hop, "ok2@far.example")
    assert "undeliverable address: host" in ask(suite, "one@localhost")
    assert "has moved" in ask(suite, "x@refused.example")
    no_mail(suite, world.hop)


def test_no_probe_of_ourselves(world):
    """Mail to the probes' sender is accepted by everybody, whatever the restrictions, and thrown away."""
    suite = world.suite
    assert ask(suite, "double-bounce@localhost", "").startswith("250")
    assert ask(suite, "Double-Bounce@localhost").startswith("250")
    assert ask(suite, "after@far.example").startswith("250")
    suite.wait_log(r"to=<after@far\.example>")
    assert not re.search("to=<double-bounce@", suite.log(), re.I)
    assert "class: local" in suite.kingpost("address", "test", "double-bounce@localhost").out


def test_the_operators_test_probes_nothing(world):
    suite = world.suite
    done = suite.kingpost("smtp", "test", "--client", "127.0.0.1", "--to", "untold@far.example", check=False)
    assert "smtpd_recipient_restrictions: reject_unverified_recipient: no opinion" in done.out
    assert "effect: verify: untold@far.example is not known: a session would probe it" in done.out
    assert ask(suite, "gone@far.example").startswith("577")
    done = suite.kingpost("smtp", "test", "--client", "127.0.0.1", "--to", "gone@far.example", check=False)
    assert "verdict: 577 5.1.1 <gone@far.example>" in done.out and done.returncode == 1
    suite.wait_empty()
    assert not probes(world.hop, "untold@far.example")


def test_the_operator_makes_it_forget(world):
    suite, hop = world.suite, world.hop
    hop.script["RCPT"] = by_address(**dict(REPLIES, new="550 5.1.1 not yet"))
    assert "not yet" in ask(suite, "new@far.example")
    line = suite.kingpost("verify", "show", "new@FAR.example").out
    assert re.fullmatch(r"new@far\.example: undeliverable, found \d+ s ago, 2\d{5} s left: host .* not yet \(in reply to RCPT TO command\)\n", line)
    hop.script["RCPT"] = by_address(**REPLIES)
    assert "not yet" in ask(suite, "new@far.example")
    suite.kingpost("verify", "forget", "new@FAR.example")
    assert ask(suite, "new@far.example").startswith("250")
    assert suite.kingpost("verify", "show", "new@far.example").out.startswith("new@far.example: deliverable, ")
    done = suite.kingpost("verify", "forget", "never-heard-of@far.example", check=False)
    assert done.returncode == 67 and "nothing is known" in done.err
    assert len(probes(hop, "new@far.example")) == 2


def test_one_probe_for_a_crowd(world):
    suite, hop = world.suite, world.hop
    replies = []
    hop.script["RCPT"] = by_address(crowd=lambda: time.sleep(1.5) or "250 2.1.5 ok", **REPLIES)

    def one():
        replies.append(ask(suite, "crowd@far.example"))
    threads = [threading.Thread(target=one) for _ in range(50)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(replies) == 50 and all(r.startswith("250") for r in replies), replies
    assert len(probes(hop, "crowd@far.example")) == 1


def test_in_progress(world):
    """A probe that takes longer than a client waits: it is told to come back, and then the result is there."""
    suite, hop = world.suite, world.hop
    go = threading.Event()
    hop.script["RCPT"] = by_address(slow=lambda: go.wait(60) and "250 2.1.5 ok", **REPLIES)
    began = time.time()
    reply = ask(suite, "slow@far.example")
    assert reply == "457 4.1.1 <slow@far.example>: Recipient address rejected: unverified address: Address verification in progress"
    assert 5 < time.time() - began < 12
    go.set()
    wait_until(lambda: re.search(r"to=<slow@far\.example>.*status=deliverable", suite.log()), what="result")
    assert ask(suite, "slow@far.example").startswith("250")
    assert len(probes(hop, "slow@far.example")) == 1


def test_an_open_transaction(world):
    """Recipients of one message have each their own result, and what was accepted goes."""
    with world.suite.smtp() as c:
        c.ehlo()
        c.mail(SENDER)
        codes = [c.rcpt(a)[0] for a in ("ok@far.example", "gone@far.example", "gone@far.example", "other@far.example")]
    assert codes == [250, 577, 577, 250]


def test_a_probe_survives_qmgr(world):
    suite, hop = world.suite, world.hop
    go = threading.Event()
    hop.script["RCPT"] = by_address(crash=lambda: go.wait(60) and "250 2.1.5 ok", **REPLIES)
    done = []
    t = threading.Thread(target=lambda: done.append(ask(suite, "crash@far.example")))
    t.start()
    wait_until(lambda: probes(hop, "crash@far.example"), what="probe")
    (pid,) = suite.pids("qmgr")
    os.kill(pid, signal.SIGKILL)
    go.set()
    t.join(30)
    wait_until(lambda: ask(suite, "crash@far.example").startswith("250"), 30, "the probe to be done again", every=1)
    no_mail(suite, hop)


def test_limiter_dies(world):
    """Who waits hears that it could not be told; the probe's result goes to the next limiter."""
    suite, hop = world.suite, world.hop
    go, done = threading.Event(), []
    hop.script["RCPT"] = by_address(orphan=lambda: go.wait(60) and "250 2.1.5 ok", **REPLIES)
    t = threading.Thread(target=lambda: done.append(ask(suite, "orphan@far.example")))
    t.start()
    wait_until(lambda: probes(hop, "orphan@far.example"), what="probe")
    (pid,) = suite.pids("limiter")
    os.kill(pid, signal.SIGKILL)
    t.join(30)
    assert done == ["450 4.1.1 <orphan@far.example>: Recipient address rejected: address verification problem"]
    wait_until(lambda: suite.pids("limiter"), what="limiter")
    go.set()
    suite.wait_log(r"to=<orphan@far\.example>.*status=deliverable")
    wait_until(lambda: ask(suite, "orphan@far.example").startswith("250"), what="result")
    assert len(probes(hop, "orphan@far.example")) == 1


def test_a_restart_keeps_results(server):
    suite, hop = Suite(), server(RCPT=by_address(**REPLIES))
    suite.start("smtpd_recipient_restrictions = reject_unverified_recipient", f"relayhost = [127.0.0.1]:{hop.port}")
    try:
        assert ask(suite, "ok@far.example").startswith("250")
        reply = ask(suite, "gone@far.example")
        assert reply.startswith("450 4.1.1 <gone@far.example>: Recipient address rejected: unverified address: host "), reply
        time.sleep(1.5)  # limiter writes every second
        suite.stop()
        suite.start_again()
        assert ask(suite, "ok@far.example").startswith("250")
        assert ask(suite, "gone@far.example") == reply
        assert len(probes(hop)) == 2
    finally:
        suite.end()


def test_no_negative_cache_and_no_wait(suite, server):
    hop = server(RCPT=by_address(**REPLIES))
    suite.start("smtpd_recipient_restrictions = reject_unverified_recipient", f"relayhost = [127.0.0.1]:{hop.port}",
                "address_verify_negative_cache = no", "unverified_recipient_reject_reason = ask your postmaster")
    for n in (1, 2):
        assert ask(suite, "gone@far.example") == \
            "450 4.1.1 <gone@far.example>: Recipient address rejected: unverified address: ask your postmaster"
        assert len(probes(hop)) == n
    suite.configure(address_verify_poll_count="1", unverified_recipient_tempfail_action="defer", unverified_recipient_reject_reason="")
    reply = ask(suite, "first@far.example")
    assert reply == "450 4.1.1 <first@far.example>: Recipient address rejected: unverified address: Address verification in progress"
    wait_until(lambda: ask(suite, "first@far.example").startswith("250"), what="result")
    no_mail(suite, hop)


def test_by_an_access_table(suite, server):
    """Only senders of domains that are often forged, as Postfix's manual has it."""
    hop = server(RCPT=by_address(**REPLIES))
    suite.start("smtpd_sender_restrictions = check_sender_access inline:{forged.example=reject_unverified_sender}",
                f"transport_maps = inline:{{forged.example=smtp:[127.0.0.1]:{hop.port}, other.example=smtp:[127.0.0.1]:{hop.port}}}")
    to = f"{USERS[0]}@localhost"
    assert ask(suite, to, "gone@other.example").startswith("250")
    assert ask(suite, to, "gone@forged.example").startswith("450 4.1.7")
    assert [re.search("<(.*)>", p).group(1) for p in probes(hop)] == ["gone@forged.example"]


def test_temporary_results_come_last(suite, server):
    """defer_if_permit: what another rule refuses for good is refused for good."""
    hop = server(RCPT=by_address(**REPLIES))
    suite.start("smtpd_recipient_restrictions = reject_unverified_recipient, check_sender_access inline:{bad@source.example=REJECT}",
                f"relayhost = [127.0.0.1]:{hop.port}", "address_verify_deferred_expire_time = 2s")
    assert ask(suite, "later@far.example", "bad@source.example").startswith("554 5.7.1 <bad@source.example>: Sender address rejected")
    assert ask(suite, "later@far.example").startswith("450 4.1.1")
    assert len(probes(hop)) == 1
    suite.configure(unverified_recipient_tempfail_action="defer")
    assert ask(suite, "later@far.example", "bad@source.example").startswith("450 4.1.1")
    time.sleep(3)
    assert ask(suite, "later@far.example").startswith("450 4.1.1")
    assert len(probes(hop)) >= 2, "what could not be told is asked again soon"


def test_senders(suite, server):
    hop = server(RCPT=by_address(**REPLIES))
    suite.start("smtpd_sender_restrictions = reject_unverified_sender", "unverified_sender_reject_code = 550", "myorigin = localhost", "local_recipient_maps =",
                f"transport_maps = inline:{{source.example=smtp:[127.0.0.1]:{hop.port}}}")
    to = f"{USERS[0]}@localhost"
    assert ask(suite, to, "ok@source.example").startswith("250")
    assert re.match(r"550 5\.1\.7 <gone@source\.example>: Sender address rejected: undeliverable address: host ", ask(suite, to, "gone@source.example"))
    assert re.match(r"450 4\.1\.7 <later@source\.example>: Sender address rejected: unverified address: host ", ask(suite, to, "later@source.example"))
    before = len(probes(hop))
    assert ask(suite, to, "").startswith("250"), "the null sender"
    assert ask(suite, to, "double-bounce@localhost").startswith("250"), "our own probes"
    assert ask(suite, to, to).startswith("250"), "a local one"
    assert ask(suite, to, "nobody-here@localhost").startswith("550 5.1.7")
    assert len(probes(hop)) == before == 3
    # what looks like another system's probe is probed with the null sender
    assert ask(suite, to, "double-bounce@source.example").startswith("250")
    assert hop.said[-1 - next(i for i, s in enumerate(reversed(hop.said)) if s.startswith("MAIL"))].startswith("MAIL FROM:<>")
    no_mail(suite, hop)


@pytest.mark.parametrize("delay", ["yes", "no"])
def test_two_that_verify_each_other(delay):
    """Each verifies the other's sender while it is verified: both answer, and it ends."""
    one, two = Suite(), Suite()
    pair = [(one, "one.example", two, "two.example"), (two, "two.example", one, "one.example")]
    started = []
    try:
        for s, name, other, theirs in pair:
            s.start(f"myhostname = mx.{name}", f"myorigin = {name}", f"mydestination = {name}, localhost",
                    "smtpd_sender_restrictions = reject_unverified_sender", f"smtpd_delay_reject = {delay}",
                    f"transport_maps = inline:{{{theirs}=smtp:[127.0.0.1]:{other.port}}}")
            started.append(s)
        user = USERS[0]
        replies = []
        threads = [threading.Thread(target=lambda s=s, n=name, t=theirs: replies.append(ask(s, f"{user}@{n}", f"{user}@{t}")))
                   for s, name, _, theirs in pair]
        for t in threads:
            t.start()
        for t in threads:
            t.join(60)
        assert len(replies) == 2 and all(r.startswith("250") for r in replies), replies
        for s, name, other, theirs in pair:
            assert re.match(r"450 4\.1\.7 .* unverified address: host", ask(s, f"{user}@{name}", f"nobody-here@{theirs}"))
            s.wait_empty()
            assert len(re.findall(r"status=(un)?deliverable", s.log())) <= 3, s.log()
            assert not re.search(r"status=(sent|bounced|deferred)", s.log())
    finally:
        for s in started:
            s.end()


POSTFIX = """
myhostname = mx.post.example
myorigin = post.example
relay_domains = post.example
relay_recipient_maps = inline:{{bob@post.example=x}}
transport_maps = inline:{{king.example=smtp:[127.0.0.1]:{port}, {{post.example=discard:}}}}
smtpd_delay_reject = {delay}
smtpd_sender_restrictions = reject_unverified_sender
unverified_sender_reject_code = {code}
address_verify_map =
address_verify_poll_delay = 1s
"""


@root_only
@pytest.mark.parametrize("delay,code", [("yes", 450), ("no", 550)])
def test_postfix_and_we_verify_each_other(suite, tmp_path, delay, code):
    """The real Postfix: both answer each other's probes, and say the same of what they find."""
    sys.path.append(f"{TOP}/bench")
    import lib
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        os.chmod(folder, 0o755)
    other = lib.Postfix(str(tmp_path), None, lib.Peers(), main=POSTFIX.format(port=suite.port, delay=delay, code=code))
    try:
        suite.start("myhostname = mx.king.example", "myorigin = king.example", "mydestination = king.example", f"smtpd_delay_reject = {delay}",
                    "smtpd_sender_restrictions = reject_unverified_sender", f"unverified_sender_reject_code = {code}",
                    f"transport_maps = inline:{{post.example=smtp:[127.0.0.1]:{other.port}}}")
        user = f"{USERS[0]}@king.example"
        assert ask(suite, user, "bob@post.example").startswith("250")
        assert ask(suite, "bob@post.example", user, other.port).startswith("250")
        ours = ask(suite, user, "nobody-here@post.example")
        theirs = ask(suite, "bob@post.example", "nobody-here@king.example", other.port)
        assert ours.replace("@post", "@king").replace("relay recipient", "local recipient") == theirs
        assert theirs.startswith(f"{code} ")
        assert ask(suite, user, "double-bounce@post.example").startswith("250")
        assert ask(suite, "bob@post.example", "double-bounce@king.example", other.port).startswith("250")
        suite.wait_empty()
        assert len(re.findall("status=(un)?deliverable", suite.log())) == 3
    finally:
        other.stop()


def test_mail_to_the_prober_is_thrown_away(suite):
    suite.start("smtpd_recipient_restrictions = reject", "myorigin = localhost")
    with suite.smtp() as c:
        assert c.sendmail("", ["double-bounce@localhost"], message()) == {}
    suite.wait_log(r"to=<double-bounce@localhost>, relay=none, .*status=sent \(undeliverable postmaster notification discarded\)")
    suite.wait_empty()
    assert ask(suite, f"{USERS[0]}@localhost").startswith("554")
