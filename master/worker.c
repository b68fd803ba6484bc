/* SPDX-License-Identifier: ISC */
/*
 * The life of a worker: started with a control channel as its descriptor 3, told who it is, given
 * its listeners, metrics and channels, started; and reaped, with a replacement. Order matters in
 * one place: the settings go before everything that a program may read them for. A back-off begins
 * with the third death in a row that came within two seconds of life.
 */
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "master/master.h"
#include "master/wiring.h"

enum {
	CONTROL_FD = 3,
	CHANNEL_BUFFER = 2 * 1024 * 1024,
	YOUNG_MS = 2000,
	DEATHS_BEFORE_BACKOFF = 3,
	BACKOFF_MIN_MS = 100,
	BACKOFF_MAX_MS = 60 * 1000,
	RETIRE_MS = 1000, /* until all partners have heard of it */
};

/* --- channels --- */

static int
make_pair(int fds[2], struct why *why)
{
	int size = CHANNEL_BUFFER;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == -1)
		return why_sys(why, "4.3.0", "make a channel");
	for (int i = 0; i < 2; i++) /* as far as the kernel lets us; root may go beyond its limit */
		if (setsockopt(fds[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) == -1)
			setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	return 0;
}

static void
send_peer(struct worker *to, const struct worker *about, int fd)
{
	struct msg_peer msg = {
	    .program = about->program,
	    .service = str_from(about->unit != NULL ? about->unit->name : about->caller),
	    .id = about->id,
	    .worker = about->number,
	    .pid = (uint64_t)about->pid,
	    .channel = fd,
	};

	(void)!chan_send(to->ch, 0, 0, MSG_PEER, &msg); /* a dead worker is reaped and wired anew */
}

static void
join(struct worker *a, struct worker *b)
{
	int fds[2];
	struct why why;

	if (!wiring_joins(a->program, b->program) || a->ch == NULL || b->ch == NULL)
		return;
	if (make_pair(fds, &why) == -1) {
		log_error("%s and %s: %s", a->name, b->name, why.text);
		return;
	}
	send_peer(a, b, fds[0]);
	send_peer(b, a, fds[1]);
	close(fds[0]);
	close(fds[1]);
}

int
worker_channel(struct master *m, struct str name, bool owner, struct why *why)
{
	enum program program = program_find(name);
	struct worker *w;
	int fds[2];

	TAILQ_FOREACH (w, &m->workers, link)
		if (w->state == WORKER_READY &&
		    (program != PROGRAM_NONE ? w->program == program
					     : w->unit != NULL && str_is(name, w->unit->name)))
			break;
	if (w == NULL)
		return why_temp(why, "4.3.0", "%.*s is not running", STR_ARG(name));
	if (make_pair(fds, why) == -1)
		return -1;
	struct worker us = {
	    .program = PROGRAM_MASTER,
	    .id = m->next_id++,
	    .pid = getpid(),
	    .caller = owner ? "owner" : "operator",
	};
	send_peer(w, &us, fds[0]);
	close(fds[0]);
	return fds[1];
}

static void
on_log_gone(struct chan *ch, void *owner)
{
	struct master *m = owner;

	(void)ch;
	m->log = NULL;
	log_channel(NULL);
}

/* master's own line to logger. */
static void
open_log(struct master *m, struct worker *logger)
{
	struct worker us = {.program = PROGRAM_MASTER, .id = m->next_id++, .pid = getpid()};
	int fds[2];
	struct why why;

	if (make_pair(fds, &why) == -1)
		return;
	send_peer(logger, &us, fds[0]);
	close(fds[0]);
	log_channel(NULL);
	chan_close(&m->log);
	m->log = chan_new(&m->loop, fds[1], "logger", NULL, m, on_log_gone);
	log_channel(m->log);
}

/* --- replacing a worker that serves --- */

static void
on_partners_know(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	worker_stop(arg, true);
}

