# SPDX-License-Identifier: ISC
"""Logins by tokens (RFC 7628) through the real Dovecot, and services that each have accounts of their own."""

import base64
import http.server
import json
import os
import subprocess
import threading
import urllib.parse

import pytest

from conftest import IS_ROOT, Suite, free_port, wait_until
from test_auth import PASSWORD, PATIENT, SUBMISSION, Dovecot, Line, Peer, b64, offer

ANN = "ann@example.org"
OAUTH2 = """
passdb {{
  driver = oauth2
  mechanisms = oauthbearer xoauth2
  args = {base}/oauth2
}}
"""
SETTINGS = """
introspection_mode = post
introspection_url = http://127.0.0.1:{port}/introspect
username_attribute = username
active_attribute = active
active_value = true
timeout_msecs = 4000
openid_configuration_url = https://idp.example/.well-known/openid-configuration
"""


class Provider:
    """Says of each token whether it is active (RFC 7662)."""

    def __init__(self):
        self.tokens, self.asked, self.broken = {}, [], False
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                token = form["token"][0]
                provider.asked.append(token)
                if provider.broken:
                    self.send_error(500)
                    return
                user = provider.tokens.get(token)
                text = json.dumps({"active": True, "username": user} if user else {"active": False}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *args):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(scope="module")
def provider():
    p = Provider()
    p.tokens.update({"good": ANN, "l" * 2000: ANN, "m" * 4100: ANN, "b" * 5000: ANN})
    yield p
    p.end()


@pytest.fixture(scope="module")
def dovecot(provider):
    if not IS_ROOT or not os.path.exists("/usr/sbin/dovecot"):
        pytest.skip("needs root and dovecot-core")
    d = Dovecot()
    with open(f"{d.base}/conf", "r+") as f:
        text = f.read().replace("scram-sha-256 cram-md5", "oauthbearer xoauth2")
        f.seek(0)
        f.write(text + OAUTH2.format(base=d.base))
        f.truncate()
    with open(f"{d.base}/oauth2", "w") as f:
        f.write(SETTINGS.format(port=provider.port))
    d.start()
    yield d
    d.end()


@pytest.fixture(scope="module")
def tokens(dovecot):
    s = Suite()
    s.start("smtpd_sasl_type = dovecot", f"smtpd_sasl_path = {dovecot.base}/auth-client", *PATIENT, services=SUBMISSION)
    wait_until(lambda: offer(s), 20, "an offer")
    yield s
    s.end()


def bearer(token, user=ANN):
    return f"n,a={user},\x01host=mail.example\x01port=587\x01auth=Bearer {token}\x01\x01"


def xoauth2(token, user=ANN):
    return f"user={user}\x01auth=Bearer {token}\x01\x01"


@pytest.fixture
def line(tokens):
    c = Line(tokens.submission_port)
    yield c
    c.close()


FORMS = pytest.mark.parametrize("mechanism,form", [("OAUTHBEARER", bearer), ("XOAUTH2", xoauth2)])


def test_they_are_offered(tokens):
    assert {"OAUTHBEARER", "XOAUTH2"} <= set(offer(tokens))


@FORMS
@pytest.mark.parametrize("initial", [True, False], ids=["initial", "asked"])
def test_a_good_token(tokens, line, mechanism, form, initial):
    if initial:
        assert line.say(f"AUTH {mechanism} {b64(form('good'))}") == "235 2.7.0 Authentication successful"
    else:
        assert line.say(f"AUTH {mechanism}") == "334 "
        assert line.say(b64(form("good"))) == "235 2.7.0 Authentication successful"
    assert line.say(f"MAIL FROM:<{ANN}>").startswith("250") and line.say("RCPT TO:<x@elsewhere.invalid>").startswith("250")
    line.say("QUIT")
    tokens.wait_log(r"disconnect from localhost\[127\.0\.0\.1\] ehlo=1 auth=1 mail=1 rcpt=1 quit=1")


