# SPDX-License-Identifier: ISC
"""sendmail, mailq and newaliases, called as programs call them."""

import os
import re
import shutil
import subprocess
import time

import pytest

from conftest import USERS, free_port, message, root_only, wait_until

USER = USERS[0]

CALLS = {
    "vixie cron": ["-FCronDaemon", "-odi", "-oem", "-oi", "-t"],
    "cronie": ["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f", USER],
    "debian cron": ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", USER],
    "php": ["-t", "-i"],
    "phpmailer": ["-t", "-i", f"-f{USER}@localhost"],
    "git": ["-f", f"{USER}@localhost", "-i", USER],
    "mutt": ["-oem", "-oi", "-B8BITMIME", "-f", f"{USER}@localhost", "-N", "failure", "-R", "hdrs", "--", USER],
    "s-nail": ["-i", "-m", "-r", f"{USER}@localhost", "--", USER],
    "perl cgi": ["-oi", "-oem", "-odq", "-f", f"{USER}@localhost", USER],
    "options behind": [USER, "-i", "-f", USER],
    "logwatch": ["-t"],
    "odd ones": ["-O", "DeliveryMode=b", "-L", "tag", "-X", "/dev/null", "-h", "10", "-p", "x", "-n", "-x", "-U", "-G", "-i", "--", USER],
}


@pytest.mark.parametrize("caller", CALLS)
def test_calls_of_the_wild(shared, caller):
    token = re.sub(r"\W", "-", f"token {caller}")
    shared.sendmail(*CALLS[caller], input=message(token, "hello\n.\nmore\n" if "-i" in CALLS[caller] else "hello\n", To=USER))
    got = shared.wait_mail(1, having=token.encode())[0][1].decode()
    assert re.search(r"^Received: by \S+ \(kingpost, from userid \d+\)", got, re.M)
    for name in ("Date", "Message-Id", "From"):
        assert len(re.findall(rf"^{name}: ", got, re.M | re.I)) == 1, (name, got)
    if "-i" in CALLS[caller]:
        assert "\n.\nmore\n" in got


def test_a_dot_ends_the_message_without_i(shared):
    shared.sendmail(USER, input=message("dot-ends", "before\n.\nbehind\n"))
    got = shared.wait_mail(1, having=b"dot-ends")[0][1]
    assert b"before" in got and b"behind" not in got


def test_recipients_of_t_and_of_the_command_line(shared):
    shared.sendmail("-t", USERS[-1], input=message("both-kinds", To=USER, Bcc=f"{USER}+hidden@localhost, {USER}@localhost"))
    got = shared.wait_mail(1, having=b"both-kinds")[0][1]
    assert b"Bcc" not in got
    if len(USERS) > 1:
        shared.wait_mail(1, USERS[1], having=b"both-kinds")


def test_resent_recipients_win(shared):
    shared.sendmail("-t", input=message("resent", To="nobody-here@localhost", Resent_To=USER))
    shared.wait_mail(1, having=b"Subject: resent")


def test_input_of_all_kinds(shared):
    for name, text in {
        "crlf": b"Subject: crlf\r\n\r\nline\r\n",
        "no-eol": b"Subject: no-eol\n\nlast line without end",
        "from-line": b"From somebody Mon Jan  1 00:00:00 2024\nSubject: from-line\n\nbody\n",
        "eight-bit": b"Subject: eight-bit\n\n\xc3\xa4\xff\n",
        "bare-cr": b"Subject: bare-cr\n\none\rtwo\n",
    }.items():
        shared.sendmail("-i", USER, input=text)
        got = shared.wait_mail(1, having=b"Subject: " + name.encode())[0][1]
        assert b"\r" not in got and not got.startswith(b"From ") and got.endswith(b"\n")
    shared.sendmail("-i", USER, input=b"no header at all\n\njust text\n")
    assert b"\n\nno header at all\n" in shared.wait_mail(1, having=b"no header at all")[0][1]


def test_the_sender(shared):
    for args, expected in ((["-f", ""], "<>"), (["-f", "<>"], "<>"), (["-fa@b.example"], "<a@b.example>"),
                           (["-r", "c@d.example"], "<c@d.example>")):
        token = f"sender{len(args)}{abs(hash(str(args)))}"
        shared.sendmail(*args, USER, input=message(token))
        got = shared.wait_mail(1, having=token.encode())[0][1].decode()
        assert f"Return-Path: {expected}" in got


