/* SPDX-License-Identifier: ISC */
/* Hostile: the caller. What he asks for is done by requests.c. */
#include "qmgr/clients.h"

#include <event2/event.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/queue/qfile.h"
#include "lib/queue/segment.h"
#include "qmgr/message.h"
#include "qmgr/requests.h"

enum { ENTRIES_MAX = 1 << 30, ACCEPTS = 16 };

struct client {
	struct qmgr *q;
	struct chan *ch;
	uid_t uid;
	gid_t gid;
	int64_t touched;
	LIST_ENTRY(client) link;
};

struct client_list {
	LIST_HEAD(, client) clients;
	uid_t *operators;
	size_t noperators;
	gid_t group;
	bool has_group;
};

/* --- who may --- */

void
clients_open(struct qmgr *q)
{
	struct client_list *l = q->clients = xcalloc(1, sizeof *l);

	LIST_INIT(&l->clients);
	q->listener = -1;
	if (*q->conf->queue_operators_group == '\0')
		return;
	const struct group *group = getgrnam(q->conf->queue_operators_group);
	if (group == NULL) {
		log_warning("queue_operators_group: no group %s", q->conf->queue_operators_group);
		return;
	}
	l->has_group = true;
	l->group = group->gr_gid;
	for (char **member = group->gr_mem; *member != NULL; member++) {
		const struct passwd *user = getpwnam(*member);
		if (user == NULL)
			continue;
		l->operators = xrealloc(l->operators, (l->noperators + 1) * sizeof *l->operators);
		l->operators[l->noperators++] = user->pw_uid;
	}
}

static bool
is_operator(const struct qmgr *q, uid_t uid, gid_t gid)
{
	const struct client_list *l = q->clients;

	if (uid == 0 || uid == geteuid() || (l->has_group && gid == l->group))
		return true;
	for (size_t i = 0; i < l->noperators; i++)
		if (l->operators[i] == uid)
			return true;
	return false;
}

/* --- cat --- */

/* A message of the journal, as a file of its own without a name: nobody gets a segment. */
static int
copy_out(const struct message *m)
{
	char name[HEAD_ID_MAX + 8];
	int dir = m->q->folders.fd[FOLDER_TMP];
	size_t n = (size_t)(HEAD_SIZE + m->st.head.content_size + m->st.head.envelope_size);
	char *bytes = xmalloc(n);
	struct buf entries;

	snprintf(name, sizeof name, "%s.cat", m->st.head.id);
	buf_init(&entries, ENTRIES_MAX);
	state_encode(&m->st, qfile_key(&m->st.head), qfile_entries_at(&m->st.head), &entries);
	int to = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	int fd = -1;
	size_t pad = (size_t)qfile_entries_at(&m->st.head) - n;
	if (to != -1 &&
	    pread_all(m->segment->fd, bytes, n, (off_t)(m->offset + SEGMENT_FRAME)) == 0 &&
	    write_all(to, bytes, n) == 0 && write_all(to, "\0\0\0\0\0\0\0", pad) == 0 &&
	    write_all(to, entries.p, entries.n) == 0)
		fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	fd_close(&to);
	(void)unlinkat(dir, name, 0);
	buf_free(&entries);
	free(bytes);
	return fd;
}

