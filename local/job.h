/* SPDX-License-Identifier: ISC */
/*
 * One recipient of a delivery, from its address to its result. Phases, in this order, none entered
 *twice:
 *
 *	EXPAND	the address becomes addresses for a child message, and leaves: mailboxes, files,
 *commands CHILD	the child message is being committed by cleanup ACT	the leaves are done,
 *one after the other, by delivery agents DONE	the result is there
 *
 * Up to EXPAND nothing has happened that anybody could see; from CHILD on a job goes on even where
 *qmgr dies.
 */
#ifndef KP_LOCAL_JOB_H
#define KP_LOCAL_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/why.h"
#include "lib/msg/msg.h"
#include "lib/table/address.h"
#include "local/agents.h"

struct child;
struct delivery;
struct map;

enum job_phase { JOB_NEW, JOB_EXPAND, JOB_CHILD, JOB_ACT, JOB_DONE };

/* Where a target came from: allow_mail_to_commands and _files go by it. */
enum target_origin { ORIGIN_ALIAS, ORIGIN_FORWARD, ORIGIN_INCLUDE };

/* Something that is still to be expanded. */
enum item_kind {
	ITEM_NAME,    /* a local name, perhaps an alias */
	ITEM_USER,    /* a user: account, ~/.forward, mailbox */
	ITEM_MAILBOX, /* a user's mailbox, without ~/.forward */
	ITEM_INCLUDE, /* a file of targets */
};

struct item {
	enum item_kind kind;
	char *text;            /* owned: name or path */
	struct agent_user who; /* ITEM_INCLUDE: reads as */
	int64_t depth;
};

enum leaf_kind { LEAF_MAILBOX, LEAF_FILE, LEAF_COMMAND };

/* Something that is to be done. */
struct leaf {
	enum leaf_kind kind;
	char
	    *text; /* owned: path or command; LEAF_MAILBOX: the mailbox's path or mailbox_command */
	struct agent_user who;
	char *home, *shell; /* owned; NULL where there is no account */
};

struct job {
	struct delivery *d;
	uint64_t index, notify, class;
	char *address, *original, *orcpt; /* owned */
	struct address parts;             /* of `address` */
	char *name;      /* owned: the local part without quotes, extension included */
	char *user;      /* owned: without the extension, lower case */
	char *extension; /* owned */
	enum job_phase phase;
	/* EXPAND */
	struct item *items;
	size_t nitems, at; /* items before `at` are done */
	struct map *seen;  /* names that have been looked up */
	bool bare;         /* the current name is looked up without its extension */
	char **targets;    /* of the file being read: kind letter and text */
	size_t ntargets;
	struct mailbox_account *account; /* of the current ITEM_USER */
	bool broken;                     /* the file that is being read is not usable */
	bool expanded;                   /* an alias or ~/.forward applied */
	/* CHILD */
	char **addresses;
	size_t naddresses;
	char *sender; /* owned: owner-NAME's address; NULL: the message's own */
	struct child *child;
	char child_id[MSG_ID_MAX + 1];
	/* ACT */
	struct leaf *leaves;
	size_t nleaves, leaf;
	bool deferred, bounced, reported;
	/* under way */
	struct chan *router;
	uint32_t request;
	struct agent_wish *wish;
	/* DONE */
	bool news; /* the result has not been sent */
	enum delivery_status status;
	struct why why; /* code and text of the result */
	int64_t acted;  /* wall clock, us: when the first leaf was begun */
};

struct job *job_new(struct delivery *d, const struct msg_deliver_rcpt *m);
void job_free(struct job **jp);

/* All recipients of the delivery begin. */
void jobs_start(struct delivery *d);

bool job_is_done(const struct job *j);
bool job_must_finish(const struct job *j); /* it has begun to act, or is done */
bool job_is_probe(const struct job *j);    /* nothing is delivered: only whether it could be */
bool job_take_news(struct job *j);         /* true once, when the result is there */
uint64_t job_index(const struct job *j);
void job_result(const struct job *j, struct msg_deliver_result *msg);

/* For the phases' files: what comes next, and how a job ends. Both may end the job; neither frees
 * it. */
void job_continue(struct job *j);
void job_end(struct job *j, enum delivery_status status, const char *code, const char *fmt, ...)
    KP_PRINTF(4, 5);
void job_end_why(struct job *j, const struct why *why);

#endif
