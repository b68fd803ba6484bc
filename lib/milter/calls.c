/* SPDX-License-Identifier: ISC */
/* A list of questions to master; each ends with its answer, or when it is forgotten. */
#include "lib/milter/calls.h"

#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/milter/milter.h"

struct milter_call {
	struct milter_calls *calls;
	struct milter *milter;
	uint32_t request;
	struct milter_call *next;
};

static void
drop(struct milter_call *call)
{
	struct milter_call **link = &call->calls->first;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	free(call);
}

static void
on_connected(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct milter_call *call = arg;
	struct milter *milter = call->milter;
	struct why why;

	drop(call);
	if (msg != NULL && head->type == MSG_CONNECTED) {
		milter_connected(milter, chan_take_fd(&msg->connected.socket), NULL);
		return;
	}
	if (msg != NULL && head->type == MSG_REFUSED)
		why_from_msg(&why, &msg->refused);
	else
		why_temp(&why, "4.3.0", "no connection");
	milter_connected(milter, -1, &why);
}

bool
milter_calls_connect(
    struct milter_calls *calls, uint64_t trace, struct milter *milter, const char *target)
{
	struct msg_connect msg = {.target = str_from(target)};
	struct milter_call *call = xcalloc(1, sizeof *call);

	*call = (struct milter_call){.calls = calls, .milter = milter};
	call->request = chan_call(calls->master, trace, MSG_CONNECT, &msg, on_connected, call);
	if (call->request == 0) {
		free(call);
		return false;
	}
	call->next = calls->first;
	calls->first = call;
	return true;
}

void
milter_calls_forget(struct milter_calls *calls, struct milter *milter)
{
	for (struct milter_call *call = calls->first; call != NULL; call = call->next) {
		if (call->milter != milter)
			continue;
		chan_forget(calls->master, call->request);
		drop(call);
		return;
	}
}

void
milter_calls_clear(struct milter_calls *calls)
{
	while (calls->first != NULL)
		milter_calls_forget(calls, calls->first->milter);
}