static int
open_file(const struct qmgr *q, const char *id)
{
	static const enum folder folders[] = {FOLDER_CUR, FOLDER_HOLD, FOLDER_NEW, FOLDER_CORRUPT};

	for (size_t i = 0; i < NELEM(folders); i++) {
		int fd = openat(q->folders.fd[folders[i]], id, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
		if (fd != -1)
			return fd;
	}
	return -1;
}

static void
serve_cat(struct qmgr *q, struct chan *ch, const struct chan_head *head, const struct caller *who,
    struct str id)
{
	char name[HEAD_ID_MAX];

	if (!who->privileged) {
		requests_refuse(ch, head, "only operators may do this");
		return;
	}
	if (!qid_valid(id) || !str_copy(name, sizeof name, id)) {
		requests_refuse(ch, head, "not a queue id");
		return;
	}
	const struct message *m = message_find(q, id);
	int fd = m != NULL && m->place == PLACE_SEGMENT ? copy_out(m) : open_file(q, name);
	if (fd == -1) {
		requests_refuse(ch, head, "no such message");
		return;
	}
	off_t size = lseek(fd, 0, SEEK_END);
	struct msg_queue_file msg = {
	    .offset = 0, .length = size > 0 ? (uint64_t)size : 0, .file = fd};
	(void)chan_reply(
	    ch, head, MSG_QUEUE_FILE, &msg); /* a client that is gone needs no answer */
	close(fd);
}

/* --- two kinds of callers --- */

static const struct caller master = {.uid = 0, .privileged = true};

static void
master_list(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	requests_list(
	    ((struct service *)chan_owner(ch))->state, ch, head, &master, &msg->queue_list);
}

static void
master_act(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	requests_act(((struct service *)chan_owner(ch))->state, ch, head, &master, &msg->queue_act);
}

static void
master_cat(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	serve_cat(((struct service *)chan_owner(ch))->state, ch, head, &master, msg->queue_cat.id);
}

/* A client of smtpd asks for its domain's mail. */
static void
smtpd_etrn(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct qmgr *q = ((struct service *)chan_owner(ch))->state;
	char pattern[MSG_NAME_MAX + 2];

	snprintf(pattern, sizeof pattern, ".%.*s", STR_ARG(msg->etrn.domain));
	struct msg_queue_act act = {.action = STR("flush"), .recipient = str_from(pattern)};
	if (msg->etrn.domain.n == 0)
		requests_refuse(ch, head, "no domain");
	else
		requests_act(q, ch, head, &master, &act);
}

const struct chan_rule clients_smtpd_rules[] = {
    {MSG_ETRN, smtpd_etrn},
    {MSG_NONE, NULL      },
};

const struct chan_rule clients_rules[] = {
    {MSG_QUEUE_LIST, master_list},
    {MSG_QUEUE_ACT,  master_act },
    {MSG_QUEUE_CAT,  master_cat },
    {MSG_NONE,       NULL       },
};

void
clients_channel_gone(struct service *s, struct chan *ch)
{
	requests_of_gone(s->state, ch);
}

static struct caller
who_is(struct client *c)
{
	c->touched = clock_ms();
	return (struct caller){.uid = c->uid, .privileged = is_operator(c->q, c->uid, c->gid)};
}

static void
socket_list(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = chan_owner(ch);
	struct caller who = who_is(c);

	requests_list(c->q, ch, head, &who, &msg->queue_list);
}

static void
socket_act(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = chan_owner(ch);
	struct caller who = who_is(c);

	requests_act(c->q, ch, head, &who, &msg->queue_act);
}

static void
socket_cat(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct client *c = chan_owner(ch);
	struct caller who = who_is(c);

	serve_cat(c->q, ch, head, &who, msg->queue_cat.id);
}

static const struct chan_rule from_socket[] = {
    {MSG_QUEUE_LIST, socket_list},
    {MSG_QUEUE_ACT,  socket_act },
    {MSG_QUEUE_CAT,  socket_cat },
    {MSG_NONE,       NULL       },
};

static void
client_free(struct client *c)
{
	requests_of_gone(c->q, c->ch);
	c->q->nclients--;
	LIST_REMOVE(c, link);
	free(c);
}

static void
on_client_gone(struct chan *ch, void *owner)
{
	(void)ch;
	client_free(owner);
}

static void
accept_one(struct qmgr *q, int fd)
{
	struct ucred who;
	socklen_t n = sizeof who;

	if (q->nclients >= (size_t)q->conf->qmgr_client_limit || fd_nonblock(fd) == -1 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) == -1) {
		close(fd);
		return;
	}
	struct client *c = xcalloc(1, sizeof *c);
	*c = (struct client){.q = q, .uid = who.uid, .gid = who.gid, .touched = clock_ms()};
	c->ch = chan_new(&q->service->loop, fd, "queue client", from_socket, c, on_client_gone);
	LIST_INSERT_HEAD(&q->clients->clients, c, link);
	q->nclients++;
}

static void
on_accept(evutil_socket_t listener, short what, void *arg)
{
	struct qmgr *q = arg;

	(void)what;
	for (int i = 0; i < ACCEPTS; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd == -1)
			return;
		accept_one(q, fd);
	}
}

void
clients_listen(struct qmgr *q, int fd)
{
	if (q->listener != -1 || fd_nonblock(fd) == -1) {
		close(fd);
		return;
	}
	q->listener = fd;
	q->ev_listener = event_new(q->service->loop.base, fd, EV_READ | EV_PERSIST, on_accept, q);
	if (q->ev_listener == NULL || event_add(q->ev_listener, NULL) == -1)
		fatal("no event");
}

void
clients_tick(struct qmgr *q)
{
	struct client *c, *next_client;
	int64_t limit = clock_ms() - q->conf->qmgr_client_timeout;

	requests_tick(q);
	for (c = LIST_FIRST(&q->clients->clients); c != NULL; c = next_client) {
		next_client = LIST_NEXT(c, link);
		if (c->touched >= limit || requests_of(q, c->ch) > 0)
			continue;
		struct chan *ch = c->ch;
		client_free(c);
		chan_close(&ch);
	}
}

void
clients_close(struct qmgr *q)
{
	while (!LIST_EMPTY(&q->clients->clients)) {
		struct client *c = LIST_FIRST(&q->clients->clients);
		struct chan *ch = c->ch;
		client_free(c);
		chan_close(&ch);
	}
	if (q->ev_listener != NULL)
		event_free(q->ev_listener);
	q->ev_listener = NULL;
	fd_close(&q->listener);
}
