/* SPDX-License-Identifier: ISC */
/*
 * A client of Dovecot's authentication protocol (doc.dovecot.org, "Authentication Protocol v1.2").
 * One connection for all exchanges, made by master, which alone sees the path.
 *
 *	down --time--> asking (master) --socket--> greeting --VERSION, MECH..., DONE--> ready
 *	  ^                                                                              |
 *	  +------------- lost, malformed, silent: every exchange under way fails <-------+
 *
 * Dovecot is not believed blindly: a line that is malformed or too long ends the connection, an id
 * that nobody waits for is ignored.
 */
#include "keeper/dovecot.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keeper/auth.h"
#include "keeper/backend.h"
#include "keeper/dovecot_line.h"
#include "lib/base/base64.h"
#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/service/service.h"

enum {
	IN_MAX = 64 * 1024,
	OUT_MAX = 1024 * 1024,
	LINE_MAX_OUT = 8000, /* Dovecot drops who sends more than 8192 */
	BACK_OFF_MIN_MS = 200,
	BACK_OFF_MAX_MS = 60 * 1000,
	READ_ROOM = 16 * 1024,
};

enum dovecot_state { DOVECOT_DOWN, DOVECOT_ASKING, DOVECOT_GREETING, DOVECOT_READY };

struct dovecot {
	struct backend *backend;
	enum dovecot_state state;
	struct chan *master; /* who is asked */
	uint32_t request;
	int fd;
	struct event ev_read, ev_write, timer;
	struct buf in, out;
	struct buf names, plain; /* mechanisms */
	uint32_t next_id;
	int64_t back_off;
	bool complained;
};

static void connect_now(struct dovecot *d);

/* --- up and down --- */

static void
timer_set(struct dovecot *d, int64_t ms)
{
	struct timeval tv = clock_tv(ms);

	if (evtimer_add(&d->timer, &tv) == -1)
		fatal("dovecot: no timer");
}

static void
disconnect(struct dovecot *d)
{
	if (d->master != NULL)
		chan_forget(d->master, d->request);
	d->master = NULL;
	if (d->fd != -1) {
		event_del(&d->ev_read);
		event_del(&d->ev_write);
	}
	fd_close(&d->fd);
	event_del(&d->timer);
	buf_free_secret(&d->in);
	buf_free_secret(&d->out);
	buf_reset(&d->names);
	buf_reset(&d->plain);
	d->state = DOVECOT_DOWN;
}

/* Exchanges that it leads can never be told now. */
static void
fail_all(struct dovecot *d)
{
	struct exchange *x, *next;

	for (x = TAILQ_FIRST(&d->backend->auth->exchanges); x != NULL; x = next) {
		next = TAILQ_NEXT(x, link);
		if (x->backend != d->backend || x->how != &dovecot_mechanism)
			continue;
		if (x->waiting)
			exchange_fail_temp(x, "the connection to Dovecot is lost");
		else
			x->dovecot_id = 0; /* the client has the word */
	}
}

static void
lose(struct dovecot *d, const char *reason)
{
	bool was_ready = d->state == DOVECOT_READY;

	if (!d->complained)
		log_warning("dovecot: %s: %s", d->backend->path, reason);
	d->complained = true;
	disconnect(d);
	fail_all(d);
	if (was_ready)
		auth_offer(d->backend);
	timer_set(d, d->back_off);
	d->back_off = d->back_off * 2 < BACK_OFF_MAX_MS ? d->back_off * 2 : BACK_OFF_MAX_MS;
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dovecot *d = arg;

	(void)fd;
	(void)what;
	if (d->state == DOVECOT_DOWN)
		connect_now(d);
	else
		lose(d, "no answer in time");
}

/* --- out --- */

static void
flush(struct dovecot *d)
{
	while (d->out.n > 0) {
		ssize_t n = write(d->fd, d->out.p, d->out.n);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno != EAGAIN) {
			lose(d, strerror(errno));
			return;
		}
		if (n == -1) {
			if (event_add(&d->ev_write, NULL) == -1)
				fatal("dovecot: no event");
			return;
		}
		buf_consume(&d->out, (size_t)n);
	}
	buf_free_secret(&d->out);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	flush(arg);
}

/* --- exchanges --- */

/* -1: too long for Dovecot. */
static int
send_line(struct dovecot *d, struct buf *line)
{
	if (line->n > LINE_MAX_OUT || buf_byte(line, '\n') == -1)
		return -1;
	if (buf_str(&d->out, buf_view(line)) == -1)
		return -1;
	flush(d);
	return 0;
}

static int
put(struct buf *b, const char *name, const char *value)
{
	if (*value == '\0')
		return 0;
	return buf_printf(b, "\t%s=", name) == -1 ? -1 : dovecot_escape(str_from(value), b);
}

