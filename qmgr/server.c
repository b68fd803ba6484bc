/* SPDX-License-Identifier: ISC */
/*
 * The server. At the start: folders, index, results, then all that stands in new/; nothing is
 * delivered before the workers have said what they are doing. A slow timer looks after what no
 * event would wake.
 */
#include "qmgr/server.h"

#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/layout.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/queue/rebuild.h"
#include "qmgr/clients.h"
#include "qmgr/destination.h"
#include "qmgr/disk.h"
#include "qmgr/due.h"
#include "qmgr/incoming.h"
#include "qmgr/message.h"
#include "qmgr/qmgr.h"
#include "qmgr/record.h"
#include "qmgr/reports.h"
#include "qmgr/route.h"

enum { TICK_MS = 250, SLOW_TICKS = 40, CONTENT_MAX = 64 << 20 };

/* --- beginning --- */

static char *
boot_id(void)
{
	struct buf b;

	buf_init(&b, 256);
	/* Without one every start looks like a power cut: slow, and safe. */
	if (file_read(AT_FDCWD, "/proc/sys/kernel/random/boot_id", &b, NULL) == -1)
		buf_reset(&b);
	return buf_steal(&b);
}

int
server_open(struct service *s, struct why *why)
{
	struct qmgr *q = xcalloc(1, sizeof *q);
	struct layout layout;

	s->state = q;
	q->service = s;
	q->conf = s->conf;
	if (layout_of(&layout, s->root, why) == -1)
		return -1;
	char *path = xasprintf("%s/queue", layout.spool);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	q->index_path = xasprintf("%s/index", path);
	free(path);
	if (fd == -1)
		return why_sys(why, "4.3.0", "open the queue");
	int rc = folders_open(&q->folders, fd, why);
	close(fd);
	q->boot = boot_id();
	clients_open(q);
	return rc;
}

static void
slow_tick(struct qmgr *q)
{
	destination_tick(q);
	incoming_tick(q);
	message_retry_stuck(q);
	if (q->rebuilding)
		return;
	due_again(q);
	uint64_t waiting = qindex_waiting(q->index), all = qindex_count(q->index);
	metric_set(METRIC_WAITING, waiting);
	metric_set(METRIC_HELD, all > waiting ? all - waiting : 0);
}

static void
on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct qmgr *q = arg;

	(void)fd;
	(void)what;
	if (q->finished)
		return;
	if (qindex_broken(q->index)) {
		qindex_distrust(q->index);
		fatal("index: damaged: it is made anew");
	}
	if (message_room(q) == 0)
		destination_make_room(q);
	due_tick(q);
	reports_tick(q);
	clients_tick(q);
	if (++q->ticks % SLOW_TICKS == 0)
		slow_tick(q);
}

/* A handler has no argument: the one index of this process. Set before it is opened. */
static char *index_file;

/* LMDB is a file in memory: where it was cut or overwritten, reading it ends in one of these. The
 * next qmgr finds no index, and makes it anew. */
static void
on_fault(int sig)
{
	(void)sig;                /* by default from now on: the same access ends the process */
	(void)unlink(index_file); /* there is nobody to tell */
}

static void
index_guard(const struct qmgr *q)
{
	struct sigaction sa = {.sa_handler = on_fault, .sa_flags = (int)SA_RESETHAND};

	index_file = xasprintf("%s/data.mdb", q->index_path);
	sigemptyset(&sa.sa_mask);
	if (sigaction(SIGBUS, &sa, NULL) == -1 || sigaction(SIGSEGV, &sa, NULL) == -1)
		fatal("no handlers for faults");
}

static int
index_start(struct qmgr *q, struct why *why)
{
	bool rebuild;

	index_guard(q);
	q->index = qindex_open(
	    q->index_path, (uint64_t)q->conf->qmgr_index_size, str_from(q->boot), &rebuild, why);
	if (q->index == NULL)
		return -1;
	q->next_due = 1;
	if (rebuild) {
		log_info("index: missing, damaged or of another boot: it is made anew");
		disk_rebuild(q);
	}
	return 0;
}

int
server_start(struct service *s, struct why *why)
{
	struct qmgr *q = s->state;
	struct timeval tv = clock_tv(TICK_MS);

	q->messages = map_new();
	TAILQ_INIT(&q->stuck);
	buf_init(&q->content, CONTENT_MAX);
	destination_init(q);
	record_init(q);
	reports_init(q);
	disk_start(q);
	if (index_start(q, why) == -1 || incoming_recover(q, why) == -1)
		return -1;
	q->holding = true;
	q->started = clock_ms();
	q->ev_tick = event_new(s->loop.base, -1, EV_PERSIST, on_tick, q);
	if (q->ev_tick == NULL || event_add(q->ev_tick, &tv) == -1)
		fatal("no timer");
	return 0;
}

void
server_listener(struct service *s, int fd, struct str address)
{
	/* The only listener that qmgr is given. */
	(void)address;
	clients_listen(s->state, fd);
}

/* --- end --- */

/* What is recorded is written and synced, the index is clean. What is under way comes back with the
 * next qmgr's question. */
static void
on_finish(void *arg)
{
	struct qmgr *q = arg;

	clients_close(q);
	record_finish(q);
	jobs_free(&q->disk);
	jobs_free(&q->reader);
	record_finish(q);
	if (fdatasync(q->results.fd) == -1)
		log_error("result journal: cannot be synced");
	rebuild_free(&q->rebuild);
	qindex_close(&q->index, !q->rebuilding);
	service_exit(q->service);
}

void
server_stop(struct service *s, int64_t grace_ms)
{
	struct qmgr *q = s->state;

	(void)grace_ms;
	if (q->finished)
		return;
	q->finished = true;
	q->holding = true; /* nothing new is started */
	q->finish_task = (struct loop_task){.on_round_end = on_finish, .arg = q};
	loop_defer(&s->loop, &q->finish_task);
}

void
server_reload(struct service *s)
{
	struct qmgr *q = s->state;

	/* The values stand in q->conf already; those of the index and the operators' group count
	 * from the next start on. */
	destination_pump(q);
}

/* --- partners --- */

static const struct chan_rule no_rules[] = {
    {MSG_NONE, NULL},
};

const struct service_peer server_peers[] = {
    {PROGRAM_CLEANUP, incoming_rules,      incoming_cleanup, incoming_cleanup_gone},
    {PROGRAM_ROUTER,  route_rules,         NULL,             NULL                 },
    {PROGRAM_REMOTE,  reports_rules,       reports_worker,   reports_worker_gone  },
    {PROGRAM_LOCAL,   reports_rules,       reports_worker,   reports_worker_gone  },
    {PROGRAM_BOUNCE,  reports_rules,       reports_worker,   reports_worker_gone  },
    {PROGRAM_SMTPD,   clients_smtpd_rules, NULL,             clients_channel_gone },
    {PROGRAM_LIMITER, no_rules,            NULL,             NULL                 },
    {PROGRAM_MASTER,  clients_rules,       NULL,             clients_channel_gone },
    {PROGRAM_NONE,    NULL,                NULL,             NULL                 },
};
