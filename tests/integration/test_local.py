# SPDX-License-Identifier: ISC
"""Mail to this machine's users: mailboxes, aliases, ~/.forward, commands, virtual mailboxes; all as the recipient."""

import fcntl
import glob
import mailbox
import os
import pwd
import re
import shutil
import stat
import subprocess
import time

import pytest

from conftest import IS_ROOT, USERS, Server, Suite, message, root_only, wait_until

pytestmark = root_only

USER, OTHER = USERS[0], USERS[-1]
NOBODY = "nobody"


def home(user=USER):
    return pwd.getpwnam(user).pw_dir


def uid(user=USER):
    return pwd.getpwnam(user).pw_uid


def write(path, text, owner=None, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    if owner is not None:
        os.chown(path, uid(owner), pwd.getpwnam(owner).pw_gid)
    return path


def read(path):
    with open(path, errors="surrogateescape") as f:
        return f.read()


def wait_file(path, text="", seconds=15):
    wait_until(lambda: os.path.exists(path) and text in read(path), seconds, f"{path} with {text!r}")
    return read(path)


@pytest.fixture(scope="module", autouse=True)
def empty_homes():
    """Nothing of an earlier run."""
    for user in USERS:
        for name in os.listdir(home(user)):
            path = f"{home(user)}/{name}"
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)


@pytest.fixture(scope="module")
def hop():
    made = Server({"extensions": "PIPELINING,8BITMIME,ENHANCEDSTATUSCODES"})
    yield made
    made.end()


@pytest.fixture(scope="module")
def box(hop):
    s = Suite()
    user = pwd.getpwnam(OTHER)
    s.start("recipient_delimiter = +", f"relayhost = [127.0.0.1]:{hop.port}", "minimal_backoff_time = 1s",
            "maximal_backoff_time = 2s", "command_time_limit = 2s", "unix_user_ttl = 0",
            "virtual_mailbox_domains = vm.example",
            "virtual_mailbox_base = $instance_root/vmail",
            "virtual_mailbox_maps = inline:{ann@vm.example=vm/ann/, bob@vm.example=vm/bob, low@vm.example=vm/low/, out@vm.example=../out/}",
            f"virtual_uid_maps = inline:{{low@vm.example=3}} static:{user.pw_uid}", f"virtual_gid_maps = static:{user.pw_gid}",
            "virtual_alias_domains = va.example, all.example",
            "virtual_alias_maps = inline:{ { one@va.example = " + USER + "@localhost }, { two@va.example = one@va.example, " + OTHER +
            "@localhost, far@far.example }, { @all.example = " + USER + "@localhost }, { postmaster@all.example = " + OTHER + "@localhost } }")
    os.mkdir(f"{s.root}/vmail")
    os.chown(f"{s.root}/vmail", user.pw_uid, user.pw_gid)
    os.mkdir(f"{s.base}/out", 0o777)
    os.chmod(f"{s.base}/out", 0o777)
    s.out = f"{s.base}/out"
    yield s
    s.end()


@pytest.fixture
def forward():
    """Files below a user's home folder, gone again after the test."""
    made = []

    def make(name, text, owner=USER, mode=0o600, user=USER):
        made.append(f"{home(user)}/{name}")
        return write(made[-1], text, owner, mode)
    yield make
    for path in made:
        if os.path.lexists(path):
            os.unlink(path)


def aliases(suite, text):
    """Adds lines to the alias table, and gives router's workers the tenth of a second that they may take to see it."""
    with open(f"{suite.root}/etc/aliases", "a") as f:
        f.write(text)
    suite.command("bin/newaliases")
    time.sleep(0.15)


def got(suite, token, user=USER, count=1):
    found = suite.wait_mail(count, user, having=f"Subject: {token}\n".encode())
    assert len(found) == count
    return found[0][1].decode(errors="surrogateescape")


def none(suite, token, user=USER):
    assert not [m for m in suite.mail(user) if f"Subject: {token}\n".encode() in m[1]]


# --- Maildir ---

