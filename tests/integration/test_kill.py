# SPDX-License-Identifier: ISC
"""Kills over the whole suite, under load.

Every message carries a token, which goes into the ledger for each of its recipients once its 250 (or sendmail's exit status 0)
was seen, and not before. Whatever is killed, at the end every entry of the ledger was delivered whole; more than once only
where a delivery was under way when a program that takes part in deliveries was killed.
"""

import asyncio
import collections
import multiprocessing
import os
import random
import re
import signal
import smtplib
import threading
import time

import pytest

from conftest import free_port, root_only, wait_until

OWNERS = ["kpload1", "kpload2"]  # of mailboxes that no other test touches
KILLS = int(os.environ.get("KP_KILLS", "200"))
DELIVERERS = ["qmgr", "deliver", "remote", "local", "spawn"]
OTHERS = ["smtpd", "cleanup", "router", "tables", "resolver", "bounce", "pickup", "logger"]
CALM = 2.2  # seconds between two kills of one program: faster deaths make master back off
LARGE = 600_000  # more than journal_message_limit: a file of its own
IN_FLIGHT = 3  # seconds: how far from a kill a delivery can have been that is repeated


def first_id(text):
    """The queue id under which the message came in: the oldest trace header has it."""
    return re.findall(r"\bid ([0-9A-F]{19})\b", re.split(r"\r?\n\r?\n", text)[0])[-1]


class Receiver:
    """The next hops: an SMTP server in a process of its own, which notes what it gave a 250 for. A recipient "shaky..." is
    deferred every fourth time until kind() is called, "refused..." is refused."""

    def __init__(self, path, ports):
        self.path = path
        self.process = multiprocessing.get_context("fork").Process(target=self.run, args=(ports,), daemon=True)
        self.process.start()
        wait_until(lambda: os.path.exists(path), 10, "receiver")

    def run(self, ports):
        asyncio.run(self.main(ports))

    async def main(self, ports):
        servers = [await asyncio.start_server(self.session, "127.0.0.1", p, limit=1 << 20) for p in ports]
        self.notes = open(self.path, "w", buffering=1)
        self.count = 0
        await asyncio.gather(*(s.serve_forever() for s in servers))

    async def session(self, reader, writer):
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def talk(self, reader, writer):
        recipients = []
        writer.write(b"220 receiver.example ESMTP\r\n")
        while line := await reader.readline():
            verb, _, rest = line.decode().strip().partition(" ")
            answer = "250 2.0.0 ok"
            if verb == "EHLO":
                answer = "250-receiver.example\r\n250-PIPELINING\r\n250 8BITMIME"
            elif verb == "MAIL":
                recipients = []
            elif verb == "RCPT":
                answer = self.recipient(rest.split("<")[1].split(">")[0], recipients)
            elif verb == "DATA" and recipients:
                writer.write(b"354 go ahead\r\n")
                data = await reader.readuntil(b"\r\n.\r\n")
                # The note comes first: what is lost behind it is a repeat and never a loss.
                self.note(data.decode(), recipients)
            elif verb == "DATA":
                answer = "554 5.5.1 no recipients"
            elif verb == "QUIT":
                return
            writer.write(answer.encode() + b"\r\n")

    def recipient(self, address, recipients):
        self.count += 1
        if address.startswith("refused"):
            return "550 5.1.1 no such user"
        if address.startswith("shaky") and self.count % 4 == 0 and not os.path.exists(f"{self.path}.kind"):
            return "450 4.2.1 not now"
        recipients.append(address)
        return "250 2.1.5 ok"

    def note(self, data, recipients):
        token = re.search(r"^Subject: (\S+)", data, re.M).group(1)
        assert data.endswith(f"\r\nend of {token}\r\n.\r\n")
        for address in recipients:
            self.notes.write(f"{time.time()} {token} {address} {first_id(data)}\n")

    def kind(self):
        open(f"{self.path}.kind", "w").close()

    def deliveries(self):
        with open(self.path) as f:
            for line in f:
                when, token, address, queue_id = line.split()
                yield float(when), token, address, queue_id

    def end(self):
        self.process.kill()
        self.process.join()