static void
announce_retirement(struct worker *w)
{
	struct msg_peer_retires msg = {.id = w->id};
	struct timeval tv = clock_tv(RETIRE_MS);
	struct worker *other;

	TAILQ_FOREACH (other, &w->master->workers, link)
		if (other->ch != NULL && wiring_joins(w->program, other->program))
			(void)!chan_send(
			    other->ch, 0, 0, MSG_PEER_RETIRES, &msg); /* see send_peer() */
	w->ev_stop = evtimer_new(w->master->loop.base, on_partners_know, w);
	if (w->ev_stop == NULL || evtimer_add(w->ev_stop, &tv) == -1)
		fatal("no timer");
}

/* The new generation serves: the old one may go, in three steps, so that no request meets a program
 * that refuses it. */
static void
let_go(struct service_unit *unit)
{
	struct worker *w;

	if (workers_count(unit->master, unit, true) < unit->wanted)
		return;
	TAILQ_FOREACH (w, &unit->master->workers, link)
		if (w->unit == unit && w->state == WORKER_RETIRING && w->ev_stop == NULL)
			announce_retirement(w);
}

/* --- what a worker says --- */

static void
on_ready(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct worker *w = chan_owner(ch);

	(void)head;
	(void)msg;
	if (w->state == WORKER_STARTING)
		w->state = WORKER_READY;
	if (w->unit != NULL)
		let_go(w->unit);
	master_ready(w->master);
}

static void
on_failed(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct worker *w = chan_owner(ch);
	char *text = xasprintf("service %s: %.*s", w->unit != NULL ? w->unit->name : w->name,
	    STR_ARG(msg->failed.text));

	(void)head;
	w->state = WORKER_FAILED;
	master_failed(w->master, text);
	free(text);
}

static void
on_retire(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct worker *w = chan_owner(ch);

	(void)head;
	(void)msg;
	if (w->unit == NULL || w->state != WORKER_READY || w->master->stop_phase != 0 ||
	    wiring_program(w->program)->single)
		return;
	w->state = WORKER_RETIRING;
	workers_fill(w->unit);
}

/* Whether a worker may be given this: the configuration names it, or it lies in shared_paths. */
static bool
may_have(struct worker *w, struct str what)
{
	const struct setting_list *shared = &w->master->conf.shared_paths;

	if (config_mentions(w->master->config, what))
		return true;
	if (what.n == 0 || what.p[0] != '/' || memmem(what.p, what.n, "/../", 4) != NULL)
		return false;
	for (size_t i = 0; i < shared->n; i++) {
		struct str folder = str_from(shared->items[i]);
		if (str_starts(what, folder) && what.n > folder.n && what.p[folder.n] == '/')
			return true;
	}
	return false;
}

static void
on_connect(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct worker *w = chan_owner(ch);
	struct str place = str_from_at(msg->connect.target, sizeof "unix:" - 1);
	struct why why;
	char *target = str_dup(msg->connect.target);
	int fd = -1;

	if (!may_have(w, place))
		why_perm(
		    &why, "5.3.5", "%s: not in the configuration or below shared_paths", target);
	else
		fd = listen_connect(target, &why);
	free(target);
	if (fd == -1) {
		chan_refuse(ch, head, &why);
		return;
	}
	struct msg_connected reply = {.socket = fd};
	chan_reply(ch, head, MSG_CONNECTED, &reply);
	close(fd);
}

/* A file that keeper may read and cannot open: a private key, mostly. */
static void
on_open(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct worker *w = chan_owner(ch);
	struct msg_opened reply = {.file = -1};
	struct stat st;
	struct why why;
	char *path = str_dup(msg->open.path);

	if (w->program != PROGRAM_KEEPER || !may_have(w, msg->open.path)) {
		why_perm(&why, NULL, "%s: not in the configuration or below shared_paths", path);
	} else if ((reply.file = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC)) == -1 ||
		   fstat(reply.file, &st) == -1) {
		why_sys(&why, NULL, "%s", path);
		fd_close(&reply.file);
	} else if (!S_ISREG(st.st_mode)) {
		why_perm(&why, NULL, "%s: expected a file", path);
		fd_close(&reply.file);
	}
	free(path);
	if (reply.file == -1) {
		chan_refuse(ch, head, &why);
		return;
	}
	chan_reply(ch, head, MSG_OPENED, &reply);
	fd_close(&reply.file);
}