def test_a_maildir(box):
    qid = box.send(f"{USER}@localhost", "maildir", "one\n.two\nFrom three\n")
    text = got(box, "maildir")
    assert re.match(rf"Return-Path: <a@source\.example>\nX-Original-To: {USER}@localhost\nDelivered-To: {USER}@localhost\nReceived: ", text)
    assert text.endswith("\n\none\n.two\nFrom three\n")
    top = f"{box.root}/mail/{USER}"
    for name in ("", "/tmp", "/new", "/cur"):
        st = os.stat(top + name)
        assert stat.S_IMODE(st.st_mode) == 0o700 and st.st_uid == uid() and st.st_gid == pwd.getpwnam(USER).pw_gid
    path = box.mail()[-1][0]
    st = os.stat(path)
    assert stat.S_IMODE(st.st_mode) == 0o600 and st.st_uid == uid() and st.st_nlink == 1
    assert re.match(r"\d+\.M\d+P\d+Q\d+\.[^/:]+$", os.path.basename(path))
    assert os.listdir(f"{top}/tmp") == []
    assert len(mailbox.Maildir(top)) >= 1
    box.wait_log(rf"local\[\d+\]: {qid}: to=<{USER}@localhost>, relay=local, delay=[\d.]+, delays=[\d.]+/[\d.]+/[\d.]+/[\d.]+, "
                 r"dsn=2\.0\.0, status=sent \(delivered to maildir\)")
    box.wait_log(rf"{qid}: removed")


def test_extensions_go_to_the_user(box):
    qid = box.send(f"{USER}+some.ext@localhost", "extension")
    text = got(box, "extension")
    assert f"Delivered-To: {USER}+some.ext@localhost\n" in text
    assert box.outcome(qid, f"{USER}+some.ext@localhost") == ("sent", "2.0.0", "delivered to maildir")


def test_letter_case_of_a_user_does_not_count(box):
    box.send(f"{USER.upper()}@LOCALHOST", "upper-case")
    got(box, "upper-case")


def test_two_hundred_recipients(box):
    to = [f"{u}+n{i}@localhost" for i in range(100) for u in (USER, OTHER)]
    box.send(to, "two-hundred")
    for u in (USER, OTHER):
        found = box.wait_mail(100, u, seconds=40, having=b"Subject: two-hundred\n")
        tags = {re.search(rb"^Delivered-To: (.*)$", m[1], re.M).group(1) for m in found}
        assert len(found) == 100 and tags == {f"{u}+n{i}@localhost".encode() for i in range(100)}
    box.wait_empty()


def test_an_unknown_user_is_refused_or_returned(box):
    with box.smtp() as c:
        c.ehlo()
        c.mail("a@b.example")
        code, text = c.rcpt("nobody-of-that-name@localhost")
        assert code == 550 and b"5.1.1" in text
    box.sendmail("-f", f"{USER}@localhost", "nobody-of-that-name@localhost", input=message("unknown-user"))
    text = box.wait_mail(1, having=b"nobody-of-that-name")[0][1].decode()
    assert "Status: 5.1.1" in text and "User unknown" in text


def test_a_maildir_behind_a_link_is_refused(box):
    top, away = f"{box.root}/mail/{OTHER}", f"{box.out}/away"
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(away)
    os.chown(away, uid(OTHER), -1)
    os.symlink(away, top)
    try:
        qid = box.send(f"{OTHER}@localhost", "linked-maildir")
        status, code, text = box.outcome(qid)
        assert (status, code[:2]) == ("deferred", "4."), text
        assert os.listdir(away) == []
    finally:
        os.unlink(top)
    got(box, "linked-maildir", OTHER)


def test_a_maildir_of_somebody_else_is_refused(box):
    top = f"{box.root}/mail/{OTHER}"
    shutil.rmtree(top, ignore_errors=True)
    os.mkdir(top, 0o777)
    os.chown(top, uid(USER), -1)
    qid = box.send(f"{OTHER}@localhost", "foreign-maildir")
    assert box.outcome(qid)[0] == "deferred"
    os.chown(top, uid(OTHER), -1)
    got(box, "foreign-maildir", OTHER)


def test_large_mail_arrives_whole(box):
    body = "".join(f"{i:07d} {'y' * 60}\n" for i in range(20000))
    box.send(f"{USER}@localhost", "large-local", body)
    assert got(box, "large-local").endswith("\n\n" + body)


# --- aliases ---

