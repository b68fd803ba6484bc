/* SPDX-License-Identifier: ISC */
/*
 * Reads content. One decoder serves both commands: DATA with the dot rule, BDAT by count; both look
 * at line ends, so that no bare CR or LF gets through whichever way it came. What makes a message
 * unacceptable is noted once, and the rest is read and thrown away up to the end that the protocol
 * has: it can never be taken for commands.
 */
#include "smtpd/data.h"

#include <stdio.h>
#include <string.h>

#include "smtpd/command.h"
#include "smtpd/envelope.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"
#include "smtpd/submit.h"

static void
fail(struct session *s, int smtp, const char *code, const char *text)
{
	struct why why;

	why_perm(&why, code, "%s", text);
	why.smtp = smtp;
	submit_fail(s, &why);
}

/* A CR or LF that stands alone, where it is refused: where this message ends is then a matter of
 * opinion, so the session ends here. */
static bool
refuse_bare_newline(struct session *s)
{
	const struct dot_decoder *d = &s->tx->decoder;
	if ((!d->bare_cr && !d->bare_lf) || !command_strict_newlines(s))
		return false;
	command_bare_newline(s, s->command->verb, d->bare_lf ? "<LF>" : "<CR>");
	return true;
}

/* Looks at what the decoder has seen, and adds its output to the content. False where that ended
 * the session. */
static bool
examine(struct session *s, size_t n)
{
	const struct smtpd_conf *conf = s->server->conf;
	struct transaction *tx = s->tx;

	if (refuse_bare_newline(s))
		return false;
	tx->size += n;
	if (tx->decoder.nul)
		fail(s, 550, "5.6.0", "Error: NUL octet in the message");
	if (conf->smtpd_text_line_limit > 0 &&
	    tx->decoder.longest_line > (uint64_t)conf->smtpd_text_line_limit)
		fail(s, 500, "5.6.0", "Error: text line too long");
	if (tx->size > (uint64_t)conf->common.message_size_limit)
		fail(s, 552, "5.3.4", "Error: message file too big");
	submit_add(s, str_make(s->server->decode_room, n));
	return true;
}

/* --- DATA --- */

static void
on_data_judged(struct session *s, const struct why *why)
{
	if (why != NULL) {
		session_reject(s, "DATA", STR_EMPTY, why);
		return;
	}
	dot_decode_begin(&s->tx->decoder);
	session_enter(s, ST_DATA);
	session_reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
}

void
cmd_data(struct session *s, struct str argument)
{
	(void)argument;
	stage_begin(s, STAGE_DATA, on_data_judged);
}

size_t
data_take_text(struct session *s, struct str in)
{
	struct transaction *tx = s->tx;
	size_t n;

	size_t used = dot_decode(&tx->decoder, in, s->server->decode_room, &n);
	tx->received += used;
	session_earned(s, used);
	if (examine(s, n) && tx->decoder.ended)
		submit_end(s);
	return used;
}

/* --- BDAT --- */

/* "count [LAST]"; false after a reply and the session's end: where the next command begins cannot
 * be known. */
static bool
parse_chunk(struct session *s, struct str argument, uint64_t *count, bool *last)
{
	struct str number = STR_EMPTY, word = STR_EMPTY;

	*last = false;
	str_word(&argument, " ", &number);
	if (str_word(&argument, " ", &word))
		*last = str_caseis(word, "LAST");
	if (str_u64(number, INT64_MAX, count) && *last == (word.n > 0) && argument.n == 0)
		return true;
	session_reply(s, 521, "5.5.4", "Syntax: BDAT count [LAST]");
	session_end_lingering(s);
	return false;
}

static void
chunk_over(struct session *s)
{
	struct transaction *tx = s->tx;
	size_t n;

	if (tx->last) {
		dot_decode_finish(&tx->decoder, s->server->decode_room, &n);
		if (examine(s, n))
			submit_end(s);
	} else if (tx->failure.class != WHY_NONE) {
		submit_end(s);
	} else {
		session_enter(s, ST_BDAT);
		session_reply(
		    s, 250, "2.0.0", "Ok: %llu bytes", (unsigned long long)tx->chunk_size);
	}
}

static void
chunk_begin(struct session *s)
{
	struct transaction *tx = s->tx;

	if (tx->chunk > (uint64_t)s->server->conf->common.message_size_limit - tx->size)
		fail(s, 552, "5.3.4", "Chunk exceeds message size limit");
	session_enter(s, ST_BDAT);
	if (tx->chunk == 0)
		chunk_over(s);
}

/* A refused first chunk is read and thrown away; the refusal is the reply to it. */
static void
on_chunk_judged(struct session *s, const struct why *why)
{
	if (why != NULL) {
		s->tx->last = true;
		submit_fail(s, why);
	}
	chunk_begin(s);
}

void
cmd_bdat(struct session *s, struct str argument)
{
	struct transaction *tx = s->tx;

	if (!parse_chunk(s, argument, &tx->chunk, &tx->last))
		return;
	tx->chunk_size = tx->chunk;
	if (s->state != ST_RCPT) {
		chunk_begin(s);
		return;
	}
	dot_decode_begin_plain(&tx->decoder);
	stage_begin(s, STAGE_DATA, on_chunk_judged);
}

size_t
data_take_chunk(struct session *s, struct str in)
{
	struct transaction *tx = s->tx;
	struct str part = str_sub(in, 0, tx->chunk < in.n ? (size_t)tx->chunk : in.n);
	size_t n;

	(void)!dot_decode(&tx->decoder, part, s->server->decode_room, &n); /* plain: it takes all */
	tx->chunk -= part.n;
	tx->received += part.n;
	session_earned(s, part.n);
	if (examine(s, n) && tx->chunk == 0 && s->state == ST_BDAT)
		chunk_over(s);
	return part.n;
}

/* Throws the chunk away, and then replies as to any command in the wrong state. */
static size_t
take_refused(struct session *s, struct str in)
{
	size_t n = s->skip < in.n ? (size_t)s->skip : in.n;

	s->skip -= n;
	session_earned(s, n);
	if (s->skip == 0) {
		s->take = command_take;
		command_refuse(s, STR_EMPTY);
		(void)session_penalty(s);
	}
	return n;
}

void
refuse_bdat(struct session *s, struct str argument)
{
	bool last;

	if (!parse_chunk(s, argument, &s->skip, &last))
		return;
	if (s->skip == 0)
		command_refuse(s, argument);
	else
		s->take = take_refused;
}
