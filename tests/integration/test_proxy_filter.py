# SPDX-License-Identifier: ISC
"""smtpd_proxy_filter: client, smtpd, a filter of our own, the service that takes its mail back, a server at the end."""

import os
import re
import socket

import pytest

from conftest import Scripted, Suite, free_port, message, wait_until


class Filter(Scripted):
    """An SMTP server that hands each message on to `next_port`, or replies as `script` says of a step. A number: it is silent there;
    "close": it goes away there."""

    def __init__(self, next_port=None, offers="SIZE 10000000,8BITMIME,SMTPUTF8,DSN,XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE", path=None, **script):
        self.next_port, self.offers, self.script, self.said, self.content = next_port, offers, script, [], []
        super().__init__(path)

    def serve(self, s):
        f = s.makefile("rwb")
        try:
            self.talk(f)
            f.close()
        except OSError:
            pass
        s.close()

    def reply(self, f, step, default):
        text = self.script.get(step, default)
        if callable(text):
            text = text(self.said[-1] if self.said else "")
        if text == "close":
            raise ConnectionError
        f.write(text.encode() + (b"\r\n" if text else b""))
        f.flush()
        return text[:1]

    def talk(self, f):
        self.reply(f, "greeting", "220 filter.example ESMTP")
        envelope = []
        while line := f.readline():
            command = line.decode().rstrip("\r\n")
            self.said.append(command)
            verb = command.split(" ")[0].split(":")[0].upper()
            if verb == "EHLO":
                words = ["filter.example", *[w for w in self.offers.split(",") if w]]
                self.reply(f, "EHLO", "\r\n".join(f"250{'-' if i + 1 < len(words) else ' '}{w}" for i, w in enumerate(words)))
            elif verb == "DATA":
                if self.reply(f, "DATA", "354 go ahead") != "3":
                    continue
                data = []
                while (part := f.readline()) != b".\r\n":
                    if not part:
                        return
                    data.append(part)
                self.content.append(b"".join(data))
                if "dot" in self.script:
                    self.reply(f, "dot", None)
                else:
                    f.write(self.hand_on(envelope, b"".join(data)))
                    f.flush()
            elif verb == "QUIT":
                self.reply(f, "QUIT", "221 2.0.0 bye")
                return
            else:
                if self.reply(f, verb, "250 2.0.0 ok") == "2" and verb in ("MAIL", "RCPT", "XFORWARD"):
                    envelope.append(command)

    def hand_on(self, envelope, data):
        """Says the same to the next service, with a header of the filter's; its last reply is ours."""
        with socket.create_connection(("127.0.0.1", self.next_port), timeout=20) as s:
            f = s.makefile("rwb")

            def say(line):
                if line:
                    f.write(line + b"\r\n")
                    f.flush()
                while (got := f.readline())[3:4] == b"-":
                    pass
                return got
            say(None)
            say(b"EHLO filter.example")
            for command in envelope:
                got = say(command.encode())
                if not got.startswith(b"2"):
                    return got
            say(b"DATA")
            return say(b"X-Filtered: yes\r\n" + data + b".")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    s = Suite()
    s.back = free_port()
    s.proxied = free_port()
    s.start("mydestination = localhost", "smtpd_authorized_xforward_hosts = 127.0.0.0/8", "smtpd_error_sleep_time = 0", "smtpd_proxy_timeout = 2s",
            services=[("filtered", "program = smtpd"), ("filtered", f"listen = 127.0.0.1:{s.proxied}"), ("filtered", "smtpd_proxy_filter = 127.0.0.1:1"),
                      ("back", "program = smtpd"), ("back", f"listen = 127.0.0.1:{s.back}"), ("back", "smtpd_client_restrictions = permit_mynetworks, reject")])
    yield s
    s.end()


@pytest.fixture
def front(world):
    """front(place, transport) puts a filter before port world.proxied."""
    made = []

    def make(**script):
        path = script.pop("path", None)
        settings = script.pop("settings", {})
        f = Filter(world.back, path=path, **script)
        made.append(f)
        conf = f"{world.root}/etc/kingpost/kingpost.conf"
        with open(conf) as c:
            text = c.read()
        text = re.sub(r"smtpd_proxy_filter = .*", f"smtpd_proxy_filter = {'unix:' + path if path else f'127.0.0.1:{f.port}'}", text)
        with open(conf, "w") as c:
            c.write(text)
        world.configure(**{"protocol": "smtp", "smtpd_recipient_restrictions": "", **settings})
        return f
    yield make
    for f in made:
        f.end()


