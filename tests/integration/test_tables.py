# SPDX-License-Identifier: ISC
"""Tables that another program answers for: tcp: with the real postsrsd, socketmap: with a server of our own, kind or hostile."""

import os
import re
import shutil
import socket
import subprocess
import threading
import time

import pytest

from conftest import IS_ROOT, Scripted, Suite, free_port, message, wait_until

SRSD = shutil.which("postsrsd") or "/usr/sbin/postsrsd"


def netstring(text):
    return f"{len(text)}:{text},".encode()


class Answers(Scripted):
    """A server of both protocols. `answer` gets a key and says what goes back: octets; None: it closes; "": it is silent."""

    def __init__(self, answer, kind="tcp", path=None, chunk=None):
        self.answer, self.kind, self.chunk, self.asked = answer, kind, chunk, []
        super().__init__(path)

    def read(self, f):
        if self.kind == "tcp":
            line = f.readline()
            if not line:
                return None
            assert line.startswith(b"get ") and line.endswith(b"\n"), line
            return re.sub(rb"%(..)", lambda m: bytes([int(m.group(1), 16)]), line[4:-1]).decode()
        length = b""
        while not length.endswith(b":"):
            c = f.read(1)
            if not c:
                return None
            length += c
        text = f.read(int(length[:-1]) + 1)
        assert text.endswith(b","), text
        return text[:-1].decode()

    def serve(self, s):
        f = s.makefile("rwb")
        try:
            while (key := self.read(f)) is not None:
                self.asked.append(key)
                reply = self.answer(key)
                if reply is None:
                    break
                for i in range(0, len(reply), self.chunk or len(reply) or 1):
                    f.write(reply[i:i + (self.chunk or len(reply))])
                    f.flush()
                    if self.chunk:
                        time.sleep(0.005)
            f.close()
        except OSError:
            pass
        s.close()


@pytest.fixture
def answers():
    made = []

    def make(*args, **kw):
        made.append(Answers(*args, **kw))
        return made[-1]
    yield make
    for a in made:
        a.end()


@pytest.fixture(scope="module")
def world():
    s = Suite()
    s.start("mydestination = localhost", "tables_timeout = 3s", "remote_table_ttl = 0", "recipient_delimiter = +", "smtpd_error_sleep_time = 0",
            "smtpd_unknown_recipient_delay = 0", "smtpd_harvest_limit = 0", "virtual_mailbox_domains = v.example", "virtual_mailbox_maps = inline:{u@v.example=u/}",
            "virtual_mailbox_base = /nonexistent", "virtual_uid_maps = static:65534", "virtual_gid_maps = static:65534")
    yield s
    s.end()


BASE = {"virtual_alias_maps": "", "virtual_alias_domains": "", "transport_maps": "", "smtpd_sender_restrictions": "", "relay_domains": ""}


def rcpt(suite, to, sender="a@source.example"):
    with suite.smtp() as c:
        c.ehlo()
        code, text = c.mail(sender)
        if code == 250:
            code, text = c.rcpt(to)
        return code, text.decode()


@pytest.fixture
def srsd(tmp_path):
    if not os.path.exists(SRSD):
        pytest.skip("postsrsd is not installed")
    secret = tmp_path / "secret"
    secret.write_text("not much of a secret\n")
    forward, back = free_port(), free_port()
    process = subprocess.Popen([SRSD, "-4", f"-s{secret}", "-dsrs.example", f"-f{forward}", f"-r{back}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def up():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", back)) == 0
    wait_until(up, 10, "postsrsd")
    yield forward, back
    process.terminate()
    process.wait(10)


