/* SPDX-License-Identifier: ISC */
/*
 * Every command in every state, in fragments: line by line as a client that waits, all in one
 * segment, octet by octet, and with the command cut in two at each place. The replies are the same,
 * octet for octet, and as many as there were commands. smtpd_forbid_unauth_pipelining is off, so
 * that one segment is allowed everywhere; what it forbids is in dialogues/.
 */
#include "tests/unit/test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/why.h"
#include "smtpd/session.h"
#include "tests/unit/smtpd/fake.h"

enum { STEPS = 10, LINES = 0, SEGMENT = 1, OCTETS = 2, CUT = 3 };

/* How a session comes into each state. */
static const char *const ways[][STEPS] = {
    {NULL			},
    {					 "HELO c\r\n"			   },
    {			      "EHLO c\r\n"                },
    {	    "EHLO c\r\n",                 "MAIL FROM:<a@x.example>\r\n"},
    { "EHLO c\r\n",			    "MAIL FROM:<a@x.example>\r\n", "RCPT TO:<b@y.example>\r\n"},
    {							 "EHLO c\r\n", "MAIL FROM:<a@x.example>\r\n", "RCPT TO:<b@y.example>\r\n",
     "BDAT 6\r\n\r\n.\r\nx"},
    {						 "EHLO c\r\n",                 "MAIL FROM:<a@x.example>\r\n", "RCPT TO:<b@y.example>\r\n", "DATA\r\n"},
    {"EHLO c\r\n",                  "AUTH LOGIN\r\n"},
};

/* What is then said: commands, each with what belongs to it. In the state of data they are text,
 * in that of auth an answer. */
static const char *const said[] = {
    "HELO c\r\n",
    "EHLO [192.0.2.1]\r\n",
    "EHLO\r\n",
    "LHLO c\r\n",
    "STARTTLS\r\n",
    "AUTH PLAIN AHNvbWVib2R5AGdvb2Q=\r\n",
    "AUTH PLAIN AHNvbWVib2R5AGJhZA==\r\n",
    "AUTH PLAIN\r\n*\r\n",
    "MAIL FROM:<a@x.example> SIZE=10 BODY=8BITMIME\r\n",
    "MAIL FROM:<j\xc3\xb6@x.example> SMTPUTF8\r\n",
    "RCPT TO:<c@y.example>\r\n",
    "RCPT TO:<nobody@local.example>\r\n",
    "DATA\r\nSubject: x\r\n\r\n..\r\n.x\r\n.\r\n",
    "DATA\r\n.\r\n",
    "BDAT 3\r\na\r\n",
    "BDAT 6 LAST\r\nQUIT\r\n",
    "BDAT 0 LAST\r\n",
    "RSET\r\n",
    "NOOP x\r\n",
    "VRFY b@y.example\r\n",
    "EXPN list\r\n",
    "XCLIENT ADDR=192.0.2.9\r\n",
    "XFORWARD NAME=x\r\n",
    "ETRN y.example\r\n",
    "HELP\r\n",
    "XYZZY\r\n",
    "\r\n",
    "a\x01z\r\n",
    "QUIT\r\n",
};

/* Behind it: one that works in any state but data's, which a lone dot ends first. */
static const char *const tail[] = {".\r\n", "RSET\r\n", "NOOP\r\n", "QUIT\r\n"};

struct talk {
	struct fake fake;
	int fd;
	bool eof;
	char got[16384], mail[4096]; /* replies; what cleanup got */
	size_t n;
};

static void
collect(struct talk *t)
{
	ssize_t n;

	fake_rounds(&t->fake);
	while ((n = read(t->fd, t->got + t->n, sizeof t->got - 1 - t->n)) > 0)
		t->n += (size_t)n;
	t->eof = t->eof || n == 0;
	t->got[t->n] = '\0';
}

static void
put(struct talk *t, const char *octets, size_t n)
{
	if (t->eof)
		return;
	ssize_t done = write(t->fd, octets, n);
	if (done != (ssize_t)n)
		fail_msg("the session is gone: %s", t->got);
	collect(t);
}

static void
begin(struct talk *t)
{
	*t = (struct talk){0};
	fake_start(&t->fake);
	fake_set(&t->fake, "smtpd_forbid_unauth_pipelining", "no");
	fake_set(&t->fake, "smtpd_hard_error_limit", "1000");
	fake_set(&t->fake, "smtpd_sasl_auth_enable", "yes");
	fake_set(&t->fake, "smtpd_tls_auth_only", "no");
	fake_set(&t->fake, "smtpd_sasl_security_options", "noanonymous");
	fake_set(&t->fake, "smtpd_authorized_xclient_hosts", "127.0.0.1");
	fake_set(&t->fake, "smtpd_authorized_xforward_hosts", "127.0.0.1");
	fake_set(&t->fake, "fast_flush_domains", "y.example");
	t->fd = fake_connect(&t->fake, "127.0.0.1");
	collect(t);
}

