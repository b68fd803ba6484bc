# SPDX-License-Identifier: ISC
"""A private instance of the suite for each test module, and the peers that it speaks with."""

import contextlib
import fcntl
import glob
import json
import mailbox
import os
import pwd
import random
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import tempfile
import threading
import time

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("KP_BUILD", f"{TOP}/build")
IS_ROOT = os.geteuid() == 0
SLOT = int(os.environ.get("KP_SLOT", "0"))  # scripts/test runs files beside each other: each slot has users and ports of its own
USERS = [f"kptest{2 * SLOT + 1}", f"kptest{2 * SLOT + 2}"] if IS_ROOT else [pwd.getpwuid(os.geteuid()).pw_name]
USERS_COMMENT = "kingpost integration tests"

root_only = pytest.mark.skipif(not IS_ROOT, reason="needs root")


def is_sanitized():
    """A sanitizer's memory is another one: what was freed stays, and much is mapped."""
    try:
        with open(f"{BUILD}/smtpd/smtpd", "rb") as f:
            return b"__asan_init" in f.read()
    except OSError:
        return False


SANITIZED = is_sanitized()


def of_release(test):
    """Tests that look at memory; scripts/test runs them on the release build."""
    return pytest.mark.release(pytest.mark.skipif(SANITIZED, reason="on the release build")(test))


def pytest_configure(config):
    config.addinivalue_line("markers", "release: looks at memory, and needs a build without sanitizers")


def ports():
    """Below those that the kernel gives to clients (ip_local_port_range), none twice; each run of tests begins somewhere else."""
    first = 10000 + SLOT % 4 * 5000
    end = first + 5000
    start = random.randrange(first, end)
    while True:
        yield from range(start, end)
        start = first


PORTS = ports()


def free_port():
    for port in PORTS:
        with socket.socket() as s, socket.socket() as any_address:
            try:
                s.bind(("127.0.0.1", port))
                s.close()
                any_address.bind(("", port))
            except OSError:
                continue
            return port


def wait_until(condition, seconds=15, what="the condition", every=0.05):
    until = time.time() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.time() > until:
            raise AssertionError(f"after {seconds} s: no {what}")
        time.sleep(every)


