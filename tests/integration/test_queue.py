# SPDX-License-Identifier: ISC
"""What waits: listing it, acting on it, its retries and its end, and what becomes of it over restarts and damage."""

import glob
import json
import os
import re
import socket
import subprocess
import time

import pytest

from conftest import USERS, Server, Suite, free_port, message, root_only, wait_until

USER = USERS[0]


class Hop(Server):
    """A next hop that says 451 until it is told to be kind."""

    def __init__(self):
        self.kind = False

        def judge(yes):
            return lambda s: yes if s.kind else "451 4.7.1 not now"
        super().__init__({"MAIL": judge("250 2.1.0 ok"), "RCPT": judge("250 2.1.5 ok"), "DATA": judge("354 go ahead")})


@pytest.fixture(scope="module")
def hop():
    made = Hop()
    yield made
    made.end()


@pytest.fixture(scope="module")
def one(hop):
    """Nothing leaves it but by flush, requeue or release: attempts are far apart."""
    s = Suite()
    s.start(f"relayhost = [127.0.0.1]:{hop.port}", "minimal_backoff_time = 1000s", "mydestination = localhost",
            "queue_operators_group = games")
    yield s
    s.end()


@pytest.fixture
def q(one, hop):
    hop.kind = False
    del hop.mail[:]
    yield one
    hop.kind = False
    one.kingpost("queue", "delete", "--all")
    one.wait_empty()


def rows(suite, *args):
    return [json.loads(line) for line in suite.kingpost("queue", "list", "--json", *args).out.splitlines()]


def ids(suite, *args):
    return {r["queue_id"] for r in rows(suite, *args)}


def ids_at_last(suite, *args):
    """As ids(), of a qmgr that may have to start again."""
    done = suite.kingpost("queue", "list", "--json", *args, check=False)
    return {json.loads(line)["queue_id"] for line in done.out.splitlines()} if done.returncode == 0 else None


def deferred(suite, count):
    wait_until(lambda: len(rows(suite, "--queue", "deferred")) >= count, 20, f"{count} deferred messages")


def many(suite, count, to, sender="a@source.example", size=0):
    """Over one connection; the queue ids, in order."""
    done = []
    with suite.smtp() as c:
        c.ehlo()
        for i in range(count):
            c.mail(sender)
            assert c.rcpt(to(i) if callable(to) else to)[0] == 250
            code, text = c.data(f"Subject: many-{i}\r\n\r\n{'x' * 60}\r\n".encode() + b"y\r\n" * size)
            assert code == 250, text
            done.append(re.search(rb"queued as (\w+)", text).group(1).decode())
    return done


# --- listing ---

def test_list_show_and_their_filters(q):
    a = q.send("one@far.example", "list-a", sender="ann@source.example")
    b = q.send(["one@far.example", "two@other.example"], "list-b", sender="bob@source.example")
    c = q.send("three@other.example", "list-c", sender="<>")
    deferred(q, 3)
    for args, expected in {
        (): {a, b, c},
        ("--sender", "ann@source.example"): {a},
        ("--sender", "ANN@SOURCE.example"): {a},
        ("--sender", "@source.example"): {a, b},
        ("--sender", "<>"): {c},
        ("--recipient", "two@other.example"): {b},
        ("--recipient", "@other.example"): {b, c},
        ("--recipient", "other.example"): {b, c},
        ("--recipient", "@far.example", "--sender", "bob@source.example"): {b},
        ("--reason", "not now"): {a, b, c},
        ("--reason", "Disk Full"): set(),
        ("--queue", "deferred"): {a, b, c},
        ("--queue", "hold"): set(),
        ("--queue", "corrupt"): set(),
        ("--older", "1h"): set(),
        ("--younger", "1h"): {a, b, c},
        (a,): {a},
        (a, c): {a, c},
        ("--sender", "bob@source.example", a, b): {b},
        ("0000000000000000000",): set(),
    }.items():
        assert ids(q, *args) == expected, args
    assert len(rows(q, "--limit", "2")) == 2
    row, = rows(q, b)
    assert row["sender"] == "bob@source.example" and row["attempts"] == 1 and row["queue_name"] == "deferred"
    assert [r["address"] for r in row["recipients"]] == ["one@far.example", "two@other.example"]
    assert all("451 4.7.1 not now" in r["delay_reason"] and r["transport"] == "smtp" and r["next_hop"].startswith("[127.0.0.1]:")
               and r["status"] == "deferred" for r in row["recipients"])
    text = q.kingpost("queue", "show", b).out
    assert re.match(rf"{b} deferred \d+ bytes, arrived \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d, attempts 1, next \d{{4}}-.*, from <bob@source\.example>\n", text)
    assert "    to <two@other.example> by smtp:[127.0.0.1]:" in text and "not now" in text
    done = q.kingpost("queue", "show", "0000000000000000000", check=False)
    assert done.returncode == 69 and "no such message" in done.err
    for args in (["--older", "soon"], ["--nonsense", "x"], ["--sender"], ["--limit", "x"]):
        assert q.kingpost("queue", "list", *args, check=False).returncode == 64, args