class Load:
    """Clients, and what they were promised: `ledger` has (token, recipient)."""

    # recipient as submitted: where its mail is found in the end
    TARGETS = {
        "kpload1@localhost": ["kpload1"],
        "kpload2@localhost": ["kpload2"],
        "a@far.example": ["a@far.example"],
        "b@far.example": ["b@far.example"],
        "shaky@other.example": ["shaky@other.example"],
        "team@localhost": ["kpload1", "team@far.example"],
        "refused@other.example": ["bounce"],
    }
    MIXES = [
        (6, ["kpload1@localhost"]), (6, ["a@far.example"]), (3, ["a@far.example", "b@far.example"]), (3, ["shaky@other.example"]),
        (3, ["kpload2@localhost", "a@far.example", "shaky@other.example"]), (1, ["team@localhost"]), (1, ["refused@other.example"]),
    ]

    def __init__(self, suite, clients=3, submitters=1):
        self.suite, self.ledger, self.faults = suite, [], []
        self.count, self.doubtful = collections.Counter(), set()
        self.lock, self.stopped = threading.Lock(), threading.Event()
        ports = [suite.port, suite.submission_port]
        self.threads = [threading.Thread(target=self.guarded, args=(self.client, f"c{n}", ports[n % 2])) for n in range(clients)]
        self.threads += [threading.Thread(target=self.guarded, args=(self.submitter, f"s{n}", 0)) for n in range(submitters)]

    def start(self):
        self.began = time.time()
        for t in self.threads:
            t.start()
        return self

    def stop(self):
        self.stopped.set()
        for t in self.threads:
            t.join()
        self.seconds = time.time() - self.began
        assert not self.faults, self.faults[:5]

    def guarded(self, work, name, port):
        try:
            work(name, port)
        except Exception as e:  # a thread's own failure is the test's
            self.faults.append(f"{name}: {e!r}")

    def messages(self, name):
        """Token, recipients, text; large ones now and then; up to 100 a second."""
        dice = random.Random(name)
        weights, mixes = zip(*self.MIXES)
        n = 0
        while not self.stopped.is_set():
            n += 1
            token = f"load.{name}.{n}"
            body = "x" * 70 + "\n"
            body *= LARGE // len(body) if n % 60 == 0 else 5
            yield token, dice.choices(mixes, weights)[0], f"Subject: {token}\nFrom: kpload2@localhost\n\n{body}end of {token}\n"
            self.stopped.wait(0.01 * dice.random())

    def promised(self, token, recipients):
        with self.lock:
            self.count["accepted"] += 1
            self.ledger += [(token, place) for r in recipients for place in self.TARGETS[r]]

    def doubt(self, what):
        with self.lock:
            self.count[what] += 1

    def client(self, name, port):
        c = None
        for token, recipients, text in self.messages(name):
            try:
                c = c or smtplib.SMTP("127.0.0.1", port, local_hostname="client.example", timeout=20)
                refused = c.sendmail("kpload2@localhost", recipients, text)
                self.promised(token, [r for r in recipients if r not in refused])
                self.permanent(refused)
            except smtplib.SMTPRecipientsRefused as e:
                self.doubt("refused")
                self.permanent(e.recipients)
            except smtplib.SMTPServerDisconnected:
                c = None
                self.doubt("cut")
            except smtplib.SMTPResponseException as e:
                c = None if isinstance(e, smtplib.SMTPConnectError) else c
                self.doubt("refused")
                self.permanent({"": (e.smtp_code, e.smtp_error)})
            except OSError:
                c = None
                self.doubt("cut")
                time.sleep(0.02)

    def permanent(self, refused):
        """A program that is not there is never a reason to refuse for good."""
        for address, (code, text) in refused.items():
            if code >= 500:
                self.faults.append(f"{address}: {code} {text}")

    def submitter(self, name, _):
        for token, recipients, text in self.messages(name):
            done = self.suite.sendmail("-i", "-f", "kpload2@localhost", *recipients, input=text, check=False)
            if done.returncode == 0:
                self.promised(token, recipients)
            elif done.returncode == 75:
                self.doubt("refused")
            else:
                self.faults.append(f"sendmail: {done.returncode} {done.err}")


class Killer:
    def __init__(self, suite):
        self.suite, self.kills, self.recovery = suite, [], []
        self.last = collections.defaultdict(float)
        self.count = len(self.workers())
        self.dice = random.Random(7)

    def workers(self):
        return self.suite.status()["workers"]

    def healthy(self, gone=None):
        rows = self.workers()
        return len(rows) == self.count and all(w["state"] == "ready" and w["pid"] != gone for w in rows)

    def agents(self):
        """The processes of local's delivery agent, whoever is their parent by now."""
        found = []
        for pid in (int(p) for p in os.listdir("/proc") if p.isdigit()):
            try:
                if os.readlink(f"/proc/{pid}/exe") == f"{self.suite.root}/libexec/kingpost/deliver":
                    found.append(pid)
            except OSError:
                pass
        return found

    def kill(self, program):
        pids = self.agents() if program == "deliver" else sorted(self.suite.pids(program))
        if not pids:
            return False
        pid = self.dice.choice(pids)
        time.sleep(self.dice.random() * 0.1)
        began = time.time()
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        self.kills.append((began, program))
        self.last[program] = began
        wait_until(lambda: self.healthy(pid), 15, f"healthy suite after the death of {program}", 0.01)
        self.recovery.append((time.time() - began, program))
        return True

    def rounds(self, programs, count):
        """`count` kills, the programs in turn."""
        turn = 0
        target = len(self.kills) + count
        while len(self.kills) < target:
            program = programs[turn % len(programs)]
            turn += 1
            time.sleep(max(0, self.last[program] + CALM - time.time()))
            self.kill(program)
            assert turn < 3 * count, "nothing to kill"


