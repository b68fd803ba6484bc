/* SPDX-License-Identifier: ISC */
/*
 * What an agent is told: the headers in front of the content, and for a command the documented
 * environment. A leaf that fails does not stop the others; a recipient that is deferred remembers
 * which of them succeeded.
 */
#include "local/act.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/service/service.h"
#include "local/delivery.h"
#include "local/done.h"
#include "local/job.h"

enum { HEADERS_MAX = 4096, ENVIRONMENT_MAX = 16384 };

static struct str
leaf_key(const struct leaf *leaf)
{
	return str_from(leaf->text);
}

/* Postfix's order; Return-Path says what the envelope said (RFC 5321 4.4). */
static int
headers_make(const struct job *j, struct buf *out)
{
	return buf_printf(out, "Return-Path: <%s>\nX-Original-To: %s\nDelivered-To: %s\n",
	    j->d->sender, j->original[0] != '\0' ? j->original : j->address, j->address);
}

/* Postfix's command_expansion_filter: what is not in it becomes '_', so that a shell can take it
 * unquoted. */
static bool
is_harmless(unsigned char c)
{
	static const char harmless[] =
	    "1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return c != '\0' && strchr(harmless, c) != NULL;
}

static int
variable_add(struct buf *out, const char *name, struct str value)
{
	if (buf_printf(out, "%s=", name) == -1)
		return -1;
	for (size_t i = 0; i < value.n; i++)
		if (buf_byte(out, is_harmless((unsigned char)value.p[i]) ? value.p[i] : '_') == -1)
			return -1;
	return buf_byte(out, '\0');
}

static int
environment_make(const struct job *j, const struct leaf *leaf, struct buf *out)
{
	const struct delivery *d = j->d;
	const struct {
		const char *name;
		struct str value;
	} variables[] = {
	    {"USER",               str_from(leaf->who.user)                                   },
	    {"LOGNAME",            str_from(leaf->who.user)                                   },
	    {"HOME",               str_from(leaf->home != NULL ? leaf->home : "/")            },
	    {"SHELL",
             str_from(leaf->shell != NULL && leaf->shell[0] != '\0' ? leaf->shell : "/bin/sh")},
	    {"SENDER",             str_from(d->sender)                                        },
	    {"RECIPIENT",          str_from(j->address)                                       },
	    {"ORIGINAL_RECIPIENT", str_from(j->original[0] != '\0' ? j->original : j->address)},
	    {"LOCAL",              j->parts.local					     },
	    {"DOMAIN",             j->parts.domain					    },
	    {"EXTENSION",          str_from(j->extension)                                     },
	    {"CLIENT_ADDRESS",     str_from(d->client_addr)                                   },
	    {"CLIENT_HOSTNAME",    str_from(d->client_name)                                   },
	    {"CLIENT_HELO",        str_from(d->helo)                                          },
	    {"CLIENT_PROTOCOL",    str_from(d->proto)                                         },
	    {"SASL_USERNAME",      str_from(d->login)                                         },
	    {"QUEUE_ID",           str_from(d->queue_id)                                      },
	    {"MAIL_CONFIG",        str_from(d->l->s->root)                                    },
	};

	for (size_t i = 0; i < NELEM(variables); i++)
		if (variable_add(out, variables[i].name, variables[i].value) == -1)
			return -1;
	return 0;
}

/* "/path/" is a Maildir, "/path" a file; a mailbox must be its user's own. */
static void
action_choose(const struct job *j, const struct leaf *leaf, struct msg_agent_action *action)
{
	const struct local_conf *conf = j->d->l->conf;
	size_t n = strlen(leaf->text);
	bool maildir = leaf->kind != LEAF_COMMAND && n > 0 && leaf->text[n - 1] == '/';

	action->target = str_from(leaf->text);
	action->home = str_from(leaf->home != NULL ? leaf->home : "/");
	action->kind = leaf->kind == LEAF_COMMAND ? AGENT_COMMAND
		       : maildir                  ? AGENT_MAILDIR
						  : AGENT_FILE;
	action->flags = leaf->kind == LEAF_MAILBOX ? AGENT_OWN : 0;
	action->timeout_ms = (uint64_t)(leaf->kind == LEAF_COMMAND ? conf->command_time_limit
								   : conf->mailbox_lock_time_limit);
}