def test_recipients_keep_their_order(q):
    to = [f"{name}@{domain}.example" for domain in ("far", "other", "third") for name in ("zoe", "x", "y", "ann")]
    q.sendmail("-f", "a@source.example", *to, input=message("order"))
    by_smtp = q.send(to[::-1], "order")
    deferred(q, 2)
    assert [r["address"] for r in rows(q, by_smtp)[0]["recipients"]] == to[::-1]
    row, = [r for r in q.queue() if r["queue_id"] != by_smtp]
    assert [r["address"] for r in row["recipients"]] == to
    listed = [line.strip() for line in q.mailq().splitlines() if line.endswith(".example") and line.startswith("   ")]
    assert listed in (to + to[::-1], to[::-1] + to)


def test_mailq_marks_active_held_and_expired(q):
    held = q.send("a@far.example", "marks")
    plain = q.send("b@far.example", "marks")
    deferred(q, 2)
    q.kingpost("queue", "hold", held)
    wait_until(lambda: ids(q, "--queue", "hold") == {held}, what="held message")
    lines = q.mailq().splitlines()
    assert re.search(rf"(?m)^{held}! +\d+ ", "\n".join(lines)) and re.search(rf"(?m)^{plain}  +\d+ ", "\n".join(lines))
    assert re.match(r"-- \d+ Kbytes in 2 Requests\.$", lines[-1])
    assert {r["queue_id"]: r["queue_name"] for r in q.queue()} == {held: "hold", plain: "deferred"}


# --- acting ---

def test_hold_and_release(q, hop):
    first, second = q.send("a@far.example", "hold-1"), q.send("b@far.example", "hold-2", sender="bob@source.example")
    deferred(q, 2)
    assert q.kingpost("queue", "hold", first).out == "hold: 1 message\n"
    assert q.kingpost("queue", "hold", "--sender", "bob@source.example").out == "hold: 1 message\n"
    wait_until(lambda: ids(q, "--queue", "hold") == {first, second}, what="two held")
    assert "by operator" in q.kingpost("queue", "show", first).out or "held:" in q.kingpost("queue", "show", first).out
    hop.kind = True
    q.kingpost("queue", "flush")
    time.sleep(0.5)
    assert not hop.mail and os.path.exists(f"{q.root}/spool/queue/hold/{first}")
    assert q.kingpost("queue", "release", first).out == "release: 1 message\n"
    wait_until(lambda: hop.mail, what="released message")
    wait_until(lambda: ids(q) == {second}, what="one left")
    q.kingpost("queue", "release", "--all")
    q.wait_empty()
    assert len(hop.mail) == 2
    q.wait_log(rf"{first}: hold by uid {os.geteuid()}")


def test_delete(q):
    made = [q.send(f"u{i}@far.example", "delete", sender=f"s{i}@source.example") for i in range(4)]
    deferred(q, 4)
    assert q.kingpost("queue", "delete", made[0]).out == "delete: 1 message\n"
    wait_until(lambda: ids(q) == set(made[1:]), what="one gone")
    assert not glob.glob(f"{q.root}/spool/queue/*/{made[0]}")
    assert q.kingpost("queue", "delete", "--recipient", "u1@far.example").out == "delete: 1 message\n"
    done = q.kingpost("queue", "delete", check=False)
    assert done.returncode == 64 and "--all" in done.err and len(ids(q)) >= 2
    done = q.kingpost("queue", "delete", "0000000000000000000", check=False)
    assert done.returncode == 69
    assert q.kingpost("queue", "delete", "--all").out == "delete: 2 messages\n"
    q.wait_empty()
    assert "status=bounced" not in re.findall(rf"{made[0]}.*", q.log())[-1]


def test_flush_tries_now(q, hop):
    a, b = q.send("a@far.example", "flush"), q.send("b@other.example", "flush")
    deferred(q, 2)
    hop.kind = True
    assert q.kingpost("queue", "flush", a).out == "flush: 1 message\n"
    wait_until(lambda: ids(q) == {b}, what="one delivered")
    q.sendmail("-q")
    q.wait_empty()
    assert len(hop.mail) == 2


