/* SPDX-License-Identifier: ISC */
/*
 * Content in. It stays in memory until it is larger than the journal takes; then, once its header
 * is whole (cleanup writes the header of the message before anything else of it), it goes to a file
 * of its own. Nothing is cut and nothing repaired: what is not in wire form, too large, or has
 * looped is refused.
 */
#include "cleanup/intake.h"

#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

#include "cleanup/checks.h"
#include "cleanup/cleanup.h"
#include "cleanup/trace.h"
#include "cleanup/transaction.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/mail/header.h"

enum { PIPE_PART = 64 * 1024, PARTS_A_ROUND = 8 };

static int
too_large(struct why *why)
{
	why_perm(why, "5.3.4", "message size exceeds the fixed limit");
	why->smtp = 552;
	return -1;
}

/* Whether the header's end is in `content`. */
static bool
header_is_whole(const struct transaction *t)
{
	struct header_field f;
	size_t at = 0;

	return t->scan.header_size > 0 || !header_next(buf_view(&t->content), &at, &f);
}

/* From memory to a file: the prefix first, then what has come so far. */
static int
spill(struct transaction *t, struct why *why)
{
	if (t->id[0] == '\0' && qid_next(&t->c->ids, t->id, why) == -1)
		return -1;
	if (checks_rewrite(t, why) == -1)
		return -1;
	if (trace_write(t) == -1)
		return why_temp(why, "4.3.0", "header too large");
	t->shift = (int64_t)t->prefix.n - (int64_t)t->header_end;
	if (qfile_create(&t->file, t->c->newfd, t->id, t->arrived, why) == -1)
		return -1;
	t->spilled = true;
	struct str rest = str_from_at(buf_view(&t->content), t->header_end);
	if (qfile_write(&t->file, buf_view(&t->prefix), why) == -1 ||
	    qfile_write(&t->file, rest, why) == -1)
		return -1;
	return 0;
}

static int
keep(struct transaction *t, struct str bytes, struct why *why)
{
	const struct conf_common *conf = &t->c->conf->common;

	if (t->spilled)
		return qfile_write(&t->file, bytes, why);
	if (buf_str(&t->content, bytes) == -1)
		return why_temp(why, "4.3.0", "message too large for memory");
	if (t->content.n <= (size_t)conf->journal_message_limit)
		return 0;
	if (!header_is_whole(t)) {
		if (t->content.n <= (size_t)conf->header_size_limit + PIPE_PART)
			return 0;
		return too_large(why);
	}
	/* until its header is judged it stays here; the pipe waits meanwhile */
	return checks_header_pending(t) ? 0 : spill(t, why);
}

/* No more is read while too many lines wait for router. */
static void
pace(struct transaction *t)
{
	const struct conf_common *conf = &t->c->conf->common;
	bool stop =
	    checks_busy(t) || (!t->spilled && t->content.n > (size_t)conf->journal_message_limit &&
				  header_is_whole(t) && checks_header_pending(t));

	if (t->ev_pipe == NULL || t->pipe_ended || stop == t->pipe_paused)
		return;
	t->pipe_paused = stop;
	if (stop)
		event_del(t->ev_pipe);
	else if (event_add(t->ev_pipe, NULL) == -1)
		fatal("no event");
}

int
intake_resume(struct transaction *t, struct why *why)
{
	if (!t->spilled && t->pipe != -1 && keep(t, STR_EMPTY, why) == -1)
		return -1;
	pace(t);
	return 0;
}

int
intake_add(struct transaction *t, struct str bytes, struct why *why)
{
	const struct conf_common *conf = &t->c->conf->common;

	t->received += bytes.n;
	if (t->received > (uint64_t)conf->message_size_limit)
		return too_large(why);
	t->last_byte = bytes.n > 0 ? bytes.p[bytes.n - 1] : t->last_byte;
	content_feed(&t->scan, bytes);
	if (checks_feed(t, bytes, why) == -1 || keep(t, bytes, why) == -1)
		return -1;
	pace(t);
	return 0;
}

static int
check(const struct transaction *t, struct why *why)
{
	const struct conf_common *conf = &t->c->conf->common;

	if (t->scan.bare_newline)
		return why_perm(why, "5.6.0", "a line end in the message is not CRLF");
	if (t->scan.header_size > (uint64_t)conf->header_size_limit)
		return too_large(why);
	if (t->scan.received >= (uint64_t)conf->hopcount_limit) {
		why_perm(why, "5.4.6", "too many hops");
		why->smtp = 554;
		return -1;
	}
	return 0;
}

int
intake_end(struct transaction *t, struct why *why)
{
	bool open_line = t->received > 0 && t->last_byte != '\n';

	if (open_line) {
		content_feed(&t->scan, STR("\r\n"));
		if (keep(t, STR("\r\n"), why) == -1)
			return -1;
	}
	content_end(&t->scan);
	if (open_line)
		t->scan.facts |= FACT_NO_EOL;
	return check(t, why);
}

/* --- a pipe --- */

/* 1: something came; 0: nothing just now, or the end; -1: to be refused. */
static int
read_part(struct transaction *t, struct why *why)
{
	char part[PIPE_PART];
	ssize_t n = read(t->pipe, part, sizeof part);

	if (n == -1 && errno == EINTR)
		return 1;
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n == -1)
		return why_sys(why, "4.3.0", "read the message");
	if (n == 0) {
		/* The end of a pipe ends nothing: COMMIT does, with the count. */
		event_del(t->ev_pipe);
		t->pipe_ended = true;
		return 0;
	}
	t->touched = clock_ms();
	return intake_add(t, str_make(part, (size_t)n), why) == -1 ? -1 : 1;
}

static void
on_pipe(evutil_socket_t fd, short what, void *arg)
{
	struct transaction *t = arg;
	struct why why = {0};
	int more = 1;

	(void)fd;
	(void)what;
	for (int i = 0; i < PARTS_A_ROUND && more == 1 && !t->pipe_paused; i++)
		more = read_part(t, &why);
	if (more == -1)
		transaction_refuse(t, &why);
	else
		transaction_proceed(t);
}

void
intake_watch_pipe(struct transaction *t)
{
	struct event_base *base = t->c->service->loop.base;

	t->ev_pipe = event_new(base, t->pipe, EV_READ | EV_PERSIST, on_pipe, t);
	if (t->ev_pipe == NULL || event_add(t->ev_pipe, NULL) == -1)
		fatal("no event");
}

void
intake_clear(struct transaction *t)
{
	if (t->ev_pipe != NULL)
		event_free(t->ev_pipe);
	t->ev_pipe = NULL;
	fd_close(&t->pipe);
	if (t->spilled)
		qfile_abort(&t->file);
	t->spilled = false;
	buf_free(&t->content);
	buf_free(&t->prefix);
}