static const struct chan_rule from_worker[] = {
    {MSG_READY,   on_ready  },
    {MSG_FAILED,  on_failed },
    {MSG_RETIRE,  on_retire },
    {MSG_CONNECT, on_connect},
    {MSG_OPEN,    on_open   },
    {MSG_NONE,    NULL      },
};

static void
on_worker_gone(struct chan *ch, void *owner)
{
	struct worker *w = owner;

	(void)ch;
	w->ch = NULL; /* the process is reaped by its pid; one that closed its channel and lives on
			 is ended */
	if (w->pid > 0)
		kill(w->pid, SIGTERM);
}

/* --- starting --- */

static void
send_row(const struct settings *table, const struct setting *row, void *arg)
{
	struct worker *w = arg;

	if (table == &service_settings)
		return;
	struct buf tables;
	struct msg_setting msg = {
	    .name = str_from(row->name),
	    .value = str_from(config_value(w->master->config, w->unit->number, row, NULL)),
	};
	buf_init(&tables, MSG_VALUE_MAX);
	if (w->program == PROGRAM_ROUTER && strcmp(row->name, "access_tables") == 0 &&
	    buf_str(&tables, msg.value) == 0) {
		settings_access_tables(w->master->config, &tables);
		msg.value = buf_view(&tables);
	} else if (w->program == PROGRAM_TABLES && strcmp(row->name, "remote_tables") == 0) {
		settings_remote_tables(
		    w->master->config, &tables); /* it has those of its own, too */
		msg.value = buf_view(&tables);
	} else if (w->program == PROGRAM_KEEPER && strcmp(row->name, "sasl_services") == 0) {
		settings_sasl_services(w->master->config, &tables);
		msg.value = buf_view(&tables);
	}
	if (chan_send(w->ch, 0, 0, MSG_SETTING, &msg) == -1)
		log_error("%s: cannot be told setting %s", w->name, row->name);
	buf_free(&tables);
}

static void
send_hello(struct worker *w)
{
	const struct master *m = w->master;
	char *empty = xasprintf("%s/empty", m->all.layout.run);
	struct msg_hello msg = {
	    .service = str_from(w->unit->name),
	    .worker = w->number,
	    .generation = m->generation,
	    .privileged = m->privileged,
	    .slot = w->slot,
	    .user = str_from(w->unit->user),
	    .empty = str_from(empty),
	    .root = str_from(m->all.layout.root),
	};

	(void)!chan_send(w->ch, 0, 0, MSG_HELLO, &msg); /* see send_peer() */
	free(empty);
}

static void
send_listener(struct worker *w, const char *address, int fd)
{
	struct msg_listener msg = {.address = str_from(address), .socket = fd};

	(void)!chan_send(w->ch, 0, 0, MSG_LISTENER, &msg);
}

/* The two sockets with a path that workers accept on; bound for the first worker and kept for its
 * successors. */
static void
send_unix_listener(struct worker *w, const char *name)
{
	struct why why;
	struct listener *l = listen_find(w->master, name);

	if (l == NULL) {
		int fd = listen_unix(w->master, name, 0666, &why);
		if (fd == -1) {
			master_failed(w->master, why.text);
			return;
		}
		l = xcalloc(1, sizeof *l);
		*l = (struct listener){.address = xstrdup(name), .fd = fd, .kept = true};
		TAILQ_INSERT_TAIL(&w->master->listeners, l, link);
	}
	send_listener(w, name, l->fd);
}

static void
introduce(struct worker *w)
{
	struct master *m = w->master;
	struct worker *other;
	struct msg_resource metrics = {.name = STR("metrics"), .file = m->metrics_fd};
	struct msg_start start = {0};

	send_hello(w);
	config_each_row(m->config, w->unit->number, send_row, w);
	(void)!chan_send(w->ch, 0, 0, MSG_RESOURCE, &metrics);
	TAILQ_FOREACH (other, &m->workers, link)
		if (other != w && other->state != WORKER_FAILED)
			join(w, other);
	for (size_t i = 0; i < w->unit->listen.n; i++) {
		struct listener *l = listen_find(m, w->unit->listen.items[i]);
		if (l != NULL)
			send_listener(w, l->address, l->fd);
	}
	if (w->program == PROGRAM_PICKUP)
		send_unix_listener(w, "submit");
	if (w->program == PROGRAM_QMGR)
		send_unix_listener(w, "queue");
	if (w->program == PROGRAM_LOGGER)
		open_log(m, w);
	(void)!chan_send(w->ch, 0, 0, MSG_START, &start);
}