def test_aliases_of_all_kinds(box, hop):
    write(f"{box.out}/members", f"# members\n{USER}+inc@localhost, far-inc@far.example\n{OTHER}\n")
    aliases(box, f"""
a-user: {USER}
a-list: {USER}, {OTHER}, a-user, far@far.example, Far@far.example
a-file: {box.out}/file
a-folder: {box.out}/folder/
a-command: "|cat > {box.out}/command; id -un >> {box.out}/command; pwd >> {box.out}/command"
an-include: :include:{box.out}/members
backslash: \\{USER}
quoted name: {USER}
both: "|cat > {box.out}/both", {USER}
a-null: /dev/null
""")
    qid = box.send("a-user@localhost", "by-a-user")
    assert "X-Original-To: a-user@localhost\n" in got(box, "by-a-user")
    box.send("a-list@localhost", "by-a-list")
    got(box, "by-a-list")
    got(box, "by-a-list", OTHER)
    wait_until(lambda: [m for m in hop.mail if b"by-a-list" in m], what="mail for far")
    box.wait_empty()
    assert len([m for m in hop.mail if b"by-a-list" in m]) == 1
    assert len(box.wait_mail(1, having=b"Subject: by-a-list\n")) == 1
    assert not [c for c in hop.said if "Far@" in c]

    qid = box.send("a-file@localhost", "by-file", "From me\n")
    assert box.outcome(qid) == ("sent", "2.0.0", f"delivered to file: {box.out}/file")
    text = read(f"{box.out}/file")
    assert re.match(r"From a@source\.example  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\nReturn-Path: ", text)
    assert text.endswith("\n>From me\n\n") and os.stat(f"{box.out}/file").st_uid == uid(NOBODY)
    qid = box.send("a-folder@localhost", "by-folder")
    assert box.outcome(qid)[2] == "delivered to maildir" and len(os.listdir(f"{box.out}/folder/new")) == 1

    qid = box.send("a-command@localhost", "by-command")
    status, code, text = box.outcome(qid)
    assert (status, code) == ("sent", "2.0.0") and text.startswith("delivered to command: cat > ")
    text = read(f"{box.out}/command")
    assert text.startswith("Return-Path: ") and "Subject: by-command\n" in text and text.splitlines()[-2] == NOBODY

    box.send("an-include@localhost", "by-include")
    assert f"Delivered-To: {USER}+inc@localhost\n" in got(box, "by-include")
    got(box, "by-include", OTHER)
    wait_until(lambda: [m for m in hop.mail if b"by-include" in m], what="mail for far")
    box.send('"quoted name"@localhost', "by-quoted")
    got(box, "by-quoted")
    box.send("both@localhost", "by-both")
    got(box, "by-both")
    wait_file(f"{box.out}/both", "by-both")
    assert box.outcome(box.send("a-null@localhost", "by-null"))[0] == "sent"
    box.wait_empty()


def test_an_alias_with_an_extension(box):
    aliases(box, f"ext-alias: {USER}\next-alias+own: {OTHER}\n")
    box.send("ext-alias+any@localhost", "alias-any")
    got(box, "alias-any")
    box.send("ext-alias+own@localhost", "alias-own")
    got(box, "alias-own", OTHER)


def test_the_owner_of_a_list_gets_its_bounces(box, hop):
    aliases(box, f"people: {USER}, far-people@far.example\nowner-people: {OTHER}\n")
    box.send("people@localhost", "by-people")
    assert "Return-Path: <owner-people@localhost>\n" in got(box, "by-people")
    wait_until(lambda: [c for c in hop.said if c.startswith("MAIL FROM:<owner-people@localhost>")], what="owner as sender")


def test_an_alias_loop_is_returned(box):
    aliases(box, "round: about\nabout: round\n")
    qid = box.send("round@localhost", "alias-loop", sender=f"{USER}@localhost")
    status, code, text = box.outcome(qid)
    assert (status, code) == ("bounced", "5.4.6"), text
    wait_until(lambda: [m for m in box.mail() if b"Status: 5.4.6" in m[1] and b"alias-loop" in m[1]], what="bounce")


def test_the_backslash_stops_the_forwarding(box, forward):
    forward(".forward", "somewhere@far.example\n")
    box.send("backslash@localhost", "by-backslash")
    got(box, "by-backslash")


def test_an_include_that_is_not_there_defers(box):
    aliases(box, f"missing-include: :include:{box.out}/later\n")
    qid = box.send("missing-include@localhost", "late-include")
    assert box.outcome(qid)[:2] == ("deferred", "4.3.5")
    write(f"{box.out}/later", f"{USER}\n")
    got(box, "late-include")


def test_commands_of_an_include_file_are_not_run(box):
    write(f"{box.out}/evil", f"\"|touch {box.out}/evil-was-here\"\n")
    aliases(box, f"evil: :include:{box.out}/evil\n")
    qid = box.send("evil@localhost", "evil-include")
    assert box.outcome(qid)[:2] == ("bounced", "5.7.1")
    assert not os.path.exists(f"{box.out}/evil-was-here")


def test_root_has_no_mailbox_but_an_alias(box):
    path = f"{box.root}/etc/aliases"
    lines = re.sub(r"(?m)^root:.*\n", "", read(path))
    write(path, lines)
    aliases(box, "")
    qid = box.send("root@localhost", "to-root")
    status, code, text = box.outcome(qid)
    assert (status, code) == ("deferred", "4.3.5") and "uid 0" in text
    aliases(box, f"root: {USER}\n")
    got(box, "to-root")
    box.send("postmaster@localhost", "to-postmaster")
    got(box, "to-postmaster")