@FORMS
@pytest.mark.parametrize("answer", ["AQ==", ""], ids=["x01", "empty"])
def test_a_bad_token_has_its_challenge(tokens, line, mechanism, form, answer):
    """RFC 7628 3.2.2: the reason as JSON, an answer that says nothing, then the refusal."""
    said = line.say(f"AUTH {mechanism} {b64(form('stolen'))}")
    assert said.startswith("334 "), said
    reason = json.loads(base64.b64decode(said[4:]))
    assert reason["status"] in ("invalid_token", "401"), reason
    assert line.say(answer) == "535 5.7.8 Error: authentication failed: (reason unavailable)"
    assert line.say(f"MAIL FROM:<{ANN}>").startswith("250") and line.say("RCPT TO:<x@elsewhere.invalid>").startswith("250"), "mynetworks"
    assert line.say("RSET").startswith("250")
    assert line.say(f"AUTH {mechanism} {b64(form('good'))}").startswith("235"), "the session may try again"
    tokens.wait_log(rf"warning: localhost\[127\.0\.0\.1\]: SASL {mechanism} authentication failed: .*sasl_username={ANN}\n")


@FORMS
def test_a_token_of_somebody_else(line, mechanism, form):
    said = line.say(f"AUTH {mechanism} {b64(form('good', 'eve@example.org'))}")
    if said.startswith("334 "):
        said = line.say("AQ==")
    assert said.startswith("535 "), said


@FORMS
@pytest.mark.parametrize("token", ["l" * 2000, "m" * 4100, "b" * 5000], ids=len)
def test_long_tokens(provider, line, mechanism, form, token):
    """Google's have up to 2 KiB, Microsoft's 4 and more; with base64 the line is a third longer."""
    assert line.say(f"AUTH {mechanism} {b64(form(token))}").startswith("235"), len(token)
    assert token in provider.asked


@FORMS
def test_too_long_tokens(line, mechanism, form):
    """Dovecot drops who sends it more than 8 KiB: such a token is refused here, and the connection to Dovecot stays."""
    assert line.say(f"AUTH {mechanism} {b64(form('x' * 6500))}").startswith("454 ")
    assert line.say(f"AUTH {mechanism}").startswith("334")
    assert line.say(b64(form("x" * 9000))).startswith("454 ")
    assert line.say(f"AUTH {mechanism}").startswith("334")
    assert line.say(b64(form("x" * 9300))).startswith("500 5.5.6")
    assert line.say(f"AUTH {mechanism} {b64(form('good'))}").startswith("235")


@FORMS
def test_aborted(line, mechanism, form):
    assert line.say(f"AUTH {mechanism}") == "334 "
    assert line.say("*").startswith("501 5.7.0")
    assert line.say(f"AUTH {mechanism} {b64(form('stolen'))}").startswith("334 ")
    assert line.say("*").startswith("501 5.7.0")
    assert line.say(f"AUTH {mechanism} {b64(form('good'))}").startswith("235")


@pytest.mark.parametrize("text", ["", "\x01", "n,,\x01auth=Bearer \x01\x01", "n,a=x,\x01auth=Basic abc\x01\x01", "user=\x01auth=Bearer good\x01\x01", "n,a=ann@example.org,"])
@pytest.mark.parametrize("mechanism", ["OAUTHBEARER", "XOAUTH2"])
def test_malformed_ones_let_nobody_in(line, mechanism, text):
    assert line.say(f"AUTH {mechanism}") == "334 "
    said = line.say(b64(text) or "=")
    if said.startswith("334 "):
        said = line.say("AQ==")
    assert said[:4] in ("535 ", "501 ", "454 "), said
    assert line.say("NOOP").startswith("250")


@FORMS
def test_a_provider_that_fails_is_no_refusal(provider, line, mechanism, form):
    provider.broken = True
    try:
        assert line.say(f"AUTH {mechanism} {b64(form('good'))}").startswith("454 ")
    finally:
        provider.broken = False


