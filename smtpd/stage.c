/* SPDX-License-Identifier: ISC */
/*
 * Walks the gates of a stage. Who waits for a gate is a session that takes no input; the walk goes
 * on where it stood, and the session resumes only where nothing else has made it wait meanwhile.
 */
#include "smtpd/stage.h"

#include "lib/base/panic.h"
#include "lib/service/service.h"
#include "smtpd/gates.h"
#include "smtpd/routes.h"
#include "smtpd/session.h"

static const struct gate *const gates[] = {
    &gate_limits,
    &gate_screen,
    &gate_restrict,
    &gate_milter,
    NULL,
};

static void
finish(struct session *s, const struct why *why)
{
	stage_then_fn *then = s->stage_then;

	s->stage = 0;
	s->stage_then = NULL;
	then(s, why);
}

/* From gate `s->gate` on; true where a gate waits. */
static bool
walk(struct session *s)
{
	for (; gates[s->gate] != NULL; s->gate++) {
		const struct gate *gate = gates[s->gate];
		struct why why = {0};

		if ((gate->stages & s->stage) == 0)
			continue;
		switch (gate->ask(s, s->stage, &why)) {
		case GATE_PASS:
			break;
		case GATE_REFUSE:
			finish(s, &why);
			return false;
		case GATE_WAIT:
			return true;
		}
	}
	finish(s, NULL);
	return false;
}

void
stage_begin(struct session *s, enum stage stage, stage_then_fn *then)
{
	if (s->stage != 0)
		panic("stage: one within another");
	s->stage = stage;
	s->stage_then = then;
	s->gate = 0;
	(void)walk(s);
}

void
stage_go_on(struct session *s, const struct why *why)
{
	if (s->state == ST_CLOSING || s->stage == 0)
		return;
	s->waiting = false;
	if (why != NULL) {
		finish(s, why);
	} else {
		s->gate++;
		if (walk(s))
			return;
	}
	if (!s->waiting)
		session_resume(s);
}

enum stage
stage_now(const struct session *s)
{
	return s->stage;
}

void
stage_drop(struct session *s)
{
	for (size_t i = 0; gates[i] != NULL; i++)
		if (gates[i]->drop != NULL)
			gates[i]->drop(s);
}

void
stage_drop_mail(struct transaction *tx)
{
	for (size_t i = 0; gates[i] != NULL; i++)
		if (gates[i]->drop_mail != NULL)
			gates[i]->drop_mail(tx);
}

bool
session_ask(struct session *s, int program, uint64_t hash, enum msg_type type, const void *msg,
    chan_reply_fn *on_reply)
{
	struct chan *ch = service_peer(s->server->service, (enum program)program, hash);

	s->question = ch != NULL ? chan_call(ch, s->trace, type, msg, on_reply, s) : 0;
	s->asked = s->question != 0 ? ch : NULL;
	return s->question != 0;
}

void
session_answered(struct session *s)
{
	s->asked = NULL;
	s->question = 0;
}
