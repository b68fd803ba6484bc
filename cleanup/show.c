/* SPDX-License-Identifier: ISC */
/*
 * What is shown is what will be delivered but for our own trace field, as Postfix does it: checks
 * have been made, so that a signature that a milter adds stays true. Small content goes by the
 * channel, or not at all where its submitter has the same; that in a file by a descriptor that can
 * only read.
 *
 * What comes back: the header is kept beside the content, a body takes its place in memory, or goes
 * behind it in the file. The envelope's pieces then say what the message is made of:
 *
 *	lines added late | our trace fields | the new header | the body, old or new
 */
#include "cleanup/show.h"

#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup/checks.h"
#include "cleanup/cleanup.h"
#include "cleanup/edits.h"
#include "cleanup/intake.h"
#include "cleanup/trace.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/mail/header.h"
#include "lib/queue/head.h"

enum { HEADER_ROOM = 64 * 1024, PIECES = 4 };

/* --- what is shown --- */

static int
full(struct why *why)
{
	return why_temp(why, "4.3.0", "message too large for memory");
}

int
show_make(struct transaction *t, struct why *why)
{
	struct buf all;

	if (t->checks == NULL || t->replacing)
		return 0;
	buf_init(&all, t->content.max);
	int rc = checks_take(t, &all, why);
	buf_free(&t->content);
	t->content = all;
	if (rc == 0 && t->changed)
		intake_rescan(t);
	return rc;
}

/* The fields that the header lacks; what is written later is our trace field alone. */
static int
complete(struct transaction *t, struct why *why)
{
	struct buf all;
	size_t end;

	buf_init(&all, t->content.max);
	if (trace_complete(t, &all, &end) == -1 ||
	    buf_str(&all, str_from_at(buf_view(&t->content), end)) == -1) {
		buf_free(&all);
		return full(why);
	}
	t->completed = true;
	if (all.n == t->content.n && end == 0) {
		buf_free(&all);
		return 0;
	}
	buf_free(&t->content);
	t->content = all;
	t->changed = true;
	intake_rescan(t);
	return 0;
}

static int
reply_memory(struct transaction *t, struct msg_mail_shown *msg)
{
	struct str rest = buf_view(&t->content);

	msg->size = rest.n;
	msg->header = header_size(rest);
	msg->same = t->kept && !t->changed && !t->no_eol;
	while (msg->same == 0 && rest.n > 0) {
		struct msg_mail_data data = {.bytes = str_sub(rest, 0, MSG_CHUNK_MAX)};
		if (chan_reply(t->ch, &t->head, MSG_MAIL_DATA, &data) == -1)
			return -1;
		rest = str_from_at(rest, data.bytes.n);
	}
	return chan_reply(t->ch, &t->head, MSG_MAIL_SHOWN, msg);
}

/* Where in the file the header ends: in what we wrote in front, or behind it. */
static uint64_t
header_end(const struct transaction *t)
{
	size_t ours = header_size(buf_view(&t->prefix));
	bool whole = (t->env.flags & MAIL_LOCAL) != 0 || ours < t->prefix.n;

	return whole ? ours : t->prefix.n + t->scan.header_size;
}

static int
reply_file(struct transaction *t, struct msg_mail_shown *msg, struct why *why)
{
	int fd = openat(t->c->newfd, t->id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd == -1)
		return why_sys(why, "4.3.0", "open queue file");
	t->body_at = header_end(t);
	t->body_size = t->file.head.content_size - t->body_at;
	msg->content = fd;
	msg->offset = HEAD_SIZE + t->own;
	msg->size = t->file.head.content_size - t->own;
	msg->header = t->body_at - t->own;
	int rc = chan_reply(t->ch, &t->head, MSG_MAIL_SHOWN, msg);
	close(fd); /* the channel has its own */
	return rc;
}

int
show_reply(struct transaction *t, struct why *why)
{
	struct msg_mail_shown msg = {.discard = edits_discard(t), .content = -1};

	if (t->id[0] == '\0' && qid_next(&t->c->ids, t->id, why) == -1)
		return -1;
	if (!t->spilled && (show_make(t, why) == -1 || complete(t, why) == -1))
		return -1;
	msg.queue_id = str_from(t->id);
	t->state = TX_SHOWN;
	/* a channel that takes no more is gone, and with it the transaction, soon */
	if (t->spilled)
		return reply_file(t, &msg, why);
	(void)reply_memory(t, &msg);
	return 0;
}

/* --- what comes back --- */

/* Its fields are looked up where they are new; of the old header that takes a copy of it. */
static int
take_shown(struct transaction *t, struct buf *shown, struct why *why)
{
	size_t n = (size_t)(t->body_at - t->own);

	if (!t->spilled)
		return buf_str(shown, str_sub(buf_view(&t->content), 0,
					  header_size(buf_view(&t->content)))) == -1
			   ? full(why)
			   : 0;
	char *room = buf_room(shown, n);
	if (room == NULL)
		return full(why);
	if (pread_all(t->file.fd, room, n, (off_t)(HEAD_SIZE + t->own)) == -1)
		return why_sys(why, "4.3.0", "read queue file");
	buf_grown(shown, n);
	return 0;
}