static void
leaf_result(struct job *j, enum delivery_status status, const struct why *why)
{
	bool worse = status == DELIVERY_DEFERRED
			 ? !j->deferred
			 : status == DELIVERY_BOUNCED && !j->deferred && !j->bounced;

	if (status == DELIVERY_SENT)
		done_add(j->d->l, j->d->queue_id, j->index, leaf_key(&j->leaves[j->leaf]));
	if (status == DELIVERY_DEFERRED && j->leaves[j->leaf].kind == LEAF_MAILBOX &&
	    strcmp(why->code, "4.2.0") == 0)
		agent_renew(j->d->l, &j->leaves[j->leaf].who); /* the mailbox may be missing */
	j->deferred = j->deferred || status == DELIVERY_DEFERRED;
	j->bounced = j->bounced || status == DELIVERY_BOUNCED;
	if (worse || (status == DELIVERY_SENT && !j->deferred && !j->bounced))
		j->why = *why;
}

static void
result_read(struct job *j, const struct msg_deliver_result *m)
{
	enum delivery_status status = DELIVERY_DEFERRED;
	struct why why;

	if (m->status == DELIVERY_SENT || m->status == DELIVERY_BOUNCED)
		status = (enum delivery_status)m->status;
	if (status == DELIVERY_BOUNCED)
		why_perm(&why, "5.3.0", "%.*s", STR_ARG(m->text));
	else
		why_temp(
		    &why, status == DELIVERY_SENT ? "2.0.0" : "4.3.0", "%.*s", STR_ARG(m->text));
	if (m->code.n > 0 && m->code.p[0] == why.code[0])
		(void)str_copy(why.code, sizeof why.code, m->code); /* bounded by its field */
	leaf_result(j, status, &why);
}

static void
on_agent(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct job *j = arg;
	struct why why;

	if (msg != NULL && head->type == MSG_AGENT_FORWARD)
		return;
	if (msg != NULL && head->type == MSG_DELIVER_RESULT) {
		if (!j->reported)
			result_read(j, &msg->deliver_result);
		j->reported = true;
		return;
	}
	j->wish = NULL;
	if (!j->reported) {
		if (msg != NULL && head->type == MSG_REFUSED)
			why_from_msg(&why, &msg->refused);
		else
			why_temp(&why, "4.3.0", "the delivery agent ended before it was done");
		leaf_result(j, DELIVERY_DEFERRED, &why);
	}
	j->leaf++;
	act_next(j);
}

static void
leaf_start(struct job *j, const struct leaf *leaf)
{
	struct msg_agent_action action = {0};
	struct agent_request request = {
	    .who = leaf->who, .action = &action, .delivery = j->d, .on_reply = on_agent, .arg = j};
	struct buf headers, environment;
	struct why why;

	j->reported = false;
	buf_init(&headers, HEADERS_MAX);
	buf_init(&environment, ENVIRONMENT_MAX);
	action_choose(j, leaf, &action);
	if (headers_make(j, &headers) == -1 ||
	    (leaf->kind == LEAF_COMMAND && environment_make(j, leaf, &environment) == -1)) {
		why_temp(&why, "4.3.5", "the addresses are too long for a mailbox's headers");
		leaf_result(j, DELIVERY_DEFERRED, &why);
		j->leaf++;
		act_next(j);
	} else {
		action.headers = buf_view(&headers);
		action.environment = buf_view(&environment);
		j->wish = agent_ask(j->d->l, &request);
	}
	buf_free(&environment);
	buf_free(&headers);
}

void
act_next(struct job *j)
{
	if (j->acted == 0)
		j->acted = wall_us();
	while (j->leaf < j->nleaves &&
	       done_has(j->d->l, j->d->queue_id, j->index, leaf_key(&j->leaves[j->leaf])))
		j->leaf++;
	if (j->leaf < j->nleaves)
		leaf_start(j, &j->leaves[j->leaf]);
	else
		job_continue(j);
}