def test_flush_of_a_site_or_an_id_by_sendmail(q, hop):
    a, b = q.send("a@far.example", "flush-id"), q.send("b@other.example", "flush-id")
    deferred(q, 2)
    hop.kind = True
    q.sendmail(f"-qI{a}")
    wait_until(lambda: ids(q) == {b}, what="one delivered")


def test_requeue_finds_the_route_anew(q, hop, server):
    other = server()
    qid = q.send("a@moves.example", "requeue")
    deferred(q, 1)
    q.configure(transport_maps=f"inline:{{moves.example=smtp:[127.0.0.1]:{other.port}}}")
    assert q.kingpost("queue", "requeue", qid).out == "requeue: 1 message\n"
    wait_until(lambda: other.mail, what="mail by the new route")
    q.wait_empty()
    assert not hop.mail
    q.configure(transport_maps="")


@pytest.mark.skipif(os.geteuid() != 0, reason="users of the tests")
def test_expire_returns_it_now(q):
    qid = q.send("a@far.example", "expire-me", sender=f"{USER}@localhost")
    deferred(q, 1)
    assert q.kingpost("queue", "expire", qid).out == "expire: 1 message\n"
    text = q.wait_mail(1, having=b"expire-me")[0][1].decode()
    assert "Action: failed" in text and "Status: 4.7.1" in text and "not now" in text
    q.wait_log(rf"{qid}: from=<{USER}@localhost>, status=force-expired, returned to sender")
    q.wait_empty()


def test_cat_shows_small_and_large(q):
    small = q.send("a@far.example", "cat-small", "small body\n")
    large = q.send("a@far.example", "cat-large", "".join(f"{i} {'z' * 60}\n" for i in range(3000)))
    deferred(q, 2)
    text = q.kingpost("queue", "cat", small).out
    for part in (f"*** ENVELOPE {small} ***", "sender       <a@source.example>", "recipient    0 <a@far.example> smtp:[127.0.0.1]:", "*** ENTRIES ***",
                 "not now", "*** CONTENT ***", "Subject: cat-small", "small body", "*** END ***", "protocol     ESMTP", "helo         client.example"):
        assert part in text, part
    text = q.kingpost("queue", "cat", large).out
    assert f"2999 {'z' * 60}" in text and text.endswith("*** END ***\n")
    done = q.kingpost("queue", "cat", "0000000000000000000", check=False)
    assert done.returncode == 69 and "no such message" in done.err
    assert q.kingpost("queue", "cat", "../../etc/passwd", check=False).returncode == 69


def as_user(suite, user, *command, group=None, **kw):
    return subprocess.run(["setpriv", f"--reuid={user}", f"--regid={group or user}", "--clear-groups", *command], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env=suite.env, timeout=60, **kw)


@root_only
def test_users_see_their_own_mail_and_act_on_none(q):
    mine = as_user(q, USER, f"{q.root}/sbin/sendmail", "x@far.example", input=message("mine"))
    assert mine.returncode == 0, mine.stderr
    theirs = as_user(q, USERS[1], f"{q.root}/sbin/sendmail", "y@far.example", input=message("theirs"))
    assert theirs.returncode == 0
    q.send("z@far.example", "from afar")
    deferred(q, 3)
    out = as_user(q, USER, f"{q.root}/bin/mailq").stdout
    assert "x@far.example" in out and "y@far.example" not in out and "z@far.example" not in out
    assert re.search(r"^-- \d+ Kbytes in 1 Request\.$", out, re.M)
    assert len(as_user(q, USERS[1], f"{q.root}/bin/mailq", "-j").stdout.splitlines()) == 1
    assert as_user(q, "nobody", f"{q.root}/bin/mailq", group="nogroup").stdout == "Mail queue is empty\n"
    own, = [json.loads(line)["queue_id"] for line in as_user(q, USER, f"{q.root}/bin/mailq", "-j").stdout.splitlines()]
    for action in ("hold", "delete", "flush", "requeue", "expire", "cat"):
        done = as_user(q, USER, f"{q.root}/sbin/kingpost", "queue", action, own)
        assert done.returncode != 0 and "operators" in done.stderr, (action, done.stderr)
    assert len(ids(q, "--queue", "deferred")) == 3
    done = as_user(q, USERS[1], f"{q.root}/sbin/kingpost", "queue", "delete", own, group="games")
    assert done.returncode == 0 and done.stdout == "delete: 1 message\n", done.stderr


# --- restarts and damage ---

