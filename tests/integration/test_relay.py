# SPDX-License-Identifier: ISC
"""Mail on its way through: SMTP in, SMTP out, with everything that a next hop may say."""

import re

import pytest

from conftest import USERS, message, wait_until


def send(suite, to, body="hello\n", sender="a@source.example", **kw):
    with suite.smtp() as c:
        return c.sendmail(sender, [to] if isinstance(to, str) else to, message(body=body).replace("\n", "\r\n"), **kw)


def test_a_message_arrives_unchanged(suite, sink):
    out = sink()
    suite.start(f"relayhost = [127.0.0.1]:{out.port}")
    body = "first\n.\n..two dots\n" + "x" * 900 + "\nlast\n"
    send(suite, "b@far.example", body)
    out.wait(1)
    suite.wait_empty()  # the sink has written all of it
    got = out.messages()[0].decode()
    assert "X-Mail-Args: <a@source.example>" in got and "X-Rcpt-Args: <b@far.example>" in got
    for line in body.splitlines():
        assert line in got.splitlines()
    assert re.search(r"^Received: from client\.example \(localhost \[127\.0\.0\.1\]\)", got, re.M)
    suite.wait_empty()
    suite.wait_log(r"smtp\[\d+\]: [0-9A-F]+: to=<b@far\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, delay=[\d.]+, "
                   r"delays=[\d./]+, dsn=2\.\d\.\d, status=sent \(250 ")
    suite.wait_log(r"qmgr\[\d+\]: [0-9A-F]+: removed")


def test_one_trace_id_joins_the_life_of_a_message(suite, sink):
    out = sink()
    suite.start(f"relayhost = [127.0.0.1]:{out.port}")
    send(suite, "b@far.example")
    out.wait(1)
    suite.wait_log("removed")
    traces = {}
    for event in ("connect", "client", "message_id", "active", "delivery", "removed"):
        rows = wait_until(lambda: suite.events(event), what=event)
        traces[event] = rows[-1]["trace"]
    assert len(set(traces.values())) == 1, traces


def test_many_messages_use_connections_again(suite, server):
    hop = server()
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}")
    for i in range(20):
        send(suite, f"u{i}@far.example")
        wait_until(lambda: len(hop.mail) == i + 1, what="message")
    assert hop.connections <= 3
    suite.wait_empty()


def test_several_recipients_go_in_one_transaction(suite, server):
    hop = server()
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}")
    send(suite, [f"u{i}@far.example" for i in range(10)])
    wait_until(lambda: hop.mail, what="message")
    assert len(hop.mail) == 1
    assert sum(c.upper().startswith("RCPT TO:") for c in hop.said) == 10


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "dot"])
def test_a_temporary_refusal_is_tried_again(suite, server, verb):
    def once(hop):
        hop.script.pop(verb)
        return "451 4.7.1 later"
    hop = server(**{verb: once})
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", "minimal_backoff_time = 1s", "maximal_backoff_time = 2s")
    send(suite, "b@far.example")
    suite.wait_log(r"status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 451 4\.7\.1 later")
    assert suite.queue()[0]["recipients"][0]["address"] == "b@far.example"
    suite.wait_log("status=sent", 20)
    assert len([m for m in hop.mail if m]) >= 1
    suite.wait_empty()


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "dot"])
def test_a_permanent_refusal_bounces(suite, server, verb):
    hop = server(**{verb: "550 5.7.1 never"})
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}")
    send(suite, "b@far.example", sender=f"{USERS[0]}@localhost")
    suite.wait_log(r"dsn=5\.7\.1, status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.7\.1 never")
    dsn = suite.wait_mail(1)[0][1].decode()
    assert "multipart/report" in dsn and "Final-Recipient: rfc822; b@far.example" in dsn and "Status: 5.7.1" in dsn
    assert "never" in dsn and "hello" in dsn
    suite.wait_empty()


@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot"])
def test_a_connection_that_is_cut_loses_nothing(suite, server, verb):
    def once(hop):
        hop.script.pop(verb)
        return "close"
    hop = server(**{verb: once})
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", "minimal_backoff_time = 1s", "maximal_backoff_time = 2s")
    send(suite, "b@far.example")
    suite.wait_log("status=sent", 20)
    suite.wait_empty()
    assert hop.mail


