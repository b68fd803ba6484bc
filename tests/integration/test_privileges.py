# SPDX-License-Identifier: ISC
"""What each process may do, read from /proc of the running suite. These run on the release build: a sanitizer's runtime asks for more."""

import os
import pwd
import re
import signal
import subprocess

import pytest

from conftest import IS_ROOT, USERS, message, wait_until

USER = USERS[0]
pytestmark = pytest.mark.skipif(not IS_ROOT, reason="needs root")

# program: user, group, whether its root directory is the empty one
PROGRAMS = {
    "logger": ("kp-log", "kp-log", False),
    "smtpd": ("kp-smtpd", "kp-smtpd", True),
    "pickup": ("kp-pickup", "kp-drop", False),
    "cleanup": ("kp-cleanup", "kp-queue", False),
    "router": ("kp-router", "kp-router", False),
    "tables": ("kp-tables", "kp-tables", False),
    "resolver": ("kp-resolver", "kp-resolver", None),
    "qmgr": ("kp-queue", "kp-queue", False),
    "remote": ("kp-remote", "kp-remote", True),
    "local": ("kp-local", "kp-local", None),
    "keeper": ("kp-keeper", "kp-keeper", None),
    "limiter": ("kp-limiter", "kp-limiter", None),
    "bounce": ("kp-bounce", "kp-bounce", True),
}


def status_of(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def open_files(pid):
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            pass
    return found


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_has_what_its_table_says_and_no_more(shared, program):
    user, group, empty = PROGRAMS[program]
    pids = shared.pids(program)
    assert pids
    for pid in pids:
        s = status_of(pid)
        uid, gid = pwd.getpwnam(user).pw_uid, __import__("grp").getgrnam(group).gr_gid
        assert s["Uid"].split() == [str(uid)] * 4
        assert s["Gid"].split() == [str(gid)] * 4
        assert set(s["Groups"].split()) <= {str(gid)}
        for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert int(s[caps], 16) == 0, caps
        assert s["Seccomp"] == "2" and s["NoNewPrivs"] == "1"
        root = os.readlink(f"/proc/{pid}/root")
        if empty is not None:
            assert (root == f"{shared.root}/run/empty") == empty, root
        assert not os.listdir(f"{shared.root}/run/empty")
        names = [n for n in open_files(pid) if n.startswith("/") and not n.startswith("/dev/")]
        if program not in ("cleanup", "qmgr"):
            assert not any("/spool/queue" in n for n in names), names
        if empty:
            assert all(n.endswith("/log/master.err") or n.startswith("/memfd:") for n in names), names


def test_spawn_is_the_one_exception(shared):
    pid, = shared.pids("spawn")
    assert status_of(pid)["Uid"].split()[0] == "0"


def test_the_delivery_agent_runs_as_its_user(shared):
    shared.sendmail("-i", USER, input=message("agent"))
    path, _ = shared.wait_mail(1, having=b"agent")[0]
    assert os.stat(path).st_uid == pwd.getpwnam(USER).pw_uid
    with open(f"{shared.root}/log/master.err") as f:
        assert "runtime error" not in f.read()


@pytest.mark.parametrize("program", ["smtpd", "remote", "bounce"])
def test_a_forbidden_call_ends_the_process(shared, program):
    """gdb makes the process itself call what its filter does not list."""
    if not os.path.exists("/usr/bin/gdb"):
        pytest.skip("gdb is not installed")
    pid = next(iter(shared.pids(program)))
    done = subprocess.run(["gdb", "-q", "-nx", "-batch", "-p", str(pid), "-ex", "call (int)geteuid()", "-ex", "call (long)syscall(101, 0, 0, 0, 0)"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert "SIGSYS" in done.stdout or "no longer exists" in done.stdout, done.stdout
    wait_until(lambda: pid not in shared.pids(program), what="death of the process")
    shared.wait_log(rf"process \w+/\d+ pid {pid} killed by signal {int(signal.SIGSYS)}")


def test_the_queue_is_closed_to_others(shared):
    queue = f"{shared.root}/spool/queue"
    for name in ("cur", "hold", "corrupt", "tmp", "index", "results"):
        assert os.stat(f"{queue}/{name}").st_mode & 0o777 == 0o700
    assert os.stat(f"{queue}/new").st_mode & 0o777 == 0o770
    for path in ("run/submit", "run/queue"):
        assert os.stat(f"{shared.root}/{path}").st_mode & 0o777 == 0o666
    assert os.stat(f"{shared.root}/run/control").st_mode & 0o777 == 0o660
    setid = subprocess.run(["find", shared.root, "-perm", "/6000", "-type", "f"], stdout=subprocess.PIPE, text=True).stdout.split()
    assert setid == [f"{shared.root}/libexec/kingpost/maildrop"]
    assert os.stat(setid[0]).st_mode & 0o7777 == 0o2755


def test_an_ordinary_user_drops_with_the_helper_s_group_alone(suite):
    suite.start()
    suite.stop()
    done = subprocess.run(["setpriv", f"--reuid={USER}", "--regid=nogroup", "--clear-groups", f"{suite.root}/sbin/sendmail", "-i", USER],
                          input=message("by-user").encode(), stderr=subprocess.PIPE, timeout=60, env=suite.env)
    assert done.returncode == 0, done.stderr
    drop, = os.listdir(f"{suite.root}/spool/maildrop")
    assert os.stat(f"{suite.root}/spool/maildrop/{drop}").st_uid == pwd.getpwnam(USER).pw_uid
    suite.start_again()
    got = suite.wait_mail(1, having=b"by-user")[0][1].decode()
    assert f"Return-Path: <{USER}@" in got


