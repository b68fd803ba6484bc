/* SPDX-License-Identifier: ISC */
/* What master's parts share. */
#ifndef KP_MASTER_MASTER_H
#define KP_MASTER_MASTER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include "lib/chan/chan.h"
#include "lib/chan/loop.h"
#include "lib/conf/config.h"
#include "lib/metrics/metrics.h"
#include "lib/service/program.h"
#include "master/conf.h"
#include "settings/all.h"

struct event;
struct why;

enum {
	METRIC_SLOTS = 256,
	SAMPLES = 13, /* of the counters, SAMPLE_MS apart: rates are those of the last minute */
	SAMPLE_MS = 5000,
};

/* The counters at a moment. */
struct sample {
	int64_t when_ms;
	uint64_t counts[METRIC_COUNT];
};

enum worker_state {
	WORKER_STARTING, /* has been told START */
	WORKER_READY,
	WORKER_RETIRING, /* serves until its successor does */
	WORKER_STOPPING, /* has been told STOP */
	WORKER_FAILED,   /* said FAILED; will exit */
};

/* A service of the configuration, and how its workers fare. */
struct service_unit {
	char *name;
	enum program program;
	size_t wanted; /* workers */
	char *user;
	char *fingerprint; /* of all its values: has a reload changed anything? */
	struct setting_list listen;
	size_t number; /* in the configuration */
	uint64_t restarts;
	unsigned early_deaths; /* in a row */
	int64_t backoff_ms;
	struct event *ev_restart;
	struct master *master;
	TAILQ_ENTRY(service_unit) link;
};

/* A process. */
struct worker {
	struct master *master;
	struct service_unit *unit; /* NULL: its service is no more */
	enum program program;
	char *name;         /* "smtp/0" */
	const char *caller; /* an operator behind the control socket: see worker_channel() */
	uint64_t id, number;
	pid_t pid;
	unsigned slot;
	enum worker_state state;
	int64_t started_ms;
	struct chan *ch;
	bool draining;         /* told to stop, with time for its sessions */
	struct event *ev_stop; /* its partners have been told that it retires; NULL: not yet */
	TAILQ_ENTRY(worker) link;
};

/* A socket that is bound, kept as long as some service listens there. */
struct listener {
	char *address;
	int fd;
	bool wanted; /* a mark that listen_sweep() looks at */
	bool kept;   /* not from the configuration: never swept */
	TAILQ_ENTRY(listener) link;
};

struct master {
	struct loop loop;
	struct settings_all all;
	struct config *config;
	struct master_conf conf;
	bool privileged;
	uint64_t generation, next_id;
	int64_t started_us;
	TAILQ_HEAD(, service_unit) units;
	TAILQ_HEAD(, worker) workers;
	TAILQ_HEAD(, listener) listeners;
	TAILQ_HEAD(, control_session) sessions;
	int metrics_fd;
	struct metric_slot *metrics;
	bool slot_used[METRIC_SLOTS];
	struct sample samples[SAMPLES]; /* a ring; when_ms 0: not taken yet */
	size_t next_sample;
	struct event *ev_sample;
	struct pidfh *pidfile;
	int control_fd;
	struct event *ev_control;
	int ready_fd;        /* whom to tell when all is ready, -1: nobody */
	unsigned stop_phase; /* 0: running */
	int stop_signal;
	struct event *ev_deadline;
	struct chan *log;
	struct event *ev_signals[4];
};

/* --- prepare.c: folders, owners, the pid file --- */
int prepare_folders(const struct master *m, struct why *why) KP_MUST_USE;
int prepare_pidfile(struct master *m, struct why *why) KP_MUST_USE;

/* --- listen.c --- */
/* Binds what `list` names and is not bound yet, marks all of it wanted. */
int listen_want(struct master *m, const struct setting_list *list, struct why *why) KP_MUST_USE;
/* Closes what is not wanted; the marks are cleared. */
void listen_sweep(struct master *m);
struct listener *listen_find(struct master *m, const char *address);
/* A UNIX socket at run/NAME with this mode; replaces one that is left over. -1 with `why`. */
int listen_unix(const struct master *m, const char *name, mode_t mode, struct why *why) KP_MUST_USE;
/* Connects to a configured target for a worker: "unix:PATH" or "inet:HOST:PORT" with a literal
 * address. -1 with `why`. */
int listen_connect(const char *target, struct why *why) KP_MUST_USE;

/* --- units.c: from configuration to services --- */
/* Takes over a configuration that has no faults: services appear, change, go. */
int units_apply(struct master *m, struct config *config, struct why *why) KP_MUST_USE;
struct service_unit *units_find(struct master *m, const char *name);

/* --- worker.c: processes --- */
void worker_start(struct service_unit *unit);
void worker_stop(struct worker *w, bool drain);
void workers_reload(struct master *m, struct service_unit *unit);
void workers_fill(struct service_unit *unit);
void workers_reap(struct master *m);
size_t workers_count(const struct master *m, const struct service_unit *unit, bool ready_only);
/* A channel from outside to a worker of that program, as its peer "master", whose service is
 * "owner" (root, or whose instance it is) or "operator". -1 with `why`. */
int worker_channel(struct master *m, struct str name, bool owner, struct why *why) KP_MUST_USE;

/* --- control.c: the control socket --- */
int control_open(struct master *m, struct why *why) KP_MUST_USE;
void control_close(struct master *m);

/* --- main.c --- */
void master_ready(struct master *m);
void master_failed(struct master *m, const char *text);
int master_reload(struct master *m, struct buf *errors);
void master_stop(struct master *m, int signal);
/* A worker has gone while the suite stops: on to the next phase when this one is empty. */
void master_stopping(struct master *m);

#endif