int
show_replace(struct transaction *t, const struct msg_mail_replace *msg, int pipe, struct why *why)
{
	size_t max = (size_t)t->c->conf->common.header_size_limit + HEADER_ROOM;

	intake_unwatch(t);
	t->pipe = pipe;
	if (msg->header > max) {
		fd_close(&t->pipe);
		return intake_too_large(why);
	}
	buf_init(&t->shown, max);
	if (take_shown(t, &t->shown, why) == -1)
		return -1;
	t->replacing = true;
	t->replaces_body = msg->body != 0;
	t->header_size = msg->header;
	buf_init(&t->header, max);
	t->received = 0;
	t->last_byte = '\n';
	if (!t->spilled)
		buf_consume(&t->content, t->replaces_body ? t->content.n : t->shown.n);
	if (!t->replaces_body)
		return 0;
	content_begin(&t->scan);
	t->no_eol = false;
	if (t->spilled)
		t->body_at = t->file.head.content_size;
	return 0;
}

/* The new body: in memory, or behind all else of the file. */
static int
add_body(struct transaction *t, struct str bytes, struct why *why)
{
	if (bytes.n == 0)
		return 0;
	if (!t->replaces_body)
		return why_temp(why, "4.3.0", "more of the message has come than was announced");
	t->last_byte = bytes.p[bytes.n - 1];
	content_feed(&t->scan, bytes);
	if (t->spilled)
		return qfile_write(&t->file, bytes, why);
	if (buf_str(&t->content, bytes) == -1)
		return full(why);
	if (t->content.n <= (size_t)t->c->conf->common.journal_message_limit)
		return 0;
	t->body_at = 0;
	int rc = intake_file(t, why);
	if (rc == 0)
		rc = qfile_write(&t->file, buf_view(&t->content), why);
	buf_free(&t->content);
	return rc;
}

int
show_add(struct transaction *t, struct str bytes, struct why *why)
{
	struct str header = str_sub(bytes, 0, (size_t)(t->header_size - t->header.n));

	if (t->received > (uint64_t)t->c->conf->common.message_size_limit + HEADER_ROOM)
		return intake_too_large(why);
	if (buf_str(&t->header, header) == -1)
		return full(why);
	return add_body(t, str_from_at(bytes, header.n), why);
}

static int
check(struct transaction *t, struct why *why)
{
	struct str header = buf_view(&t->header);
	struct content_scan scan;

	content_begin(&scan);
	content_feed(&scan, header);
	content_end(&scan);
	if (t->scan.bare_newline || scan.bare_newline || (scan.facts & FACT_NO_EOL) != 0 ||
	    header_size(header) != header.n)
		return why_perm(why, "5.6.0", "what a milter made of the message is malformed");
	uint64_t body = t->spilled ? t->body_size : t->content.n;
	if (header.n + body > (uint64_t)t->c->conf->common.message_size_limit)
		return intake_too_large(why);
	return 0;
}

/* The header as checks leave it. */
static int
take_header(struct transaction *t, struct why *why)
{
	struct buf all;

	if (t->checks == NULL)
		return 1;
	buf_init(&all, 2 * t->header.max);
	int rc = checks_take(t, &all, why);
	buf_free(&t->header);
	t->header = all;
	checks_clear(t);
	return rc == -1 ? -1 : 1;
}

int
show_end(struct transaction *t, struct why *why)
{
	if (t->ended)
		return checks_pending(t) ? 0 : take_header(t, why);
	if (t->header.n != t->header_size)
		return why_temp(why, "4.3.0", "the message did not arrive whole");
	if (t->last_byte != '\n' && add_body(t, STR("\r\n"), why) == -1)
		return -1;
	if (t->replaces_body) {
		content_end(&t->scan);
		t->body_size = t->spilled ? t->file.head.content_size - t->body_at : 0;
	}
	t->ended = true;
	if (check(t, why) == -1 || checks_begin_header(t, buf_view(&t->shown), why) == -1)
		return -1;
	buf_free(&t->shown);
	return show_end(t, why);
}

/* --- pieces --- */

static void
put_piece(struct envelope *env, uint64_t offset, uint64_t length, bool added)
{
	if (length > 0)
		env->pieces[env->npieces++] = (struct envelope_piece){offset, length, added};
}

/* `late`, with text added at its end as a piece. */
static int
put_text(struct transaction *t, struct str text, struct why *why)
{
	size_t at = t->late.n;

	if (buf_str(&t->late, text) == -1)
		return why_temp(why, "4.3.0", "header too large");
	put_piece(&t->env, at, text.n, true);
	return 0;
}

int
show_pieces(struct transaction *t, struct why *why)
{
	struct envelope *env = &t->env;
	uint64_t total = t->file.head.content_size;

	if (t->late.n == 0 && !t->replacing)
		return 0;
	env->pieces = xcalloc(PIECES, sizeof *env->pieces);
	put_piece(env, 0, t->late.n, true);
	if (!t->replacing) {
		put_piece(env, 0, total, false);
	} else {
		if (t->own_in_file)
			put_piece(env, 0, t->own, false);
		else if (put_text(t, buf_view(&t->prefix), why) == -1)
			return -1;
		if (put_text(t, buf_view(&t->header), why) == -1)
			return -1;
		put_piece(env, t->body_at, t->body_size, false);
	}
	env->added = buf_view(&t->late);
	return 0;
}
