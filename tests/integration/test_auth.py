# SPDX-License-Identifier: ISC
"""AUTH (RFC 4954), with real clients and backends on the other side."""

import base64
import contextlib
import hashlib
import hmac
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import threading
import time

import pytest

from conftest import IS_ROOT, USERS, Scripted, Suite, free_port, root_only, wait_until
from test_tls import Certificates, context, starttls

PASSWORD = "tr0ub4dor & 3 horses"
PLAIN = "smtpd_sasl_security_options = noanonymous"
PATIENT = ["auth_failure_delay = 0s", "auth_block_address_limit = 0", "auth_block_network_limit = 0", "auth_block_login_limit = 0"]
SUBMISSION = [("submission", "smtpd_sasl_auth_enable = yes"), ("submission", "smtpd_tls_auth_only = no"), ("submission", PLAIN),
              ("submission", "always_add_missing_headers = yes"), ("submission", "smtpd_client_connection_count_limit = 0")]


def b64(*parts):
    return base64.b64encode(b"\0".join(p.encode() if isinstance(p, str) else p for p in parts)).decode()


class Line:
    """An SMTP client that says what it is told."""

    def __init__(self, port, ehlo=True):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.socket.makefile("rb")
        assert self.reply().startswith("220 ")
        if ehlo:
            self.features = self.say("EHLO client.example").splitlines()

    def reply(self):
        lines = []
        while True:
            line = self.file.readline().decode().rstrip("\r\n")
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    def say(self, text):
        self.socket.sendall(text.encode() + b"\r\n")
        return self.reply()

    def close(self):
        self.socket.close()


@pytest.fixture(scope="module")
def suite_with_users():
    s = Suite()
    s.start("mynetworks = 192.0.2.0/24", *PATIENT, services=SUBMISSION)
    for name, extra in (("ann@example.org", []), ("bob", ["--scheme", "crypt"]), ("carl", ["--scheme", "scram"])):
        s.kingpost("user", "add", *extra, name, input=PASSWORD + "\n")
    yield s
    s.end()


@pytest.fixture
def line(suite_with_users):
    made = []

    def make(**kw):
        made.append(Line(suite_with_users.submission_port, **kw))
        return made[-1]
    yield make
    for each in made:
        each.close()


def test_users_are_listed_and_kept(suite_with_users):
    s = suite_with_users
    rows = dict(re.split(r"\s{2,}", row, maxsplit=1) for row in s.kingpost("user", "list").out.splitlines())
    assert {k: v.strip() for k, v in rows.items()} == {"ann@example.org": "crypt scram", "bob": "crypt", "carl": "scram"}
    done = s.kingpost("user", "add", "BOB", input="x\n", check=False)
    assert done.returncode != 0 and "there is such an account" in done.err
    done = s.kingpost("user", "delete", "nobody@example.org", check=False)
    assert done.returncode != 0 and "no such account" in done.err
    data = f"{s.root}/spool/auth/data.mdb"
    with open(data, "rb") as f:
        assert PASSWORD.encode() not in f.read()
    assert os.stat(data).st_mode & 0o077 == 0


def test_offered_where_it_is_enabled(suite_with_users, line):
    assert "250-AUTH SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN" in line().features
    c = Line(suite_with_users.port)
    assert not [f for f in c.features if "AUTH" in f]
    assert c.say("AUTH PLAIN").startswith("503 5.5.1 Error: authentication not enabled")
    c.close()


