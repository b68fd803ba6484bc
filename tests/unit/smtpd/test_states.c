/* SPDX-License-Identifier: ISC */
/*
 * Every command in every state, against one table that can be checked against RFC 5321 4.1.4; and
 * that each gets exactly one reply. The test fails where the command table has a row that this
 * table lacks.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "smtpd/command.h"
#include "smtpd/server.h"
#include "smtpd/session.h"
#include "tests/unit/smtpd/fake.h"

enum { STATES = 5 };

/* How a session comes into each state. */
static const struct {
	enum state state;
	const char *commands;
} ways[STATES] = {
    {ST_GREETED, ""									    },
    {ST_READY,   "EHLO c\r\n"								  },
    {ST_MAIL,    "EHLO c\r\nMAIL FROM:<a@x.example>\r\n"                                       },
    {ST_RCPT,    "EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\n"              },
    {ST_BDAT,    "EHLO c\r\nMAIL FROM:<a@x.example>\r\nRCPT TO:<b@y.example>\r\nBDAT 2\r\n\r\n"},
};

/* The reply to a command in each state, and the state after it. */
struct row {
	const char *verb, *line;
	int reply[STATES];
	enum state after[STATES];
	const char *name, *value; /* a setting; NULL: as it is */
};

#define SAME                                                    \
	{                                                       \
		ST_GREETED, ST_READY, ST_MAIL, ST_RCPT, ST_BDAT \
	}
#define READY                                                    \
	{                                                        \
		ST_READY, ST_READY, ST_READY, ST_READY, ST_READY \
	}

/* One row for each row of the command table, in its order. */
static const struct row rows[] = {
    {"HELO",     "HELO c",                  {250, 250, 250, 250, 250}, READY                                            },
    {"EHLO",     "EHLO c",                  {250, 250, 250, 250, 250}, READY                                            },
    {"LHLO",     "LHLO c",                  {500, 500, 500, 500, 500}, SAME                                             },
    {"STARTTLS", "STARTTLS",                {502, 502, 502, 502, 502}, SAME                                             },
    {"AUTH",     "AUTH PLAIN AAAA",         {503, 503, 503, 503, 503}, SAME                                             },
    {"MAIL",     "MAIL FROM:<a@x.example>", {503, 250, 503, 503, 503},
     {ST_GREETED, ST_MAIL, ST_MAIL, ST_RCPT, ST_BDAT}								   },
    {"RCPT",     "RCPT TO:<b@y.example>",   {503, 503, 250, 250, 503},
     {ST_GREETED, ST_READY, ST_RCPT, ST_RCPT, ST_BDAT}								  },
    {"DATA",     "DATA",                    {503, 503, 554, 354, 503}, {ST_GREETED, ST_READY, ST_MAIL, ST_DATA, ST_BDAT}},
    {"BDAT",     "BDAT 0 LAST",             {503, 503, 554, 250, 250},
     {ST_GREETED, ST_READY, ST_MAIL, ST_READY, ST_READY}								},
    {"RSET",     "RSET",                    {250, 250, 250, 250, 250},
     {ST_GREETED, ST_READY, ST_READY, ST_READY, ST_READY}							       },
    {"NOOP",     "NOOP",                    {250, 250, 250, 250, 250}, SAME                                             },
    {"VRFY",     "VRFY b@y.example",        {252, 252, 252, 252, 252}, SAME                                             },
    {"EXPN",     "EXPN list",               {502, 502, 502, 502, 502}, SAME                                             },
    {"XCLIENT",  "XCLIENT ADDR=192.0.2.9",  {550, 550, 503, 503, 503}, SAME                                             },
    {"XFORWARD", "XFORWARD ADDR=192.0.2.9", {503, 550, 503, 503, 503}, SAME                                             },
    {"ETRN",     "ETRN x.example",          {503, 459, 503, 503, 503}, SAME                                             },
    {"HELP",     "HELP",                    {214, 214, 214, 214, 214}, SAME                                             },
    {"QUIT",     "QUIT",                    {221, 221, 221, 221, 221},
     {ST_CLOSING, ST_CLOSING, ST_CLOSING, ST_CLOSING, ST_CLOSING}                                                       },
    {"unknown",  "XYZZY",                   {500, 500, 500, 500, 500}, SAME                                             },
};