def give(world, content=None, rcpts=("u@far.example",), sender="a@source.example", options=(), lmtp=False):
    """What the proxied service says in the end: a reply, or those of LMTP."""
    with socket.create_connection(("127.0.0.1", world.proxied), timeout=30) as s:
        f = s.makefile("rwb")

        def reply():
            while (line := f.readline().decode())[3:4] == "-":
                pass
            return line.rstrip("\r\n")

        def say(line):
            f.write(line.encode() + b"\r\n")
            f.flush()
            return reply()
        reply()
        say("LHLO client.example" if lmtp else "EHLO client.example")
        assert say(" ".join([f"MAIL FROM:<{sender}>", *options]))[:3] == "250"
        for r in rcpts:
            assert say(f"RCPT TO:<{r}>")[:3] == "250"
        assert say("DATA")[:3] == "354"
        f.write((content or message("proxied", "one\n.dot\n..two\n")).replace("\n", "\r\n").replace("\r\n.", "\r\n..").encode() + b"\r\n.\r\n")
        f.flush()
        said = [reply() for _ in (rcpts if lmtp else rcpts[:1])]
        assert say("NOOP")[:3] == "250"  # the session goes on
        return said if lmtp else said[0]


FAULT = "451 4.3.0 Error: queue file write error"


def test_end_to_end(world, front, server):
    out = server()
    f = front(settings={"transport_maps": f"inline:{{far.example=smtp:[127.0.0.1]:{out.port}}}"})
    said = give(world, options=("BODY=8BITMIME",))
    assert re.fullmatch(r"250 2\.0\.0 Ok: queued as \w+", said)
    wait_until(lambda: out.mail, 20, "the message")
    got = out.mail[0].decode()
    assert "X-Filtered: yes\r\n" in got and "\r\none\r\n..dot\r\n...two\r\n" in got
    assert re.search(r"Received: from client\.example \((unknown|localhost) \[127\.0\.0\.1\]\)\r\n\tby \S+ \(Kingpost\) with ESMTP id \w+", got, re.I), got
    xforward = " ".join(line for line in f.said if line.startswith("XFORWARD"))
    assert re.search(r"ADDR=127\.0\.0\.1 PORT=\d+ PROTO=ESMTP HELO=client\.example IDENT=\w+ SOURCE=REMOTE", xforward), xforward
    assert any(re.fullmatch(r"MAIL FROM:<a@source\.example> SIZE=\d+ BODY=8BITMIME", line) for line in f.said), f.said
    size = int(re.search(r"SIZE=(\d+)", " ".join(f.said)).group(1))
    assert size == len(f.content[0].replace(b"\r\n.", b"\r\n"))
    world.wait_log(r"proxy-accept: END-OF-MESSAGE from \S+\[127\.0\.0\.1\]: 250 2\.0\.0 Ok: queued as \w+; from=<a@source\.example> to=<u@far\.example> proto=ESMTP helo=<client\.example>")
    world.wait_log(r": client=\S+\[127\.0\.0\.1\], orig_queue_id=\w+, orig_client=\S+\[127\.0\.0\.1\]")


def test_a_large_message_by_path(world, front, server):
    out = server()
    f = front(path=f"{world.base}/filter.sock", settings={"transport_maps": f"inline:{{far.example=smtp:[127.0.0.1]:{out.port}}}"})
    body = "".join(f"{'.' if i % 7 == 0 else 'l'}ine {i} {'x' * 60}\n" for i in range(30000))
    assert give(world, message("large", body))[:3] == "250"
    wait_until(lambda: out.mail, 20, "the message")
    assert f.content[0].endswith(body.replace("\n", "\r\n").replace("\r\n.", "\r\n..").encode() + b"\r\n") or body.splitlines()[-1].encode() in f.content[0]
    assert f.content[0].count(b"\r\n") >= 30000


REFUSALS = [
    ({"dot": "554 5.7.1 a virus"}, "554 5.7.1 a virus"),
    ({"dot": "550-5.7.1 it is\r\n550 5.7.1 bad"}, "550 5.7.1 it is bad"),
    ({"dot": "521 5.7.1 never"}, "554 5.7.1 never"),
    ({"dot": "450 later"}, "450 4.7.1 later"),
    ({"MAIL": "550 5.1.8 not from you"}, "550 5.1.8 not from you"),
    ({"RCPT": "550 5.1.1 nobody"}, "550 5.1.1 nobody"),
    ({"DATA": "452 4.3.1 full"}, "452 4.3.1 full"),
    ({"dot": "250 2.6.0 thrown away"}, "250 2.6.0 thrown away"),
    ({"EHLO": "502 what", "dot": "250 fine", "HELO": "250 hello"}, "250 2.0.0 fine"),
]


@pytest.mark.parametrize("script,said", REFUSALS, ids=[str(r[0]) for r in REFUSALS])
def test_its_reply_is_the_clients(world, front, script, said):
    front(**script)
    before = world.queue()
    assert give(world) == said
    assert world.queue() == before
    if said[0] != "2":
        world.wait_log(rf"reject: END-OF-MESSAGE from \S+\[127\.0\.0\.1\]: {re.escape(said)}; from=<a@source\.example>")