class Suite:
    """One instance: its commands, its log, its mailboxes."""

    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="kp-it-", dir="/var/tmp")
        os.chmod(self.base, 0o755)
        self.root = f"{self.base}/r"
        self.port, self.submission_port = free_port(), free_port()
        self.env = dict(os.environ, ASAN_OPTIONS="detect_leaks=0:abort_on_error=0", UBSAN_OPTIONS="print_stacktrace=1")

    def run_script(self, *args, **kw):
        return subprocess.run([f"{TOP}/scripts/run", "--root", self.root, "--build", BUILD, "--no-build", *args], env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120, **kw)

    def start(self, *settings, services=()):
        """`settings`: "name = value"; `services`: pairs of a section's name and a setting."""
        args = ["--port", str(self.port), "--submission-port", str(self.submission_port)]
        for s in settings:
            args += ["--set", s]
        for name, s in services:
            args += ["--service", name, s]
        done = self.run_script(*args, "--detach")
        assert done.returncode == 0 and done.stdout == "ready\n", done.stdout + done.stderr + self.errors()
        return self

    def start_again(self):
        done = self.run_script("--detach")
        assert done.returncode == 0 and done.stdout == "ready\n", done.stdout + done.stderr + self.errors()

    def stop(self):
        done = self.run_script("--stop")
        assert done.returncode == 0, done.stderr

    def end(self):
        self.stop()
        errors = self.errors()
        if "KP_KEEP" not in os.environ:
            shutil.rmtree(self.base, ignore_errors=True)
        assert "ERROR: AddressSanitizer" not in errors and "runtime error:" not in errors, errors

    def errors(self):
        try:
            with open(f"{self.root}/log/master.err") as f:
                return f.read()
        except OSError:
            return ""

    def configure(self, **settings):
        """Global settings of the running instance; returns when the workers of the old ones take no more."""
        conf = f"{self.root}/etc/kingpost/kingpost.conf"
        with open(conf) as f:
            lines = [line for line in f if line.split(" =")[0] not in settings or line.startswith(" ")]
        lines[1:1] = [f"{name} = {value}\n" for name, value in settings.items()]
        with open(conf, "w") as f:
            f.writelines(lines)
        self.kingpost("reload")
        wait_until(lambda: all(w["state"] == "ready" for w in self.status()["workers"]), 20, "new workers")

    # --- commands ---

    def command(self, path, *args, input=None, check=True, **kw):
        if isinstance(input, str):
            input = input.encode()
        env = kw.pop("env", self.env)
        done = subprocess.run([f"{self.root}/{path}", *args], input=input, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=env, timeout=kw.pop("timeout", 90), **({"stdin": subprocess.DEVNULL} if input is None else {}), **kw)
        done.out, done.err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check:
            assert done.returncode == 0, f"{path} {args}: {done.returncode}\n{done.out}{done.err}"
        return done

    def kingpost(self, *args, **kw):
        return self.command("sbin/kingpost", *args, **kw)

    def sendmail(self, *args, **kw):
        return self.command("sbin/sendmail", *args, **kw)

    def mailq(self, *args, **kw):
        return self.command("bin/mailq", *args, **kw).out

    def queue(self):
        return [json.loads(line) for line in self.mailq("-j").splitlines()]

    def wait_empty(self, seconds=20):
        try:
            wait_until(lambda: self.mailq() == "Mail queue is empty\n", seconds, "empty queue")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.mailq()[-2000:]}\n{self.log()[-3000:]}") from None

    def smtp(self, port=None):
        return smtplib.SMTP("127.0.0.1", port or self.port, local_hostname="client.example", timeout=20)

    # --- what happened ---

    def log(self):
        with open(f"{self.root}/log/kingpost.log", errors="replace") as f:
            return f.read()

    def wait_log(self, pattern, seconds=15):
        return wait_until(lambda: re.search(pattern, self.log()), seconds, f"log line {pattern!r}")

    def events(self, name=None):
        with open(f"{self.root}/log/kingpost.json") as f:
            rows = [json.loads(line) for line in f]
        return [r for r in rows if name is None or r["event"] == name]

    def status(self):
        rows = [json.loads(line) for line in self.kingpost("status", "--json").out.splitlines()]
        return {
            "master": next(r for r in rows if r["type"] == "master"),
            "workers": [r for r in rows if r["type"] == "worker"],
            "metrics": {r["name"]: r for r in rows if r["type"] == "metric"},
        }

    def pids(self, program=None):
        return {w["pid"]: w["program"] for w in self.status()["workers"] if program in (None, w["program"])}

    def mail(self, user=None):
        """The messages in a user's Maildir, as (path, bytes)."""
        found = []
        for path in sorted(glob.glob(f"{self.root}/mail/{user or USERS[0]}/new/*")):
            with open(path, "rb") as f:
                found.append((path, f.read()))
        return found

    def send(self, to, subject="test", body="body\n", sender="a@source.example", mail_options=(), rcpt_options=(), **headers):
        """By SMTP; returns the queue id."""
        content = message(subject, body, **headers).replace("\n", "\r\n")
        with self.smtp() as c:
            c.ehlo()
            for code, text in [c.mail(sender, list(mail_options))] + [c.rcpt(r, list(rcpt_options)) for r in ([to] if isinstance(to, str) else to)]:
                assert code == 250, (code, text)
            code, text = c.data(content.encode(errors="surrogateescape"))
            assert code == 250, (code, text)
        return re.search(rb"queued as ([0-9A-F]+)", text).group(1).decode()

    def outcome(self, queue_id, to=None, seconds=20, status=r"\w+"):
        """The last word of the log on a recipient: status, enhanced code, text."""
        to = r"[^>]*" if to is None else re.escape(to)
        line = rf"{queue_id}: to=<{to}>.*, dsn=([\d.]+), status=({status}) \((.*)\)\n"
        wait_until(lambda: re.search(line, self.log()), seconds, f"outcome of {queue_id}")
        code, word, text = re.findall(line, self.log())[-1]
        return word, code, text

    def wait_mail(self, count=1, user=None, seconds=20, having=b""):
        def enough():
            found = [m for m in self.mail(user) if having in m[1]]
            return found if len(found) >= count else None
        try:
            return wait_until(enough, seconds, f"{count} messages")
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()[-4000:]}{self.errors()[-2000:]}") from None


