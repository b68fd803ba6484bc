/* SPDX-License-Identifier: ISC */
/*
 * What cleanup's parts share. A transaction is one message on its way in, from MAIL_OPEN to the
 * answer; the server owns them all. Whoever ends one calls transaction_refuse() or
 * transaction_queued(), which free it.
 */
#ifndef CLEANUP_CLEANUP_H
#define CLEANUP_CLEANUP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "cleanup/conf.h"
#include "lib/base/buf.h"
#include "lib/base/why.h"
#include "lib/mail/content.h"
#include "lib/queue/envelope.h"
#include "lib/queue/jobs.h"
#include "lib/queue/qfile.h"
#include "lib/queue/qid.h"
#include "lib/queue/segment.h"
#include "lib/service/service.h"

struct checks;
struct edits;
struct map;
struct question;

struct cleanup {
	struct service *service;
	struct cleanup_conf *conf;
	int newfd; /* queue/new */
	struct qid ids;
	struct journal *journal;
	struct jobs *jobs; /* syncs of large messages, segments made ready */
	struct map *open;  /* (channel, request) to transaction */
	TAILQ_HEAD(transactions, transaction) transactions;
	size_t ntransactions;
	struct event *ev_idle;
	struct job reserve; /* a new block of queue ids */
	bool reserving;
	bool finished;
	struct loop_task finish;
	bool unannounced;                /* qmgr is to look into new/ by itself */
	uint64_t free_bytes, free_files; /* of the file system, as of `free_at` */
	int64_t free_at;
	void *hash; /* checksum state for one message at a time */
};

enum transaction_state {
	TX_RECEIVING, /* recipients and content come in */
	TX_ASKED,     /* LOOK has come: it is shown when its content is whole and judged */
	TX_SHOWN,     /* what its submitter has made of it comes in */
	TX_COMMITTED, /* COMMIT has come; questions or content may still be on their way */
	TX_WRITING,   /* on its way to the disk: no longer to be stopped */
};

/* One recipient; its texts lie in the transaction's `text`. */
struct recipient {
	size_t address, original, orcpt, transport, nexthop; /* offsets in `text` */
	uint64_t notify, class, generation;
	size_t place; /* which of the submitter's recipients it is, or comes from */
};

struct transaction {
	struct cleanup *c;
	struct chan *ch; /* NULL: whoever sent it is gone */
	struct chan_head head;
	enum transaction_state state;
	int64_t touched; /* clock_ms() of the last message */
	uint64_t arrived;
	struct envelope env; /* texts point into `text` once it is complete */
	struct buf text;     /* of envelope and recipients, each ended by NUL */
	size_t sender, service, client_name, client_addr, helo, proto, tls, login, origin,
	    full_name, envid, parent, hold, filter;
	struct recipient *rcpts;
	size_t nrcpts, rcpts_size;
	size_t places;      /* recipients that the submitter named */
	struct map *seen;   /* addresses, for finding repeated ones; NULL until there are many */
	unsigned questions; /* that router or qmgr has not answered */
	LIST_HEAD(, question) open_questions;
	struct chan *qmgr; /* asked for the child that is there already; NULL: no question open */
	uint32_t parent_id;
	bool parent_known;     /* ... and there is none */
	struct edits *edits;   /* NULL: none so far */
	struct checks *checks; /* of header and body; NULL: none are wanted */
	bool discard;          /* accepted and thrown away */
	/* content */
	struct buf content;   /* what came, as long as it is small; then what is not judged */
	struct buf prepended; /* header lines before all others (MAIL_EDIT) */
	struct buf late;      /* such lines for a header that is in its file already */
	struct buf prefix;    /* trace header, added fields, rewritten header */
	size_t header_end;    /* of `content`, replaced by the prefix */
	uint64_t received, promised; /* bytes that came; that COMMIT said */
	struct content_scan scan;    /* of what came */
	char last_byte;              /* that came */
	bool judged, no_eol;         /* all of it is; its last line had no end */
	bool changed;                /* it is not what came any more */
	bool completed;              /* it has the header fields that it lacked */
	bool own_in_file;            /* ... as our trace fields are, */
	size_t own;                  /* so many octets of the prefix */
	size_t message_id;           /* of one whose header is in its file; in `text` */
	int pipe;                    /* of a large message; -1 */
	bool pipe_ended, pipe_paused;
	struct event *ev_pipe;
	struct qfile file; /* of a large message; fd -1 while it is in memory */
	bool spilled;
	/* what its submitter gave back: see show.h */
	bool kept; /* it still has what it sent */
	bool replacing, replaces_body;
	bool ended;                  /* all of that has come */
	struct buf shown, header;    /* the header that was shown, and the one in its place */
	uint64_t header_size;        /* that was announced */
	uint64_t body_at, body_size; /* in the file */
	struct job sync;
	struct why sync_why; /* class WHY_NONE: the sync went well */
	/* for the journal */
	char id[QID_SIZE];
	struct buf envelope; /* encoded */
	unsigned char frame[SEGMENT_FRAME + HEAD_SIZE];
	struct str rest; /* of `content`, behind the prefix */
	uint64_t offset, space;
	TAILQ_ENTRY(transaction) link, group;
};
TAILQ_HEAD(transaction_group, transaction);

/* The C string at an offset of `text`. */
static inline const char *
tx_text(const struct transaction *t, size_t at)
{
	return buf_cstr(&t->text) + at;
}

#endif