def test_swaks_and_curl(tokens):
    done = subprocess.run(["curl", "-sv", "--url", f"smtp://127.0.0.1:{tokens.submission_port}/client.example", "--user", ANN, "--oauth2-bearer", "good",
                           "--mail-from", ANN, "--mail-rcpt", "x@elsewhere.invalid", "-T", "-"], input=b"Subject: curl\r\n\r\nbody\r\n",
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0 and b"235 2.7.0" in done.stdout and b"AUTH OAUTHBEARER" in done.stdout, done.stdout
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{tokens.submission_port}", "--auth", "PLAIN", "--auth-user", ANN,
                           "--auth-password", PASSWORD.replace(" ", ""), "--quit-after", "AUTH"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
    assert done.returncode == 0 and b"235 2.7.0" in done.stdout, done.stdout


# --- accounts of each service ---


SECOND = [("second", "program = smtpd"), ("second", "smtpd_sasl_auth_enable = yes"), ("second", "smtpd_tls_auth_only = no"),
          ("second", "smtpd_sasl_security_options = noanonymous")]


def test_services_have_accounts_of_their_own(suite):
    """One asks Dovecot, one our own accounts, one another Dovecot; what a service has not does not let anybody in."""
    port, third = free_port(), free_port()
    one = Peer(lambda n: b"OK\t" + n + b"\tuser=dora\n")
    two = Peer(lambda n: b"CONT\t" + n + b"\t\n", handshake=b"VERSION\t1\t2\nMECH\tLOGIN\tplaintext\nMECH\tXOAUTH2\nSPID\t1\nCUID\t2\nCOOKIE\tab\nDONE\n")
    suite.start("keeper_auth_timeout = 2s", *PATIENT, services=[*SUBMISSION, ("submission", "smtpd_sasl_type = dovecot"), ("submission", f"smtpd_sasl_path = unix:{one.path}"),
                                    *SECOND, ("second", f"listen = 127.0.0.1:{port}"),
                                    *[("third", text) for _, text in SECOND], ("third", f"listen = 127.0.0.1:{third}"),
                                    ("third", "smtpd_sasl_type = dovecot"), ("third", f"smtpd_sasl_path = unix:{two.path}")])
    suite.kingpost("user", "add", "carl", input="secret\n")

    def line_to(p):
        c = Line(p)
        c.offered = next((f[9:].split() for f in c.features if f[4:8] == "AUTH"), [])
        return c

    def offered(p):
        c = line_to(p)
        c.close()
        return c.offered
    wait_until(lambda: offered(suite.submission_port) and offered(third), 20, "both offers")
    assert offered(suite.submission_port) == ["PLAIN", "LOGIN"]
    assert offered(port) == ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN"]
    assert offered(third) == ["LOGIN", "XOAUTH2"]
    assert offered(suite.port) == []
    for p, user, reply in ((suite.submission_port, "anybody", "235 "), (port, "anybody", "535 "), (port, "carl", "235 ")):
        c = line_to(p)
        assert c.say("AUTH PLAIN " + b64("", user, "secret")).startswith(reply), (p, user)
        c.close()
    c = line_to(third)
    assert c.say("AUTH PLAIN " + b64("", "carl", "secret")).startswith("504 ")
    c.say("AUTH LOGIN " + b64("carl"))
    c.close()
    assert any(b"\tLOGIN\t" in row for row in two.said) and not any(b"\tLOGIN\t" in row for row in one.said)
    # One that has gone takes along its own service alone.
    one.stop()
    wait_until(lambda: not offered(suite.submission_port), 20, "an empty offer")
    assert offered(port) and offered(third)
    # Another backend by a reload, while an exchange of the old one is under way.
    c = line_to(third)
    assert c.say("AUTH XOAUTH2").startswith("334")
    conf = f"{suite.root}/etc/kingpost/kingpost.conf"
    with open(conf) as f:
        text = f.read()
    with open(conf, "w") as f:
        f.write(text.replace(f"smtpd_sasl_path = unix:{two.path}", "smtpd_sasl_mechanism_filter = static:rest").replace("smtpd_sasl_type = dovecot", "smtpd_sasl_type = kingpost"))
    suite.kingpost("reload")
    wait_until(lambda: "SCRAM-SHA-256" in offered(suite.submission_port) and "SCRAM-SHA-256" in offered(third), 20, "the own accounts")
    assert c.say(b64(xoauth2("x"))).startswith("454 "), "nobody else is asked"
    c.close()
    one.end()
    two.end()