static int
put_request(const struct exchange *x, struct buf *b)
{
	if (buf_printf(b, "AUTH\t%u\t%s\tservice=smtp\tnologin", x->dovecot_id, x->name) == -1 ||
	    put(b, "lip", x->server_addr) == -1 || put(b, "rip", x->client_addr) == -1)
		return -1;
	if (x->server_port != 0 && buf_printf(b, "\tlport=%u", x->server_port) == -1)
		return -1;
	if (x->client_port != 0 && buf_printf(b, "\trport=%u", x->client_port) == -1)
		return -1;
	if (x->tls && buf_puts(b, "\tsecured") == -1)
		return -1;
	if (*x->certificate == '\0')
		return 0;
	return buf_puts(b, "\tvalid-client-cert") == -1 ? -1
							: put(b, "cert_username", x->certificate);
}

static void
begin(struct exchange *x, bool has_initial, struct str initial)
{
	struct dovecot *d = x->backend->dovecot;
	struct buf line = {.max = 4 * AUTH_DATA_MAX};

	x->dovecot_id = ++d->next_id != 0 ? d->next_id : ++d->next_id;
	bool fine = put_request(x, &line) == 0 &&
		    (!has_initial || (buf_puts(&line, "\tresp=") == 0 && /* must be the last */
					 base64_encode(initial, &line) == 0));
	exchange_wait(x);
	if (!fine || send_line(d, &line) == -1)
		exchange_fail_temp(x, "the request is too long for Dovecot, or it is not reading");
	buf_free_secret(&line);
}

static void
respond(struct exchange *x, struct str data)
{
	struct dovecot *d = x->backend->dovecot;
	struct buf line = {.max = 4 * AUTH_DATA_MAX};

	if (d == NULL || x->dovecot_id == 0) {
		exchange_fail_temp(x, "the connection to Dovecot is lost");
		return;
	}
	exchange_wait(x);
	if (buf_printf(&line, "CONT\t%u\t", x->dovecot_id) == -1 ||
	    base64_encode(data, &line) == -1 || send_line(d, &line) == -1)
		exchange_fail_temp(x, "the response is too long for Dovecot, or it is not reading");
	buf_free_secret(&line);
}

/* Nobody wants to know any more. */
static void
drop(struct exchange *x)
{
	struct dovecot *d = x->backend->dovecot;

	if (d == NULL || d->state != DOVECOT_READY || x->dovecot_id == 0)
		return;
	if (buf_printf(&d->out, "CANCEL\t%u\n", x->dovecot_id) == 0 &&
	    event_add(&d->ev_write, NULL) == -1)
		fatal("dovecot: no event");
}

const struct mechanism dovecot_mechanism = {"", false, begin, respond, drop};

static struct exchange *
find(struct dovecot *d, uint32_t id)
{
	struct exchange *x;

	TAILQ_FOREACH (x, &d->backend->auth->exchanges, link)
		if (x->backend == d->backend && x->how == &dovecot_mechanism &&
		    x->dovecot_id == id && x->waiting)
			return x;
	return NULL;
}

/* --- in --- */

static void
on_cont(struct exchange *x, const struct dovecot_line *l)
{
	struct buf data = {.max = AUTH_DATA_MAX};

	if (base64_decode(l->data, &data) == -1)
		exchange_fail_temp(x, "Dovecot's challenge is malformed or too long");
	else
		exchange_challenge(x, buf_view(&data));
	buf_free(&data);
}

static void
on_end(struct exchange *x, const struct dovecot_line *l)
{
	struct buf user = {.max = 1024}, reason = {.max = 1024};

	x->dovecot_id = 0; /* there is nothing to cancel */
	bool fine = dovecot_unescape(l->user, &user) == 0;
	if (dovecot_unescape(l->reason, &reason) == -1)
		buf_reset(&reason);
	if (l->word == DOVECOT_FAIL && fine && user.n > 0)
		exchange_claim(x, buf_view(&user));
	const char *text = reason.n > 0 ? buf_cstr(&reason) : "authentication failure";
	if (l->word == DOVECOT_OK && fine)
		exchange_ok(x, buf_view(&user));
	else if (l->word == DOVECOT_FAIL && !l->temporary)
		exchange_fail(x, text);
	else
		exchange_fail_temp(x, l->word == DOVECOT_FAIL ? text : "Dovecot names no user");
	buf_free(&user);
	buf_free(&reason);
}

static void
on_mech(struct dovecot *d, const struct dovecot_line *l)
{
	struct str name = l->mechanism;

	/* Nothing tells it the channel's binding. */
	if (l->private_mechanism || str_ends(name, STR("-PLUS")))
		return;
	if (d->names.n + name.n + 1 > MECHANISMS_MAX)
		return;
	bool fine = buf_printf(&d->names, "%s%.*s", d->names.n > 0 ? " " : "", STR_ARG(name)) == 0;
	bool plain = l->plaintext || str_is(name, "OAUTHBEARER") || str_is(name, "XOAUTH2");
	if (fine && plain &&
	    buf_printf(&d->plain, "%s%.*s", d->plain.n > 0 ? " " : "", STR_ARG(name)) == -1)
		buf_reset(&d->plain);
}

static void
on_done(struct dovecot *d)
{
	if (d->state != DOVECOT_GREETING)
		return;
	event_del(&d->timer);
	d->state = DOVECOT_READY;
	d->back_off = BACK_OFF_MIN_MS;
	d->complained = false;
	log_info("dovecot: connected, mechanisms: %s", buf_cstr(&d->names));
	auth_offer(d->backend);
}

