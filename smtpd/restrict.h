/* SPDX-License-Identifier: ISC */
/* The restriction lists of a server, and `kingpost smtp test`, which runs them for a client that is
 * not there. The gate is in gates.h. */
#ifndef SMTPD_RESTRICT_H
#define SMTPD_RESTRICT_H

#include <sys/queue.h>

#include "lib/access/list.h"
#include "lib/base/attr.h"
#include "lib/chan/chan.h"
#include "lib/mail/networks.h"
#include "smtpd/smtpd.h"

struct policy;
struct trial;
struct verifier;

struct restrictions {
	struct access_rules_list at[AT_COUNT];
	struct networks backup;     /* permit_mx_backup_networks */
	struct policy *policy;      /* the servers that lists name */
	struct verifier *verifier;  /* asks limiter about addresses */
	struct map *warned;         /* what has been warned of, and when (int64_t, owned) */
	TAILQ_HEAD(, trial) trials; /* `kingpost smtp test` under way */
};

/* Parses the lists; -1 with `why` where one is malformed. */
int restrict_start(struct server *server, struct why *why) KP_MUST_USE;
void restrict_stop(struct server *server);

/* EXPLAIN from an operator (explain.c), and his end. */
void restrict_explain(struct chan *ch, const struct chan_head *head, union msg_any *msg);
void restrict_explain_drop(struct server *server, const struct chan *ch);

#endif
