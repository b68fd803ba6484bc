# SPDX-License-Identifier: ISC
"""TLS of the server with real peers: STARTTLS and implicit TLS, certificates that change, names, tickets, and keys that smtpd never has."""

import json
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import time

import pytest

from conftest import Suite, free_port, message, of_release, root_only, wait_until


def openssl(*args, **kw):
    done = subprocess.run(["openssl", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, **kw)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Certificates:
    """A folder of keys and certificates, made by openssl, beside an authority."""

    def __init__(self, folder):
        self.dir = folder
        os.makedirs(folder, exist_ok=True)
        self.make("ca", "Test Authority", kind="ec", extra=["-addext", "basicConstraints=critical,CA:TRUE"])

    def path(self, name):
        return f"{self.dir}/{name}"

    def make(self, name, cn, kind="rsa", days=90, ca=None, extra=()):
        """NAME.key, NAME.crt and NAME.pem, which has both."""
        new = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        signer = ["-CA", self.path(f"{ca}.crt"), "-CAkey", self.path(f"{ca}.key")] if ca else []
        key, crt, pem = (self.path(f"{name}.{e}") for e in ("key", "crt", "pem"))
        if signer:
            openssl("req", "-new", *new, "-nodes", "-keyout", key, "-out", f"{crt}.req", "-subj", f"/CN={cn}")
            with open(f"{crt}.ext", "w") as f:
                f.write(f"subjectAltName=DNS:{cn}\n")
            openssl("x509", "-req", "-in", f"{crt}.req", *signer, "-CAcreateserial", "-days", str(days), "-out", crt, "-extfile", f"{crt}.ext")
        else:
            openssl("req", "-x509", *new, "-nodes", "-keyout", key, "-out", crt, "-days", str(days), "-subj", f"/CN={cn}",
                    "-addext", f"subjectAltName=DNS:{cn}", *extra)
        os.chmod(key, 0o600)
        with open(f"{pem}.new", "wb") as out:
            for part in (key, crt):
                with open(part, "rb") as f:
                    out.write(f.read())
        os.chmod(f"{pem}.new", 0o600)
        os.rename(f"{pem}.new", pem)
        return pem

    def digest(self, name):
        with open(self.path(f"{name}.crt")) as f:
            return ssl.PEM_cert_to_DER_cert(f.read())


def context(**kw):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    for name, value in kw.items():
        setattr(c, name, value)
    return c


def starttls(suite, c=None, port=None, name=None):
    """A session after STARTTLS and EHLO."""
    s = smtplib.SMTP("127.0.0.1", port or suite.port, local_hostname="client.example", timeout=20)
    s.ehlo()
    assert s.has_extn("starttls"), s.esmtp_features
    assert s.docmd("STARTTLS")[0] == 220
    s.sock = (c or context()).wrap_socket(s.sock, server_hostname=name)
    s.file = s.helo_resp = s.ehlo_resp = None
    s.esmtp_features, s.does_esmtp = {}, False
    s.ehlo()
    return s


def put(s, sender="a@source.example", to="b@far.example", subject="tls", options=()):
    s.mail(sender, list(options))
    code, text = s.rcpt(to)
    assert code == 250, text
    code, text = s.data(message(subject).replace("\n", "\r\n").encode())
    assert code == 250, text
    return re.search(rb"queued as ([0-9A-F]+)", text).group(1).decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """One instance: port 25 with RSA and ECDSA, a wrapped port, one that insists, one for client certificates."""
    s = Suite()
    s.certs = c = Certificates(f"{s.base}/r/etc/kingpost/certs")
    c.make("rsa", "mail.example")
    c.make("ec", "mail.example", kind="ec")
    c.make("one", "one.example", kind="ec")
    c.make("two", "two.example")
    c.make("client", "client.example", kind="ec", ca="ca")
    c.make("stranger", "stranger.example", kind="ec")
    s.wrapped, s.strict, s.clients, s.sni = (free_port() for _ in range(4))
    with open(f"{s.base}/sni", "w") as f:
        f.write(f"one.example {c.path('one.pem')}\n.two.example {c.path('two.pem')}\nbad.example {c.path('nothing.pem')}\n")
    files = f"smtpd_tls_chain_files = {c.path('rsa.pem')}, {c.path('ec.pem')}"
    services = []
    for name, port, *settings in (
            ("wrapped", s.wrapped, "smtpd_tls_wrappermode = yes"),
            ("strict", s.strict, "smtpd_tls_security_level = encrypt", "smtpd_tls_exclude_ciphers = CHACHA20", "smtpd_tls_mandatory_exclude_ciphers = AES128"),
            ("clients", s.clients, "smtpd_tls_ask_ccert = yes", f"smtpd_tls_CAfile = {c.path('ca.crt')}")):
        services += [(name, "program = smtpd"), (name, f"listen = 127.0.0.1:{port}")] + [(name, x) for x in settings]
    s.start(files, f"tls_server_sni_maps = texthash:{s.base}/sni", "tls_file_check_interval = 300ms", "default_transport = discard:",
            f"shared_paths = {s.base}", "smtpd_client_connection_rate_limit = 0", services=services)
    yield s
    s.end()


# --- sessions ---


def test_starttls_with_both_kinds_of_key(server):
    for cipher, cert in (("ECDHE-RSA-AES256-GCM-SHA384", "rsa"), ("ECDHE-ECDSA-AES128-GCM-SHA256", "ec")):
        c = context(maximum_version=ssl.TLSVersion.TLSv1_2)
        c.set_ciphers(cipher)
        s = starttls(server, c)
        assert s.sock.version() == "TLSv1.2" and s.sock.cipher()[0] == cipher
        assert s.sock.getpeercert(True) == server.certs.digest(cert)
        assert not s.has_extn("starttls")
        assert s.docmd("STARTTLS")[0] == 554
        s.quit()
    for algorithms, cert in (("RSA-PSS+SHA256", "rsa"), ("ECDSA+SHA256", "ec")):
        out = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-starttls", "smtp", "-sigalgs", algorithms, "-tls1_3"],
                             input=b"QUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20).stdout.decode()
        assert "New, TLSv1.3" in out, out
        assert {"rsa": "Peer signature type: RSA-PSS", "ec": "Peer signature type: ECDSA"}[cert] in out
    server.wait_log(r"smtpd\[\d+\]: Anonymous TLS connection established from localhost\[127\.0\.0\.1\]: TLSv1\.3 with cipher "
                    r"TLS_AES_256_GCM_SHA384 \(256/256 bits\) key-exchange X25519 server-signature RSA-PSS \(2048 bits\) server-digest SHA256")
    server.wait_log(r"key-exchange X25519 server-signature ECDSA \(prime256v1\) server-digest SHA256")


def test_a_message_by_swaks_has_the_session_in_its_header(server, peers, sink):
    out = sink()
    s = Suite()
    try:
        s.start(f"smtpd_tls_chain_files = {server.certs.path('rsa.pem')}", f"shared_paths = {server.base}", f"relayhost = [127.0.0.1]:{out.port}")
        done = subprocess.run(["swaks", "--server", f"127.0.0.1:{s.port}", "--tls", "--from", "a@source.example", "--to", "b@far.example"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        assert done.returncode == 0 and "=== TLS started" in done.stdout, done.stdout
        text = out.wait(1)[0].decode()
        assert re.search(r"\(using TLSv1\.3 with cipher TLS_AES_256_GCM_SHA384 \(256/256 bits\)\s+key-exchange X25519 server-signature RSA-PSS "
                         r"\(2048 bits\) server-digest SHA256\)\s+\(No client certificate requested\)\s+by ", text), text
        assert re.search(r"\swith ESMTPS id ", text)
    finally:
        s.end()


def test_implicit_tls(server):
    c = smtplib.SMTP_SSL("127.0.0.1", server.wrapped, local_hostname="client.example", timeout=20, context=context())
    c.ehlo()
    assert not c.has_extn("starttls")
    assert put(c)
    assert c.quit()[0] == 221
    with socket.create_connection(("127.0.0.1", server.wrapped), 20) as plain:
        plain.sendall(b"EHLO client.example\r\n")
        assert b"220" not in plain.recv(1000)
    server.wait_log(r"SSL_accept error from localhost\[127\.0\.0\.1\]: (wrong version number|http request)")


def test_large_message_and_pipelining_in_tls(server):
    s = starttls(server)
    body = ("x" * 70 + "\r\n") * 40000
    s.mail("a@source.example")
    s.rcpt("b@far.example")
    code, text = s.data(body.encode())
    assert code == 250, text
    s.sock.sendall(b"NOOP\r\n" * 1000)
    f = s.sock.makefile("rb")
    codes = [f.readline()[:3] for _ in range(1000)]
    assert set(codes[:50]) == {b"250"}
    s.close()


def test_old_protocols_are_refused(server):
    for flag in ("-tls1", "-tls1_1"):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-starttls", "smtp", flag, "-cipher", "ALL@SECLEVEL=0"],
                              input=b"QUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
        assert b"Cipher is (NONE)" in done.stdout
    server.wait_log("SSL_accept error from localhost.*: unsupported protocol")
    c = context(maximum_version=ssl.TLSVersion.TLSv1_2)
    c.set_ciphers("ECDHE-RSA-AES256-SHA")
    with pytest.raises((ssl.SSLError, OSError)):
        starttls(server, c)


def test_excluded_ciphers(server):
    for cipher, port, fine in (("ECDHE-RSA-CHACHA20-POLY1305", server.port, True), ("ECDHE-RSA-AES128-GCM-SHA256", server.port, True),
                               ("ECDHE-RSA-CHACHA20-POLY1305", server.strict, False), ("ECDHE-RSA-AES128-GCM-SHA256", server.strict, False),
                               ("ECDHE-RSA-AES256-GCM-SHA384", server.strict, True)):
        done = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp", "-tls1_2", "-cipher", cipher],
                              input=b"QUIT\r\n", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20)
        assert (f"Cipher is {cipher}".encode() in done.stdout) == fine, (cipher, port)


def test_level_encrypt(server):
    s = smtplib.SMTP("127.0.0.1", server.strict, local_hostname="client.example", timeout=20)
    assert s.docmd("MAIL FROM:<a@source.example>") == (530, b"5.7.0 Must issue a STARTTLS command first")
    assert s.docmd("RSET")[0] == 530 and s.docmd("VRFY x@y.example")[0] == 530
    assert s.docmd("HELO client.example")[0] == 250 and s.docmd("NOOP")[0] == 250 and s.ehlo()[0] == 250
    assert s.docmd("MAIL FROM:<a@source.example>")[0] == 530
    assert s.docmd("STARTTLS now")[0] == 501
    assert s.starttls(context=context())[0] == 220
    assert s.docmd("MAIL FROM:<a@source.example>") == (503, b"5.5.1 Error: send HELO/EHLO first")  # as new
    s.ehlo()
    assert put(s)
    s.quit()


def test_starttls_within_a_transaction(server):
    s = smtplib.SMTP("127.0.0.1", server.port, local_hostname="client.example", timeout=20)
    s.ehlo()
    s.mail("a@source.example")
    assert s.docmd("STARTTLS")[0] == 503
    s.quit()


# --- what was sent in plain ---


def injected(server, port):
    raw = socket.create_connection(("127.0.0.1", port), 20)
    f = raw.makefile("rb")
    assert f.readline().startswith(b"220")
    raw.sendall(b"EHLO client.example\r\n")
    while not f.readline().startswith(b"250 "):
        pass
    raw.sendall(b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@source.example>\r\n")
    return raw, f


def test_commands_behind_starttls_end_the_session(server):
    raw, f = injected(server, server.port)
    assert f.readline().startswith(b"554 5.5.0")
    assert f.readline() == b""
    raw.close()


def test_commands_behind_starttls_are_dropped_where_that_is_allowed(server):
    s = Suite()
    try:
        s.start(f"smtpd_tls_chain_files = {server.certs.path('ec.pem')}", f"shared_paths = {server.base}", "smtpd_forbid_unauth_pipelining = no")
        raw, f = injected(s, s.port)
        assert f.readline().startswith(b"220 2.0.0")
        tls = context().wrap_socket(raw)
        tls.sendall(b"EHLO client.example\r\n")
        f = tls.makefile("rb")
        lines = [f.readline()]
        while not lines[-1].startswith(b"250 "):
            assert lines[-1].startswith(b"250-"), lines
            lines.append(f.readline())
        tls.sendall(b"RCPT TO:<b@far.example>\r\n")
        assert f.readline().startswith(b"503")
        tls.close()
    finally:
        s.end()


# --- names and resumption ---


def test_names(server):
    for name, cert in (("one.example", "one"), ("ONE.example", "one"), ("mx.two.example", "two"), ("a.mx.two.example", "two"), ("other.example", None)):
        s = starttls(server, name=name)
        got = s.sock.getpeercert(True)
        assert got == server.certs.digest(cert) if cert else got in (server.certs.digest("rsa"), server.certs.digest("ec"))
        s.quit()
    with pytest.raises((ssl.SSLError, OSError)):
        starttls(server, name="bad.example")  # a name that should have a certificate is not shown another one
    s = starttls(server, name="one.example")
    s.quit()


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_sessions_resume_at_any_worker(server, version):
    v = getattr(ssl.TLSVersion, version)
    c = context(minimum_version=v, maximum_version=v)
    client = "127.0.0.12" if version == "TLSv1_2" else "127.0.0.13"  # of no other test
    resumed_before = server.status()["metrics"]["smtpd_tls_resumed_total"]["value"]

    def log_of(n):
        return wait_until(lambda: [e for e in server.events("tls") if e["client_addr"] == client][n - 1:],
                          5, f"session {n} in the log")[0]

    def visit(session=None):
        raw = socket.create_connection(("127.0.0.1", server.port), 20, (client, 0))
        f = raw.makefile("rb")
        assert f.readline().startswith(b"220")
        raw.sendall(b"EHLO client.example\r\n")
        while not f.readline().startswith(b"250 "):
            pass
        raw.sendall(b"STARTTLS\r\n")
        assert f.readline().startswith(b"220")
        tls = c.wrap_socket(raw, session=session)
        tls.sendall(b"EHLO client.example\r\n")
        tls.recv(4000)
        found = tls.session_reused, tls.session
        tls.sendall(b"QUIT\r\n")
        tls.recv(100)
        tls.close()
        f.close()
        raw.close()
        return found
    reused, session = visit()
    assert not reused
    first = log_of(1)["pid"]
    os.kill(first, signal.SIGSTOP)  # so that the other worker takes the next one
    try:
        reused, session = visit(session)
    finally:
        os.kill(first, signal.SIGCONT)
    assert reused
    second = log_of(2)
    assert second["pid"] != first and second.get("resumed")
    for _ in range(10):
        reused, session = visit(session)
        assert reused
    assert server.status()["metrics"]["smtpd_tls_resumed_total"]["value"] >= resumed_before + 11


# --- certificates of clients ---


def test_client_certificates(server):
    for cert, word in (("client", "Trusted"), ("stranger", "Untrusted")):
        c = context()
        c.load_cert_chain(server.certs.path(f"{cert}.crt"), server.certs.path(f"{cert}.key"))
        s = starttls(server, c, port=server.clients)
        assert put(s)
        s.quit()
        server.wait_log(rf"{word} TLS connection established from localhost\[127\.0\.0\.1\]: TLSv1\.3")
    event = [r for r in server.events("tls") if r.get("subject") == "client.example"][-1]
    want = openssl("x509", "-in", server.certs.path("client.crt"), "-noout", "-fingerprint", "-sha256").decode().strip().split("=")[1]
    assert event.get("fingerprint") == want
    s = starttls(server, port=server.clients)
    s.quit()


def test_a_needed_certificate(server):
    s = Suite()
    try:
        s.start(f"smtpd_tls_chain_files = {server.certs.path('ec.pem')}", f"shared_paths = {server.base}", "smtpd_tls_security_level = encrypt",
                "smtpd_tls_req_ccert = yes", f"smtpd_tls_CAfile = {server.certs.path('ca.crt')}")
        for cert, good in (("client", True), ("stranger", False), (None, False)):
            c = context(maximum_version=ssl.TLSVersion.TLSv1_2)
            if cert:
                c.load_cert_chain(server.certs.path(f"{cert}.crt"), server.certs.path(f"{cert}.key"))
            if good:
                starttls(s, c).quit()
            else:
                with pytest.raises((ssl.SSLError, OSError)):
                    starttls(s, c)
    finally:
        s.end()


# --- REQUIRETLS (RFC 8689) ---


def test_requiretls(server):
    s = smtplib.SMTP("127.0.0.1", server.port, local_hostname="client.example", timeout=20)
    s.ehlo()
    assert not s.has_extn("requiretls")
    assert s.mail("a@source.example", ["REQUIRETLS"])[0] == 555
    s.quit()
    s = starttls(server)
    assert s.has_extn("requiretls")
    assert s.mail("a@source.example", ["REQUIRETLS=1"])[0] == 501
    s.quit()


def test_requiretls_is_not_relayed_without_tls(server, sink):
    out, s = sink(), Suite()
    try:
        s.start(f"smtpd_tls_chain_files = {server.certs.path('ec.pem')}", f"shared_paths = {server.base}", f"relayhost = [127.0.0.1]:{out.port}")
        c = starttls(s)
        plain = put(c)
        must = put(c, subject="must", sender="c@source.example", options=["REQUIRETLS"])
        c.quit()
        assert s.outcome(plain)[0] == "sent"
        word, code, text = s.outcome(must, to="b@far.example")
        assert (word, code) == ("bounced", "5.7.30") and "REQUIRETLS support required" in text
        assert len(out.wait(1)) == 1 and b"must" not in out.messages()[0]
    finally:
        s.end()


# --- files that change ---


def shown(server):
    s = starttls(server, name="other.example")
    try:
        return s.sock.getpeercert(True)
    finally:
        s.quit()


@pytest.fixture
def changing(tmp_path):
    s = Suite()
    s.certs = Certificates(f"{s.base}/r/etc/kingpost/certs")
    s.certs.make("a", "mail.example", kind="ec")
    s.start(f"smtpd_tls_cert_file = {s.certs.path('a.crt')}", f"smtpd_tls_key_file = {s.certs.path('a.key')}", f"shared_paths = {s.base}",
            "tls_file_check_interval = 300ms", "default_transport = discard:")
    yield s
    s.end()


def test_new_files_are_taken_without_a_restart(changing):
    before = changing.pids("smtpd")
    old = shown(changing)
    held = starttls(changing)
    changing.certs.make("a", "mail.example")
    new = changing.certs.digest("a")
    wait_until(lambda: shown(changing) == new, 15, "the new certificate")
    assert old != new and changing.pids("smtpd") == before
    assert put(held)
    held.quit()
    changing.wait_log(r"keeper\[\d+\]: .*a\.crt: new keys and certificates")


def test_a_broken_pair_is_refused_and_the_old_one_kept(changing):
    old = shown(changing)
    changing.certs.make("b", "mail.example", kind="ec")
    os.rename(changing.certs.path("b.key"), changing.certs.path("a.key"))
    changing.wait_log(r"warning: .*a\.(key|crt): .*; what was there before stays")
    time.sleep(1.5)
    assert len(re.findall("what was there before stays", changing.log())) == 1
    assert shown(changing) == old
    check = changing.kingpost("check", check=False)
    assert check.returncode != 0 and re.search(r"a\.(key|crt): the (private key|certificate)", check.out + check.err), check.out + check.err
    os.rename(changing.certs.path("b.crt"), changing.certs.path("a.crt"))
    wait_until(lambda: shown(changing) == changing.certs.digest("a"), 15, "the mended pair")
    assert changing.kingpost("check", check=False).returncode == 0


def test_expiry_is_told(changing):
    days = changing.status()["metrics"]["tls_certificate_expiry_days"]["value"]
    assert 88 <= days <= 90
    changing.certs.make("a", "mail.example", kind="ec", days=5)
    changing.wait_log(r"warning: .*a\.crt: the certificate expires in [45] days")
    wait_until(lambda: changing.status()["metrics"]["tls_certificate_expiry_days"]["value"] in (4, 5), 10, "the metric")
    done = changing.kingpost("check", check=False)
    assert "expires in" in done.out + done.err


def test_missing_files_are_named(changing):
    changing.configure(smtpd_tls_cert_file=f"{changing.base}/nothing.crt")
    done = changing.kingpost("check", check=False)
    assert done.returncode != 0 and "nothing.crt: No such file" in done.out + done.err
    s = changing.smtp()
    s.ehlo()
    wait_until(lambda: not (s.ehlo() and s.has_extn("starttls")), 10, "no STARTTLS")
    assert s.docmd("STARTTLS")[0] == 454
    s.quit()


# --- keeper ---


def test_keeper_dies(changing):
    s = smtplib.SMTP("127.0.0.1", changing.port, local_hostname="client.example", timeout=20)
    s.ehlo()
    held = starttls(changing)
    (pid,) = changing.pids("keeper")
    os.kill(pid, 19)
    raw = socket.create_connection(("127.0.0.1", changing.port), 20)
    f = raw.makefile("rb")
    f.readline()
    raw.sendall(b"STARTTLS\r\n")
    assert f.readline().startswith(b"220")
    raw.settimeout(1)
    tls = context().wrap_socket(raw, do_handshake_on_connect=False)
    with pytest.raises((TimeoutError, ssl.SSLWantReadError, OSError)):
        tls.do_handshake()  # waits for a signature that keeper does not make
    assert held.noop()[0] == 250 and s.noop()[0] == 250  # nobody else does
    os.kill(pid, 9)
    tls.settimeout(20)
    with pytest.raises((ssl.SSLError, OSError)):
        tls.do_handshake()
    tls.close()
    assert held.noop()[0] == 250
    held.quit()

    def again():
        try:
            starttls(changing).quit()
            return True
        except (AssertionError, OSError, smtplib.SMTPException):
            return False
    wait_until(again, 20, "TLS again")
    s.quit()


def numbers(key):
    """The secret numbers of a key, as octets."""
    text = openssl("pkey", "-in", key, "-noout", "-text").decode()
    found = {}
    for name in ("privateExponent", "prime1", "prime2", "priv"):
        m = re.search(rf"^{name}:\n((?:\s+[0-9a-f:]+\n)+)", text, re.M)
        if m:
            found[name] = bytes.fromhex(re.sub(r"[\s:]", "", m.group(1))).lstrip(b"\0")
    assert found, text
    return found


def memory(pid):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            span, mode, *rest = line.split()
            if not mode.startswith("r") or "[v" in line:
                continue
            start, end = (int(x, 16) for x in span.split("-"))
            try:
                mem.seek(start)
                yield mem.read(end - start)
            except (OSError, ValueError):
                continue


def holds(pid, secrets):
    found = set()
    for part in memory(pid):
        for name, octets in secrets.items():
            # As text of the key file and DER have it, and as limbs of OpenSSL's numbers; a part of it is enough.
            for form in (octets[:24], octets[::-1][:24], octets[-24:], octets[::-1][-24:]):
                if form in part:
                    found.add(name)
    return found


@root_only
@of_release
def test_no_smtpd_ever_holds_a_key(server):
    secrets = {f"{k} {n}": v for k in ("rsa", "ec", "one", "two") for n, v in numbers(server.certs.path(f"{k}.key")).items()}
    assert len(secrets) == 2 * 3 + 2
    for name in ("one.example", "mx.two.example", "other.example"):
        for c in (context(), context(maximum_version=ssl.TLSVersion.TLSv1_2)):
            starttls(server, c, name=name).quit()
    for algorithms in ("RSA-PSS+SHA256", "ECDSA+SHA256"):
        subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-starttls", "smtp", "-sigalgs", algorithms],
                       input=b"QUIT\r\n", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=20, check=True)
    (keeper,) = server.pids("keeper")
    assert holds(keeper, secrets), "the search itself does not work"
    for pid in server.pids("smtpd"):
        assert holds(pid, secrets) == set()


# --- load ---


def rss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Private_Dirty:\s+(\d+)", f.read(), re.M).group(1)) * 1024


@of_release
def test_memory_of_idle_sessions(server):
    s, idle = Suite(), []
    try:
        s.start(f"smtpd_tls_chain_files = {server.certs.path('ec.pem')}", f"shared_paths = {server.base}",
                "smtpd_client_connection_count_limit = 0", "smtpd_client_connection_rate_limit = 0")
        for _ in range(20):
            idle.append(starttls(s))
        before = sum(rss(p) for p in s.pids("smtpd"))
        for _ in range(300):
            idle.append(starttls(s))
        time.sleep(1)
        each = (sum(rss(p) for p in s.pids("smtpd")) - before) / 300
        print(f"an idle TLS session: {each / 1024:.1f} KiB")
        assert each < 40 * 1024
    finally:
        for c in idle:
            c.close()
        s.end()


def test_a_flood_of_handshakes_slows_no_session(server):
    held = starttls(server)
    flood = [subprocess.Popen(["openssl", "s_time", "-connect", f"127.0.0.1:{server.wrapped}", "-new", "-time", "4"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(6)]
    try:
        times, until = [], time.time() + 3
        while time.time() < until:
            t = time.time()
            assert held.noop()[0] == 250
            times.append(time.time() - t)
            time.sleep(0.05)  # no more than smtpd_junk_command_limit in all
        times.sort()
        median = times[len(times) // 2]
        print(f"NOOP beside the flood: median {median * 1000:.1f} ms, slowest {times[-1] * 1000:.0f} ms")
        assert median < 0.2 and times[-1] < 3
    finally:
        for p in flood:
            p.wait(30)
    held.quit()


def test_clients_that_leave_within_the_handshake(server):
    """At every octet of the hello, and while the signature is made."""
    hello = ssl.MemoryBIO(), ssl.MemoryBIO()
    o = context().wrap_bio(*hello, server_hostname="one.example")
    with pytest.raises(ssl.SSLWantReadError):
        o.do_handshake()
    octets = hello[1].read()
    for n in list(range(0, len(octets), 16)) + [len(octets)] * 20:
        with socket.create_connection(("127.0.0.1", server.wrapped), 20) as raw:
            raw.sendall(octets[:n])
    starttls(server).quit()
    assert "killed by signal" not in server.log()


# --- testssl.sh ---


@pytest.mark.skipif(shutil.which("testssl") is None, reason="needs testssl.sh")
@pytest.mark.parametrize("wrapped", [False, True])
def test_testssl(server, wrapped, tmp_path):
    report = tmp_path / "report.json"
    args = ["testssl", "--quiet", "--color", "0", "--warnings", "off", "-p", "-s", "-U", "--fast", "--nodns", "none", "--ip", "127.0.0.1",
            "--jsonfile", str(report)]
    if not wrapped:
        args += ["-t", "smtp"]
    done = subprocess.run(args + [f"localhost:{server.wrapped if wrapped else server.port}"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=240)
    rows = {}
    for row in json.loads(report.read_text()):
        rows.setdefault(row["id"], row)
    assert rows["TLS1_2"]["severity"] in ("OK", "INFO") and rows["TLS1_3"]["severity"] in ("OK", "INFO"), done.stdout.decode()
    for old in ("SSLv2", "SSLv3", "TLS1", "TLS1_1"):
        assert rows[old]["finding"].startswith("not offered"), rows[old]
    grave = ("LOW", "MEDIUM", "HIGH", "CRITICAL", "WARN", "FATAL")
    bad = [f"{r['id']}: {r['severity']} {r['finding']}" for r in rows.values() if r["severity"] in grave
           and not re.search(r"with your /usr/bin/openssl|not supported by local OpenSSL", r["finding"])]  # of the tool, not of us
    assert not bad, bad