def test_what_waits_outlives_a_restart(q, hop):
    made = many(q, 12, lambda i: f"u{i}@d{i % 3}.example")
    large = q.send(["l@d0.example", "a@d1.example"], "large-waits", "w" * 70 + "\n" + ("v" * 70 + "\n") * 2000)
    deferred(q, 13)
    q.kingpost("queue", "hold", made[3], made[7])
    wait_until(lambda: ids(q, "--queue", "hold") == {made[3], made[7]}, what="two held")
    before = {r["queue_id"]: r for r in rows(q)}
    order = [r["queue_id"] for r in rows(q)]
    q.stop()
    q.start_again()
    after = {r["queue_id"]: r for r in rows(q)}
    assert after == before and [r["queue_id"] for r in rows(q)] == order
    hop.kind = True
    q.kingpost("queue", "release", "--queue", "hold")
    q.kingpost("queue", "flush")
    q.wait_empty()
    assert len(hop.mail) >= 13 and sum(m.count(b"v" * 70) for m in hop.mail) in (2000, 4000)
    assert large in before


@pytest.mark.parametrize("harm", ["removed", "cut", "rubbish"])
def test_an_index_that_is_lost_is_made_anew(q, hop, harm):
    made = set(many(q, 8, "u@far.example"))
    deferred(q, 8)
    held = sorted(made)[2]
    q.kingpost("queue", "hold", held)
    wait_until(lambda: ids(q, "--queue", "hold") == {held}, what="held message")
    q.stop()
    index = f"{q.root}/spool/queue/index"
    for path in glob.glob(f"{index}/*"):
        if harm == "removed":
            os.unlink(path)
        elif "lock" in path:
            continue
        elif harm == "cut":
            os.truncate(path, os.path.getsize(path) // 3)
        else:
            with open(path, "r+b") as f:
                f.write(b"\xa5" * 20000)
    q.start_again()
    wait_until(lambda: ids_at_last(q) == made, 20, "the same messages")
    assert ids(q, "--queue", "hold") == {held}
    assert re.search(r"index: missing, damaged or of another boot: it is made anew", q.log())
    hop.kind = True
    q.kingpost("queue", "release", held)
    q.kingpost("queue", "flush")
    q.wait_empty()
    assert len(hop.mail) == 8


def test_a_damaged_message_is_set_aside_and_others_go_on(q, hop):
    made = many(q, 5, "u@far.example")
    deferred(q, 5)
    q.stop()
    folder = f"{q.root}/spool/queue/cur"
    with open(f"{folder}/{made[1]}", "r+b") as f:
        f.seek(200)
        byte = f.read(1)
        f.seek(200)
        f.write(bytes([byte[0] ^ 0x20]))
    os.truncate(f"{folder}/{made[3]}", 150)
    done = q.kingpost("queue", "fsck", check=False)
    assert done.returncode == 65, done.out + done.err
    assert all(os.stat(f).st_uid == os.stat(folder).st_uid for f in glob.glob(f"{q.root}/spool/queue/index/*"))
    assert made[1] in done.out and made[3] in done.out and re.search(r"\d+ problems\n", done.out)
    assert "index [" in done.err and "check [" in done.err
    hop.kind = True
    log = len(q.log())
    q.start_again()
    assert "made anew" not in q.log()[log:]
    q.kingpost("queue", "flush")
    wait_until(lambda: len(hop.mail) == 3, what="three messages")
    q.wait_empty()
    corrupt = f"{q.root}/spool/queue/corrupt"
    assert {n for n in os.listdir(corrupt) if not n.endswith(".reason")} == {made[1], made[3]}
    assert all(open(f"{corrupt}/{made[i]}.reason").read().strip() for i in (1, 3))
    assert ids(q, "--queue", "corrupt") == {made[1], made[3]}
    assert "corrupt" in q.kingpost("queue", "list", "--queue", "corrupt").out
    for path in glob.glob(f"{corrupt}/*"):
        os.unlink(path)
    q.stop()
    done = q.kingpost("queue", "fsck")
    assert re.search(r", 0 problems$", done.out, re.M), done.out  # the journal may still hold what is done
    q.start_again()


def test_damage_is_found_while_it_runs(q, hop):
    made = many(q, 3, "u@far.example")
    deferred(q, 3)
    with open(f"{q.root}/spool/queue/cur/{made[0]}", "r+b") as f:
        f.write(b"KPMALL")
    hop.kind = True
    q.kingpost("queue", "flush")
    wait_until(lambda: len(hop.mail) == 2, what="the others")
    assert made[0] not in ids(q, "--queue", "deferred")
    wait_until(lambda: os.path.exists(f"{q.root}/spool/queue/corrupt/{made[0]}"), what="the damaged one in corrupt/")
    q.wait_log(rf"{made[0]}: .*damaged")
    q.wait_empty()
    for path in glob.glob(f"{q.root}/spool/queue/corrupt/*"):
        os.unlink(path)


def test_fsck_of_a_running_suite_is_refused(q):
    done = q.kingpost("queue", "fsck", check=False)
    assert done.returncode == 75 and "running" in done.err


# --- retries ---

def attempts(suite, queue_id):
    """When each attempt ended, in seconds."""
    return [e["time"] for e in suite.events("delivery") if e["queue_id"] == queue_id]


def seconds(stamp):
    if isinstance(stamp, (int, float)):
        return stamp
    whole, fraction = re.match(r"(\d+-\d+-\d+T\d+:\d+:\d+)(\.\d+)?", stamp).groups()
    return time.mktime(time.strptime(whole, "%Y-%m-%dT%H:%M:%S")) + float(fraction or 0)


def test_retries_back_off(suite, hop):
    hop.kind = False
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", "minimal_backoff_time = 1s", "maximal_backoff_time = 4s", "mydestination = localhost")
    qid = suite.send("a@far.example", "back-off")
    wait_until(lambda: len(attempts(suite, qid)) >= 4, 25, "four attempts")
    times = [seconds(t) for t in attempts(suite, qid)]
    gaps = [b - a for a, b in zip(times, times[1:])]
    # Each wait may be a quarter longer by chance, and the wheel turns once a second.
    assert 0.95 <= gaps[0] < 2.8 and 1.95 <= gaps[1] < 4.0 and 3.9 <= gaps[2] < 6.5, gaps
    # remote logs the attempt before qmgr hears of it
    wait_until(lambda: rows(suite, qid)[0]["attempts"] >= 4, 5, "the fourth attempt in the queue")
    hop.kind = True
    suite.wait_empty()


def test_retries_have_jitter(one, hop):
    hop.kind = False
    many(one, 30, lambda i: f"u@d{i}.example")
    deferred(one, 30)
    waits = [r["next_attempt"] - r["arrival_time"] for r in rows(one)]
    assert all(1000 <= w <= 1255 for w in waits) and len(set(waits)) > 15, waits
    one.kingpost("queue", "delete", "--all")


@pytest.mark.skipif(os.geteuid() != 0, reason="users of the tests")
def test_late_and_expired_mail(suite, hop):
    hop.kind = False
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", "minimal_backoff_time = 1s", "maximal_backoff_time = 1s", "mydestination = localhost",
                "delay_warning_time = 1s", "maximal_queue_lifetime = 5s", "bounce_queue_lifetime = 2s")
    qid = suite.send("a@far.example", "late-mail", sender=f"{USER}@localhost")
    other = suite.send("a@far.example", "late-bounce", sender="<>")
    late = suite.wait_mail(1, having=b"Action: delayed")[0][1].decode()
    assert "Subject: Delayed Mail (still being retried)" in late and "Will-Retry-Until: " in late and "late-mail" in late
    assert "Status: 4.7.1" in late
    failed = suite.wait_mail(1, having=b"Action: failed")[0][1].decode()
    assert "late-mail" in failed and "Status: 4.7.1" in failed
    suite.wait_log(rf"{qid}: from=<{USER}@localhost>, status=expired, returned to sender")
    suite.wait_log(rf"{other}: from=<>, status=expired, returned to sender")
    wait_until(lambda: not {qid, other} & ids(suite), what="both gone")
    assert len(suite.mail()) == 2  # one warning, however many attempts, and one end


# --- floods ---

def rss(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))


def live_mail(suite, alive, count=3):
    before = len(alive.mail)
    for i in range(count):
        suite.send(f"u{i}@alive.example", "alive")
    wait_until(lambda: len(alive.mail) == before + count, 20, "mail of the live destination")


@pytest.mark.parametrize("death", ["refuses", "says nothing"])
def test_a_flood_for_a_dead_destination(suite, server, death):
    alive, silent = server(), socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1] if death == "says nothing" else free_port()
    suite.start(f"transport_maps = inline:{{alive.example=smtp:[127.0.0.1]:{alive.port}, dead.example=smtp:[127.0.0.1]:{port}}}",
                "qmgr_message_active_limit = 50", "mydestination = localhost")
    many(suite, 60, "u@dead.example")
    pid, = suite.pids("qmgr")
    before = rss(pid)
    flood = many(suite, 500, "u@dead.example", size=3000)
    live_mail(suite, alive)
    assert rss(pid) - before < 30000, "memory grows with the flood"
    waiting = 560 - len(set(flood) - ids(suite))
    assert waiting == 560, "mail of the flood is missing"
    silent.close()