static void
end(struct talk *t)
{
	close(t->fd);
	fake_rounds(&t->fake);
	assert_int_equal(t->fake.server->nsessions, 0);
	snprintf(t->mail, sizeof t->mail, "%s", buf_cstr(&t->fake.mail));
	fake_stop(&t->fake);
}

/* Final lines ("250 ", not "250-") from `from` on. */
static int
replies_of(const char *from)
{
	int n = 0;

	for (; *from != '\0'; from += strcspn(from, "\n") + 1)
		n += from[3] == ' ';
	return n;
}

static enum state
state_of(const struct talk *t)
{
	const struct session *s = TAILQ_FIRST(&t->fake.server->sessions);

	return s != NULL ? s->state : ST_CLOSING;
}

/* One line or chunk by a client that waits: exactly one reply, but none to text. */
static void
lockstep(struct talk *t, const char *octets, size_t n)
{
	enum state before = state_of(t);
	size_t at = t->n;

	put(t, octets, n);
	int want = before == ST_CLOSING || (before == ST_DATA && state_of(t) == ST_DATA) ? 0 : 1;
	if (replies_of(t->got + at) != want)
		fail_msg(
		    "\"%s\" in state %s: \"%s\"", octets, session_state_name(before), t->got + at);
}

/* The same by lines; a chunk stays with its command, where it is one. */
static void
by_lines(struct talk *t, const char *octets)
{
	while (*octets != '\0') {
		size_t n = strcspn(octets, "\n") + 1;
		enum state state = state_of(t);
		if (strncmp(octets, "BDAT ", 5) == 0 && state != ST_DATA && state != ST_AUTH)
			n = strlen(octets);
		lockstep(t, octets, n);
		octets += n;
	}
}

/* All that a dialogue sends, and where the command in question begins and ends in it. */
struct script {
	char all[2048];
	size_t from, to, n;
};

static void
add(struct script *s, const char *octets)
{
	size_t n = strlen(octets);

	assert_true(s->n + n < sizeof s->all);
	memcpy(s->all + s->n, octets, n + 1);
	s->n += n;
}

static void
make_script(struct script *s, size_t way, size_t what)
{
	*s = (struct script){0};
	for (size_t i = 0; i < STEPS && ways[way][i] != NULL; i++)
		add(s, ways[way][i]);
	s->from = s->n;
	add(s, said[what]);
	s->to = s->n;
	for (size_t i = 0; i < NELEM(tail); i++)
		add(s, tail[i]);
}

static void
play_lines(struct talk *t, size_t way, size_t what)
{
	begin(t);
	for (size_t i = 0; i < STEPS && ways[way][i] != NULL; i++)
		by_lines(t, ways[way][i]);
	by_lines(t, said[what]);
	for (size_t i = 0; i < NELEM(tail); i++)
		by_lines(t, tail[i]);
	if (!t->eof)
		fail_msg("not closed: %s", t->got);
	end(t);
}

static void
play_cut(struct talk *t, const struct script *s, size_t how)
{
	begin(t);
	if (how == SEGMENT)
		put(t, s->all, s->n);
	else if (how == OCTETS)
		for (size_t i = 0; i < s->n; i++)
			put(t, s->all + i, 1);
	else {
		put(t, s->all, s->from + how - CUT);
		put(t, s->all + s->from + how - CUT, s->n - s->from - (how - CUT));
	}
	end(t);
}

static void
test_fragments(void **state)
{
	static struct talk slow, t;
	struct script s;

	(void)state;
	for (size_t way = 0; way < NELEM(ways); way++) {
		for (size_t what = 0; what < NELEM(said); what++) {
			make_script(&s, way, what);
			play_lines(&slow, way, what);
			for (size_t how = SEGMENT; how < CUT + s.to - s.from; how++) {
				play_cut(&t, &s, how);
				if (strcmp(t.got, slow.got) != 0)
					fail_msg("\"%s\", way %zu, cut %zu:\n%s\ninstead of\n%s",
					    said[what], way, how, t.got, slow.got);
				assert_string_equal(t.mail, slow.mail);
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fragments),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