def in_mailboxes(suite):
    """(when, token, place, queue id) of all that arrived here; nothing of it may be cut."""
    for user in OWNERS:
        folder = f"{suite.root}/mail/{user}/new"
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            path = f"{folder}/{name}"
            with open(path) as f:
                text = f.read()
            token, = set(re.findall(r"^Subject: (load\.\S+)", text, re.M))
            bounce = "Content-Type: multipart/report" in text
            assert bounce or text.endswith(f"\nend of {token}\n"), path
            yield os.stat(path).st_mtime, token, "bounce" if bounce else user, first_id(text)


def near(when, kills, programs):
    return any(program in programs and abs(when - then) < IN_FLIGHT for then, program in kills)


def check_repeats(repeated, kills):
    """A message that came twice came in once, and its delivery was under way at a kill; or sendmail submitted it again, having
    had no answer when pickup or cleanup was killed."""
    for (token, place), found in repeated.items():
        when, said = min(found)[0], f"{token} for {place} repeated, and no kill was near: {sorted(found)}"
        if len({queue_id for _, queue_id in found}) == 1:
            assert near(when, kills, {*DELIVERERS, "master"}), said
        else:
            assert ".s" in token and near(when, kills, {"pickup", "cleanup", "master"}), said


def account(suite, load, receiver, kills):
    """Every promise against what was found."""
    found = collections.defaultdict(list)
    for when, token, place, queue_id in [*in_mailboxes(suite), *receiver.deliveries()]:
        found[token, place].append((when, queue_id))
    lost = [entry for entry in load.ledger if entry not in found]
    repeated = {entry: times for entry, times in found.items() if len(times) > 1}
    print(f"\n{load.count['accepted']} messages accepted in {load.seconds:.0f} s, {len(load.ledger)} deliveries promised, {len(found)} found; "
          f"not accepted: {load.count['refused']} deferred, {load.count['cut']} cut; {len(lost)} lost, {len(repeated)} repeated "
          f"({dict(collections.Counter(place for _, place in repeated))})")
    assert load.count["accepted"] > 20 * load.seconds, "this was no load"
    assert not lost, f"{len(lost)} lost: {lost[:10]}"
    check_repeats(repeated, kills)


@pytest.fixture
def loaded(suite, accounts):
    accounts(*OWNERS)
    ports = [free_port(), free_port()]
    receiver = Receiver(f"{suite.base}/received", ports)
    os.makedirs(f"{suite.root}/etc")
    with open(f"{suite.root}/etc/aliases", "w") as f:
        f.write("root: kpload1\nteam: kpload1, team@far.example\n")
    suite.start("minimal_backoff_time = 1s", "maximal_backoff_time = 3s", "maildrop_retry_delay = 1s",
                f"transport_maps = inline:{{far.example=smtp:[127.0.0.1]:{ports[0]}, other.example=smtp:[127.0.0.1]:{ports[1]}}}")
    yield suite, receiver
    receiver.end()


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def drain(suite, receiver):
    receiver.kind()
    wait_until(lambda: not os.listdir(f"{suite.root}/spool/maildrop"), 30, "empty maildrop")
    suite.kingpost("queue", "flush")
    suite.wait_empty(60)


@root_only
def test_every_program_killed_in_turn(loaded):
    suite, receiver = loaded
    killer = Killer(suite)
    load = Load(suite).start()
    try:
        killer.rounds(OTHERS, KILLS * 6 // 10)
        time.sleep(2 * IN_FLIGHT)
        killer.rounds(DELIVERERS, KILLS - KILLS * 6 // 10)
    finally:
        load.stop()
    began = time.time()
    drain(suite, receiver)
    print(f"drained after {time.time() - began:.1f} s")
    account(suite, load, receiver, killer.kills)
    slow = sorted(killer.recovery)[-5:]
    print(f"{len(killer.kills)} kills: {dict(collections.Counter(p for _, p in killer.kills))}")
    print(f"healthy again after {sum(t for t, _ in killer.recovery) / len(killer.recovery):.2f} s, the slowest: {slow}")
    assert len(killer.kills) >= KILLS
    assert sorted(t for t, _ in killer.recovery)[len(killer.kills) * 9 // 10] < 1, "a worker that dies is back within a second"


@root_only
def test_master_killed(loaded):
    suite, receiver = loaded
    load = Load(suite).start()
    kills = []
    try:
        for _ in range(4):
            time.sleep(1.5)
            status = suite.status()
            children = [w["pid"] for w in status["workers"]]
            kills.append((time.time(), "master"))
            os.kill(status["master"]["pid"], signal.SIGKILL)
            wait_until(lambda: not any(alive(p) for p in children), 3, "end of all programs", 0.02)
            print(f"all gone after {time.time() - kills[-1][0]:.2f} s")
            suite.start_again()
    finally:
        load.stop()
    drain(suite, receiver)
    account(suite, load, receiver, kills)