@pytest.mark.parametrize("command,expected", [
    ("exit 0", ("sent", "2.0.0", "delivered to command: ")),
    ("exit 67", ("bounced", "5.1.1", "user unknown")),
    ("exit 77", ("bounced", "5.7.0", "permission denied")),
    ("exit 73", ("bounced", "5.2.0", "can't create user output file")),
    ("exit 1", ("bounced", "5.3.0", "Command died with status 1")),
    ("echo what is wrong; exit 69", ("bounced", "5.3.0", "service unavailable. Command output: what is wrong")),
    ("/no/such/program", ("bounced", "5.3.0", "Command died with status 127")),
    ("exec true", ("sent", "2.0.0", "delivered to command: ")),
])
def test_what_a_command_says(box, command, expected):
    name = re.sub(r"\W+", "-", f"x{command}")
    aliases(box, f"{name}: \"|{command}\"\n")
    status, code, text = box.outcome(box.send(f"{name}@localhost", "exit-status", sender="<>"))
    assert (status, code) == expected[:2] and text.startswith(expected[2]), text


@pytest.mark.parametrize("command,code,expected", [
    ("exit 75", "4.3.0", "temporary failure"),
    ("kill -9 $$", "4.3.0", "Command died with signal 9"),
    ("sleep 30", "4.3.0", "Command time limit exceeded"),
])
def test_a_command_that_cannot_now_is_run_again(box, command, code, expected):
    name = re.sub(r"\W+", "-", f"again-{command}")
    aliases(box, f"{name}: \"|test -e {box.out}/{name} && exit 0; touch {box.out}/{name}; {command}\"\n")
    began = time.time()
    qid = box.send(f"{name}@localhost", "again")
    status, dsn, text = box.outcome(qid, status="deferred")
    assert (status, dsn) == ("deferred", code) and text.startswith(expected), text
    assert time.time() - began < 10
    assert box.outcome(qid, status="sent")[0] == "sent"


def test_a_process_left_by_a_command_holds_up_nothing(box):
    aliases(box, f"lingers: \"|sleep 20 & echo $! > {box.out}/lingers\"\n")
    began = time.time()
    assert box.outcome(box.send("lingers@localhost", "lingers"))[0] == "sent"
    assert time.time() - began < 5
    os.kill(int(read(f"{box.out}/lingers")), 9)


def test_a_large_message_that_a_command_does_not_read(box):
    aliases(box, "unread: \"|exit 0\"\n")
    assert box.outcome(box.send("unread@localhost", "unread", "z" * 70 + "\n" + "y" * 900 + "\n" * 3000))[0] == "sent"


def test_an_address_is_no_shell_text(box):
    aliases(box, f"echoes: \"|echo $RECIPIENT / $EXTENSION / $SENDER > {box.out}/echoes\"\n")
    qid = box.send("echoes+`id`${id}|x@localhost", "shell-text", sender="a`id`$x@b.example")
    assert box.outcome(qid)[0] == "sent"
    assert read(f"{box.out}/echoes") == "echoes+_id___id__x@localhost / _id___id__x / a_id__x@b.example\n"


# --- ~/.forward ---

def test_forward(box, forward, hop):
    forward(".forward", f"# mine\n\\{USER}, friend@far.example\n\"|cat > $HOME/fwd-command; id -un >> $HOME/fwd-command; pwd >> $HOME/fwd-command\"\n"
            f"{home()}/fwd-file\n{home()}/fwd-folder/\n")
    box.send(f"{USER}@localhost", "forward")
    text = got(box, "forward")
    wait_until(lambda: [m for m in hop.mail if b"Subject: forward\r\n" in m], what="mail for friend")
    theirs = [m for m in hop.mail if b"Subject: forward\r\n" in m][0].decode()
    assert f"Delivered-To: {USER}@localhost\r\n" in theirs and "Return-Path" not in theirs
    box.wait_empty()
    assert read(f"{home()}/fwd-command").endswith(f"\n{USER}\n{home()}\n")
    for path in ("fwd-command", "fwd-file", "fwd-folder/new"):
        assert os.stat(f"{home()}/{path}").st_uid == uid()
    assert read(f"{home()}/fwd-file").startswith("From a@source.example  ") and len(os.listdir(f"{home()}/fwd-folder/new")) == 1
    assert text.count("Delivered-To: ") == 1
    for path in ("fwd-command", "fwd-file"):
        os.unlink(f"{home()}/{path}")
    shutil.rmtree(f"{home()}/fwd-folder")