def test_helo_where_ehlo_is_not_known(suite, server):
    hop = server(EHLO="502 5.5.1 what")
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}")
    send(suite, "b@far.example")
    wait_until(lambda: hop.mail, what="message")
    assert any(c.startswith("HELO ") for c in hop.said)


def test_a_dead_destination_does_not_hold_up_another(suite, server):
    from conftest import free_port
    hop = server()
    dead = free_port()
    suite.start(f"transport_maps = inline:{{dead.example=smtp:[127.0.0.1]:{dead}, alive.example=smtp:[127.0.0.1]:{hop.port}}}")
    for i in range(50):
        send(suite, f"u{i}@dead.example")
    send(suite, "u@alive.example")
    wait_until(lambda: hop.mail, 10, "message")
    suite.wait_log("Connection refused")
    wait_until(lambda: len(suite.queue()) == 50, 10, "queue of 50")


def test_outsiders_may_not_relay(suite):
    suite.start("mynetworks = 192.0.2.0/24")
    with suite.smtp() as c:
        c.ehlo()
        assert c.mail("a@b.example")[0] == 250
        code, text = c.rcpt("x@elsewhere.example")
        assert code == 554 and b"5.7.1" in text and b"Relay access denied" in text
    suite.wait_log(r"NOQUEUE: reject: RCPT from localhost\[127\.0\.0\.1\]: 554 5\.7\.1 <x@elsewhere\.example>: Relay access denied; "
                   r"from=<a@b\.example> to=<x@elsewhere\.example> proto=ESMTP helo=<client\.example>")


def test_an_unknown_local_recipient_is_refused(shared):
    with shared.smtp() as c:
        c.ehlo()
        c.mail("a@b.example")
        code, text = c.rcpt("no-such-user@localhost")
        assert code == 550 and b"5.1.1" in text and b"User unknown in local recipient table" in text


def test_large_messages_arrive_whole(suite, server):
    hop = server()
    suite.start(f"relayhost = [127.0.0.1]:{hop.port}", "message_size_limit = 20M")
    body = "".join(f"{i:08d} " + "x" * 60 + "\n" for i in range(100000))
    send(suite, "b@far.example", body)
    wait_until(lambda: hop.mail, 30, "message")
    got = hop.mail[0].decode()
    assert got.endswith(body.replace("\n", "\r\n") + ".\r\n")
    suite.wait_empty()


def test_smarter_clients_see_the_size_limit(suite):
    suite.start("message_size_limit = 100K")
    with suite.smtp() as c:
        c.ehlo()
        assert c.esmtp_features["size"] == str(100 * 1024)
        code, text = c.mail("a@b.example", ["SIZE=200000"])
        assert code == 552 and b"5.3.4" in text
        c.mail("a@b.example")
        c.rcpt("x@y.example")
        assert c.data("x" * 70 + "\r\n" + ("y" * 70 + "\r\n") * 3000)[0] == 552


@pytest.mark.parametrize("option,verb", [
    *(("-r", v) for v in ("CONNECT", "EHLO", "MAIL", "RCPT", "DATA", ".")),
    *(("-q", v) for v in ("CONNECT", "MAIL", "RCPT", "DATA", "."))])  # a server that hangs up at EHLO is asked again with HELO
def test_a_real_sink_that_defers_or_disconnects(suite, sink, option, verb):
    """Postfix's own smtp-sink as the next hop: nothing is lost, and all arrives when it has become kind."""
    bad = sink(option, verb)
    suite.start(f"relayhost = [127.0.0.1]:{bad.port}", "minimal_backoff_time = 1s", "maximal_backoff_time = 1s")
    send(suite, "b@far.example")
    suite.wait_log("status=deferred")
    assert len(suite.queue()) == 1
    bad.end()
    good = sink(port=bad.port)
    good.wait(1)
    suite.wait_empty()


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "."])
def test_a_real_sink_that_refuses(suite, sink, verb):
    bad = sink("-f", verb)
    suite.start(f"relayhost = [127.0.0.1]:{bad.port}")
    send(suite, "b@far.example", sender=f"{USERS[0]}@localhost")
    suite.wait_log(r"dsn=5\.\d\.\d, status=bounced")
    suite.wait_mail(1, having=b"Undelivered Mail")
    suite.wait_empty()