FAULTS = [
    {"greeting": "554 no"}, {"greeting": "garbage"}, {"greeting": "close"}, {"greeting": ""}, {"greeting": "220 a\r\n250 b"},
    {"EHLO": "421 busy"}, {"EHLO": "close"}, {"EHLO": "", }, {"XFORWARD": "501 no"}, {"MAIL": "354 what"}, {"MAIL": "421 4.3.2 off"}, {"RCPT": "close"},
    {"DATA": "250 no"}, {"DATA": "354 go\r\n250 2.0.0 done already"}, {"DATA": "close"}, {"dot": "close"}, {"dot": ""}, {"dot": "354 more"}, {"dot": "x" * 100000},
    {"dot": "".join("250-x\r\n" for _ in range(5000))}, {"dot": "421 4.3.2 off"},
]


@pytest.mark.parametrize("script", FAULTS, ids=[str(s)[:40] for s in FAULTS])
def test_its_fault_is_451(world, front, script):
    front(**script)
    assert give(world) == FAULT
    world.wait_log(r"warning: proxy 127\.0\.0\.1:\d+: ")


def test_nobody_there(world, front):
    front().end()
    assert give(world) == FAULT
    world.wait_log(r"proxy 127\.0\.0\.1:\d+: (lost connection|.*refused)")


def test_what_it_does_not_offer(world, front):
    front(offers="")
    with socket.create_connection(("127.0.0.1", world.proxied), timeout=20) as s:
        f = s.makefile("rwb")
        f.readline()
        for line in (b"EHLO c.example", b"MAIL FROM:<\xc3\xa9@source.example> SMTPUTF8", b"RCPT TO:<u@far.example>", b"DATA"):
            f.write(line + b"\r\n")
            f.flush()
            while (got := f.readline())[3:4] == b"-":
                pass
        assert got[:3] == b"354"
        f.write(b"Subject: x\r\n\r\n.\r\n")
        f.flush()
        assert f.readline().decode().rstrip() == FAULT
    world.wait_log("SMTPUTF8 is required, but was not offered")


def test_some_recipients_refused(world, front):
    one = {"RCPT": lambda line: "550 5.1.1 nobody" if "<b@" in line else "250 ok", "dot": "250 2.0.0 took it"}
    front(**one)
    assert give(world, rcpts=["a@far.example", "b@far.example"]) == FAULT
    front(settings={"protocol": "lmtp"}, **one)
    assert give(world, rcpts=["a@far.example", "b@far.example", "c@far.example"], lmtp=True) == ["250 2.0.0 took it", "550 5.1.1 nobody", "250 2.0.0 took it"]
    front(settings={"protocol": "lmtp"}, dot="554 5.7.1 no")
    assert [line[:9] for line in give(world, rcpts=["a@far.example", "b@far.example"], lmtp=True)] == ["554 5.7.1"] * 2


def test_what_rules_change(world, front):
    rules = "check_sender_access inline:{{p@source.example = PREPEND X-Rule: seen}, {h@source.example = HOLD it}, {d@source.example = DISCARD it}}, reject_unauth_destination"
    f = front(dot="250 2.0.0 took it", settings={"smtpd_sender_restrictions": rules.replace(", reject_unauth_destination", "")})
    assert give(world, sender="p@source.example") == "250 2.0.0 took it"
    assert b"\r\nX-Rule: seen\r\nSubject: " in f.content[0]
    assert give(world, sender="h@source.example") == FAULT
    assert give(world, sender="d@source.example") == "250 2.0.0 Ok"
    assert len(f.content) == 1
    world.configure(smtpd_sender_restrictions="")


def test_a_client_that_goes_while_the_filter_thinks(world, front):
    f = front(dot="")
    with socket.create_connection(("127.0.0.1", world.proxied), timeout=20) as s, s.makefile("rb") as r:
        r.readline()
        s.sendall(b"EHLO c.example\r\n")
        while r.readline()[3:4] == b"-":
            pass
        s.sendall(b"MAIL FROM:<a@source.example>\r\nRCPT TO:<u@far.example>\r\nDATA\r\n")
        while not (line := r.readline()).startswith(b"354"):
            assert line, "closed"
        s.sendall(b"Subject: x\r\n\r\nx\r\n.\r\n")
        wait_until(lambda: f.content, 10, "the message at the filter")
    front(dot="250 2.0.0 fine")
    assert give(world) == "250 2.0.0 fine"


@pytest.mark.parametrize("setting", ["smtpd_proxy_filter = filter.example:10025", "smtpd_proxy_filter = unix:relative", "smtpd_proxy_filter = 10025"])
def test_what_is_refused_at_start(suite, setting):
    done = suite.run_script("--port", str(suite.port), "--submission-port", str(suite.submission_port), "--set", setting, "--detach")
    assert done.returncode != 0 and "smtpd_proxy_filter" in done.stdout + done.stderr + suite.errors()
    suite.stop = lambda: None
