/* SPDX-License-Identifier: ISC */
/*
 * What a milter says to us: the input is its side of a session, from the answer to our first packet
 * on. Whatever it is, the chain gives one verdict for each event, and the header stays a header.
 */
#include <event2/event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/chan/chan.h"
#include "lib/conf/setting.h"
#include "lib/mail/header.h"
#include "lib/milter/mail.h"
#include "lib/milter/milter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct play {
	struct milter *asked; /* for its connection */
	bool done;
	enum milter_verdict verdict;
};

static bool
host_connect(void *arg, struct milter *m, const char *target)
{
	struct play *p = arg;

	(void)target;
	p->asked = m;
	return true;
}

static void
host_forget(void *arg, struct milter *m)
{
	struct play *p = arg;

	(void)m;
	p->asked = NULL;
}

static bool
host_macro(void *arg, struct str name, struct buf *out)
{
	(void)arg;
	return name.n == 1 && buf_puts(out, "value") == 0;
}

static bool
host_edit(void *arg, unsigned kind, struct str text)
{
	(void)arg;
	(void)kind;
	return text.n < 512;
}

static void
host_done(void *arg, enum milter_verdict verdict, const struct why *why)
{
	struct play *p = arg;

	if (p->done)
		panic("two verdicts on one event");
	if ((verdict == MILTER_REFUSE) != (why != NULL))
		panic("a refusal and its reason do not go together");
	p->done = true;
	p->verdict = verdict;
}

static const struct milter_host host = {
    host_connect, host_forget, host_macro, host_edit, host_done};

static void
check_header(struct str header)
{
	if (header_size(header) != header.n)
		panic("a change has ended the header");
	if (header.n > 0 && !str_ends(header, STR("\r\n")))
		panic("the header's last line has no end");
}

static void
say_nothing(const char *peer, const char *text)
{
	(void)peer;
	(void)text;
}

/* Runs until the verdict; a milter that says no more has hung up. */
static void
wait_for_verdict(struct event_base *base, struct play *p, int *theirs)
{
	for (int round = 0; !p->done; round++) {
		if (round == 100)
			fd_close(theirs);
		if (round == 200)
			panic("no verdict");
		event_base_loop(base, EVLOOP_NONBLOCK);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct event_base *base;
	static const struct milter_times times = {60000, 60000, 60000, MILTER_DEFAULT_REJECT};
	char target[] = "inet:127.0.0.1:1";
	char *item = target;
	struct setting_list items = {&item, 1};
	struct milter_list list;
	struct milter_mail mail;
	struct play p = {0};
	struct why why;
	const struct str args[] = {STR("a"), STR("127.0.0.1"), STR("25")};
	int ends[2];

	if (base == NULL) {
		base = event_base_new();
		chan_set_reporter(say_nothing);
		/* our log only: the descriptor is the fuzzer's */
		stderr = fopen("/dev/null", "we");
		if (base == NULL || stderr == NULL)
			panic("no event base");
	}
	if (size > 64 * 1024 || milter_list_parse(&list, &items, &times, &why) == -1)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == -1)
		panic("no socket pair");
	(void)!write(ends[1], data, size);
	milter_mail_init(&mail, 64 * 1024, 64 * 1024);
	if (buf_puts(&mail.header, "Subject: x\r\nTo: a,\r\n\tb\r\n") == -1)
		panic("no room for a header");
	mail.body = STR("\r\nbody\r\n");
	struct milters *ms = milters_new(base, &list, &host, &p);
	for (enum milter_event e = MILTER_CONNECT; e <= MILTER_CONTENT; e++) {
		p.done = false;
		milters_ask(
		    ms, e, args, e == MILTER_CONNECT ? 3 : 1, e == MILTER_CONTENT ? &mail : NULL);
		if (p.asked != NULL) {
			int ours = ends[0];
			struct milter *m = p.asked;
			p.asked = NULL;
			ends[0] = -1;
			milter_connected(m, ours, NULL);
		}
		wait_for_verdict(base, &p, &ends[1]);
		if (p.verdict != MILTER_CONTINUE)
			break;
	}
	check_header(buf_view(&mail.header));
	milters_free(&ms);
	milter_mail_clear(&mail);
	milter_list_clear(&list);
	fd_close(&ends[0]);
	fd_close(&ends[1]);
	return 0;
}
