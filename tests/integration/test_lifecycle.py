# SPDX-License-Identifier: ISC
"""Start, stop, reload, restarts; what is refused before it can do harm."""

import os
import re
import signal
import subprocess
import time

import pytest

from conftest import TOP, USERS, Suite, message, root_only, wait_until

USER = USERS[0]


def test_status_stop_and_start_again(suite):
    assert suite.run_script("--status").returncode == 3
    suite.start()
    assert suite.run_script("--status").returncode == 0
    began = time.time()
    suite.stop()
    assert time.time() - began < 5
    assert suite.run_script("--status").returncode == 3
    suite.stop()
    suite.start_again()
    suite.sendmail(USER, input=message("again"))
    suite.wait_mail(1)


def test_two_instances_side_by_side(suite):
    other = Suite()
    try:
        suite.start()
        other.start()
        other.sendmail(USER, input=message("other"))
        other.wait_mail(1)
        assert suite.mail() == []
    finally:
        other.end()


def test_a_second_master_is_refused(suite):
    suite.start()
    done = suite.kingpost("start", check=False)
    assert done.returncode != 0 and "another master" in done.err
    assert suite.run_script("--status").returncode == 0


def test_an_edited_configuration_stays(suite):
    suite.start()
    suite.stop()
    conf = f"{suite.root}/etc/kingpost/kingpost.conf"
    with open(conf, "a") as f:
        f.write("\nmail_name = edited\n")
    suite.start_again()
    assert "mail_name = edited" in suite.kingpost("conf", "--changed").out


def test_faults_stop_the_start_with_their_place(suite):
    suite.start()
    suite.stop()
    conf = f"{suite.root}/etc/kingpost/kingpost.conf"
    with open(conf) as f:
        lines = len(f.readlines())
    with open(conf, "a") as f:
        f.write("myhostnam = x\nmessage_size_limit = huge\n")
    done = suite.run_script("--detach")
    assert done.returncode == 1 and done.stdout == ""
    assert f"{conf}:{lines + 1}: myhostnam: there is no such setting; did you mean myhostname?" in done.stderr
    assert f"{conf}:{lines + 2}: message_size_limit: expected a size" in done.stderr


def test_a_port_in_use_is_said(suite):
    suite.start()
    other = Suite()
    try:
        other.port = suite.port
        done = other.run_script("--port", str(other.port), "--submission-port", str(other.submission_port), "--detach")
        assert done.returncode == 1 and done.stdout == ""
        conf = re.escape(f"{other.root}/etc/kingpost/kingpost.conf")
        assert re.fullmatch(rf"{conf}:\d+: listen on 127.0.0.1:{suite.port}: Address already in use\n", done.stderr), done.stderr
        assert other.run_script("--status").returncode == 3
        if os.geteuid() == 0:
            done = other.kingpost("check", check=False)
            assert done.returncode == 78 and f"127.0.0.1:{suite.port}: Address already in use" in done.out
    finally:
        other.end()


@root_only
def test_a_parent_that_cannot_be_searched_is_named(suite):
    closed = f"{suite.base}/closed"
    os.mkdir(closed, 0o700)
    suite.root = f"{closed}/r"
    done = suite.run_script("--detach")
    assert done.returncode == 1 and closed in done.stderr


def test_reload_keeps_sessions_and_takes_new_values(suite):
    suite.start()
    conf = f"{suite.root}/etc/kingpost/kingpost.conf"
    with suite.smtp() as c:
        c.ehlo()
        c.mail("a@b.example")
        with open(conf, "a") as f:
            f.write("mail_name = renewed\n")
        suite.kingpost("reload")
        assert c.rcpt(f"{USER}@localhost")[0] == 250
        assert c.data("Subject: through-a-reload\r\n\r\nx\r\n")[0] == 250
    suite.wait_mail(1, having=b"through-a-reload")

    def greets():
        with suite.smtp() as c:
            c.close()
            code, text = c.connect("127.0.0.1", suite.port)
            return b"renewed" in text
    wait_until(greets, what="new greeting")


def test_a_faulty_reload_changes_nothing(suite):
    suite.start()
    conf = f"{suite.root}/etc/kingpost/kingpost.conf"
    before = suite.pids()
    with open(conf, "a") as f:
        f.write("nonsense\n")
    done = suite.kingpost("reload", check=False)
    assert done.returncode == 78 and re.search(r"kingpost\.conf:\d+: expected", done.err)
    assert suite.pids() == before
    suite.sendmail(USER, input=message("unharmed"))
    suite.wait_mail(1)


@pytest.mark.parametrize("program", ["smtpd", "cleanup", "qmgr", "router", "resolver", "tables", "local", "remote", "spawn", "bounce",
                                     "pickup", "logger"])
def test_a_worker_that_is_killed_is_back_within_a_second(shared, program):
    victims = set(shared.pids(program))
    assert victims
    for pid in victims:
        os.kill(pid, signal.SIGKILL)
    began = time.time()
    wait_until(lambda: [w for w in shared.status()["workers"] if w["program"] == program and w["pid"] not in victims
                        and w["state"] == "ready"], 5, f"new {program}")
    assert time.time() - began < 2
    time.sleep(2.1)  # its successor has outlived the time that counts as a young death
    shared.sendmail(USER, input=message(f"after-{program}"))
    shared.wait_mail(1, having=f"after-{program}".encode())