def test_full_name_and_from(shared):
    shared.sendmail("-F", "Jörg \"J\" Name", "-f", "j@k.example", USER, input=message("full-name"))
    got = shared.wait_mail(1, having=b"full-name")[0][1].decode()
    assert re.search(r"^From: .*j@k\.example", got, re.M)


@pytest.mark.parametrize("args,status", [
    (["-i"], 64), (["-Z"], 64), (["-bx"], 64), (["-N", "sometimes", "x"], 64), (["-R", "half", "x"], 64), (["-bd"], 64),
    (["a@b@c@"], 65), (["-f", "a b c", USER], 65)])
def test_mistakes_have_their_status(shared, args, status):
    done = shared.sendmail(*args, input="Subject: x\n\n", check=False)
    assert done.returncode == status, done.err
    assert done.err.startswith("sendmail: fatal:") or "usage" in done.err or "invalid option" in done.err


def test_a_message_that_is_too_large_is_refused_for_good(suite):
    suite.start("message_size_limit = 100K")
    done = suite.sendmail(USER, input="Subject: x\n\n" + "x" * 70000 + "\n" + "y" * 70000, check=False)
    assert done.returncode == 65 and "size limit" in done.err
    assert not os.listdir(f"{suite.root}/spool/maildrop")


def test_version_and_help(shared):
    assert "kingpost" in shared.sendmail("-bV").out
    assert "kingpost" in shared.sendmail("-d0").out


def test_smtp_over_a_pipe(shared):
    out = shared.sendmail("-bs", input="".join(f"{c}\r\n" for c in (
        "EHLO me", f"MAIL FROM:<{USER}@localhost>", f"RCPT TO:<{USER}@localhost>", "DATA", "Subject: by-bs", "", "hi", ".", "RSET", "QUIT"))).out
    codes = re.findall(r"^(\d{3}) ", out, re.M)
    assert codes == ["220", "250", "250", "250", "354", "250", "250", "221"], out
    shared.wait_mail(1, having=b"by-bs")


def test_smtp_over_a_pipe_from_a_shell_script(shared):
    """Whose lines end with LF, the final dot too; one whose lines end with CRLF is taken at its word."""
    script = ("EHLO me", f"MAIL FROM:<{USER}@localhost>", f"RCPT TO:<{USER}@localhost>", "DATA", "Subject: by-lf", "", "hi", ".", "QUIT")
    out = shared.sendmail("-bs", input="".join(f"{c}\n" for c in script)).out
    assert re.findall(r"^(\d{3}) ", out, re.M) == ["220", "250", "250", "250", "354", "250", "221"], out
    _, mail = shared.wait_mail(1, having=b"by-lf")[0]
    assert mail.endswith(b"\n\nhi\n")
    out = shared.sendmail("-bs", input="".join(f"{c}\r\n" for c in script).replace("by-lf", "by-crlf").replace("hi\r\n", "hi\n.\nho\r\n")).out
    _, mail = shared.wait_mail(1, having=b"by-crlf")[0]
    assert mail.endswith(b"ho\n")


