# SPDX-License-Identifier: ISC
"""System calls that fail: strace makes them, in the running programs.

Whatever fails, what got a 250 arrives, once and whole; what could not be kept gets a 4xx; and when the fault is over all works
as before, in the same processes.
"""

import os
import re
import signal
import smtplib
import subprocess
import time

import pytest

from conftest import Suite, message, root_only, wait_until

USER = "kpfault1"
PATIENT = ("minimal_backoff_time = 1s", "maximal_backoff_time = 1s", "maildrop_retry_delay = 1s")
LARGE = "x" * 70 + "\n"
LARGE *= 9000  # more than journal_message_limit: a file of its own

pytestmark = root_only


class Faults:
    """Every call in `calls` fails with `error` (or has another effect), from a thread's `first` on, each `step`th. The sandbox's
    filter sees a getpid."""

    def __init__(self, pid, calls, error=None, first=1, step=3, effect=None):
        self.pid, self.path = pid, f"/var/tmp/kp-strace.{os.getpid()}.{pid}"
        effect = effect or f"error={error}:syscall=getpid"
        self.process = subprocess.Popen(["strace", "-f", "-qq", "-o", self.path, "-p", str(pid), "-e", f"trace={calls}", "-e", "signal=none",
                                         "-e", f"inject={calls}:{effect}:when={first}+{step}"])
        wait_until(self.attached, 10, "strace")

    def attached(self):
        try:
            return self.process.poll() is not None or all(self.traced(t) for t in os.listdir(f"/proc/{self.pid}/task"))
        except FileNotFoundError:
            return False

    def traced(self, task):
        with open(f"/proc/{self.pid}/task/{task}/status") as f:
            return "TracerPid:\t0\n" not in f.read()

    def calls(self):
        with open(self.path) as f:
            return len(re.findall(r"^\d+ +\w+\(", f.read(), re.M))

    def failed(self):
        with open(self.path) as f:
            return f.read().count("(INJECTED)")

    def end(self):
        """How many calls were made to fail."""
        self.process.terminate()
        self.process.wait()
        failed = self.failed()
        os.unlink(self.path)
        return failed


@pytest.fixture(scope="module")
def mended(request, accounts):
    accounts(USER)
    s = Suite()
    s.start(*PATIENT)
    yield s
    s.end()


def submit(suite, token, body="text\n", to=USER):
    """True: accepted. A refusal must be one for now."""
    text = f"Subject: {token}\n\n{body}end of {token}\n"
    try:
        with suite.smtp() as c:
            c.sendmail("a@b.example", [f"{to}@localhost"], text)
        return True
    except smtplib.SMTPResponseException as e:
        assert 400 <= e.smtp_code < 500, e
    except smtplib.SMTPRecipientsRefused as e:
        assert all(400 <= code < 500 for code, _ in e.recipients.values()), e
    return False


def arrived(suite, prefix):
    """Tokens in the mailbox, every message whole."""
    found = []
    for path, data in suite.mail(USER):
        token = re.search(r"^Subject: (\S+)$", data.decode(), re.M).group(1)
        if token.startswith(prefix):
            assert data.decode().endswith(f"\nend of {token}\n"), path
            found.append(token)
    return sorted(found)


def agents(suite):
    """The delivery agents that are kept for their users."""
    spawn, = suite.pids("spawn")
    with open(f"/proc/{spawn}/task/{spawn}/children") as f:
        return [int(pid) for pid in f.read().split()]


def name_of(request):
    return re.sub(r"\W+", "-", request.node.name)


@pytest.mark.parametrize("calls,error", [
    ("fdatasync", "EIO"), ("fdatasync,ftruncate", "EIO"), ("pwritev", "ENOSPC"), ("fsync", "EIO"), ("pwrite64", "ENOSPC"), ("openat", "EMFILE")])
def test_cleanup_keeps_what_it_promised(mended, request, calls, error):
    prefix = name_of(request)
    pid, = mended.pids("cleanup")
    faults = Faults(pid, calls, error)
    results = {f"{prefix}-{i}": submit(mended, f"{prefix}-{i}", LARGE if i % 3 == 2 else "text\n") for i in range(9)}
    failed = faults.end()
    results[f"{prefix}-after"] = submit(mended, f"{prefix}-after")
    assert failed > 0 and not all(results.values())
    assert results[f"{prefix}-after"], "it does not recover"
    mended.wait_empty()
    assert list(mended.pids("cleanup")) == [pid]
    expected = sorted(token for token, accepted in results.items() if accepted)
    wait_until(lambda: len(arrived(mended, prefix)) >= len(expected), 10, "mail")
    assert arrived(mended, prefix) == expected
    assert not os.listdir(f"{mended.root}/spool/queue/corrupt")


@pytest.mark.parametrize("calls,error", [
    ("fsync", "EIO"), ("linkat", "EIO"), ("linkat", "EDQUOT"), ("write", "ENOSPC"), ("openat", "EACCES"), ("close", "EIO")])