def test_when_master_dies_its_children_leave(suite):
    suite.start()
    pids = list(suite.pids())
    with open(f"{suite.root}/run/master.pid") as f:
        os.kill(int(f.read()), signal.SIGKILL)
    wait_until(lambda: not any(os.path.exists(f"/proc/{p}") for p in pids), 3, "end of all children")
    suite.start_again()
    suite.sendmail(USER, input=message("new-master"))
    suite.wait_mail(1)


def test_workers_are_recycled(suite):
    suite.start(services=[("smtp", "max_requests = 5"), ("smtp", "workers = 1")])
    first = set(p for p in suite.pids("smtpd"))
    for _ in range(12):
        with suite.smtp() as c:
            c.noop()
    wait_until(lambda: not (first & set(suite.pids("smtpd"))) or len(first - set(suite.pids("smtpd"))) > 0, what="new worker")


def test_conf_shows_where_a_value_comes_from(shared):
    out = shared.kingpost("conf", "mail_spool_directory").out
    assert re.search(r"from: .*/kingpost\.conf:\d+", out) and f"{shared.root}/mail/" in out
    out = shared.kingpost("conf", "message_size_limit").out
    assert "from: default (10M)" in out
    done = shared.kingpost("conf", "mesage_size_limit", check=False)
    assert done.returncode == 64 and "did you mean message_size_limit?" in done.err
    assert "message_size_limit = 10M" in shared.kingpost("conf").out


def test_check_finds_what_would_fail(suite):
    suite.start()
    assert suite.kingpost("check").returncode == 0
    with open(f"{suite.root}/etc/kingpost/kingpost.conf", "a") as f:
        f.write("virtual_alias_maps = lmdb:/nowhere/virtual\n")
    done = suite.kingpost("check", check=False)
    assert done.returncode == 78
    assert "/nowhere/virtual" in done.out


@pytest.mark.parametrize("line", ["mynetworks = 0.0.0.0/0", "mynetworks = 127.0.0.0/8, [::]/0", "relay_domains = static:yes", "mynetworks = 10.0.0.1/8"])
def test_an_open_relay_is_refused_unless_it_is_meant(suite, line):
    suite.start()
    conf = f"{suite.root}/etc/kingpost/kingpost.conf"
    with open(conf) as f:
        before = f.read()
    with open(conf, "w") as f:
        f.write(f"{line}\n{before}")
    done = suite.kingpost("check", check=False)
    assert done.returncode == 78 and f"{conf}:1: " in done.err
    assert suite.kingpost("reload", check=False).returncode == 78
    suite.stop()
    assert suite.kingpost("start", check=False).returncode == 78
    if "10.0.0.1" in line:
        return
    with open(conf, "w") as f:
        f.write(f"{line}\nopen_relay = yes\n{before}")
    suite.kingpost("start")
    with suite.smtp() as c:
        c.ehlo()
        c.mail("a@b.example")
        assert c.rcpt("x@elsewhere.example")[0] == 250


def test_only_operators_may_control(suite):
    suite.start()
    if os.geteuid() != 0:
        pytest.skip("needs root")
    done = subprocess.run(["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", f"{suite.root}/sbin/kingpost", "status"],
                          stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode != 0 and "only root and operators may" in done.stderr
    done = subprocess.run(["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", f"{suite.root}/sbin/kingpost", "queue",
                           "delete", "--all"], stderr=subprocess.PIPE, text=True, timeout=30)
    assert done.returncode != 0


def test_the_ordinary_user_runs_the_whole_suite(suite):
    if os.geteuid() != 0:
        pytest.skip("the whole test run is one")
    build = os.environ.get("KP_BUILD", f"{TOP}/build")
    if subprocess.run(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "test", "-x", f"{build}/control/kingpost"]).returncode != 0:
        pytest.skip("the checkout is not readable by others")
    os.chown(suite.base, __import__("pwd").getpwnam(USER).pw_uid, -1)
    run = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "env", f"HOME=/home/{USER}", f"{TOP}/scripts/run",
           "--root", suite.root, "--build", build, "--no-build"]
    done = subprocess.run([*run, "--port", str(suite.port), "--submission-port", str(suite.submission_port), "--detach"],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=suite.env, timeout=90)
    try:
        assert done.returncode == 0, done.stderr + suite.errors()
        sent = subprocess.run(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", f"{suite.root}/sbin/sendmail", USER],
                              input=message("rootless").encode(), env=suite.env, timeout=60)
        assert sent.returncode == 0
        suite.wait_mail(1, having=b"rootless")
        with suite.smtp() as c:
            c.ehlo()
            c.mail("a@source.example")
            assert c.rcpt(f"{USER}@localhost")[0] == 250
            assert c.rcpt(f"{USERS[1]}@localhost")[0] == 550  # one ordinary user's suite has no other
    finally:
        subprocess.run([*run, "--stop"], check=True, env=suite.env, timeout=60)