@pytest.mark.parametrize("extra", [0, 100000])
def test_mail_without_a_header_begins_behind_an_empty_line(shared, extra):
    token = f"headless-{extra}"
    with shared.smtp() as c:
        c.ehlo()
        c.mail("a@source.example")
        c.rcpt(f"{USER}@localhost")
        assert c.data(f"no header {token}\r\n" + ("x" * 78 + "\r\n") * (extra // 80))[0] == 250
    _, mail = shared.wait_mail(1, having=token.encode())[0]
    header, body = mail.split(b"\n\n", 1)
    assert body.startswith(f"no header {token}\n".encode()) and b"Received:" in header and b"no header" not in header


def test_verify(shared):
    assert "deliverable" in shared.sendmail("-bv", USER).out
    done = shared.sendmail("-bv", "no-such-user", check=False)
    assert done.returncode == 67 and "550" in done.out


def test_surroundings_that_are_odd(shared):
    program = f"{shared.root}/sbin/sendmail"
    body = message("odd-surroundings")
    for script in (f"exec 2>&-; umask 777; ulimit -n 16; exec {program} -i {USER}",
                   f"exec 1>&-; env -i {program} -i {USER}",
                   f"trap '' CHLD PIPE HUP; cd /; exec {program} -i {USER}",
                   f"IFS=/ ENV=/x LD_PRELOAD= PATH=/nowhere {program} -i {USER}"):
        done = subprocess.run(["/bin/sh", "-c", script], input=body.encode(), stdout=subprocess.PIPE, env=shared.env, timeout=60)
        assert done.returncode == 0, script
    shared.wait_mail(4, having=b"odd-surroundings")
    done = subprocess.run(["/bin/sh", "-c", f"exec 0<&-; exec {program} -i {USER}"], timeout=60, env=shared.env)
    assert done.returncode == 0


def test_mail_waits_in_the_maildrop_while_the_suite_is_down(suite):
    suite.start()
    suite.stop()
    for i in range(3):
        suite.sendmail("-i", USER, input=message(f"dropped-{i}"))
    suite.sendmail("-i", USER, input=message("dropped-large", "y" * 70 + "\n" + ("x" * 70 + "\n") * 3000))
    assert len([n for n in os.listdir(f"{suite.root}/spool/maildrop") if n.startswith("drop.")]) == 4
    done = suite.command("bin/mailq", check=False)
    assert done.returncode == 69 and "mail system is down" in done.err
    assert suite.sendmail("-bs", input="QUIT\r\n", check=False).returncode == 75
    suite.start_again()
    suite.wait_mail(4, having=b"dropped-")
    wait_until(lambda: not os.listdir(f"{suite.root}/spool/maildrop"), what="empty maildrop")
    large = suite.wait_mail(1, having=b"dropped-large")[0][1]
    assert large.count(b"x" * 70 + b"\n") == 3000


@root_only
def test_the_maildrop_helper_without_its_group(suite):
    """What it writes can be read by pickup, or it does not say that it wrote it."""
    suite.start()
    suite.stop()
    helper = f"{suite.root}/libexec/kingpost/maildrop"
    os.chmod(helper, 0o755)
    suite.sendmail("-i", USER, input=message("by-root"))
    done = subprocess.run(["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", f"{suite.root}/sbin/sendmail", "-i", USER],
                          input=message("by-a-user"), text=True, capture_output=True)
    assert done.returncode == 75 and "cannot be kept" in done.stderr
    assert len(os.listdir(f"{suite.root}/spool/maildrop")) == 1
    suite.start_again()
    assert os.stat(helper).st_mode & 0o7777 == 0o2755, "scripts/run puts it right"
    suite.wait_mail(1, having=b"by-root")


@root_only
def test_a_waiting_drop_is_logged_once(suite):
    suite.start("maildrop_retry_delay = 1s")
    suite.stop()
    suite.sendmail("-i", USER, input=message("unreadable"))
    drop, = os.listdir(f"{suite.root}/spool/maildrop")
    os.chmod(f"{suite.root}/spool/maildrop/{drop}", 0o600)
    suite.start_again()
    suite.wait_log(f"maildrop: {drop} waits: open: Permission denied")
    time.sleep(3)
    assert suite.log().count(f"maildrop: {drop} waits") == 1
    os.chmod(f"{suite.root}/spool/maildrop/{drop}", 0o640)
    suite.wait_mail(1, having=b"unreadable")


def test_rubbish_in_the_maildrop_is_kept_and_holds_up_nothing(suite):
    suite.start()
    suite.stop()
    suite.sendmail("-i", USER, input=message("good-drop"))
    drop = f"{suite.root}/spool/maildrop"
    good, = os.listdir(drop)
    with open(f"{drop}/{good}", "rb") as f:
        data = f.read()
    stat = os.stat(f"{drop}/{good}")
    for name, content in (("drop.1.bad", b"rubbish"), ("drop.2.bad", data[:8] + b"\xff\xff\xff\xff" + data[12:]), ("drop.3.cut", data[:-10])):
        with open(f"{drop}/{name}", "wb") as f:
            f.write(content)
        os.chown(f"{drop}/{name}", stat.st_uid, stat.st_gid)
        os.chmod(f"{drop}/{name}", 0o640)
    suite.start_again()
    suite.wait_mail(1, having=b"good-drop")
    wait_until(lambda: sorted(os.listdir(drop)) == ["bad.drop.1.bad", "bad.drop.2.bad"], what="bad ones set aside")
    assert len(suite.mail()) == 1


def test_mailq(suite):
    suite.start(f"relayhost = [127.0.0.1]:{free_port()}")
    assert suite.mailq() == "Mail queue is empty\n"
    suite.sendmail("-f", "a@b.example", "x@far.example", "y@far.example", input=message("waits"))
    wait_until(lambda: "refused" in suite.mailq() and "*" not in suite.mailq(), what="deferred")
    lines = suite.mailq().splitlines()
    assert lines[0] == "----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------"
    assert re.match(r"^[0-9A-F]+ +\d+ \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d a@b\.example$", lines[1]), lines
    assert lines[2].strip().startswith("(connect to 127.0.0.1") and lines[2].endswith(")")
    assert lines[3] == " " * 47 + "x@far.example" and lines[4].strip() == "y@far.example"
    assert lines[5] == "" and re.match(r"^-- \d+ Kbytes in 1 Request\.$", lines[6])
    row, = suite.queue()
    assert row["queue_name"] == "deferred" and row["sender"] == "a@b.example" and row["next_attempt"] > row["arrival_time"]
    assert [r["address"] for r in row["recipients"]] == ["x@far.example", "y@far.example"]
    assert "refused" in row["recipients"][0]["delay_reason"]


def test_newaliases(suite):
    suite.start()
    with open(f"{suite.root}/etc/aliases", "a") as f:
        f.write(f"team: {USER}\nlong.name: team\n")
    done = suite.command("bin/newaliases")
    assert done.out == "" and done.err == ""
    done = suite.sendmail("-bi", "-v")
    assert re.match(rf"^{suite.root}/etc/aliases: \d+ aliases, longest \d+ bytes, \d+ bytes total\n$", done.out)
    wait_until(lambda: suite.sendmail("-bv", "team", check=False).returncode == 0, what="alias without a restart")
    suite.sendmail("long.name", input=message("by-alias"))
    suite.wait_mail(1, having=b"by-alias")
    with open(f"{suite.root}/etc/aliases", "a") as f:
        f.write("broken\n")
    done = suite.command("bin/newaliases", check=False)
    assert done.returncode == 65 and re.search(r"aliases:\d+: ", done.err)
    suite.sendmail("team", input=message("still-there"))
    suite.wait_mail(1, having=b"still-there")


@pytest.mark.skipif(not shutil.which("s-nail"), reason="s-nail is not installed")
def test_s_nail(shared):
    done = subprocess.run(["s-nail", "-n", "-S", f"mta={shared.root}/sbin/sendmail", "-s", "by-s-nail", USER],
                          input=b"hello\n", timeout=60, env=dict(shared.env, MAILRC="/dev/null"))
    assert done.returncode == 0
    shared.wait_mail(1, having=b"by-s-nail")


@pytest.mark.skipif(not shutil.which("mutt"), reason="mutt is not installed")
def test_mutt(shared):
    done = subprocess.run(["mutt", "-n", "-F", "/dev/null", "-e", f"set sendmail='{shared.root}/sbin/sendmail -oem -oi'", "-e",
                           "set copy=no", "-e", "set use_domain=no", "-s", "by-mutt", "--", USER], input=b"hello\n", timeout=60, env=dict(shared.env, HOME="/tmp", TERM="dumb"))
    assert done.returncode == 0
    shared.wait_mail(1, having=b"by-mutt")


def test_bsd_mailx(shared, peers):
    done = subprocess.run([f"{peers}/usr/bin/bsd-mailx", "-s", "by-mailx", USER], input=b"hello\n", timeout=60,
                          env=dict(shared.env, SENDMAIL=f"{shared.root}/sbin/sendmail", MAILRC="/dev/null", HOME="/tmp"),
                          stderr=subprocess.PIPE)
    if done.returncode != 0 or b"/usr/sbin/sendmail" in done.stderr:
        pytest.skip("this bsd-mailx takes no other sendmail")


def test_swaks(shared):
    done = subprocess.run(["swaks", "--server", f"127.0.0.1:{shared.port}", "--from", "a@b.example", "--to", f"{USER}@localhost",
                           "--header", "Subject: by-swaks"], stdout=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stdout
    shared.wait_mail(1, having=b"by-swaks")


def test_v_reports_the_delivery(shared):
    shared.sendmail("-v", "-f", f"{USER}@localhost", USERS[-1], input=message("reported"))
    shared.wait_mail(1, having=b"Successful Mail Delivery Report")