static void
run_program(const struct worker *w, int control)
{
	char path[PATH_MAX + 64];
	sigset_t none;

	snprintf(
	    path, sizeof path, "%s/%s", w->master->all.layout.programs, program_name(w->program));
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_DFL);
	signal(SIGCHLD, SIG_DFL);
	if (control == CONTROL_FD)
		fd_cloexec(CONTROL_FD, 0) == -1 ? _exit(71) : (void)0;
	else if (dup2(control, CONTROL_FD) == -1)
		_exit(71);
	close_range(CONTROL_FD + 1, ~0U, 0);
	execl(path, path, (char *)NULL);
	fprintf(stderr, "%s: %s\n", path, strerror(errno));
	_exit(71);
}

static unsigned
take_slot(struct master *m)
{
	for (unsigned i = 0; i < METRIC_SLOTS; i++)
		if (!m->slot_used[i]) {
			m->slot_used[i] = true;
			return i;
		}
	return METRIC_SLOTS - 1; /* shared: counts may be a little off, nothing worse */
}

static uint64_t
free_number(const struct service_unit *unit)
{
	struct worker *w;

	for (uint64_t n = 0;; n++) {
		TAILQ_FOREACH (w, &unit->master->workers, link)
			if (w->unit == unit && w->number == n)
				break;
		if (w == NULL)
			return n;
	}
}

void
worker_start(struct service_unit *unit)
{
	struct master *m = unit->master;
	struct worker *w = xcalloc(1, sizeof *w);
	int fds[2];
	struct why why;

	if (make_pair(fds, &why) == -1) {
		log_error("service %s: %s", unit->name, why.text);
		free(w);
		return;
	}
	*w = (struct worker){
	    .master = m,
	    .unit = unit,
	    .program = unit->program,
	    .id = m->next_id++,
	    .number = free_number(unit),
	    .slot = take_slot(m),
	    .state = WORKER_STARTING,
	    .started_ms = clock_ms(),
	};
	w->name = xasprintf("%s/%llu", unit->name, (unsigned long long)w->number);
	w->pid = fork();
	if (w->pid == 0)
		run_program(w, fds[1]);
	close(fds[1]);
	if (w->pid == -1)
		fatal_sys("fork");
	w->ch = chan_new(&m->loop, fds[0], w->name, from_worker, w, on_worker_gone);
	TAILQ_INSERT_TAIL(&m->workers, w, link);
	introduce(w);
}

size_t
workers_count(const struct master *m, const struct service_unit *unit, bool ready_only)
{
	struct worker *w;
	size_t n = 0;

	TAILQ_FOREACH (w, &m->workers, link)
		if (w->unit == unit &&
		    (w->state == WORKER_READY || (!ready_only && w->state == WORKER_STARTING)))
			n++;
	return n;
}

static bool
one_lives(const struct service_unit *unit)
{
	struct worker *w;

	TAILQ_FOREACH (w, &unit->master->workers, link)
		if (w->unit == unit)
			return true;
	return false;
}

void
workers_fill(struct service_unit *unit)
{
	if (unit->master->stop_phase != 0 ||
	    (unit->ev_restart != NULL && evtimer_pending(unit->ev_restart, NULL)))
		return;
	if (unit->program == PROGRAM_SMTPD && unit->listen.n == 0 && unit->wanted == 0)
		return;
	if (wiring_program(unit->program)->single && one_lives(unit))
		return;
	for (size_t n = workers_count(unit->master, unit, false); n < unit->wanted; n++)
		worker_start(unit);
}

/* --- stopping, reloading, reaping --- */

void
worker_stop(struct worker *w, bool drain)
{
	const struct master_conf *conf = &w->master->conf;
	struct msg_stop msg = {
	    .grace_ms = (uint64_t)(drain ? conf->drain_timeout : conf->stop_timeout),
	    .drain = drain};

	if (w->state == WORKER_STOPPING && (drain || !w->draining))
		return;
	w->state = WORKER_STOPPING;
	w->draining = drain;
	if (w->ch == NULL || chan_send(w->ch, 0, 0, MSG_STOP, &msg) == -1)
		kill(w->pid, SIGTERM);
}