def test_forward_of_an_extension(box, forward):
    forward(".forward+lists", f"{OTHER}@localhost\n")
    box.send(f"{USER}+lists@localhost", "forward-ext")
    got(box, "forward-ext", OTHER)
    box.send(f"{USER}+else@localhost", "forward-no-ext")
    got(box, "forward-no-ext")
    forward(".forward", f"{OTHER}@localhost\n")
    box.send(f"{USER}+else@localhost", "forward-general")
    got(box, "forward-general", OTHER)


@pytest.mark.parametrize("own", [f"{USER}@localhost", USER, f"\\{USER}", f"\\{USER}@localhost", f"{USER.upper()}@localhost"])
def test_the_own_address_means_the_mailbox(box, forward, own):
    token = f"own-{abs(hash(own))}"
    forward(".forward", f"{own}, {OTHER}\n")
    box.send(f"{USER}@localhost", token)
    got(box, token)
    got(box, token, OTHER)
    box.wait_empty()
    assert len([m for m in box.mail() if f"Subject: {token}\n".encode() in m[1]]) == 1


def test_an_empty_forward_is_none(box, forward):
    forward(".forward", "# nothing but this\n\n")
    box.send(f"{USER}@localhost", "forward-empty")
    got(box, "forward-empty")


def test_forwards_that_are_not_safe_do_not_count(box, forward):
    for name, mode, owner in (("world-writable", 0o666, USER), ("of-another", 0o644, OTHER)):
        forward(".forward", f"{OTHER}@localhost\n", owner, mode)
        box.send(f"{USER}@localhost", f"forward-{name}")
        got(box, f"forward-{name}")
        none(box, f"forward-{name}", OTHER)
    target = forward("forward-target", f"{OTHER}@localhost\n")
    os.unlink(f"{home()}/.forward")
    os.symlink(target, f"{home()}/.forward")
    box.send(f"{USER}@localhost", "forward-link")
    got(box, "forward-link")
    none(box, "forward-link", OTHER)
    os.unlink(f"{home()}/.forward")
    os.mkfifo(f"{home()}/.forward", 0o600)
    os.chown(f"{home()}/.forward", uid(), -1)
    box.send(f"{USER}@localhost", "forward-fifo")
    got(box, "forward-fifo")


def test_a_forward_that_root_wrote_counts(box, forward):
    forward(".forward", f"{OTHER}@localhost\n", "root", 0o644)
    box.send(f"{USER}@localhost", "forward-root")
    got(box, "forward-root", OTHER)


def test_a_malformed_forward_defers(box, forward):
    forward(".forward", "\"|unclosed\n")
    qid = box.send(f"{USER}@localhost", "forward-bad")
    status, code, text = box.outcome(qid)
    assert (status, code) == ("deferred", "4.3.5") and ".forward" in text
    forward(".forward", "")
    got(box, "forward-bad")


def test_two_users_forward_to_each_other(box, forward):
    forward(".forward", f"{OTHER}@localhost\n")
    forward(".forward", f"{USER}@localhost\n", OTHER, user=OTHER)
    qid = box.send(f"{USER}@localhost", "forward-circle", sender="x@far.example")
    box.wait_log(r"dsn=5\.4\.6, status=bounced \(mail forwarding loop for ")
    box.wait_empty()
    none(box, "forward-circle")
    none(box, "forward-circle", OTHER)


def test_our_own_mark_in_the_header_is_a_loop(box):
    qid = box.send(f"{USER}@localhost", "loop-mark", Delivered_To=f"{USER.upper()}@localhost")
    assert box.outcome(qid) == ("bounced", "5.4.6", f"mail forwarding loop for {USER}@localhost")
    box.send(f"{USER}@localhost", "no-loop-mark", Delivered_To=f"{OTHER}@localhost")
    got(box, "no-loop-mark")


# --- virtual ---

