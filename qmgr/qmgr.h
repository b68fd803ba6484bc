/* SPDX-License-Identifier: ISC */
/*
 * What qmgr's parts share. Ownership: qmgr owns messages, destinations, segments and workers; a
 * message owns its works, a work stands in its destination's queue or is under way at a worker.
 */
#ifndef QMGR_QMGR_H
#define QMGR_QMGR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "lib/base/buf.h"
#include "lib/chan/loop.h"
#include "lib/queue/folders.h"
#include "lib/queue/jobs.h"
#include "lib/queue/qid.h"
#include "lib/queue/qindex.h"
#include "lib/queue/results.h"
#include "lib/queue/state.h"
#include "lib/service/service.h"
#include "qmgr/conf.h"

struct event;
struct map;
struct rebuild;

/* A journal segment under one seal, as long as anything of it matters. */
struct segment_ref {
	uint64_t number, seal, size;
	int fd;
	uint64_t end; /* all before this is known */
	struct extent {
		uint64_t offset, length; /* frame and all */
	} * waiting;                     /* known and not yet loaded: [taken, nwaiting) */
	size_t taken, nwaiting, size_waiting;
	size_t live;  /* messages in memory whose content is here */
	bool closed;  /* nothing more will be written under this seal */
	bool drained; /* closed, and all is done or moved; told to cleanup once the results are
			 durable */
	bool syncing; /* a sync of the results that began after it was drained is under way, or over
		       */
	bool freed;   /* cleanup has been told */
	LIST_ENTRY(segment_ref) link;
	TAILQ_ENTRY(segment_ref) backlog;
	bool in_backlog;
};

enum place { PLACE_SEGMENT, PLACE_FILE };

enum phase {
	PHASE_IDLE,    /* not in this activation */
	PHASE_ASKING,  /* router was asked */
	PHASE_QUEUED,  /* in a destination's queue */
	PHASE_RUNNING, /* under way */
	PHASE_BUSY,    /* under way since before this qmgr started */
};

struct rcpt_run {
	uint8_t phase; /* enum phase */
	bool dirty;    /* its result is not recorded yet */
};

/* An acknowledgement that is due when something is recorded. */
struct ack {
	uint64_t worker; /* serial number */
	uint32_t request;
	char id[HEAD_ID_MAX];
};

struct acks {
	struct ack *items;
	size_t n, size;
};

/* What an operator wants of a message; LEAVE: its segment is wanted, it is to get a file. */
enum wish { WISH_NONE, WISH_HOLD, WISH_RELEASE, WISH_DELETE, WISH_REQUEUE, WISH_LEAVE };

struct message {
	struct qmgr *q;
	struct state st;
	enum place place;
	struct segment_ref *segment; /* PLACE_SEGMENT */
	uint64_t offset, length;     /* of the frame */
	enum folder folder;          /* PLACE_FILE */
	uint64_t entries_end;        /* PLACE_FILE: where the next entry goes */
	struct rcpt_run *run;
	size_t pending;      /* recipients (and notices) that are not back yet */
	unsigned disk;       /* jobs of the disk's thread */
	bool check_later;    /* message_check() once the disk is done */
	size_t new_children; /* of `st.children`, at its end: not recorded yet */
	bool scheduled;      /* SCHEDULE changed and is not recorded */
	bool notice_failed;
	bool leaving;     /* memory is given up once the disk has it */
	bool rerouted;    /* the envelope's routes are not to be used */
	unsigned crashes; /* workers that died over it in this activation */
	uint64_t active;  /* microseconds since 1970: in memory since */
	enum wish wish;
	char *wish_text;
	struct acks acks; /* due when what is dirty has been recorded */
	LIST_HEAD(, work) works;
	LIST_HEAD(, route_question) questions;
	TAILQ_ENTRY(message) stuck;
	bool is_stuck;
};

/* Recipients of one message for one destination; in the queue, or under way as a delivery. */
struct work {
	struct message *m;
	struct destination *d;
	uint32_t *rcpts;
	size_t n, size;
	int notice;            /* enum dsn_action for a work of bounce, else -1 */
	struct worker *worker; /* NULL: in the queue */
	uint32_t request;
	bool queued;
	TAILQ_ENTRY(work) link; /* of the destination's queue */
	LIST_ENTRY(work) of_message, of_worker;
};
TAILQ_HEAD(work_queue, work);

struct destination {
	char *transport, *nexthop;
	struct work_queue queue;
	size_t running;
	size_t window;    /* deliveries at once, by feedback */
	size_t failures;  /* in a row, without the destination ever speaking */
	bool dead;        /* nothing but a probe is tried */
	int64_t probe_at; /* clock_ms(); when dead */
	unsigned probes;  /* that failed */
	int64_t touched;  /* clock_ms() of the last delivery's end */
	int64_t heard;    /* ... or of the first delivery's start where none was under way */
	char code[12];
	char *reason; /* why it is dead */
	bool probing; /* dead, and a probe may go or is under way */
	bool keep;    /* in use further up the stack: not to be freed */
	bool ready;   /* in the ring */
	bool in_dead; /* in the list of dead ones with something to put off */
	TAILQ_ENTRY(destination) ring, dead_link;
};

/* A delivering program at the other end of a channel: remote, local or bounce. */
struct worker {
	struct qmgr *q;
	struct chan *ch;
	enum program program;
	uint64_t serial;
	bool reported; /* it has said what it was doing: it may be given work */
	bool watched;  /* waiting for its channel to have room */
	int64_t asked; /* clock_ms() of the question */
	LIST_HEAD(, work) works;
	LIST_ENTRY(worker) link;
};

struct qmgr {
	struct service *service;
	struct qmgr_conf *conf;
	struct folders folders;
	char *index_path, *boot;
	struct qindex *index;
	struct rebuild *rebuild; /* the disk thread's; NULL: none under way */
	bool rebuilding;
	struct jobs *disk, *reader;
	struct results results;
	struct acks acks; /* due after the next results_write() */
	struct loop_task record_task, pump_task, load_task, finish_task;
	struct event *ev_sync, *ev_tick;
	bool sync_armed, results_dirty, syncing, finished;
	struct map *messages; /* by id */
	size_t nmessages;
	struct map *recovered; /* id to struct recovered: what the result journal said at the start;
				  NULL: used up */
	struct map *busy;      /* "ID index" to struct busy: under way since before the start */
	struct map *orphans;   /* id to struct orphan: results of messages that are not in memory */
	LIST_HEAD(, segment_ref) segments;
	TAILQ_HEAD(, segment_ref) backlog; /* with extents to load */
	struct buf readahead;
	const struct segment_ref *readahead_of;
	uint64_t readahead_at;
	struct map *destinations;
	TAILQ_HEAD(, destination) ring, dead;
	LIST_HEAD(, worker) workers;
	uint64_t last_worker;
	size_t running;
	bool holding; /* nothing is started until the workers of before have reported */
	int64_t started;
	unsigned ticks;
	TAILQ_HEAD(, message) stuck;
	struct qindex_key due_after;
	uint64_t next_due; /* microseconds since 1970; 0: nothing waits */
	bool due_unread;   /* rows before the cursor could not be loaded */
	bool new_unread;   /* something in new/ could not be read */
	bool due_running;
	uint64_t generation; /* of router's tables; 0: not told */
	struct buf content;  /* scratch */
	int listener;
	struct event *ev_listener;
	struct client_list *clients;
	LIST_HEAD(, request) requests;
	size_t nclients;
};

#endif