/* False: the connection has been given up. */
static bool
take_line(struct dovecot *d, struct str line)
{
	struct dovecot_line l;

	if (dovecot_parse(line, &l) == -1 || (l.word == DOVECOT_VERSION && l.major != 1)) {
		lose(d, l.word == DOVECOT_VERSION ? "another version of the protocol"
						  : "a malformed line");
		return false;
	}
	bool is_reply = l.word == DOVECOT_OK || l.word == DOVECOT_CONT || l.word == DOVECOT_FAIL;
	struct exchange *x = is_reply ? find(d, l.id) : NULL;
	if (l.word == DOVECOT_MECH && d->state == DOVECOT_GREETING)
		on_mech(d, &l);
	else if (l.word == DOVECOT_DONE)
		on_done(d);
	else if (x != NULL && l.word == DOVECOT_CONT)
		on_cont(x, &l);
	else if (x != NULL)
		on_end(x, &l);
	return d->state != DOVECOT_DOWN;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct dovecot *d = arg;
	char room[READ_ROOM];

	(void)what;
	ssize_t n = read(fd, room, sizeof room);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		lose(d, n == 0 ? "the connection was closed" : strerror(errno));
		return;
	}
	if (buf_add(&d->in, room, (size_t)n) == -1) {
		lose(d, "a line is too long");
		return;
	}
	for (;;) {
		ptrdiff_t lf = str_chr(buf_view(&d->in), '\n');
		if (lf < 0)
			return;
		if (!take_line(d, str_sub(buf_view(&d->in), 0, (size_t)lf)))
			return;
		buf_consume(&d->in, (size_t)lf + 1);
	}
}

/* --- connecting --- */

static void
on_connected(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct dovecot *d = arg;

	d->master = NULL;
	if (msg != NULL && head->type == MSG_CONNECTED)
		d->fd = chan_take_fd(&msg->connected.socket);
	if (d->fd == -1) {
		char *text = msg != NULL && head->type == MSG_REFUSED ? str_dup(msg->refused.text)
								      : xstrdup("no socket");
		lose(d, text);
		free(text);
		return;
	}
	event_assign(&d->ev_read, d->backend->auth->k->s->loop.base, d->fd, EV_READ | EV_PERSIST,
	    on_readable, d);
	event_assign(
	    &d->ev_write, d->backend->auth->k->s->loop.base, d->fd, EV_WRITE, on_writable, d);
	d->state = DOVECOT_GREETING;
	if (fd_nonblock(d->fd) == -1 || event_add(&d->ev_read, NULL) == -1 ||
	    event_add(&d->ev_write, NULL) == -1 ||
	    buf_printf(&d->out, "VERSION\t1\t1\nCPID\t%d\n", (int)getpid()) == -1)
		fatal("dovecot: no event");
}

static void
connect_now(struct dovecot *d)
{
	const char *path = d->backend->path;
	bool is_inet = strncmp(path, "inet:", 5) == 0, is_unix = strncmp(path, "unix:", 5) == 0;
	char *target = xasprintf("%s%s", is_inet || is_unix ? "" : "unix:", path);
	struct msg_connect msg = {.target = str_from(target)};

	d->state = DOVECOT_ASKING;
	timer_set(d, d->backend->auth->k->conf->keeper_auth_timeout);
	d->master = service_master(d->backend->auth->k->s);
	if (d->master != NULL)
		d->request = chan_call(d->master, 0, MSG_CONNECT, &msg, on_connected, d);
	free(target);
	if (d->master == NULL || d->request == 0)
		lose(d, "master does not answer");
}

struct dovecot *
dovecot_new(struct backend *b)
{
	struct dovecot *d = xcalloc(1, sizeof *d);

	*d = (struct dovecot){
	    .backend = b,
	    .fd = -1,
	    .back_off = BACK_OFF_MIN_MS,
	};
	buf_init(&d->in, IN_MAX);
	buf_init(&d->out, OUT_MAX);
	buf_init(&d->names, MECHANISMS_MAX);
	buf_init(&d->plain, MECHANISMS_MAX);
	evtimer_assign(&d->timer, b->auth->k->s->loop.base, on_timer, d);
	timer_set(d, 0);
	return d;
}

void
dovecot_free(struct dovecot **dp)
{
	struct dovecot *d = *dp;

	if (d == NULL)
		return;
	disconnect(d);
	fail_all(d);
	*dp = NULL;
	buf_free(&d->names);
	buf_free(&d->plain);
	free(d);
}

bool
dovecot_has(const struct dovecot *d, const char *mechanism)
{
	struct str names = buf_view(&d->names), word;

	while (d->state == DOVECOT_READY && str_word(&names, " ", &word))
		if (str_is(word, mechanism))
			return true;
	return false;
}

void
dovecot_list(const struct dovecot *d, struct buf *names, struct buf *plain)
{
	if (d->state != DOVECOT_READY)
		return;
	if (buf_str(names, buf_view(&d->names)) == -1 || buf_str(plain, buf_view(&d->plain)) == -1)
		buf_reset(names);
}
