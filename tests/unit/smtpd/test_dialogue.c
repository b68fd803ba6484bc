/* SPDX-License-Identifier: ISC */
/*
 * Plays the dialogues of dialogues/ against smtpd: each as it stands, octet by octet, and with
 *every group of lines cut in two at each place.
 *
 *	@set NAME = VALUE    @client ADDRESS (before the first line)     @whole: not to be cut
 *	C: a line, sent with CRLF; \r \n \t \\ \xNN are octets           C| the same without CRLF
 *	C*N: a line sent N times          S: the next line of the server; a final * stands for
 *anything M: the next message at cleanup    B: a line of its content       L: a line of the log, in
 *order
 *	@close: by the client    @closed: by the server    @kill PROGRAM    @wait MS    @silent:
 *nothing is said
 *	@local UID ORIGIN: a caller of `sendmail -bs` in place of a client
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/io.h"
#include "lib/base/why.h"
#include "tests/unit/smtpd/fake.h"

enum { WHOLE = 0, OCTETS = 1 }; /* else: cut after so many octets - 1 */

struct player {
	struct fake fake;
	const char *file;
	int line;
	size_t cut;
	char address[64];
	int fd;
	bool eof, over;
	struct buf send, got, want_content;
	size_t log_at, mail_at;
};

#define FAIL(p, ...)                                                                  \
	do {                                                                          \
		fprintf(stderr, "%s:%d (cut %zu): ", (p)->file, (p)->line, (p)->cut); \
		fprintf(stderr, __VA_ARGS__);                                         \
		fprintf(stderr, "\n--- log\n%s---\n", buf_cstr(&(p)->fake.log));      \
		fail();                                                               \
	} while (0)

static void
collect(struct player *p)
{
	char room[65536];
	ssize_t n;

	fake_rounds(&p->fake);
	while ((n = read(p->fd, room, sizeof room)) > 0)
		assert_int_equal(buf_add(&p->got, room, (size_t)n), 0);
	if (n == 0)
		p->eof = true;
}

static void
send_part(struct player *p, struct str part)
{
	while (part.n > 0) {
		ssize_t n = write(p->fd, part.p, part.n);
		if (n > 0)
			part = str_from_at(part, (size_t)n);
		else if (p->eof)
			return;
		collect(p);
	}
}

static void
connect_client(struct player *p)
{
	if (p->fd != -1 || p->over)
		return;
	p->fd = fake_connect(&p->fake, p->address);
	collect(p);
}

static void
flush(struct player *p)
{
	struct str all = buf_view(&p->send);

	connect_client(p);
	if (p->over)
		return;
	if (p->cut == WHOLE) {
		send_part(p, all);
	} else if (p->cut == OCTETS) {
		for (size_t i = 0; i < all.n; i++)
			send_part(p, str_sub(all, i, 1));
	} else {
		send_part(p, str_sub(all, 0, p->cut - 1));
		send_part(p, str_from_at(all, p->cut - 1));
	}
	buf_reset(&p->send);
	collect(p);
}

static void
unescape(struct buf *out, const char *text)
{
	for (const char *t = text; *t != '\0'; t++) {
		unsigned octet = (unsigned char)*t;
		if (*t == '\\') {
			t++;
			octet = *t == 'r'   ? '\r'
				: *t == 'n' ? '\n'
				: *t == 't' ? '\t'
					    : (unsigned char)*t;
			if (*t == 'x' && sscanf(t + 1, "%2x", &octet) == 1)
				t += 2;
		}
		assert_int_equal(buf_byte(out, (char)octet), 0);
	}
}

static void
do_send(struct player *p, const char *text)
{
	long times = *text == '*' ? strtol(text + 1, (char **)&text, 10) : 1;
	bool line = *text == ':';

	for (long i = 0; i < times; i++) {
		unescape(&p->send, text + (text[1] == ' ' ? 2 : 1));
		if (line)
			assert_int_equal(buf_puts(&p->send, "\r\n"), 0);
	}
}

static bool
matches(struct str got, struct str want)
{
	if (want.n > 0 && want.p[want.n - 1] == '*')
		return str_starts(got, str_sub(want, 0, want.n - 1));
	return str_eq(got, want);
}

static void
do_expect(struct player *p, const char *text)
{
	flush(p);
	ptrdiff_t lf = str_chr(buf_view(&p->got), '\n');
	if (lf < 1)
		FAIL(p, "wanted \"%s\", got nothing", text);
	struct str line = str_sub(buf_view(&p->got), 0, (size_t)lf - 1);
	if (!matches(line, str_from(text)))
		FAIL(p, "wanted \"%s\", got \"%.*s\"", text, STR_ARG(line));
	buf_consume(&p->got, (size_t)lf + 1);
}

static void
do_mail(struct player *p, const char *text)
{
	flush(p);
	struct str rest = str_from_at(buf_view(&p->fake.mail), p->mail_at);
	ptrdiff_t lf = str_chr(rest, '\n');
	if (lf < 0 || !matches(str_sub(rest, 0, (size_t)lf), str_from(text)))
		FAIL(p, "wanted mail \"%s\", got \"%.*s\"", text, STR_ARG(rest));
	p->mail_at += (size_t)lf + 1;
}