def test_virtual_mailboxes(box):
    qid = box.send("ann@vm.example", "virtual-ann")
    assert box.outcome(qid) == ("sent", "2.0.0", "delivered to maildir")
    path, = glob.glob(f"{box.root}/vmail/vm/ann/new/*")
    st = os.stat(path)
    assert st.st_uid == uid(OTHER) and st.st_gid == pwd.getpwnam(OTHER).pw_gid
    assert "Delivered-To: ann@vm.example\n" in read(path)
    box.wait_log(rf"{qid}: to=<ann@vm\.example>, relay=virtual, ")
    box.send("ANN+ext@VM.example", "virtual-ext")
    wait_until(lambda: len(os.listdir(f"{box.root}/vmail/vm/ann/new")) == 2, what="second message")
    qid = box.send("bob@vm.example", "virtual-bob")
    assert box.outcome(qid) == ("sent", "2.0.0", "delivered to mailbox")
    assert len(mailbox.mbox(f"{box.root}/vmail/vm/bob")) == 1
    for user in ("low", "out"):
        status, code, _ = box.outcome(submit(box, f"{user}@vm.example"))
        assert (status, code) == ("deferred", "4.3.5")
    box.kingpost("queue", "delete", "--all")
    with box.smtp() as c:
        c.ehlo()
        c.mail("a@b.example")
        code, text = c.rcpt("carl@vm.example")
        assert code == 550 and b"5.1.1" in text and b"User unknown in virtual mailbox table" in text


def submit(suite, to):
    """By sendmail, which does not look at the recipient; the queue id."""
    suite.sendmail("-f", f"{USER}@localhost", to, input=message("submitted"))
    return wait_until(lambda: re.findall(rf"([0-9A-F]+): to=<{re.escape(to)}>", suite.log()), what="delivery")[-1]


def test_virtual_aliases(box, hop):
    box.send("two@va.example", "virtual-two")
    text = got(box, "virtual-two")
    assert "X-Original-To: two@va.example\n" in text and f"Delivered-To: {USER}@localhost\n" in text
    got(box, "virtual-two", OTHER)
    wait_until(lambda: [m for m in hop.mail if b"virtual-two" in m], what="mail for far")
    box.send("one+ext@va.example", "virtual-plus")
    assert f"Delivered-To: {USER}+ext@localhost\n" in got(box, "virtual-plus")
    box.send("whoever@all.example", "virtual-all")
    got(box, "virtual-all")
    box.send("postmaster@all.example", "virtual-postmaster")
    got(box, "virtual-postmaster", OTHER)
    with box.smtp() as c:
        c.ehlo()
        c.mail("a@b.example")
        code, text = c.rcpt("three@va.example")
        assert code == 550 and b"5.1.1" in text and b"User unknown in virtual alias table" in text


# --- mailbox_command ---

def test_the_environment_of_a_mailbox_command(box):
    box.configure(mailbox_command=f"env > $HOME/env; id -u >> $HOME/env; id -G >> $HOME/env; pwd >> $HOME/env; cat > {box.out}/command-box")
    write(f"{box.out}/command-box", "", USER)
    qid = box.send(f"{USER}+tag@localhost", "by-mailbox-command", sender="some.one@b.example")
    status, code, text = box.outcome(qid)
    assert (status, code) == ("sent", "2.0.0") and text.startswith("delivered to command: env > $HOME/env"), text
    lines = read(f"{home()}/env").splitlines()
    env = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {k: env.get(k) for k in ("USER", "LOGNAME", "HOME", "SHELL", "SENDER", "RECIPIENT", "ORIGINAL_RECIPIENT", "LOCAL", "DOMAIN",
                                    "EXTENSION", "CLIENT_ADDRESS", "CLIENT_PROTOCOL", "CLIENT_HELO")} == {
        "USER": USER, "LOGNAME": USER, "HOME": home(), "SHELL": "/bin/sh", "SENDER": "some.one@b.example",
        "RECIPIENT": f"{USER}+tag@localhost", "ORIGINAL_RECIPIENT": f"{USER}+tag@localhost", "LOCAL": f"{USER}+tag", "DOMAIN": "localhost",
        "EXTENSION": "tag", "CLIENT_ADDRESS": "127.0.0.1", "CLIENT_PROTOCOL": "ESMTP", "CLIENT_HELO": "client.example"}
    assert env["PATH"].startswith("/") and set(env) & {"LD_PRELOAD", "IFS", "ENV"} == set()
    assert lines[-3] == str(uid()) and "0" not in lines[-2].split() and lines[-1] == home()
    text = read(f"{box.out}/command-box")
    assert text.startswith("Return-Path: <some.one@b.example>\n") and text.endswith("\n\nbody\n")
    os.unlink(f"{home()}/env")