def test_the_agent_defers(mended, request, calls, error):
    prefix = name_of(request)
    assert submit(mended, f"{prefix}-before")
    wait_until(lambda: arrived(mended, prefix), 10, "mail")
    pid, = agents(mended)
    faults = Faults(pid, calls, error, step=2)
    tokens = [f"{prefix}-{i}" for i in range(3)]
    assert all([submit(mended, t, LARGE) for t in tokens])
    wait_until(lambda: faults.failed() > 0, 10, "failing call")
    mended.wait_log(rf"to=<{USER}@localhost>, relay=local, .*, dsn=4\.\d\.\d, status=deferred ", 10)
    faults.end()
    wait_until(lambda: len(arrived(mended, prefix)) >= 4, 20, "mail")
    mended.wait_empty()
    assert arrived(mended, prefix) == sorted([f"{prefix}-before", *tokens])
    assert not os.listdir(f"{mended.root}/mail/{USER}/tmp")


def faults_of_qmgr(suite, calls, error):
    """None where qmgr has just ended."""
    for pid in suite.pids("qmgr"):
        faults = Faults(pid, calls, error)
        if faults.process.poll() is None:
            return faults
    return None


def test_qmgr_forgets_nothing(mended):
    """Mail that is delivered at once, that waits first, that is large. What could not be recorded may come again; nothing is lost.
    Where the index cannot be written qmgr starts again and makes it anew."""
    promised = set()
    for n, (calls, error) in enumerate([("fdatasync,pwrite64", "ENOSPC"), ("fsync,renameat,unlinkat", "EIO"), ("openat", "EMFILE")]):
        faults = wait_until(lambda: faults_of_qmgr(mended, calls, error), 10, "qmgr that is traced")
        before = mended.log().count("status=deferred (")
        with open(f"/home/{USER}/.forward", "w") as f:
            f.write('"|exit 75"\n')
        waiting = {f"qmgr-{n}-waits-{i}" for i in range(4)}
        assert all([submit(mended, t, LARGE if t.endswith("3") else "text\n") for t in waiting])
        wait_until(lambda: mended.log().count("status=deferred (") >= before + 4, 10, "deferrals")
        os.unlink(f"/home/{USER}/.forward")
        direct = {f"qmgr-{n}-direct-{i}" for i in range(5)}
        assert all([submit(mended, t, LARGE if t.endswith("4") else "text\n") for t in direct])
        time.sleep(1.5)  # what waits becomes due
        wait_until(lambda: faults.failed() > 0, 10, "failing call")
        faults.end()
        promised |= waiting | direct
    mended.wait_empty(40)
    assert set(arrived(mended, "qmgr")) == promised
    assert not os.listdir(f"{mended.root}/spool/queue/corrupt")


def test_sendmail_has_no_success_without_its_file(suite, accounts):
    """The suite is down: what the maildrop cannot keep has no exit status 0."""
    accounts(USER)
    suite.start(*PATIENT)
    suite.stop()
    drop = f"{suite.root}/spool/maildrop"
    for calls, error in (("fsync", "EIO"), ("syncfs", "EIO"), ("renameat", "ENOSPC"), ("openat", "ENOSPC")):
        # openat: the last one, which makes the file
        only = ["-P", drop] if calls == "openat" else []
        done = subprocess.run(["strace", "-f", "-qq", "-o", f"{suite.base}/strace", *only, "-e", f"trace={calls}", "-e", f"inject={calls}:error={error}",
                               f"{suite.root}/sbin/sendmail", "-i", USER], input=message("no-success").encode(), env=suite.env, timeout=30,
                              stderr=subprocess.PIPE)
        with open(f"{suite.base}/strace") as f:
            assert "(INJECTED)" in f.read(), calls
        assert done.returncode == 75, (calls, done.stderr)
        assert os.listdir(drop) == []
    suite.sendmail("-i", USER, input=message("success"))
    assert len(os.listdir(drop)) == 1


def test_a_child_is_made_once(suite, server, accounts):
    """cleanup dies when the child of an alias is on the disk and nobody was told; the parent is deferred, and is slow to be put away."""
    accounts(USER)
    hop = server()
    os.makedirs(f"{suite.root}/etc")
    with open(f"{suite.root}/etc/aliases", "w") as f:
        f.write(f"root: {USER}\nteam: {USER}, x@far.example\n")
    suite.start(*PATIENT, f"relayhost = [127.0.0.1]:{hop.port}")
    assert submit(suite, "first")  # cleanup has its segment and its ids
    suite.wait_mail(1, USER)
    (cleanup,), (qmgr,) = suite.pids("cleanup"), suite.pids("qmgr")
    child = Faults(cleanup, "fdatasync", effect="delay_exit=2000000", first=2, step=100)
    parent = Faults(qmgr, "fsync", effect="delay_exit=700000", step=1)
    assert submit(suite, "doubled", to="team")
    wait_until(lambda: child.calls() == 2, 10, "child on the disk")
    os.kill(cleanup, signal.SIGKILL)
    suite.wait_log(r"to=<team@localhost>, .*status=deferred \(program cleanup died\)")
    wait_until(lambda: parent.calls() > 0, 10, "parent that is put away")
    child.end()
    suite.wait_log(rf"to=<{USER}@localhost>, orig_to=<team@localhost>, .*status=sent")
    parent.end()
    suite.wait_empty()
    assert len(hop.mail) == 1 and arrived(suite, "doubled") == ["doubled"]