/* The same with a setting that matters to the command. */
static const struct row more[] = {
    {"XCLIENT",  "XCLIENT ADDR=192.0.2.9",  {220, 220, 503, 503, 503},
     {ST_GREETED, ST_GREETED, ST_MAIL, ST_RCPT, ST_BDAT},                    "smtpd_authorized_xclient_hosts",
     "127.0.0.0/8"													  },
    {"XFORWARD", "XFORWARD ADDR=192.0.2.9", {503, 250, 503, 503, 503}, SAME,
     "smtpd_authorized_xforward_hosts",									"127.0.0.0/8"},
    {"ETRN",     "ETRN x.example",          {503, 250, 503, 503, 503}, SAME, "fast_flush_domains",             "x.example"  },
    {"ETRN",     "ETRN cold.example",       {503, 458, 503, 503, 503}, SAME, "fast_flush_domains",
     "cold.example"													 },
    {"VRFY",     "VRFY b@y.example",        {502, 502, 502, 502, 502}, SAME, "disable_vrfy_command",           "yes"        },
    {"AUTH",     "AUTH PLAIN AGEAYg==",     {503, 538, 503, 503, 503}, SAME, "smtpd_sasl_auth_enable",
     "yes"														  },
    {"STARTTLS", "STARTTLS now",            {502, 502, 502, 502, 502}, SAME, "smtpd_tls_security_level",
     "none"														 },
};

/* Sends lines one by one, as a client that waits; the replies to the last one are in `got`. */
static void
talk(struct fake *f, int fd, const char *lines, char *got, size_t size)
{
	while (*lines != '\0') {
		size_t n = strcspn(lines, "\n") + 1;
		assert_int_equal(write(fd, lines, n), (ssize_t)n);
		lines += n;
		fake_rounds(f);
		ssize_t r = read(fd, got, size - 1);
		got[r > 0 ? r : 0] = '\0';
	}
}

/* The number of final lines ("250 ", not "250-") in the text. */
static int
count_replies(const char *got)
{
	int n = 0;

	for (const char *p = got; *p != '\0'; p += strcspn(p, "\n") + 1)
		n += p[3] == ' ';
	return n;
}

static void
check(const struct row *row, size_t column)
{
	struct fake f;
	char got[4096], line[100];

	fake_start(&f);
	if (row->name != NULL)
		fake_set(&f, row->name, row->value);
	int fd = fake_connect(&f, "127.0.0.1");
	fake_rounds(&f);
	assert_true(read(fd, got, sizeof got) > 0);
	talk(&f, fd, ways[column].commands, got, sizeof got);
	struct session *s = TAILQ_FIRST(&f.server->sessions);
	assert_int_equal(s->state, ways[column].state);

	snprintf(line, sizeof line, "%s\r\n", row->line);
	assert_int_equal(write(fd, line, strlen(line)), (ssize_t)strlen(line));
	fake_rounds(&f);
	ssize_t n = read(fd, got, sizeof got - 1);
	got[n > 0 ? n : 0] = '\0';
	if (strtol(got, NULL, 10) != row->reply[column] || count_replies(got) != 1)
		fail_msg(
		    "%s in state %s: %s", row->line, session_state_name(ways[column].state), got);
	s = TAILQ_FIRST(&f.server->sessions);
	enum state after = s != NULL ? s->state : ST_CLOSING;
	if (after != row->after[column])
		fail_msg("%s in state %s leads to %s", row->line,
		    session_state_name(ways[column].state), session_state_name(after));
	close(fd);
	fake_stop(&f);
}

static void
test_pairs(void **state)
{
	(void)state;
	for (size_t row = 0; row < NELEM(rows); row++)
		for (size_t column = 0; column < STATES; column++)
			check(&rows[row], column);
	for (size_t row = 0; row < NELEM(more); row++)
		for (size_t column = 0; column < STATES; column++)
			check(&more[row], column);
}

static void
test_all_commands_are_here(void **state)
{
	size_t n;
	const struct command *commands = command_rows(&n);

	(void)state;
	assert_int_equal(n, NELEM(rows));
	for (size_t i = 0; i < n; i++)
		assert_string_equal(commands[i].verb, rows[i].verb);
}

/* An idle session costs little: no buffers, nothing of a transaction. */
static void
test_idle_memory(void **state)
{
	struct fake f;
	char got[4096];

	(void)state;
	fake_start(&f);
	int fd = fake_connect(&f, "127.0.0.1");
	fake_rounds(&f);
	assert_true(read(fd, got, sizeof got) > 0);
	talk(&f, fd, "EHLO c\r\nMAIL FROM:<a@x.example>\r\nRSET\r\n", got, sizeof got);
	struct session *s = TAILQ_FIRST(&f.server->sessions);
	assert_true(sizeof *s <= 2048);
	assert_null(s->in.p);
	assert_null(s->out.p);
	assert_null(s->tx);
	close(fd);
	fake_stop(&f);
}

