/* SPDX-License-Identifier: ISC */
/* XFORWARD commands: what is offered, what fits, what is not known. */
#include "tests/unit/test.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/mail/command.h"
#include "lib/mail/esmtp.h"
#include "lib/mail/xforward.h"
#include "lib/msg/fields.h"

static const struct xforward client = {
    {
     [XFORWARD_NAME] = "c.example",
     [XFORWARD_ADDR] = "2001:db8::1",
     [XFORWARD_PORT] = "4711",
     [XFORWARD_PROTO] = "ESMTP",
     [XFORWARD_HELO] = "a b+c=\r\n",
     [XFORWARD_IDENT] = "",
     [XFORWARD_SOURCE] = NULL,
     }
};

/* All commands, a line each. */
static char *
commands(const struct xforward *x, const char *offered)
{
	struct buf out;
	size_t next = 0;

	buf_init(&out, 8192);
	while (xforward_command(x, xforward_offered(str_from(offered)), &next, &out))
		assert_int_equal(buf_byte(&out, '|'), 0);
	return buf_steal(&out);
}

static void
test_rows(void **state)
{
	static const struct row {
		const char *offered, *said;
	} rows[] = {
	    {"",		   ""							},
	    {"NONSENSE",           ""							},
	    {"NAME addr PORT",     "XFORWARD NAME=c.example ADDR=IPV6:2001:db8::1 PORT=4711|"},
	    {"PROTO HELO",         "XFORWARD PROTO=ESMTP HELO=a+20b+2Bc+3D+0D+0A|"           },
	    {"IDENT SOURCE OTHER", "XFORWARD IDENT=[UNAVAILABLE] SOURCE=[UNAVAILABLE]|"      },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(rows); i++) {
		char *said = commands(&client, rows[i].offered);
		assert_string_equal(said, rows[i].said);
		free(said);
	}
}

/* 512 octets a line with its end; what can fit in none is left out. */
static void
test_lengths(void **state)
{
	char name[301], helo[301], ident[600];
	struct xforward x = client;

	(void)state;
	memset(name, 'n', 300);
	memset(helo, 'h', 300);
	memset(ident, 'i', 599);
	name[300] = helo[300] = ident[599] = '\0';
	x.values[XFORWARD_NAME] = name;
	x.values[XFORWARD_HELO] = helo;
	x.values[XFORWARD_IDENT] = ident;
	char *said = commands(&x, "NAME ADDR PORT PROTO HELO IDENT SOURCE");
	struct str rest = str_from(said), line;
	size_t n = 0;
	while (str_word(&rest, "|", &line)) {
		assert_true(line.n <= 510);
		assert_true(str_starts(line, STR("XFORWARD ")));
		n++;
	}
	assert_int_equal(n, 3);
	assert_non_null(strstr(said, "SOURCE="));
	assert_null(strstr(said, "IDENT="));
	free(said);
}

static void
test_envelope(void **state)
{
	const unsigned all = ESMTP_SIZE | ESMTP_8BITMIME | ESMTP_DSN;
	struct command_mail m = {
	    .sender = STR("a@x"), .size = 7, .body_8bit = true, .ret = RET_HDRS, .envid = "q"};
	struct command_rcpt r = {
	    .address = STR("b@y"), .notify = NOTIFY_SUCCESS | NOTIFY_DELAY, .original = "o+p@y"};
	struct buf out;

	(void)state;
	buf_init(&out, 200);
	assert_int_equal(command_mail(&m, &out), 0);
	assert_int_equal(command_rcpt(&r, &out), 0);
	assert_string_equal(buf_cstr(&out), "MAIL FROM:<a@x>RCPT TO:<b@y>");
	m.offered = r.offered = all;
	m.smtputf8 = m.requiretls = true;
	buf_reset(&out);
	assert_int_equal(command_mail(&m, &out), 0);
	assert_string_equal(buf_cstr(&out), "MAIL FROM:<a@x> SIZE=7 BODY=8BITMIME SMTPUTF8 "
					    "REQUIRETLS RET=HDRS ENVID=q");
	buf_reset(&out);
	assert_int_equal(command_rcpt(&r, &out), 0);
	assert_string_equal(
	    buf_cstr(&out), "RCPT TO:<b@y> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;o+2Bp@y");
	r.orcpt = "rfc822;z";
	r.notify = NOTIFY_NEVER;
	buf_reset(&out);
	assert_int_equal(command_rcpt(&r, &out), 0);
	assert_string_equal(buf_cstr(&out), "RCPT TO:<b@y> NOTIFY=NEVER ORCPT=rfc822;z");
	buf_free(&out);
	buf_init(&out, 10);
	assert_int_equal(command_mail(&m, &out), -1);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_rows),
	    cmocka_unit_test(test_lengths),
	    cmocka_unit_test(test_envelope),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
