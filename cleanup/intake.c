/* SPDX-License-Identifier: ISC */
/*
 * Content in. It stays in memory until it is larger than the journal takes; then, once its header
 * is whole (cleanup writes the header of the message before anything else of it), it goes to a file
 * of its own, as far as checks have judged it. Nothing is cut and nothing repaired: what is not in
 * wire form, too large, or has looped is refused.
 */
#include "cleanup/intake.h"

#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

#include "cleanup/checks.h"
#include "cleanup/cleanup.h"
#include "cleanup/show.h"
#include "cleanup/trace.h"
#include "cleanup/transaction.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/mail/header.h"

enum { PIPE_PART = 64 * 1024, PARTS_A_ROUND = 8 };

int
intake_too_large(struct why *why)
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

void
intake_rescan(struct transaction *t)
{
	bool bare = t->scan.bare_newline;

	content_begin(&t->scan);
	content_feed(&t->scan, buf_view(&t->content));
	content_end(&t->scan);
	t->scan.bare_newline |= bare;
	if (t->no_eol)
		t->scan.facts |= FACT_NO_EOL;
}

int
intake_file(struct transaction *t, struct why *why)
{
	if (t->id[0] == '\0' && qid_next(&t->c->ids, t->id, why) == -1)
		return -1;
	if (qfile_create(&t->file, t->c->newfd, t->id, t->arrived, why) == -1)
		return -1;
	t->spilled = true;
	return 0;
}

static void
note_message_id(struct transaction *t)
{
	struct header_field f;
	struct buf id;

	buf_init(&id, 1024);
	if (header_find(buf_view(&t->content), "Message-Id", &f) &&
	    header_unfold(f.value, &id) == 0)
		t->message_id = transaction_keep(t, buf_view(&id));
	buf_free(&id);
}

/* The file begins with the prefix, then comes what is judged. */
static int
write_front(struct transaction *t, struct why *why)
{
	if (t->id[0] == '\0' && qid_next(&t->c->ids, t->id, why) == -1)
		return -1;
	if (trace_write(t) == -1)
		return why_temp(why, "4.3.0", "header too large");
	note_message_id(t);
	t->own_in_file = true;
	struct str rest = str_from_at(buf_view(&t->content), t->header_end);
	return intake_file(t, why) == -1 || qfile_write(&t->file, buf_view(&t->prefix), why) == -1
		   ? -1
		   : qfile_write(&t->file, rest, why);
}

/* From memory to a file. */
static int
spill(struct transaction *t, struct why *why)
{
	struct buf judged, rest;
	bool bare = t->scan.bare_newline;

	if (t->checks == NULL) {
		int rc = write_front(t, why);
		buf_free(&t->content);
		return rc;
	}
	buf_init(&judged, t->content.max);
	int rc = checks_take(t, &judged, why);
	rest = t->content;
	t->content = judged;
	if (rc == 0)
		rc = write_front(t, why);
	content_begin(&t->scan);
	content_feed(&t->scan, buf_view(&t->content));
	t->scan.bare_newline = bare;
	buf_free(&t->content);
	t->content = rest;
	return rc;
}

/* What has been judged since goes to the file. */
static int
pass_on(struct transaction *t, struct why *why)
{
	struct buf judged;

	buf_init(&judged, t->content.max);
	int rc = checks_take(t, &judged, why);
	if (rc == 0) {
		content_feed(&t->scan, buf_view(&judged));
		rc = qfile_write(&t->file, buf_view(&judged), why);
	}
	buf_free(&judged);
	return rc;
}

static int
keep(struct transaction *t, struct str bytes, struct why *why)
{
	const struct conf_common *conf = &t->c->conf->common;

	if (!t->spilled || t->checks == NULL)
		content_feed(&t->scan, bytes);
	if (t->spilled && t->checks == NULL)
		return qfile_write(&t->file, bytes, why);
	if (buf_str(&t->content, bytes) == -1)
		return why_temp(why, "4.3.0", "message too large for memory");
	if (t->spilled)
		return pass_on(t, why);
	if (t->content.n <= (size_t)conf->journal_message_limit)
		return 0;
	if (!header_is_whole(t)) {
		if (t->content.n <= (size_t)conf->header_size_limit + PIPE_PART)
			return 0;
		return intake_too_large(why);
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
	if (!t->replacing && (t->spilled ? t->checks != NULL : t->pipe != -1) &&
	    keep(t, STR_EMPTY, why) == -1)
		return -1;
	pace(t);
	return 0;
}

int
intake_add(struct transaction *t, struct str bytes, struct why *why)
{
	const struct conf_common *conf = &t->c->conf->common;

	t->received += bytes.n;
	if (t->replacing)
		return show_add(t, bytes, why);
	if (t->received > (uint64_t)conf->message_size_limit)
		return intake_too_large(why);
	t->last_byte = bytes.n > 0 ? bytes.p[bytes.n - 1] : t->last_byte;
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
		return intake_too_large(why);
	if (t->scan.received >= (uint64_t)conf->hopcount_limit) {
		why_perm(why, "5.4.6", "too many hops");
		why->smtp = 554;
		return -1;
	}
	return 0;
}

static int
end_line(struct transaction *t, struct why *why)
{
	if (t->received == 0 || t->last_byte == '\n')
		return 0;
	t->last_byte = '\n';
	t->no_eol = true;
	return checks_feed(t, STR("\r\n"), why) == -1 ? -1 : keep(t, STR("\r\n"), why);
}

int
intake_end(struct transaction *t, struct why *why)
{
	if (t->judged)
		return 1;
	if (end_line(t, why) == -1 || checks_end(t, why) == -1)
		return -1;
	if (checks_pending(t))
		return 0;
	if (t->spilled && t->checks != NULL && pass_on(t, why) == -1)
		return -1;
	content_end(&t->scan);
	if (t->no_eol)
		t->scan.facts |= FACT_NO_EOL;
	t->judged = true;
	return check(t, why) == -1 ? -1 : 1;
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
intake_unwatch(struct transaction *t)
{
	if (t->ev_pipe != NULL)
		event_free(t->ev_pipe);
	t->ev_pipe = NULL;
	fd_close(&t->pipe);
	t->pipe_ended = t->pipe_paused = false;
}

void
intake_clear(struct transaction *t)
{
	intake_unwatch(t);
	if (t->spilled)
		qfile_abort(&t->file);
	t->spilled = false;
	buf_free(&t->content);
	buf_free(&t->prefix);
	buf_free(&t->shown);
	buf_free(&t->header);
}