def test_postsrsd_forward_and_back(world, server, srsd):
    forward, back = srsd
    out = server()
    address = world.kingpost("map", "query", f"tcp:localhost:{forward}", "joe@far.example").out.strip()
    assert re.fullmatch(r"SRS0=[^=]+=[^=]+=far\.example=joe@srs\.example", address), address
    assert world.kingpost("map", "query", f"tcp:127.0.0.1:{back}", address).out == "joe@far.example\n"
    assert world.kingpost("map", "query", f"tcp:127.0.0.1:{back}", "nobody@srs.example", check=False).returncode == 1
    # a bounce to the rewritten address goes back to the sender
    world.configure(**{**BASE, "virtual_alias_maps": f"tcp:localhost:{back}", "virtual_alias_domains": "srs.example",
                       "transport_maps": f"inline:{{far.example=smtp:[127.0.0.1]:{out.port}}}"})
    queue_id = world.send(address, sender="")
    assert world.outcome(queue_id)[0] == "sent"
    assert "RCPT TO:<joe@far.example>" in " ".join(out.said)
    code, text = rcpt(world, "SRS0=xxxx=yy=far.example=joe@srs.example")
    assert code == 550, text  # a forged one is nobody


def test_socketmap_by_path_and_by_port(world, answers):
    path = f"{world.base}/map.sock"
    known = {"aliases x@alias.example": "u@v.example", "senders bad@source.example": "REJECT by map"}
    lines = {k: netstring(f"OK {v}") for k, v in known.items()}
    by_path = answers(lambda key: lines.get(key, netstring("NOTFOUND ")), kind="socketmap", path=path, chunk=1)
    by_port = answers(lambda key: lines.get(key, netstring("NOTFOUND ")), kind="socketmap")
    world.configure(**{**BASE, "virtual_alias_maps": f"socketmap:unix:{path}:aliases", "virtual_alias_domains": "alias.example",
                       "smtpd_sender_restrictions": f"check_sender_access socketmap:inet:localhost:{by_port.port}:senders"})
    for _ in range(5):
        assert rcpt(world, "x@alias.example") == (250, "2.1.5 Ok")
    assert rcpt(world, "y@alias.example")[0] == 550
    assert rcpt(world, "u@v.example", sender="bad@source.example") == (554, "5.7.1 <bad@source.example>: Sender address rejected: by map")
    assert "aliases x@alias.example" in by_path.asked and "aliases @alias.example" not in by_path.asked  # whole keys alone
    assert by_path.connections <= 4 and by_port.connections <= 4  # kept
    assert world.kingpost("map", "query", f"socketmap:unix:{path}:aliases", "x@alias.example").out == "u@v.example\n"
    explained = world.kingpost("address", "test", "x@alias.example").out
    assert "expansion: u@v.example" in explained


def test_a_transport_and_a_list_of_domains(world, answers):
    table = {"a@relay.example": "200 smtp:[gw.example]:2525", "relay.example": "200 x", "c%20d@relay.example": "200 error:5.1.6%20gone%20away"}
    server = answers(lambda key: (table.get(key.replace(" ", "%20"), "500 no") + "\n").encode())
    world.configure(**{**BASE, "transport_maps": f"tcp:127.0.0.1:{server.port}", "relay_domains": f"tcp:127.0.0.1:{server.port}"})
    shown = world.kingpost("address", "test", "a@relay.example").out
    assert "class: relay" in shown and "[gw.example]:2525" in shown, shown
    assert rcpt(world, "b@relay.example")[0] == 250
    assert rcpt(world, '"c d"@relay.example')[0] in (250, 550)
    assert rcpt(world, "b@other.example")[0] in (250, 554)


def many(text):
    return lambda key: text


HOSTILE = {
    "tcp": [b"garbage\n", b"\n", b"200\n", b"200 \n", b"200 a%0Ab\n", b"200 a%zz\n", b"200 a%4", b"400 not today\n", b"600 x\n", b"200 " + b"x" * 200000, b"x" * 200000, b"\0" * 50 + b"\n",
            b"200 " + b"x" * 40000 + b"\n", None, b""],
    "socketmap": [b"garbage", b"9999999:", b"100001:OK ", b"-1:", b"2:OK.", b"02:OK,", b"2:OK,", b"3:OK ,", b"5:OK a\n,", netstring("TEMP try"), netstring("TIMEOUT x"), netstring("PERM never"),
                  netstring("WHAT"), netstring("OK " + "x" * 40000), b":,", b"5", None, b""],
}


