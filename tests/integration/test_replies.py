# SPDX-License-Identifier: ISC
"""What smtpd says, and what an operator may change of it: footers, forbidden and idle commands, bare newlines of known clients."""

import re
import socket
import time

from conftest import USERS


def dialogue(port, *lines, source="127.0.0.1"):
    """Each line's reply; the last is b"" where the server has closed."""
    s = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
    f = s.makefile("rb")

    def reply():
        got = b""
        while not re.search(rb"(?m)^\d{3}( .*)?\r\n\Z", got):
            part = f.readline()
            if not part:
                return got
            got += part
        return got
    replies = [reply()]
    for line in lines:
        try:
            s.sendall(line if line.endswith(b"\n") else line + b"\r\n")
            replies.append(reply())
        except ConnectionError:
            replies.append(b"")
    f.close()
    s.close()
    return replies[1:]


def test_other_protocols_and_idle_commands(suite):
    suite.start("smtpd_noop_commands = ONEX, XFOO")
    got = dialogue(suite.port, b"POST / HTTP/1.1", b"Host: x", b"MAIL FROM:<a@b.example>")
    assert got == [b"221 2.7.0 Error: I can break rules, too. Goodbye.\r\n", b"", b""]
    suite.wait_log(r"warning: non-SMTP command from localhost\[127\.0\.0\.1\]: POST / HTTP/1\.1")
    got = dialogue(suite.port, b"onex", b"XFOO with words", b"XBAR", b"QUIT")
    assert [r[:3] for r in got] == [b"250", b"250", b"500", b"221"]


def test_a_footer(suite):
    suite.start(r"smtpd_reject_footer = For help, call 555.\nClient $client_address:${client_port} as $helo_name at $localtime; ${recipient?mail to $recipient; }$server_name",
                "myhostname = mail.example", "smtpd_unknown_recipient_delay = 0")
    got = dialogue(suite.port, b"FOO", b"EHLO c.example", b"MAIL FROM:<a@b.example>", b"RCPT TO:<no-such-user@localhost>", b"NOOP")
    assert re.fullmatch(rb"500-5\.5\.2 Error: command not recognized\r\n500-5\.5\.2 For help, call 555\.\r\n"
                        rb"500 5\.5\.2 Client 127\.0\.0\.1:\d+ as  at \w{3} \d\d \d\d:\d\d:\d\d; mail\.example\r\n", got[0]), got[0]
    lines = got[3].decode().splitlines()
    assert lines[0] == "550-5.1.1 <no-such-user@localhost>: Recipient address rejected: User unknown in local recipient table"
    assert lines[1] == "550-5.1.1 For help, call 555."
    assert re.fullmatch(r"550 5\.1\.1 Client 127\.0\.0\.1:\d+ as c\.example at .*; mail to no-such-user@localhost; mail\.example", lines[2])
    stamp = time.strptime(f"{time.localtime().tm_year} {re.search(r'at (.*?);', lines[2]).group(1)}", "%Y %b %d %H:%M:%S")
    assert abs(time.mktime(stamp) - time.time()) < 60, "the machine's own time zone"
    assert got[4] == b"250 2.0.0 Ok\r\n"
    suite.wait_log(r"NOQUEUE: reject: RCPT from .*: 550 5\.1\.1 <no-such-user@localhost>: .* table; from=")


def test_a_footer_on_the_same_line(suite):
    suite.start(r"smtpd_reject_footer = \c. See https://mail.example/$client_address")
    assert dialogue(suite.port, b"FOO") == [b"500 5.5.2 Error: command not recognized. See https://mail.example/127.0.0.1\r\n"]


def test_bare_newlines_of_known_clients(suite):
    suite.start("smtpd_forbid_bare_newline_exclusions = 127.0.0.9", "smtpd_forbid_bare_newline_reject_code = 450")
    lines = [b"EHLO c.example\n", b"MAIL FROM:<a@b.example>\n", f"RCPT TO:<{USERS[0]}@localhost>\n".encode(), b"DATA\n",
             b"Subject: bare\n\nbody\n.\nstill the body\n\r\n.\r\n"]
    got = dialogue(suite.port, *lines, source="127.0.0.9")
    assert [r[:3] for r in got] == [b"250", b"250", b"250", b"354", b"250"]
    text = suite.wait_mail(1, having=b"Subject: bare")[0][1]
    assert b"\nstill the body\n" in text, "a LF alone ends no message"
    got = dialogue(suite.port, *lines)
    assert got[0] == b"450 4.5.2 Error: bare <LF> received\r\n" and got[1] == b""


def test_a_section_is_written_whole(suite):
    """scripts/run adds no default of its own to one that was given, however much follows it."""
    words = ", ".join(f"XWORD{n}" for n in range(2700))
    more = [f"{name} = {words}" for name in ("smtpd_noop_commands", "smtpd_forbidden_commands", "default_rbl_reply")]
    assert sum(map(len, more)) > 70000, "more than a pipe holds"
    suite.start(services=[("submission", text) for text in ["always_add_missing_headers = no", *more]])
    assert dialogue(suite.submission_port, b"XWORD2699")[0][:3] == b"221"