static void
reload_in_place(struct worker *w)
{
	struct msg_reload msg = {.generation = w->master->generation};

	if (w->ch == NULL)
		return;
	config_each_row(w->master->config, w->unit->number, send_row, w);
	(void)!chan_send(w->ch, 0, 0, MSG_RELOAD, &msg); /* see send_peer() */
}

void
workers_reload(struct master *m, struct service_unit *unit)
{
	struct worker *w;

	TAILQ_FOREACH (w, &m->workers, link) {
		if (w->unit != unit)
			continue;
		if (wiring_program(unit->program)->takes_reload)
			reload_in_place(w);
		else if (w->state == WORKER_READY)
			w->state = WORKER_RETIRING;
		else if (w->state == WORKER_STARTING)
			worker_stop(w, false); /* with values that are old already */
	}
}

static void
on_restart(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	workers_fill(arg);
}

/* A death that nobody asked for: the next one is started at once, or after a pause where this goes
 * on. */
static void
replace(struct service_unit *unit, int64_t lived_ms)
{
	unit->restarts++;
	unit->early_deaths = lived_ms < YOUNG_MS ? unit->early_deaths + 1 : 0;
	if (unit->early_deaths < DEATHS_BEFORE_BACKOFF) {
		unit->backoff_ms = 0;
		workers_fill(unit);
		return;
	}
	unit->backoff_ms = unit->backoff_ms == 0 ? BACKOFF_MIN_MS : unit->backoff_ms * 2;
	if (unit->backoff_ms > BACKOFF_MAX_MS)
		unit->backoff_ms = BACKOFF_MAX_MS;
	log_warning("service %s dies young again and again: next start in %lld ms", unit->name,
	    (long long)unit->backoff_ms);
	if (unit->ev_restart == NULL)
		unit->ev_restart = evtimer_new(unit->master->loop.base, on_restart, unit);
	struct timeval tv = clock_tv(unit->backoff_ms);
	if (unit->ev_restart == NULL || evtimer_add(unit->ev_restart, &tv) == -1)
		fatal("no timer");
}

static void
report_death(const struct worker *w, int status)
{
	char how[64];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return;
	if (WIFSIGNALED(status))
		snprintf(how, sizeof how, "killed by signal %d", WTERMSIG(status));
	else
		snprintf(how, sizeof how, "exit status %d", WEXITSTATUS(status));
	struct ev_child_died ev = {
	    .program = str_from(w->name), .pid = (uint64_t)w->pid, .how = str_from(how)};
	log_event(0, EV_CHILD_DIED, &ev);
}

static void
clear_gauges(struct master *m, unsigned slot)
{
	for (unsigned i = 0; i < METRIC_COUNT; i++)
		if (metric_row((enum metric)i)->kind == METRIC_GAUGE)
			m->metrics[slot].values[i].count = 0;
}

static void
bury(struct worker *w, int status)
{
	struct master *m = w->master;
	struct service_unit *unit = w->unit;
	bool expected = w->state == WORKER_STOPPING || w->state == WORKER_RETIRING;
	int64_t lived = clock_ms() - w->started_ms;

	if (!expected)
		report_death(w, status);
	if (w->program == PROGRAM_LOGGER) {
		log_channel(NULL);
		chan_close(&m->log);
	}
	clear_gauges(m, w->slot);
	m->slot_used[w->slot] = false;
	TAILQ_REMOVE(&m->workers, w, link);
	w->pid = 0;
	if (w->ev_stop != NULL)
		event_free(w->ev_stop);
	chan_close(&w->ch);
	free(w->name);
	free(w);
	if (m->stop_phase != 0)
		master_stopping(m);
	else if (unit != NULL && expected)
		workers_fill(unit);
	else if (unit != NULL)
		replace(unit, lived);
}

void
workers_reap(struct master *m)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct worker *w;
		TAILQ_FOREACH (w, &m->workers, link)
			if (w->pid == pid)
				break;
		if (w != NULL)
			bury(w, status);
	}
}
