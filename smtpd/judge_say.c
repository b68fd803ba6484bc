/* SPDX-License-Identifier: ISC */
/*
 * What restrictions say: a refusal, now or in the end; and what they do besides, noted in the run
 * and carried out once at its end.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "smtpd/edits.h"
#include "smtpd/judge.h"
#include "smtpd/restrict.h"
#include "smtpd/session.h"

enum { EFFECTS_MAX = 100, WARNED_MAX = 256, WARN_AGAIN_MS = 600 * 1000 };

static void fill(struct why *why, int smtp, const char *code, const char *fmt, va_list ap)
    KP_PRINTF(4, 0);

static void
fill(struct why *why, int smtp, const char *code, const char *fmt, va_list ap)
{
	char text[sizeof why->text], digits[24];
	char first = (char)('0' + (smtp / 100) % 10);

	vsnprintf(text, sizeof text, fmt, ap);
	snprintf(digits, sizeof digits, "%c%s", first, code[0] != '\0' ? code + 1 : ".7.1");
	if (smtp >= 500)
		why_perm(why, digits, "%s", text);
	else
		why_temp(why, digits, "%s", text);
	why->smtp = smtp;
}

enum verdict
judge_refuse(struct judge *j, int smtp, const char *code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fill(&j->why, smtp, code, fmt, ap);
	va_end(ap);
	if (j->why.class == WHY_PERM && j->defer_if_reject.class != WHY_NONE)
		j->why = j->defer_if_reject;
	if (!j->warn)
		return VERDICT_REJECT;
	char text[sizeof j->why.text + 32];
	snprintf(text, sizeof text, "%d %s %s", j->why.smtp, j->why.code, j->why.text);
	judge_effect(j, "reject_warning", str_from(text), EDIT_NONE, STR_EMPTY, STR_EMPTY);
	return VERDICT_DUNNO;
}

void
judge_defer_if_permit(struct judge *j, int smtp, const char *code, const char *fmt, ...)
{
	struct why why;
	va_list ap;

	va_start(ap, fmt);
	fill(&why, smtp, code, fmt, ap);
	va_end(ap);
	if (j->warn || j->defer_if_permit.class != WHY_NONE)
		return;
	j->defer_if_permit = why;
}

void
judge_defer_if_reject(struct judge *j, int smtp, const char *code, const char *fmt, ...)
{
	struct why why;
	va_list ap;

	va_start(ap, fmt);
	fill(&why, smtp, code, fmt, ap);
	va_end(ap);
	if (j->warn || j->defer_if_reject.class != WHY_NONE)
		return;
	j->defer_if_reject = why;
}

enum verdict
judge_broken(struct judge *j, const char *what)
{
	char room[400];
	struct reply_about about = judge_about(j, room, sizeof room);

	judge_effect(j, "warning", str_from(what), EDIT_NONE, STR_EMPTY, STR_EMPTY);
	return judge_refuse(j, 451, "4.3.5", "<%s>: %s rejected: Server configuration error",
	    about.name, about.class);
}

void
judge_effect(struct judge *j, const char *log, struct str text, enum mail_edit edit,
    struct str name, struct str value)
{
	if (j->neffects == EFFECTS_MAX)
		return;
	j->effects = xrealloc(j->effects, size_mul(j->neffects + 1, sizeof *j->effects));
	j->effects[j->neffects++] = (struct effect){
	    .log = log,
	    .text = str_dup(text),
	    .edit = edit,
	    .name = str_dup(name),
	    .value = str_dup(value),
	};
}

void
judge_effects_clear(struct judge *j)
{
	for (size_t i = 0; i < j->neffects; i++) {
		free(j->effects[i].text);
		free(j->effects[i].name);
		free(j->effects[i].value);
	}
	free(j->effects);
	j->effects = NULL;
	j->neffects = 0;
}

static void
effect_log(const struct judge *j, const struct effect *e)
{
	const struct session *s = j->s;
	struct ev_reject ev = {
	    .queue_id = STR_EMPTY,
	    .action = str_from(e->log),
	    .stage = str_from(j->who.protocol_state),
	    .client_name = str_from(j->who.client_name),
	    .client_addr = str_from(j->who.client_addr),
	    .reply = str_from(e->text),
	    .sender = j->who.sender != NULL ? addr_text(j->who.sender) : STR_EMPTY,
	    .recipient = str_from(j->who.rcpt),
	    .proto = session_proto(s),
	    .helo = str_from(j->who.helo),
	};

	log_event(j->trace, EV_REJECT, &ev);
}

/* A fault that each mail meets is a line now and then, not one for each. */
static void
warn_once(struct restrictions *r, struct str text)
{
	int64_t now = clock_ms(), *when = map_get(r->warned, text);

	if (when == NULL && map_count(r->warned) >= WARNED_MAX) {
		map_free(&r->warned, free);
		r->warned = map_new();
	}
	if (when == NULL) {
		when = xmalloc(sizeof *when);
		*when = now - WARN_AGAIN_MS;
		map_put(r->warned, text, when);
	}
	if (now - *when < WARN_AGAIN_MS)
		return;
	*when = now;
	log_warning("%.*s", STR_ARG(text));
}

bool
judge_effects_do(struct judge *j)
{
	bool done = true;

	for (size_t i = 0; i < j->neffects; i++) {
		const struct effect *e = &j->effects[i];
		if (j->s == NULL) { /* a test changes nothing */
			if (j->explain != NULL && e->log != NULL)
				(void)!buf_printf(j->explain, "effect: %s: %s\n", e->log, e->text);
			continue;
		}
		if (e->log != NULL && strcmp(e->log, "warning") == 0)
			warn_once(j->server->restrictions, str_from(e->text));
		else if (e->log != NULL)
			effect_log(j, e);
		if (e->edit != EDIT_NONE && j->s->tx != NULL)
			done =
			    edits_add(j->s->tx, e->edit, str_from(e->name), str_from(e->value)) &&
			    done;
	}
	return done;
}