@pytest.mark.parametrize("kind", ["tcp", "socketmap"])
def test_whatever_is_no_answer_is_451(world, answers, kind):
    """Never "not there", and never a value; and the next question is answered as if nothing had been."""
    now = {}
    server = answers(lambda key: now["reply"], kind=kind)
    table = f"tcp:127.0.0.1:{server.port}" if kind == "tcp" else f"socketmap:inet:127.0.0.1:{server.port}:m"
    world.configure(**{**BASE, "virtual_alias_maps": table, "virtual_alias_domains": "alias.example", "tables_timeout": "1s"})
    wrong = []
    for i, reply in enumerate(HOSTILE[kind]):
        now["reply"] = reply
        code, text = rcpt(world, f"x{i}@alias.example")
        if code != 451:
            wrong.append((reply and reply[:40], code, text))
        now["reply"] = b"200 u@v.example\n" if kind == "tcp" else netstring("OK u@v.example")
        wait_until(lambda: rcpt(world, f"y{i}@alias.example")[0] == 250, 5, "an answer again")
    assert not wrong
    assert "tables" in world.pids().values()


def test_one_that_is_silent_holds_up_nobody_else(world, answers):
    silent, good = answers(lambda key: b""), answers(lambda key: b"200 REJECT seen\n")
    world.configure(**{**BASE, "virtual_alias_maps": f"tcp:127.0.0.1:{silent.port}", "virtual_alias_domains": "alias.example", "tables_timeout": "3s",
                       "smtpd_sender_restrictions": f"check_sender_access tcp:127.0.0.1:{good.port}"})
    results = []
    threads = [threading.Thread(target=lambda: results.append(rcpt(world, "x@alias.example")), daemon=True) for _ in range(8)]
    world.configure(**{"smtpd_sender_restrictions": ""})
    for t in threads:
        t.start()
    wait_until(lambda: len(silent.asked) > 0, 5, "a question")
    began = time.time()
    assert world.kingpost("address", "test", "root@localhost").returncode == 0
    for t in threads:
        t.join(20)
    assert time.time() - began < 15 and [r[0] for r in results] == [451] * 8


def test_nobody_listens(world):
    port = free_port()
    world.configure(**{**BASE, "virtual_alias_maps": f"tcp:127.0.0.1:{port}", "virtual_alias_domains": "alias.example"})
    code, text = rcpt(world, "x@alias.example")
    assert code == 451, text
    done = world.kingpost("map", "query", f"tcp:127.0.0.1:{port}", "x", check=False)
    assert done.returncode == 75 and "Connection refused" in done.err


def test_a_kept_connection_that_the_server_closed(world, answers):
    """A server that answers one question a connection: each question is answered all the same."""
    class Once(Answers):
        def serve(self, s):
            f = s.makefile("rwb")
            key = self.read(f)
            if key is not None:
                self.asked.append(key)
                f.write(self.answer(key))
                f.flush()
            f.close()
            s.close()
    server = Once(lambda key: b"200 u@v.example\n")
    try:
        world.configure(**{**BASE, "virtual_alias_maps": f"tcp:127.0.0.1:{server.port}", "virtual_alias_domains": "alias.example"})
        for i in range(6):
            assert rcpt(world, f"x{i}@alias.example") == (250, "2.1.5 Ok")
    finally:
        server.end()


@pytest.mark.parametrize("setting", ["virtual_alias_maps = tcp:nowhere", "virtual_alias_maps = socketmap:inet:127.0.0.1:1", "transport_maps = socketmap:tcp:1:2:x"])
def test_what_is_refused_at_start(suite, setting):
    done = suite.run_script("--port", str(suite.port), "--submission-port", str(suite.submission_port), "--set", setting, "--detach")
    assert done.returncode != 0 and "expected" in done.stdout + done.stderr + suite.errors()
    suite.stop = lambda: None