@pytest.fixture(scope="session", autouse=True)
def users():
    """Accounts for the tests; runs beside each other share them, and the last one takes them away."""
    with open(os.path.join(tempfile.gettempdir(), f"kp-it-users-{os.geteuid()}"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        for u in USERS if IS_ROOT else []:
            subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", "--comment", USERS_COMMENT, u], check=False,
                           stderr=subprocess.DEVNULL)
            pwd.getpwnam(u)
        yield USERS
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        for u in USERS if IS_ROOT else []:
            if pwd.getpwnam(u).pw_gecos == USERS_COMMENT:
                subprocess.run(["userdel", "--remove", u], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def accounts():
    """accounts(NAME...) makes users that no other module delivers to."""
    made = []

    def make(*names):
        for name in names:
            subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=False, stderr=subprocess.DEVNULL)
            made.append(name)
        return list(names)
    yield make
    for name in made:
        subprocess.run(["userdel", "--remove", name], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture
def suite():
    s = Suite()
    yield s
    s.end()


@pytest.fixture(scope="module")
def shared():
    """An instance with the defaults for all tests of a module."""
    s = Suite()
    s.start()
    yield s
    s.end()


class Sink:
    """Postfix's smtp-sink, keeping what it gets, one file a message."""

    def __init__(self, peers, *options, port=None):
        self.port = port or free_port()
        self.dir = tempfile.mkdtemp(prefix="kp-sink-", dir="/var/tmp")
        os.chmod(self.dir, 0o777)
        self.env = dict(os.environ, LD_LIBRARY_PATH=f"{peers}/usr/lib/postfix")
        user = ["-u", "nobody"] if IS_ROOT else []
        self.process = subprocess.Popen(
            [f"{peers}/usr/sbin/smtp-sink", *user, *options, "-d", f"{self.dir}/m.%s.", f"127.0.0.1:{self.port}", "1024"],
            env=self.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(self.answers, 10, "smtp-sink")

    def answers(self):
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def messages(self):
        found = []
        for path in sorted(glob.glob(f"{self.dir}/m.*")):
            with open(path, "rb") as f:
                found.append(f.read())
        return found

    def wait(self, count, seconds=30):
        """Waits until so many are there and have stopped growing: smtp-sink makes a file before it writes it."""
        def settled():
            before = self.messages()
            time.sleep(0.1)
            return len(before) >= count and all(before) and before == self.messages() and before
        return wait_until(settled, seconds, f"{count} messages at the sink")

    def end(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


@pytest.fixture(scope="session")
def peers():
    done = subprocess.run([f"{TOP}/scripts/peers"], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def sink(peers):
    made = []

    def make(*options, **kw):
        made.append(Sink(peers, *options, **kw))
        return made[-1]
    yield make
    for s in made:
        s.end()


class Scripted:
    """A server that a test plays: serve(s) runs for each connection, in a thread of its own. At a unix socket where there is a path, else
    at a port."""

    def __init__(self, path=None, address=("127.0.0.1", 0)):
        self.connections, self.open = 0, []
        if path:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o600)  # master connects, nobody else could
            self.listener.listen(20)
        else:
            self.listener = socket.create_server(address, family=socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(s)
            threading.Thread(target=self.serve, args=(s,), daemon=True).start()

    def end(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self.listener.close()


class Server(Scripted):
    """A scripted SMTP server: for each command the reply that `script` names, else a kind one."""

    def __init__(self, script, **where):
        self.script, self.said, self.mail = script, [], []
        super().__init__(**where)

    def reply(self, f, verb, default):
        text = self.script.get(verb, default)
        if callable(text):
            text = text(self)
        if text == "close":
            raise ConnectionError
        if text:
            f.write(text.encode() + b"\r\n")
            f.flush()
        return text[:1] if text else ""

    def serve(self, s):
        try:
            self.talk(s)
        except (ConnectionError, OSError, ValueError):
            pass
        finally:
            s.close()

    def talk(self, s):
        f = s.makefile("rwb")
        ehlo = self.script.get("extensions", "PIPELINING,SIZE 10000000,8BITMIME,ENHANCEDSTATUSCODES")
        self.reply(f, "greeting", "220 scripted.example ESMTP")
        while True:
            line = f.readline()
            if not line:
                return
            command = line.decode(errors="replace").rstrip("\r\n")
            self.said.append(command)
            verb = command.split(" ")[0].split(":")[0].upper()
            if verb == "EHLO":
                words = ["scripted.example"] + [w for w in ehlo.split(",") if w]
                text = "\r\n".join(f"250{'-' if i + 1 < len(words) else ' '}{w}" for i, w in enumerate(words))
                self.reply(f, "EHLO", text)
            elif verb == "DATA":
                if self.reply(f, "DATA", "354 go ahead") == "3":
                    data = b""
                    while not data.endswith(b"\r\n.\r\n"):
                        part = f.readline()
                        if not part:
                            return
                        data += part
                        if data == b".\r\n":
                            break
                    self.mail.append(data)
                    self.reply(f, "dot", "250 2.0.0 kept")
            elif verb == "BDAT":
                _, size, *last = command.split(" ")
                self.mail.append(f.read(int(size)))
                self.reply(f, "dot", "250 2.0.0 kept")
            elif verb == "QUIT":
                self.reply(f, "QUIT", "221 2.0.0 bye")
                return
            else:
                self.reply(f, verb, "250 2.0.0 ok")


@pytest.fixture
def server():
    made = []

    def make(**script):
        made.append(Server(script))
        return made[-1]
    yield make
    for s in made:
        s.end()


def message(subject="test", body="body\n", **headers):
    lines = [f"{k.replace('_', '-')}: {v}" for k, v in headers.items()]
    return "\n".join([f"Subject: {subject}", *lines, "", body])
