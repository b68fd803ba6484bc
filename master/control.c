/* SPDX-License-Identifier: ISC */
/*
 * run/control: one short request at a time from root, the instance's owner or an operator. master
 * serves status, reload and stop itself; for all else it hands the caller a channel to the program
 * that serves it, and stays out of the conversation.
 */
#include <errno.h>
#include <event2/event.h>
#include <grp.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "master/master.h"

enum { ERRORS_MAX = 30 * 1024, GROUPS_MAX = 1024 };

struct control_session {
	struct master *master;
	struct chan *ch;
	uid_t uid;
	TAILQ_ENTRY(control_session) link;
};

static void
say(struct chan *ch, const struct chan_head *head, struct str text)
{
	struct msg_control_text msg = {.text = text};

	chan_reply(ch, head, MSG_CONTROL_TEXT, &msg);
}

/* --- status --- */

static const char *
state_name(enum worker_state state)
{
	static const char *const names[] = {"starting", "ready", "retiring", "stopping", "failed"};

	return names[state];
}

static void
say_workers(struct master *m, struct chan *ch, const struct chan_head *head)
{
	struct worker *w;

	TAILQ_FOREACH (w, &m->workers, link) {
		char line[512];
		int n = snprintf(line, sizeof line,
		    "{\"type\":\"worker\",\"service\":\"%s\",\"program\":\"%s\",\"worker\":%" PRIu64
		    ",\"pid\":%d,\"state\":\"%s\",\"uptime\":%" PRId64 ",\"restarts\":%" PRIu64 "}",
		    w->unit != NULL ? w->unit->name : "", program_name(w->program), w->number,
		    (int)w->pid, state_name(w->state), (clock_ms() - w->started_ms) / 1000,
		    w->unit != NULL ? w->unit->restarts : 0);
		say(ch, head, str_make(line, (size_t)n));
	}
}

static void
take_sample(struct master *m, struct sample *s)
{
	struct metric_slot sum;

	metrics_sum(m->metrics, METRIC_SLOTS, &sum);
	s->when_ms = clock_ms();
	for (int i = 0; i < METRIC_COUNT; i++)
		s->counts[i] = sum.values[i].count;
}

static void
on_sample(evutil_socket_t fd, short what, void *arg)
{
	struct master *m = arg;

	(void)fd;
	(void)what;
	take_sample(m, &m->samples[m->next_sample]);
	m->next_sample = (m->next_sample + 1) % SAMPLES;
}

/* A second's worth of a counter, over the time since the oldest sample. */
static double
rate_of(const struct master *m, int metric, uint64_t now)
{
	const struct sample *oldest = &m->samples[m->next_sample];

	if (oldest->when_ms == 0)
		oldest = &m->samples[0];
	int64_t ms = clock_ms() - oldest->when_ms;
	if (oldest->when_ms == 0 || ms <= 0 || now < oldest->counts[metric])
		return 0;
	return (double)(now - oldest->counts[metric]) * 1000 / (double)ms;
}

static void
say_metrics(struct master *m, struct chan *ch, const struct chan_head *head)
{
	struct metric_slot sum;

	metrics_sum(m->metrics, METRIC_SLOTS, &sum);
	for (int i = 0; i < METRIC_COUNT; i++) {
		const struct metric_row *row = metric_row((enum metric)i);
		const struct metric_value *v = &sum.values[i];
		char line[1024];
		static const char *const kinds[] = {"counter", "gauge", "histogram"};
		int n = snprintf(line, sizeof line,
		    "{\"type\":\"metric\",\"name\":\"%s\",\"kind\":\"%s\",\"rate\":%.3f,\"value\":"
		    "%" PRIu64 ",\"sum_us\":%" PRIu64 ",\"buckets\":[",
		    row->name, kinds[row->kind],
		    row->kind == METRIC_GAUGE ? 0.0 : rate_of(m, i, v->count), v->count, v->sum);
		for (int b = 0; b < METRIC_BUCKETS && row->kind == METRIC_HISTOGRAM; b++)
			n += snprintf(line + n, sizeof line - (size_t)n, "%s%" PRIu64,
			    b > 0 ? "," : "", v->buckets[b]);
		n += snprintf(line + n, sizeof line - (size_t)n, "]}");
		say(ch, head, str_make(line, (size_t)n));
	}
}

static void
do_status(struct control_session *s, const struct chan_head *head, struct str argument)
{
	struct master *m = s->master;
	char line[512];

	(void)argument;
	int n = snprintf(line, sizeof line,
	    "{\"type\":\"master\",\"pid\":%d,\"version\":\"%s\",\"uptime\":%" PRId64
	    ",\"generation\":%" PRIu64 ",\"state\":\"%s\"}",
	    (int)getpid(), KP_VERSION, (wall_us() - m->started_us) / 1000000, m->generation,
	    m->stop_phase != 0 ? "stopping" : "running");
	say(s->ch, head, str_make(line, (size_t)n));
	say_workers(m, s->ch, head);
	say_metrics(m, s->ch, head);
	chan_done(s->ch, head, 0);
}

/* --- the other verbs --- */