@pytest.mark.parametrize("user", ["ann@example.org", "Ann@Example.ORG", "bob", "carl"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_python_logs_in(suite_with_users, user, mechanism):
    c = suite_with_users.smtp(suite_with_users.submission_port)
    c.ehlo()
    c.user, c.password = user, PASSWORD
    method = c.auth_plain if mechanism == "PLAIN" else c.auth_login
    for initial in (True, False):
        code, text = c.auth(mechanism, method, initial_response_ok=initial)
        assert (code, text) == (235, b"2.7.0 Authentication successful")
        c.close()
        c.connect("127.0.0.1", suite_with_users.submission_port)
        c.ehlo()
    c.close()


@pytest.mark.parametrize("user,password", [("ann@example.org", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD + "x"), ("carl", "wrong"),
                                           ("ann@example.org", "x" * 5000)], ids=["wrong", "unknown", "longer", "scram", "huge"])
def test_wrong_ones_look_the_same(line, user, password):
    assert line().say("AUTH PLAIN " + b64("", user, password)) == "535 5.7.8 Error: authentication failed: (reason unavailable)"


def test_failure_is_logged_as_postfix_does(suite_with_users, line):
    c = line()
    c.say("AUTH LOGIN")
    assert c.say(b64("eve")) == "334 " + b64("Password:")
    assert c.say(b64("guess")).startswith("535 5.7.8 ")
    suite_with_users.wait_log(r"warning: \S+\[127\.0\.0\.1\]: SASL LOGIN authentication failed: .*, sasl_username=eve\n")
    c.say("QUIT")
    suite_with_users.wait_log(r"disconnect from \S+ ehlo=1 auth=0/1 quit=1 commands=2/3\n")


def gsasl(port, mechanism, user, password, *extra):
    return subprocess.run(["gsasl", "--smtp", "--client", f"--connect=127.0.0.1:{port}", "--mechanism", mechanism, "-a", user, "-p", password,
                           "--no-starttls", "--quality-of-protection=qop-auth", *extra], input=b"", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"])
def test_gsasl_logs_in(suite_with_users, mechanism):
    done = gsasl(suite_with_users.submission_port, mechanism, "ann@example.org", PASSWORD)
    assert b"235 2.7.0" in done.stdout, done.stdout


@pytest.mark.parametrize("user,password", [("ann@example.org", "wrong"), ("nobody", PASSWORD), ("bob", PASSWORD)])
def test_gsasl_is_refused(suite_with_users, user, password):
    done = gsasl(suite_with_users.submission_port, "SCRAM-SHA-256", user, password)
    assert b"235 2.7.0" not in done.stdout and b"535 5.7.8" in done.stdout, done.stdout


def test_unknown_names_have_a_salt_of_their_own(line):
    def salt(name):
        c = line()
        c.say("AUTH SCRAM-SHA-256")
        return re.search(r"s=([^,]+),i=(\d+)", base64.b64decode(c.say(b64(f"n,,n={name},r=abcdefgh"))[4:]).decode()).groups()
    assert salt("ghost") == salt("ghost") != salt("phantom")
    assert salt("ghost")[1] == salt("ann@example.org")[1]


def test_swaks_sends_after_auth_only(suite_with_users, sink):
    s = suite_with_users
    port = s.submission_port
    base = ["swaks", "--server", f"127.0.0.1:{port}", "--helo", "client.example", "--from", "ann@example.org", "--to", "x@elsewhere.invalid"]
    done = subprocess.run(base, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30)
    assert "554 5.7.1 <x@elsewhere.invalid>: Relay access denied" in done.stdout, done.stdout
    done = subprocess.run([*base, "--auth", "LOGIN", "--auth-user", "ann@example.org", "--auth-password", PASSWORD], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=30)
    assert done.returncode == 0, done.stdout
    s.wait_log(r": client=\S+\[127\.0\.0\.1\], sasl_method=LOGIN, sasl_username=ann@example\.org\n")


def test_missing_headers_are_added_and_proto_says_authenticated(suite_with_users):
    s = suite_with_users
    c = s.smtp(s.submission_port)
    c.login("bob", PASSWORD)
    to = f"{USERS[0]}@localhost"
    c.sendmail("bob@example.org", [to], "Subject: bare\r\n\r\nbody\r\n")
    c.quit()
    text = s.wait_mail(having=b"Subject: bare")[0][1].decode()
    for header in ("Date: ", "Message-Id: <", "From: bob@example.org"):
        assert f"\n{header}" in text, text
    assert " with ESMTPA id " in text and "Authenticated sender" not in text


def test_dsn_is_for_the_authenticated(line):
    c = line()
    assert not [f for f in c.features if "DSN" in f]
    assert c.say("MAIL FROM:<a@example.org> RET=HDRS").startswith("555 ")
    assert c.say("AUTH PLAIN " + b64("", "bob", PASSWORD)).startswith("235 ")
    assert "250-DSN" in c.say("EHLO client.example").splitlines()
    assert c.say("MAIL FROM:<a@example.org> RET=HDRS AUTH=<>").startswith("250 ")


def test_order_of_commands(line):
    c = line(ehlo=False)
    assert c.say("AUTH PLAIN").startswith("503 5.5.1 ")
    c = line()
    assert c.say("AUTH").startswith("501 5.5.4 ")
    assert c.say("AUTH PLAIN a b").startswith("501 5.5.4 ")
    assert c.say("AUTH NTLM").startswith("504 5.5.4 ")
    assert c.say("AUTH EXTERNAL =").startswith("504 5.5.4 ")
    c.say("MAIL FROM:<a@example.org>")
    assert c.say("AUTH PLAIN").startswith("503 5.5.1 Error: MAIL transaction in progress")
    c.say("RSET")
    assert c.say("auth plain " + b64("", "bob", PASSWORD)).startswith("235 2.7.0 ")
    assert c.say("AUTH PLAIN " + b64("", "bob", PASSWORD)).startswith("503 5.5.1 Error: already authenticated")


def test_malformed_exchanges(line):
    c = line()
    assert c.say("AUTH PLAIN !!!!").startswith("501 5.5.2 ")
    assert c.say("AUTH PLAIN") == "334 "
    assert c.say("*").startswith("501 5.7.0 ")
    c.say("AUTH LOGIN")
    assert c.say("Zm9v=").startswith("501 5.5.2 ")
    c.say("AUTH PLAIN")
    assert c.say("A" * 12300).startswith("500 5.5.6 ")
    c.say("AUTH PLAIN")
    assert c.say(b64("no nul here")).startswith("535 ")
    c.say("AUTH PLAIN")
    assert c.say(b64("someone else", "bob", PASSWORD)).startswith("535 ")
    assert c.say("AUTH PLAIN " + b64("", "bob", PASSWORD)).startswith("235 ")


def test_long_initial_response(line):
    assert line().say("AUTH PLAIN " + b64("", "bob", "x" * 6000)).startswith("535 ")
    assert line().say("NOOP " + "x" * 3000).startswith("500 5.5.2 ")


def test_nothing_may_be_pipelined(line):
    c = line()
    c.socket.sendall(b"AUTH PLAIN " + b64("", "bob", PASSWORD).encode() + b"\r\nMAIL FROM:<a@example.org>\r\n")
    assert c.reply().startswith("554 5.5.0 ")


def test_a_client_that_leaves_takes_its_exchange_along(suite_with_users, line):
    for _ in range(20):
        c = line()
        c.say("AUTH SCRAM-SHA-256")
        c.close()
    assert line().say("AUTH PLAIN " + b64("", "bob", PASSWORD)).startswith("235 ")


def test_many_at_once(suite_with_users):
    answers = []

    def log_in():
        c = Line(suite_with_users.submission_port)
        answers.append(c.say("AUTH PLAIN " + b64("", "ann@example.org", PASSWORD)))
        c.close()
    threads = [threading.Thread(target=log_in) for _ in range(30)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert len(answers) == 30 and all(a.startswith("235 ") for a in answers), answers


def test_changed_and_deleted_accounts(suite_with_users, line):
    s = suite_with_users
    s.kingpost("user", "add", "dora", input="first\n")
    assert line().say("AUTH PLAIN " + b64("", "dora", "first")).startswith("235 ")
    s.kingpost("user", "passwd", "dora", input="second\n")
    assert line().say("AUTH PLAIN " + b64("", "dora", "first")).startswith("535 ")
    assert line().say("AUTH PLAIN " + b64("", "dora", "second")).startswith("235 ")
    s.kingpost("user", "delete", "dora")
    assert line().say("AUTH PLAIN " + b64("", "dora", "second")).startswith("535 ")


def test_keeper_dies_in_the_middle(suite_with_users, line):
    s = suite_with_users
    c = line()
    assert c.say("AUTH LOGIN").startswith("334 ")
    old = list(s.pids("keeper"))
    os.kill(old[0], signal.SIGKILL)
    wait_until(lambda: list(s.pids("keeper")) not in ([], old), 20, "a new keeper")
    assert c.say(b64("bob")) == "454 4.7.0 Temporary authentication failure"
    wait_until(lambda: [f for f in Line(s.submission_port).features if "AUTH" in f], 20, "an offer")
    assert c.say("AUTH PLAIN " + b64("", "bob", PASSWORD)).startswith("235 ")


@root_only
def test_only_root_changes_accounts(suite_with_users):
    s = suite_with_users
    done = s.command("sbin/kingpost", "user", "add", "mallory", input="x\n", check=False, user="nobody")
    assert done.returncode != 0
    assert "mallory" not in s.kingpost("user", "list").out


def test_accounts_while_the_suite_is_down(suite):
    suite.start(services=SUBMISSION)
    suite.stop()
    suite.kingpost("user", "add", "early", input=PASSWORD + "\n")
    assert "early" in suite.kingpost("user", "list").out
    suite.start_again()
    c = Line(suite.submission_port)
    assert c.say("AUTH PLAIN " + b64("", "early", PASSWORD)).startswith("235 ")
    c.close()
    assert "early" in suite.kingpost("user", "list").out


def test_not_without_encryption_by_default(suite):
    suite.start(services=[("submission", "smtpd_sasl_auth_enable = yes")])
    c = Line(suite.submission_port)
    assert not [f for f in c.features if "AUTH" in f]
    assert c.say("AUTH PLAIN").startswith("538 5.7.11 ")
    c.close()


def test_options_filter_exceptions_and_old_clients(suite):
    suite.start("smtpd_sasl_local_domain = example.org", services=[
        ("submission", "smtpd_sasl_auth_enable = yes"), ("submission", "smtpd_tls_auth_only = no"), ("submission", "broken_sasl_auth_clients = yes"),
        ("submission", "smtpd_sasl_mechanism_filter = !SCRAM-SHA-1, static:rest"), ("submission", "smtpd_sasl_authenticated_header = yes"),
        ("submission", "smtpd_sasl_security_options = noanonymous, noplaintext"),
        ("other", "program = smtpd"), ("other", f"listen = 127.0.0.1:{(port := free_port())}"), ("other", "smtpd_sasl_auth_enable = yes"),
        ("other", "smtpd_tls_auth_only = no"), ("other", PLAIN), ("other", "smtpd_sasl_exceptions_networks = 127.0.0.0/8")])
    suite.kingpost("user", "add", "ann", input=PASSWORD + "\n")
    c = Line(suite.submission_port)
    assert [f[4:] for f in c.features if "AUTH" in f] == ["AUTH SCRAM-SHA-256", "AUTH=SCRAM-SHA-256"]
    assert c.say("AUTH PLAIN").startswith("538 5.7.11 ")
    assert c.say("AUTH SCRAM-SHA-1").startswith("504 5.5.4 ")
    c.close()
    c = Line(port)
    assert not [f for f in c.features if "AUTH" in f]
    assert c.say("AUTH PLAIN").startswith("503 5.5.1 ")
    c.close()
    assert b"235 2.7.0" in gsasl(suite.submission_port, "SCRAM-SHA-256", "ann", PASSWORD).stdout
    assert "ann@example.org" in suite.kingpost("user", "list").out


def test_guesses_are_delayed_and_then_blocked(suite):
    suite.start("auth_failure_delay = 200ms", "auth_block_address_limit = 4", services=SUBMISSION)
    suite.kingpost("user", "add", "ann", input=PASSWORD + "\n")
    took, answers = [], []
    for _ in range(6):
        began = time.time()
        c = Line(suite.submission_port)
        answers.append(c.say("AUTH PLAIN " + b64("", "ann", "guess"))[:3])
        took.append(time.time() - began)
        c.close()
    assert answers[:3] == ["535"] * 3 and answers[-1] == "454", (answers, took)
    assert took[2] > 0.35, took
    c = Line(suite.submission_port)
    assert c.say("AUTH PLAIN " + b64("", "ann", PASSWORD)).startswith("454 4.7.0 Error: too many failed logins")
    c.close()


# --- checkpassword ---

CHECKPASSWORD = """#!/usr/bin/python3
import os, sys, time
name, password, stamp = os.read(3, 512).split(b"\\0")[:3]
assert stamp.isdigit() and len(os.listdir("/proc/self/fd")) < 8
if name == b"slow":
    time.sleep(30)
if name == b"broken":
    sys.exit(111)
if name == b"killed":
    os.kill(os.getpid(), 9)
if name == b"uid":
    sys.exit(0 if os.getuid() == int(password) else 1)
if name == b"ann" and password == b"{password}":
    os.execv(sys.argv[1], sys.argv[1:])
sys.exit(1)
"""


@root_only
def test_checkpassword(suite):
    program = f"{suite.base}/checkpassword"
    with open(program, "w") as f:
        f.write(CHECKPASSWORD.replace("{password}", PASSWORD))
    os.chmod(program, 0o755)
    suite.start("smtpd_sasl_type = checkpassword", f"checkpassword_command = {program} /bin/true", "checkpassword_user = nobody",
                "checkpassword_timeout = 1s", *PATIENT, services=SUBMISSION)
    c = Line(suite.submission_port)
    assert "250-AUTH PLAIN LOGIN" in c.features
    for name, password, answer in [("ann", PASSWORD, "235 "), ("ann", "wrong", "535 "), ("broken", "x", "454 "), ("killed", "x", "454 "),
                                   ("slow", "x", "454 "), ("uid", "65534", "235 "), ("uid", "0", "535 "), ("x" * 300, "y" * 300, "535 ")]:
        c = Line(suite.submission_port)
        began = time.time()
        assert c.say("AUTH PLAIN " + b64("", name, password)).startswith(answer), name
        assert time.time() - began < 5
        c.close()


@root_only
def test_checkpassword_is_never_root(suite):
    suite.start("smtpd_sasl_type = checkpassword", "checkpassword_command = /bin/true", "checkpassword_user = root", *PATIENT, services=SUBMISSION)
    c = Line(suite.submission_port)
    assert c.say("AUTH PLAIN " + b64("", "ann", "x")).startswith("454 ")
    c.close()


# --- Dovecot ---

DOVECOT = """
protocols =
base_dir = {base}/run
state_dir = {base}/state
log_path = {base}/log
ssl = no
default_internal_user = root
default_internal_group = root
default_login_user = nobody
auth_mechanisms = plain login scram-sha-256 cram-md5
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {base}/passwd
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  unix_listener {base}/auth-client {{
    mode = 0666
  }}
}}
service stats {{
  client_limit = 10
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""


class Dovecot:
    def __init__(self):
        self.base = tempfile.mkdtemp(prefix="kp-dove-", dir="/var/tmp")
        os.chmod(self.base, 0o755)
        with open(f"{self.base}/conf", "w") as f:
            f.write(DOVECOT.format(base=self.base))
        with open(f"{self.base}/passwd", "w") as f:
            f.write(f"ann@example.org:{{PLAIN}}{PASSWORD.replace(' ', '')}\n")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", f"{self.base}/conf"], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        wait_until(lambda: os.path.exists(f"{self.base}/auth-client"), 20, "Dovecot's socket")

    def stop(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(20)
        for name in ("auth-client", "run/master.pid"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self.base}/{name}")

    def end(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.base, ignore_errors=True)


@pytest.fixture
def dovecot():
    if not IS_ROOT or not os.path.exists("/usr/sbin/dovecot"):
        pytest.skip("needs root and dovecot-core")
    d = Dovecot()
    d.start()
    yield d
    d.end()


def offer(suite):
    c = Line(suite.submission_port)
    found = [f[9:].split() for f in c.features if f[4:8] == "AUTH"]
    c.close()
    return found[0] if found else []


def test_dovecot(suite, dovecot):
    password = PASSWORD.replace(" ", "")
    suite.start("smtpd_sasl_type = dovecot", f"smtpd_sasl_path = {dovecot.base}/auth-client", *PATIENT, services=SUBMISSION)
    wait_until(lambda: offer(suite), 20, "an offer")
    assert set(offer(suite)) == {"PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5"}
    for mechanism in ("PLAIN", "LOGIN", "SCRAM-SHA-256", "CRAM-MD5"):
        done = gsasl(suite.submission_port, mechanism, "ann@example.org", password)
        assert b"235 2.7.0" in done.stdout, (mechanism, done.stdout)
        done = gsasl(suite.submission_port, mechanism, "ann@example.org", "wrong")
        assert b"535 5.7.8" in done.stdout, (mechanism, done.stdout)
    with suite.smtp(suite.submission_port) as c:
        c.login("ann@example.org", password)
        assert c.mail("ann@example.org")[0] == 250 and c.rcpt("x@elsewhere.invalid")[0] == 250
    c = Line(suite.submission_port)
    assert c.say("AUTH PLAIN " + b64("", "ann@example.org", "x" * 7000)).startswith("454 ")
    assert c.say("AUTH PLAIN").startswith("334 ")
    assert c.say("*").startswith("501 ")
    c.say("AUTH LOGIN")
    dovecot.stop()
    wait_until(lambda: not offer(suite), 20, "an empty offer")
    assert c.say(b64("ann@example.org")).startswith("454 ")
    assert c.say("AUTH PLAIN " + b64("", "ann@example.org", password)).startswith("454 ")
    dovecot.start()
    wait_until(lambda: offer(suite), 30, "an offer again")
    assert c.say("AUTH PLAIN " + b64("", "ann@example.org", password)).startswith("235 ")
    c.close()


class Peer(Scripted):
    """Plays Dovecot's auth service: each connection hears the handshake and what `answer` makes of a line."""

    def __init__(self, answer, handshake=b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t2\nCOOKIE\tab\nDONE\n"):
        self.base = tempfile.mkdtemp(prefix="kp-peer-", dir="/var/tmp")
        os.chmod(self.base, 0o755)
        self.path, self.answer, self.handshake, self.said = f"{self.base}/auth", answer, handshake, []
        super().__init__(self.path)

    def serve(self, s):
        with s:
            s.sendall(self.handshake)
            with contextlib.suppress(ConnectionError):
                for row in s.makefile("rb"):
                    self.said.append(row)
                    answer = self.answer(row.split(b"\t")[1]) if row.startswith(b"AUTH\t") else b""
                    if answer is None:
                        return
                    s.sendall(answer)

    def stop(self):
        super().end()
        for s in self.open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def end(self):
        super().end()
        shutil.rmtree(self.base)


@pytest.mark.parametrize("answer,reply", [
    (lambda n: b"OK\t" + n + b"\tuser=a\x01tb\n", "454 "),
    (lambda n: b"OK\t" + n + b"\tuser=ann\n", "235 "),
    (lambda n: b"OK\t" + n + b"\n", "454 "),
    (lambda n: b"FAIL\t" + n + b"\tuser=ann\ttemp\n", "454 "),
    (lambda n: b"FAIL\t" + n + b"\tuser=ann\treason=because\n", "535 "),
    (lambda n: b"FAIL\t" + n + b"\tcode=temp_fail\n", "454 "),
    (lambda n: b"OK\t4711\tuser=eve\nFAIL\t" + n + b"\n", "535 "),
    (lambda n: b"OK\tx\n", "454 "),
    (lambda n: b"CONT\t" + n + b"\t!!!\n", "454 "),
    (lambda n: b"y" * 100000, "454 "),
    (lambda n: b"", "454 "),
    (lambda n: None, "454 "),
])
def test_dovecot_that_misbehaves(suite, answer, reply):
    peer = Peer(answer)
    suite.start("smtpd_sasl_type = dovecot", f"smtpd_sasl_path = unix:{peer.path}", "keeper_auth_timeout = 2s", *PATIENT, services=SUBMISSION)
    wait_until(lambda: offer(suite), 20, "an offer")
    c = Line(suite.submission_port)
    assert c.say("AUTH PLAIN " + b64("", "ann", "x")).startswith(reply)
    c.close()
    wait_until(lambda: offer(suite), 20, "an offer")
    first = [row for row in peer.said if row.startswith(b"AUTH")][0].rstrip(b"\n").split(b"\t")
    assert first[2:5] == [b"PLAIN", b"service=smtp", b"nologin"] and first[-1] == b"resp=" + b64("", "ann", "x").encode()
    assert b"rip=127.0.0.1" in first and b"lip=127.0.0.1" in first and f"lport={suite.submission_port}".encode() in first
    peer.end()


# --- under TLS ---


@pytest.fixture(scope="module")
def secure():
    """Port 587 as it is by default, but for AUTH being on, with a certificate; and client certificates."""
    s = Suite()
    s.certs = c = Certificates(f"{s.base}/r/etc/kingpost/certs")
    c.make("mail", "localhost", kind="ec")
    c.make("client", "client.example", kind="ec", ca="ca")
    c.make("stranger", "stranger.example", kind="ec")
    s.start(f"smtpd_tls_chain_files = {c.path('mail.pem')}", *PATIENT, services=[
        ("submission", "smtpd_sasl_auth_enable = yes"), ("submission", "smtpd_tls_ask_ccert = yes"),
        ("submission", f"smtpd_tls_CAfile = {c.path('ca.crt')}"), ("submission", "smtpd_sasl_mechanism_filter = static:rest")])
    s.kingpost("user", "add", "ann", input=PASSWORD + "\n")
    yield s
    s.end()


def test_offered_under_tls_only(secure):
    c = Line(secure.submission_port)
    assert not [f for f in c.features if "AUTH" in f]
    c.close()
    with starttls(secure, port=secure.submission_port) as c:
        offered = c.esmtp_features["auth"].split()
        assert offered == ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"]
        assert c.docmd("AUTH", "EXTERNAL =")[0] == 504
        assert c.docmd("AUTH", "PLAIN " + b64("", "ann", PASSWORD))[0] == 235


@pytest.mark.parametrize("name,offered", [("client", True), ("stranger", False)])
def test_external(secure, name, offered):
    tls = context()
    tls.load_cert_chain(secure.certs.path(f"{name}.crt"), secure.certs.path(f"{name}.key"))
    with starttls(secure, tls, port=secure.submission_port) as c:
        assert ("EXTERNAL" in c.esmtp_features["auth"].split()) == offered
        if not offered:
            assert c.docmd("AUTH", "EXTERNAL =")[0] == 504
            return
        assert c.docmd("AUTH", "EXTERNAL " + b64("somebody else"))[0] == 535
        assert c.docmd("AUTH", "EXTERNAL")[0] == 334
        assert c.docmd("")[0] == 235
        assert c.mail("a@example.org")[0] == 250 and c.rcpt("x@elsewhere.invalid")[0] == 250


@pytest.mark.parametrize("binding", ["right", "wrong", "downgraded"])
def test_scram_plus(secure, binding):
    """A client of our own: no tool binds to a channel that it is told to spoil. Python has no tls-exporter for TLS 1.3: gsasl has."""
    tls = context(maximum_version=ssl.TLSVersion.TLSv1_2)
    with starttls(secure, tls, port=secure.submission_port) as c:
        mechanism = "SCRAM-SHA-256" if binding == "downgraded" else "SCRAM-SHA-256-PLUS"
        kind = "tls-unique"
        gs2 = "y,," if binding == "downgraded" else f"p={kind},,"
        data = c.sock.get_channel_binding("tls-unique")
        if binding == "wrong":
            data = bytes(len(data))
        code = scram(c, mechanism, gs2, data if gs2[0] == "p" else b"", "ann", PASSWORD)
        assert code == (235 if binding == "right" else 535)


def scram(c, mechanism, gs2, data, user, password):
    first = f"n={user},r=rOprNGfwEbeRWgbNEkqO"
    code, text = c.docmd("AUTH", f"{mechanism} {b64(gs2 + first)}")
    if code != 334:
        return code
    challenge = base64.b64decode(text).decode()
    nonce, salt, rounds = re.match(r"r=([^,]+),s=([^,]+),i=(\d+)$", challenge).groups()
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(rounds))
    key = hmac.digest(salted, b"Client Key", "sha256")
    without = f"c={b64(gs2.encode() + data)},r={nonce}"
    signature = hmac.digest(hashlib.sha256(key).digest(), f"{first},{challenge},{without}".encode(), "sha256")
    code, text = c.docmd(b64(f"{without},p={b64(bytes(a ^ b for a, b in zip(key, signature)))}"))
    if code != 334:
        return code
    server = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), f"{first},{challenge},{without}".encode(), "sha256")
    assert base64.b64decode(text).decode() == f"v={b64(server)}"
    return c.docmd("")[0]


def test_gsasl_binds_to_the_channel(secure):
    """By tls-unique: with TLS 1.3 gsasl 2.2 waits for ever once a ticket has come."""
    done = subprocess.run(["gsasl", "--smtp", "--client", f"--connect=localhost:{secure.submission_port}", "--mechanism", "SCRAM-SHA-256-PLUS", "-a",
                           "ann", "-p", PASSWORD, f"--x509-ca-file={secure.certs.path('mail.crt')}", "--priority=NORMAL:-VERS-TLS1.3"], input=b"", stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=30)
    assert b"235 2.7.0" in done.stdout, done.stdout


class Client:
    """openssl's, which tells what tls-exporter is made of; speaks as smtplib does."""

    def __init__(self, port):
        self.process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp", "-tls1_3", "-crlf", "-keymatexport",
                                         "EXPORTER-Channel-Binding", "-keymatexportlen", "32"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.binding = bytes.fromhex(self.line("    Keying material: ")[21:])
        self.say("EHLO client.example")
        self.line("250 LIMITS")

    def line(self, start):
        while True:
            line = self.process.stdout.readline()
            assert line
            if line.startswith(start):
                return line.rstrip()

    def say(self, text):
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def docmd(self, command, argument=""):
        self.say(f"{command} {argument}".rstrip())
        while True:
            line = self.process.stdout.readline().rstrip()
            if re.match(r"[2345]\d\d ", line):
                return int(line[:3]), line[4:]

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("spoilt", [False, True])
def test_scram_plus_by_exporter(secure, spoilt):
    c = Client(secure.submission_port)
    code = scram(c, "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", bytes(32) if spoilt else c.binding, "ann", PASSWORD)
    assert code == (535 if spoilt else 235)
    c.end()