@pytest.mark.skipif(not shutil.which("procmail"), reason="procmail is not installed")
def test_procmail(box, forward):
    box.configure(mailbox_command='procmail -a "$EXTENSION"')
    forward(".procmailrc", "MAILDIR=$HOME\nDEFAULT=$HOME/inbox/\nLOGFILE=$HOME/procmail.log\nTAG=$1\n\n:0\n* ^Subject:.*cats\ncats/\n\n"
            ":0\n* ^Subject:.*refuse\n{\n EXITCODE=67\n HOST\n}\n\n:0\n* TAG ?? ^^tagged^^\ntagged/\n")
    for token, to, folder in (("of dogs", USER, "inbox"), ("of cats", USER, "cats"), ("of tags", f"{USER}+tagged", "tagged")):
        qid = box.send(f"{to}@localhost", token)
        status, code, text = box.outcome(qid)
        assert (status, code) == ("sent", "2.0.0") and text.startswith("delivered to command: procmail"), text
        name, = os.listdir(f"{home()}/{folder}/new")
        assert f"Subject: {token}\n" in read(f"{home()}/{folder}/new/{name}")
    qid = box.send(f"{USER}@localhost", "refuse")
    assert box.outcome(qid)[:2] == ("bounced", "5.1.1")
    for folder in ("inbox", "cats", "tagged"):
        shutil.rmtree(f"{home()}/{folder}")
    os.unlink(f"{home()}/procmail.log")


# --- mbox ---

@pytest.fixture(scope="module")
def mbox():
    s = Suite()
    s.start("mail_spool_directory = $instance_root/mail", "minimal_backoff_time = 1s", "maximal_backoff_time = 2s",
            "mailbox_lock_time_limit = 2s")
    yield s
    s.end()


def messages(path):
    return [m.as_string() for m in mailbox.mbox(path, create=False)] if os.path.exists(path) else []


def test_an_mbox(mbox):
    path = f"{mbox.root}/mail/{USER}"
    qid = mbox.send(f"{USER}@localhost", "mbox-1", "From the start\n>From quoted\nfrom small\n\nFrom here\n")
    assert mbox.outcome(qid) == ("sent", "2.0.0", "delivered to mailbox")
    text = read(path)
    assert re.match(r"From a@source\.example  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\nReturn-Path: <a@source\.example>\n", text)
    assert text.endswith("\n\n>From the start\n>From quoted\nfrom small\n\n>From here\n\n")
    st = os.stat(path)
    assert stat.S_IMODE(st.st_mode) == 0o600 and st.st_uid == uid()
    mbox.send(f"{USER}@localhost", "mbox-2", sender="<>")
    wait_until(lambda: len(messages(path)) == 2, what="second message")
    assert "\n\nFrom MAILER-DAEMON  " in read(path)
    assert not os.path.exists(f"{path}.lock")


def locked_delivery(suite, path, token, release):
    qid = suite.send(f"{USER}@localhost", token)
    time.sleep(0.7)
    assert token not in read(path) and f"{qid}: to=" not in suite.log()
    release()
    assert suite.outcome(qid)[0] == "sent"
    assert token in read(path)


def test_locks_delay_a_delivery(mbox):
    path = f"{mbox.root}/mail/{USER}"
    with open(path, "r+") as f:
        fcntl.lockf(f, fcntl.LOCK_EX)
        locked_delivery(mbox, path, "fcntl-held", lambda: fcntl.lockf(f, fcntl.LOCK_UN))
    write(f"{path}.lock", str(os.getpid()), USER)
    locked_delivery(mbox, path, "dot-held", lambda: os.unlink(f"{path}.lock"))


def test_a_lock_that_is_held_for_long_defers(mbox):
    path = f"{mbox.root}/mail/{USER}"
    with open(path, "r+") as f:
        fcntl.lockf(f, fcntl.LOCK_EX)
        qid = mbox.send(f"{USER}@localhost", "held-for-long")
        status, code, text = mbox.outcome(qid)
        assert (status, code) == ("deferred", "4.2.0") and "lock" in text
    assert mbox.outcome(qid, status="sent")[0] == "sent"
    assert len([m for m in messages(path) if "held-for-long" in m]) == 1


def test_a_reader_that_locks_and_rewrites_sees_no_torn_mail(mbox):
    path = f"{mbox.root}/mail/{USER}"
    before = len(messages(path))
    for i in range(10):
        mbox.send(f"{USER}@localhost", f"concurrent-{i}", "x" * 70 + "\n" + "y\n" * 5000)
        with open(path, "r+") as f:
            fcntl.lockf(f, fcntl.LOCK_EX)
            text = f.read()
            f.seek(0)
            f.write(text)
    wait_until(lambda: len(messages(path)) == before + 10, what="ten messages")
    for i in range(10):
        assert len([m for m in messages(path) if f"Subject: concurrent-{i}\n" in m and m.count("\ny") == 5000]) == 1