static void
do_log(struct player *p, const char *text)
{
	flush(p);
	for (;;) {
		struct str rest = str_from_at(buf_view(&p->fake.log), p->log_at);
		ptrdiff_t lf = str_chr(rest, '\n');
		if (lf < 0)
			FAIL(p, "wanted log line \"%s\"", text);
		p->log_at += (size_t)lf + 1;
		if (matches(str_sub(rest, 0, (size_t)lf), str_from(text)))
			return;
	}
}

static void
do_content(struct player *p, const char *text)
{
	unescape(&p->want_content, text);
	assert_int_equal(buf_puts(&p->want_content, "\r\n"), 0);
}

static void
check_content(struct player *p)
{
	if (p->want_content.n == 0)
		return;
	if (!str_eq(buf_view(&p->want_content), buf_view(&p->fake.content)))
		FAIL(p, "wanted content \"%s\", got \"%s\"", buf_cstr(&p->want_content),
		    buf_cstr(&p->fake.content));
	buf_reset(&p->want_content);
}

static void
do_command(struct player *p, char *text)
{
	char name[64], value[256];

	if (sscanf(text, "set %63s = %255[^\n]", name, value) == 2) {
		fake_set(&p->fake, name, value);
	} else if (sscanf(text, "client %63s", p->address) == 1) {
		return;
	} else if (strcmp(text, "close") == 0) {
		flush(p);
		fd_close(&p->fd);
		fake_rounds(&p->fake);
		p->over = true;
	} else if (strcmp(text, "shut") == 0) {
		flush(p);
		shutdown(p->fd, SHUT_WR);
		collect(p);
	} else if (strcmp(text, "closed") == 0) {
		flush(p);
		if (p->got.n > 0 || !p->eof)
			FAIL(p, "not closed: \"%s\"", buf_cstr(&p->got));
	} else if (sscanf(text, "kill %63s", name) == 1) {
		flush(p);
		fake_kill(&p->fake, program_find(str_from(name)));
		fake_rounds(&p->fake);
	} else if (sscanf(text, "wait %63s", name) == 1) {
		flush(p);
		usleep((useconds_t)strtoul(name, NULL, 10) * 1000);
		collect(p);
	} else if (sscanf(text, "local %63s %255[^\n]", name, value) == 2) {
		p->fd = fake_local(&p->fake, (uint64_t)strtoul(name, NULL, 10), value);
	} else if (strcmp(text, "silent") == 0) {
		flush(p);
		if (p->got.n > 0)
			FAIL(p, "not silent: \"%s\"", buf_cstr(&p->got));
	} else if (strcmp(text, "whole") != 0) {
		FAIL(p, "what is @%s?", text);
	}
}

static void
do_line(struct player *p, char *text)
{
	if (text[0] != 'B')
		check_content(p);
	if (text[0] == '@')
		do_command(p, text + 1);
	else if (text[0] == 'C')
		do_send(p, text + 1);
	else if (text[0] == 'S')
		do_expect(p, text + 3);
	else if (text[0] == 'M')
		do_mail(p, text + 3);
	else if (text[0] == 'L')
		do_log(p, text + 3);
	else if (text[0] == 'B')
		do_content(p, text[2] == ' ' ? text + 3 : text + 2);
	else if (text[0] != '#' && text[0] != '\0')
		FAIL(p, "what is \"%s\"?", text);
}

/* Returns whether the dialogue may be cut. */
static bool
play(const char *file, size_t cut)
{
	struct player p = {.file = file, .cut = cut, .fd = -1, .address = "127.0.0.1"};
	char line[8192];
	bool whole = false;

	FILE *in = fopen(file, "r");
	assert_non_null(in);
	buf_init(&p.send, 1 << 24);
	buf_init(&p.got, 1 << 24);
	buf_init(&p.want_content, 1 << 24);
	fake_start(&p.fake);
	while (fgets(line, sizeof line, in) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		p.line++;
		whole = whole || strcmp(line, "@whole") == 0;
		do_line(&p, line);
	}
	check_content(&p);
	if (p.fd != -1)
		flush(&p);
	if (p.got.n > 0)
		FAIL(&p, "left over: \"%s\"", buf_cstr(&p.got));
	fclose(in);
	fd_close(&p.fd);
	fake_stop(&p.fake);
	buf_free(&p.send);
	buf_free(&p.got);
	buf_free(&p.want_content);
	return !whole;
}

static void
test_dialogue(void **state)
{
	const char *file = *state;

	if (!play(file, WHOLE))
		return;
	play(file, OCTETS);
	for (size_t cut = 2; cut < 150; cut++)
		play(file, cut);
}

int
main(int argc, char **argv)
{
	struct CMUnitTest *tests = calloc((size_t)argc, sizeof *tests);

	for (int i = 1; i < argc; i++)
		tests[i - 1] = (struct CMUnitTest){
		    .name = argv[i], .test_func = test_dialogue, .initial_state = argv[i]};
	int failed = _cmocka_run_group_tests("dialogues", tests, (size_t)argc - 1, NULL, NULL);
	free(tests);
	return failed;
}