static void
do_reload(struct control_session *s, const struct chan_head *head, struct str argument)
{
	struct buf errors = {.max = ERRORS_MAX};

	(void)argument;
	int faults = master_reload(s->master, &errors);
	if (errors.n > 0)
		say(s->ch, head, buf_view(&errors));
	chan_done(s->ch, head, (uint64_t)faults);
	buf_free(&errors);
}

static void
do_stop(struct control_session *s, const struct chan_head *head, struct str argument)
{
	(void)argument;
	chan_done(s->ch, head, 0);
	master_stop(s->master, 0);
}

static void
do_channel(struct control_session *s, const struct chan_head *head, struct str argument)
{
	struct why why;
	bool owner = s->uid == 0 || s->uid == geteuid();
	int fd = worker_channel(s->master, argument, owner, &why);

	if (fd == -1) {
		chan_refuse(s->ch, head, &why);
		return;
	}
	struct msg_control_channel reply = {.channel = fd};
	chan_reply(s->ch, head, MSG_CONTROL_CHANNEL, &reply);
	close(fd);
}

static const struct {
	const char *verb;
	void (*act)(struct control_session *s, const struct chan_head *head, struct str argument);
} verbs[] = {
    {"status",  do_status },
    {"reload",  do_reload },
    {"stop",    do_stop   },
    {"channel", do_channel},
};

static void
on_control(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct control_session *s = chan_owner(ch);
	struct why why;

	for (size_t i = 0; i < NELEM(verbs); i++)
		if (str_is(msg->control.verb, verbs[i].verb)) {
			verbs[i].act(s, head, msg->control.argument);
			return;
		}
	why_perm(&why, NULL, "there is no request \"%.*s\"", STR_ARG(msg->control.verb));
	chan_refuse(ch, head, &why);
}

/* --- who may --- */

static bool
in_group(int fd, const char *name)
{
	struct group *gr = name[0] != '\0' ? getgrnam(name) : NULL;
	gid_t groups[GROUPS_MAX];
	socklen_t n = sizeof groups;

	if (gr == NULL || getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &n) == -1)
		return false;
	for (size_t i = 0; i < n / sizeof *groups; i++)
		if (groups[i] == gr->gr_gid)
			return true;
	return false;
}

static bool
may_control(const struct master *m, int fd, uid_t *uid)
{
	struct ucred cred;
	socklen_t n = sizeof cred;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) == -1)
		return false;
	*uid = cred.uid;
	return cred.uid == 0 || cred.uid == geteuid() || in_group(fd, m->conf.operators_group);
}

static const struct chan_rule from_operator[] = {
    {MSG_CONTROL, on_control},
    {MSG_NONE,    NULL      },
};

static void
session_free(struct control_session *s)
{
	TAILQ_REMOVE(&s->master->sessions, s, link);
	chan_close(&s->ch);
	free(s);
}

static void
on_session_gone(struct chan *ch, void *owner)
{
	(void)ch;
	session_free(owner);
}

static void
on_control_ready(evutil_socket_t listener, short what, void *arg)
{
	struct master *m = arg;
	uid_t uid = 0;

	(void)what;
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd == -1)
		return;
	if (!may_control(m, fd, &uid)) {
		log_warning("control: uid %u may not", (unsigned)uid);
		close(fd);
		return;
	}
	struct control_session *s = xcalloc(1, sizeof *s);
	s->master = m;
	s->uid = uid;
	s->ch = chan_new(&m->loop, fd, "control", from_operator, s, on_session_gone);
	TAILQ_INSERT_TAIL(&m->sessions, s, link);
}

int
control_open(struct master *m, struct why *why)
{
	char path[PATH_MAX + 32];
	const struct group *gr =
	    m->conf.operators_group[0] != '\0' ? getgrnam(m->conf.operators_group) : NULL;
	const struct timeval every = clock_tv(SAMPLE_MS);

	take_sample(m, &m->samples[m->next_sample++]);
	m->ev_sample = event_new(m->loop.base, -1, EV_TIMEOUT | EV_PERSIST, on_sample, m);
	if (m->ev_sample == NULL || event_add(m->ev_sample, &every) == -1)
		return why_temp(why, NULL, "control: no timer");
	m->control_fd = listen_unix(m, "control", 0660, why);
	if (m->control_fd == -1)
		return -1;
	snprintf(path, sizeof path, "%s/control", m->all.layout.run);
	if (m->privileged && gr != NULL && chown(path, 0, gr->gr_gid) == -1)
		return why_sys(why, NULL, "change the group of %s", path);
	m->ev_control =
	    event_new(m->loop.base, m->control_fd, EV_READ | EV_PERSIST, on_control_ready, m);
	if (m->ev_control == NULL || event_add(m->ev_control, NULL) == -1)
		return why_temp(why, NULL, "control: no event");
	return 0;
}

void
control_close(struct master *m)
{
	struct control_session *s;

	while ((s = TAILQ_FIRST(&m->sessions)) != NULL)
		session_free(s);
	if (m->ev_control != NULL)
		event_free(m->ev_control);
	m->ev_control = NULL;
	if (m->ev_sample != NULL)
		event_free(m->ev_sample);
	m->ev_sample = NULL;
	fd_close(&m->control_fd);
}