@pytest.mark.parametrize("kind", ["symlink", "hard link", "fifo", "somebody's"])
def test_an_mbox_that_is_not_one_is_refused(mbox, kind):
    path, target = f"{mbox.root}/mail/{OTHER}", f"{mbox.base}/target-{kind.replace(' ', '-')}"
    write(target, "untouched\n", OTHER)
    if kind == "symlink":
        os.symlink(target, path)
    elif kind == "hard link":
        os.link(target, path)
    elif kind == "fifo":
        os.mkfifo(path, 0o600)
        os.chown(path, uid(OTHER), -1)
    else:
        write(path, "", USER, 0o666)
    qid = mbox.send(f"{OTHER}@localhost", "no-mbox")
    try:
        status, code, text = mbox.outcome(qid)
        assert (status, code[:2]) in (("deferred", "4."), ("bounced", "5.")), text
        assert read(target) == "untouched\n"
    finally:
        os.unlink(path)
        mbox.kingpost("queue", "delete", "--all")


def test_home_mailbox(mbox):
    for setting, path in (("Mail/in/", "Mail/in/new"), ("Mail.box", "Mail.box")):
        mbox.configure(home_mailbox=setting)
        qid = mbox.send(f"{USER}@localhost", "home-mailbox")
        assert mbox.outcome(qid)[0] == "sent"
        assert os.stat(f"{home()}/{path}").st_uid == uid()
    assert len(os.listdir(f"{home()}/Mail/in/new")) == 1 and len(messages(f"{home()}/Mail.box")) == 1
    shutil.rmtree(f"{home()}/Mail")
    os.unlink(f"{home()}/Mail.box")
    mbox.configure(home_mailbox="")


# --- no room ---

@pytest.fixture
def small_disk(request):
    mounted = []

    def mount(path, size):
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", path], check=True)
        mounted.append(path)
    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", path], check=False)


def can_mount():
    return IS_ROOT and subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0


@pytest.mark.skipif(not can_mount(), reason="file systems cannot be mounted here")
@pytest.mark.parametrize("form", ["maildir", "mbox"])
def test_a_full_disk_delays_and_cuts_nothing(box, mbox, small_disk, form):
    suite = box if form == "maildir" else mbox
    if form == "maildir":
        box.configure(mailbox_command="")
    top = f"{suite.root}/mail"
    small_disk(top, "64k")
    suite.send(f"{USER}@localhost", "fits")
    wait_until(lambda: "fits" in everything(top), what="the message that fits")
    qid = suite.send(f"{USER}@localhost", "does-not-fit", "x" * 70 + "\n" + ("y" * 70 + "\n") * 2000)
    status, code, text = suite.outcome(qid)
    assert (status, code) == ("deferred", "4.3.1"), text
    assert "does-not-fit" not in everything(top)
    suite.send(f"{USER}@localhost", "fits-too")
    wait_until(lambda: "fits-too" in everything(top), what="the next message that fits")
    subprocess.run(["mount", "-o", "remount,size=4m", top], check=True)
    assert suite.outcome(qid, status="sent")[0] == "sent"
    assert everything(top).count("Subject: does-not-fit\n") == 1 and everything(top).count("y" * 70 + "\n") == 2000


def agent_of(suite, user):
    """The delivery agent that runs as that user."""
    for path in glob.glob("/proc/[0-9]*/exe"):
        try:
            if os.readlink(path) == f"{suite.root}/libexec/kingpost/deliver" and os.stat(os.path.dirname(path)).st_uid == uid(user):
                return path.split("/")[2]
        except OSError:
            pass
    return None


def test_a_file_size_limit_delays_as_a_quota_does(box):
    box.configure(mailbox_command="")
    box.send(f"{USER}@localhost", "under-limit")
    got(box, "under-limit")
    pid = agent_of(box, USER)

    def limit(pid, size):
        subprocess.run(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "prlimit", "--pid", pid, f"--fsize={size}"],
                       check=True)

    limit(pid, "50000:")
    qid = box.send(f"{USER}@localhost", "over-limit", "x" * 70 + "\n" + ("y" * 70 + "\n") * 2000)
    status, code, text = box.outcome(qid)
    assert (status, code) == ("deferred", "4.2.2"), text
    none(box, "over-limit")
    assert os.listdir(f"{box.root}/mail/{USER}/tmp") == []
    limit(pid, "unlimited:")
    assert box.outcome(qid, status="sent")[0] == "sent"
    assert got(box, "over-limit").count("y" * 70 + "\n") == 2000


def everything(top):
    text = ""
    for folder, _, names in os.walk(top):
        for name in names:
            text += read(f"{folder}/{name}")
    return text