/* Idle sessions hear 421 at once; one in a transaction finishes it first; nobody new is greeted. */
static void
test_stop(void **state)
{
	struct fake f;
	char got[4096];

	(void)state;
	fake_start(&f);
	int idle = fake_connect(&f, "127.0.0.1"), busy = fake_connect(&f, "127.0.0.1");
	fake_rounds(&f);
	assert_true(read(idle, got, sizeof got) > 0 && read(busy, got, sizeof got) > 0);
	talk(&f, busy, ways[3].commands, got, sizeof got);
	smtpd_service.on_stop(&f.service, 1000);
	fake_rounds(&f);
	ssize_t n = read(idle, got, sizeof got - 1);
	got[n > 0 ? n : 0] = '\0';
	assert_int_equal(strncmp(got, "421 4.3.2 ", 10), 0);
	assert_int_equal(read(idle, got, sizeof got), 0);
	assert_false(f.exited);

	talk(&f, busy, "DATA\r\n", got, sizeof got);
	assert_int_equal(strncmp(got, "354 ", 4), 0);
	talk(&f, busy, ".\r\n", got, sizeof got);
	assert_non_null(strstr(got, "250 2.0.0 Ok: queued"));
	assert_non_null(strstr(got, "\r\n421 4.3.2 "));
	assert_true(f.exited);
	close(idle);
	close(busy);
	fake_stop(&f);
}

/* A recipient is asked for once; again when router says that its tables have changed. */
static void
test_route_cache(void **state)
{
	struct fake f;
	char got[4096];
	struct msg_generation msg = {.generation = 8};

	(void)state;
	fake_start(&f);
	int fd = fake_connect(&f, "127.0.0.1");
	fake_rounds(&f);
	assert_true(read(fd, got, sizeof got) > 0);
	talk(&f, fd, ways[3].commands, got, sizeof got);
	talk(&f, fd, "RCPT TO:<b@Y.example>\r\n", got, sizeof got);
	assert_int_equal(f.questions, 1);
	assert_int_equal(chan_send(f.far[PROGRAM_ROUTER], 0, 0, MSG_GENERATION, &msg), 0);
	fake_rounds(&f);
	talk(&f, fd, "RCPT TO:<b@y.example>\r\n", got, sizeof got);
	assert_int_equal(f.questions, 2);
	close(fd);
	fake_stop(&f);
}

/* Limits of sessions, in all and for one address outside mynetworks. */
static void
test_session_limits(void **state)
{
	struct fake f;
	char got[4096];
	int fds[3];

	(void)state;
	fake_start(&f);
	fake_set(&f, "sessions", "3");
	fake_set(&f, "smtpd_client_connection_count_limit", "1");
	fake_set(&f, "smtpd_client_event_limit_exceptions", "127.0.0.0/8");
	fds[0] = fake_connect(&f, "192.0.2.1");
	fds[1] = fake_connect(&f, "192.0.2.1");
	fake_rounds(&f);
	assert_true(read(fds[1], got, sizeof got) > 0);
	assert_int_equal(strncmp(got, "421 4.7.0 ", 10), 0);
	assert_int_equal(read(fds[1], got, sizeof got), 0);
	close(fds[1]);
	fake_rounds(&f);
	fds[1] = fake_connect(&f, "127.0.0.1");
	fds[2] = fake_connect(&f, "127.0.0.1");
	fake_rounds(&f);
	assert_true(read(fds[2], got, sizeof got) > 0);
	assert_int_equal(strncmp(got, "220 ", 4), 0);
	int over = fake_connect(&f, "127.0.0.1");
	fake_rounds(&f);
	assert_true(read(over, got, sizeof got) > 0);
	assert_int_equal(strncmp(got, "421 4.3.2 ", 10), 0);
	close(over);
	for (int i = 0; i < 3; i++)
		close(fds[i]);
	fake_rounds(&f);
	assert_int_equal(f.server->nsessions, 0);
	assert_int_equal(f.held, 0);
	fake_stop(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_all_commands_are_here),
	    cmocka_unit_test(test_pairs),
	    cmocka_unit_test(test_idle_memory),
	    cmocka_unit_test(test_stop),
	    cmocka_unit_test(test_route_cache),
	    cmocka_unit_test(test_session_limits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
