/* SPDX-License-Identifier: ISC */
/*
 * One chain of milters a message: connect, helo, sender, recipients, data and content in a row. A
 * refusal at any of them refuses the message. What they make of it goes to cleanup; large content
 * through a pipe, as it is read there.
 */
#include "pickup/milter.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/conf/override.h"
#include "lib/log/log.h"
#include "lib/mail/complete.h"
#include "lib/mail/header.h"
#include "lib/metrics/metrics.h"
#include "lib/milter/mail.h"
#include "lib/milter/milter.h"
#include "pickup/pickup.h"

enum { READ_PART = 64 * 1024, INLINE_MAX = 60 * 1024, EDITS_MAX = 20000 };

struct held_rcpt {
	char *address, *orcpt;
	uint64_t notify;
};

struct held_edit {
	enum mail_edit kind;
	char *text;
};

/* A connection that master has been asked for. */
struct milter_call {
	struct milter *milter;
	uint32_t request;
	struct milter_call *next;
};

struct screening {
	struct intake *in;
	struct pickup *p;
	struct msg_mail_open open; /* its texts are owned */
	struct held_rcpt *rcpts;
	size_t nrcpts, size;
	struct buf content;
	size_t held; /* counted against milter_memory_limit */
	int pipe;    /* content comes from there; then it goes out by it; -1 */
	struct event *ev_pipe;
	bool committed, asked;
	uint64_t promised;
	/* the milters */
	struct milters *chain;
	struct milter_call *calls;
	struct milter_mail mail;
	bool has_mail;
	enum milter_event event;
	size_t rcpt; /* asked about */
	struct held_edit *edits;
	size_t nedits, edits_size;
	size_t sent; /* of the content, into the pipe */
};

int
milters_start(struct pickup *p, struct why *why)
{
	const struct conf_common *conf = &p->conf->common;
	const struct milter_times times = {conf->milter_connect_timeout,
	    conf->milter_command_timeout, conf->milter_content_timeout,
	    conf->milter_default_action};

	p->milters = xcalloc(1, sizeof *p->milters);
	if (override_parse(&p->overrides, &conf->receive_override_options, why) == -1)
		return -1;
	if ((p->overrides & OVERRIDE_MILTERS) != 0)
		return 0;
	return milter_list_parse(p->milters, &p->conf->non_smtpd_milters, &times, why);
}

bool
milters_wanted(const struct pickup *p)
{
	return p->milters->n > 0;
}

/* --- connections --- */

static void
call_drop(struct screening *sc, struct milter_call *call)
{
	struct milter_call **link = &sc->calls;

	while (*link != call)
		link = &(*link)->next;
	*link = call->next;
	free(call);
}

static void
on_connected(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct screening *sc = arg;
	struct milter_call *call = sc->calls;
	struct why why;

	while (call != NULL && msg != NULL && call->request != head->id)
		call = call->next;
	if (call == NULL)
		return;
	struct milter *milter = call->milter;
	call_drop(sc, call);
	if (msg != NULL && head->type == MSG_CONNECTED) {
		milter_connected(milter, chan_take_fd(&msg->connected.socket), NULL);
		return;
	}
	if (msg != NULL && head->type == MSG_REFUSED)
		why_from_msg(&why, &msg->refused);
	else
		why_temp(&why, "4.3.0", "no connection");
	milter_connected(milter, -1, &why);
}

static bool
host_connect(void *arg, struct milter *milter, const char *target)
{
	struct screening *sc = arg;
	struct msg_connect msg = {.target = str_from(target)};
	uint32_t id = chan_call(
	    service_master(sc->p->service), sc->in->trace, MSG_CONNECT, &msg, on_connected, sc);

	if (id == 0)
		return false;
	struct milter_call *call = xcalloc(1, sizeof *call);
	*call = (struct milter_call){.milter = milter, .request = id, .next = sc->calls};
	sc->calls = call;
	return true;
}

static void
host_forget(void *arg, struct milter *milter)
{
	struct screening *sc = arg;

	for (struct milter_call *call = sc->calls; call != NULL; call = call->next) {
		if (call->milter != milter)
			continue;
		chan_forget(service_master(sc->p->service), call->request);
		call_drop(sc, call);
		return;
	}
}

/* --- macros --- */

static bool
host_macro(void *arg, struct str name, struct buf *out)
{
	const struct screening *sc = arg;
	const struct conf_common *conf = &sc->p->conf->common;
	char id[20];

	snprintf(id, sizeof id, "%016" PRIX64, sc->in->trace);
	const struct {
		const char *name, *value;
	} macros[] = {
	    {"j",           conf->myhostname					     },
	    {"daemon_name", conf->milter_macro_daemon_name                               },
	    {"i",           id							   },
	    {"_",           "localhost [127.0.0.1]"                                      },
	    {"client_name", "localhost"						  },
	    {"client_ptr",  "localhost"						  },
	    {"client_addr", "127.0.0.1"						  },
	    {"mail_addr",   sc->in->sender					       },
	    {"rcpt_addr",   sc->event == MILTER_RCPT ? sc->rcpts[sc->rcpt].address : NULL},
	};

	if (name.n > 2 && name.p[0] == '{')
		name = str_sub(name, 1, name.n - 2);
	if (str_is(name, "v"))
		return buf_printf(out, "%s %s", conf->mail_name, KP_VERSION) == 0;
	for (size_t i = 0; i < NELEM(macros); i++)
		if (str_is(name, macros[i].name))
			return macros[i].value != NULL && buf_puts(out, macros[i].value) == 0;
	return false;
}

/* --- on to cleanup --- */

static void
refuse(struct screening *sc, const struct why *why)
{
	intake_refused(sc->in, why); /* frees all */
}

static void
refuse_temp(struct screening *sc, const char *text)
{
	struct why why;

	why_temp(&why, "4.3.0", "%s", text);
	refuse(sc, &why);
}

static bool
edit_add(struct screening *sc, enum mail_edit kind, struct str text)
{
	if (sc->nedits >= EDITS_MAX || text.n > MSG_NEXTHOP_MAX)
		return false;
	if (sc->nedits == sc->edits_size) {
		sc->edits_size = sc->edits_size == 0 ? 4 : sc->edits_size * 2;
		sc->edits = xrealloc(sc->edits, size_mul(sc->edits_size, sizeof *sc->edits));
	}
	sc->edits[sc->nedits++] = (struct held_edit){kind, str_dup(text)};
	return true;
}

static int
send_edits(struct screening *sc, struct why *why)
{
	for (size_t i = 0; i < sc->nedits; i++) {
		const struct held_edit *e = &sc->edits[i];
		struct str text = str_from(e->text);
		bool reason = e->kind == EDIT_HOLD || e->kind == EDIT_DISCARD;
		struct msg_mail_edit msg = {.kind = e->kind,
		    .name = reason ? STR_EMPTY : text,
		    .value = reason ? text : STR_EMPTY};
		if (intake_send(sc->in, MSG_MAIL_EDIT, &msg, why) == -1)
			return -1;
	}
	return 0;
}

static void
commit(struct screening *sc)
{
	struct msg_mail_commit msg = {.size = sc->content.n};
	struct why why;

	if (send_edits(sc, &why) == -1 || intake_send(sc->in, MSG_MAIL_COMMIT, &msg, &why) == -1)
		refuse(sc, &why);
}

static void
on_writable(evutil_socket_t fd, short what, void *arg)
{
	struct screening *sc = arg;

	(void)what;
	while (sc->sent < sc->content.n) {
		ssize_t n = write(fd, sc->content.p + sc->sent, sc->content.n - sc->sent);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1) {
			refuse_temp(sc, "the queue does not take the content");
			return;
		}
		sc->sent += (size_t)n;
	}
	event_free(sc->ev_pipe);
	sc->ev_pipe = NULL;
	fd_close(&sc->pipe);
	commit(sc);
}

static int
send_envelope(struct screening *sc, int content, struct why *why)
{
	struct msg_mail_open open = sc->open;

	open.content = content;
	open.size = sc->content.n;
	if (intake_send_open(sc->in, &open, why) == -1)
		return -1;
	for (size_t i = 0; i < sc->nrcpts; i++) {
		struct msg_mail_rcpt rcpt = {
		    .address = str_from(sc->rcpts[i].address),
		    .orcpt = str_from(sc->rcpts[i].orcpt),
		    .notify = sc->rcpts[i].notify,
		};
		if (intake_send(sc->in, MSG_MAIL_RCPT, &rcpt, why) == -1)
			return -1;
	}
	return 0;
}

static void
submit_large(struct screening *sc)
{
	struct why why;
	int ends[2];

	if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) == -1) {
		refuse_temp(sc, "no pipe to the queue");
		return;
	}
	int rc = send_envelope(sc, ends[0], &why);
	close(ends[0]); /* the channel has its own */
	sc->pipe = ends[1];
	if (rc == -1) {
		refuse(sc, &why);
		return;
	}
	sc->ev_pipe =
	    event_new(sc->p->service->loop.base, sc->pipe, EV_WRITE | EV_PERSIST, on_writable, sc);
	if (sc->ev_pipe == NULL || event_add(sc->ev_pipe, NULL) == -1)
		fatal("milter: no event");
}

static void
submit(struct screening *sc)
{
	struct str rest = buf_view(&sc->content);
	struct why why;

	if (rest.n > INLINE_MAX) {
		submit_large(sc);
		return;
	}
	int rc = send_envelope(sc, -1, &why);
	while (rc == 0 && rest.n > 0) {
		struct msg_mail_data data = {.bytes = str_sub(rest, 0, MSG_CHUNK_MAX)};
		rc = intake_send(sc->in, MSG_MAIL_DATA, &data, &why);
		rest = str_from_at(rest, data.bytes.n);
	}
	if (rc == -1)
		refuse(sc, &why);
	else
		commit(sc);
}

/* --- the dialogue --- */

/* Addresses come in brackets. */
static bool
host_edit(void *arg, unsigned kind, struct str text)
{
	struct screening *sc = arg;

	if (kind != EDIT_HOLD && str_starts(text, STR("<")) && str_ends(text, STR(">")))
		text = str_sub(text, 1, text.n - 2);
	return edit_add(sc, (enum mail_edit)kind, str_sub(text, 0, MSG_TEXT_MAX));
}

static void
log_refusal(const struct screening *sc, const struct why *why)
{
	static const char *const events[MILTER_EVENTS] = {
	    "CONNECT", "HELO", "MAIL", "RCPT", "DATA", "END-OF-MESSAGE"};

	log_info("%016" PRIX64 ": milter-reject: %s from localhost[127.0.0.1]: %s %s; from=<%s> "
		 "to=<%s>",
	    sc->in->trace, events[sc->event], why->code, why->text, sc->in->sender,
	    sc->nrcpts > 0 ? sc->rcpts[sc->rcpt < sc->nrcpts ? sc->rcpt : 0].address : "");
}

static bool
take_back(struct screening *sc)
{
	struct milter_mail *mail = &sc->mail;
	struct str body = mail->is_replaced ? buf_view(&mail->replaced) : mail->body;
	struct buf all;

	buf_init(&all, mail->header.n + body.n + 2);
	if (buf_str(&all, buf_view(&mail->header)) == -1 || buf_str(&all, body) == -1)
		panic("milter: a message larger than its parts");
	if (!str_ends(buf_view(&all), STR("\r\n")) && buf_puts(&all, "\r\n") == -1)
		panic("milter: a message larger than its parts");
	milter_mail_clear(mail);
	sc->has_mail = false;
	buf_free(&sc->content);
	sc->content = all;
	return all.n <= (size_t)sc->p->conf->common.message_size_limit;
}

static bool
make_mail(struct screening *sc)
{
	const struct conf_common *conf = &sc->p->conf->common;
	struct str all = buf_view(&sc->content);
	size_t n = header_size(all);

	milter_mail_init(
	    &sc->mail, (size_t)conf->header_size_limit, (size_t)conf->message_size_limit + 2);
	sc->has_mail = true;
	sc->mail.body = str_from_at(all, n);
	return buf_str(&sc->mail.header, str_sub(all, 0, n)) == 0;
}

static void
ask(struct screening *sc)
{
	char bracketed[MSG_ADDRESS_MAX + 3];
	struct str args[3];
	struct why why;
	size_t n = 0;

	switch (sc->event) {
	case MILTER_CONNECT:
		args[n++] = STR("localhost");
		args[n++] = STR("127.0.0.1");
		args[n++] = STR("0");
		break;
	case MILTER_HELO:
		args[n++] = str_from(sc->p->conf->common.myhostname);
		break;
	case MILTER_MAIL:
	case MILTER_RCPT:
		snprintf(bracketed, sizeof bracketed, "<%s>",
		    sc->event == MILTER_MAIL ? sc->in->sender : sc->rcpts[sc->rcpt].address);
		args[n++] = str_from(bracketed);
		break;
	case MILTER_DATA:
	case MILTER_EVENTS:
		break;
	case MILTER_CONTENT:
		if (!make_mail(sc)) {
			why_perm(&why, "5.6.0", "the header is too large");
			refuse(sc, &why);
			return;
		}
	}
	milters_ask(sc->chain, sc->event, args, n, sc->event == MILTER_CONTENT ? &sc->mail : NULL);
}

static void
host_done(void *arg, enum milter_verdict verdict, const struct why *why)
{
	struct screening *sc = arg;
	struct why large;

	if (verdict == MILTER_REFUSE) {
		struct why said = *why; /* the chain ends with us */
		metric_add(METRIC_MILTER_REFUSED, 1);
		log_refusal(sc, &said);
		refuse(sc, &said);
		return;
	}
	if (verdict == MILTER_DISCARD) {
		log_info("%016" PRIX64 ": milter-discard: from localhost[127.0.0.1]; from=<%s>",
		    sc->in->trace, sc->in->sender);
		(void)edit_add(sc, EDIT_DISCARD, STR("by a milter"));
	}
	if (verdict == MILTER_DISCARD || sc->event == MILTER_CONTENT) {
		bool fits = !sc->has_mail || take_back(sc);
		milters_free(&sc->chain);
		if (fits) {
			submit(sc);
			return;
		}
		why_perm(&large, "5.3.4", "message file too big");
		refuse(sc, &large);
		return;
	}
	if (sc->event == MILTER_RCPT && ++sc->rcpt < sc->nrcpts) {
		ask(sc);
		return;
	}
	sc->event++;
	ask(sc);
}

static const struct milter_host host = {
    .connect = host_connect,
    .forget = host_forget,
    .macro = host_macro,
    .edit = host_edit,
    .done = host_done,
};

/* Milters see the message as it will be sent: without Bcc, with what was missing. */
static int
complete(struct screening *sc, struct why *why)
{
	const struct conf_common *conf = &sc->p->conf->common;
	char id[20];
	struct buf all;
	size_t end;

	snprintf(id, sizeof id, "%016" PRIX64, sc->in->trace);
	struct complete c = {
	    .host = conf->myhostname,
	    .sender = sc->in->sender,
	    .full_name = sc->open.full_name.p,
	    .id = id,
	    .arrived = (uint64_t)wall_us(),
	};
	buf_init(&all, sc->content.n + 64 * 1024);
	if (sc->content.n > 0 && !str_ends(buf_view(&sc->content), STR("\r\n")) &&
	    buf_puts(&sc->content, "\r\n") == -1)
		goto fail;
	struct str content = buf_view(&sc->content);
	if (complete_rewrite(content, &c, &all, &end) == -1 ||
	    buf_str(&all, str_from_at(content, end)) == -1)
		goto fail;
	buf_free(&sc->content);
	sc->content = all;
	return 0;
fail:
	buf_free(&all);
	return why_perm(why, "5.3.4", "message size exceeds the fixed limit");
}

/* Goes on when all that was promised is here. */
static int
proceed(struct screening *sc, struct why *why)
{
	if (!sc->committed || sc->asked)
		return 0;
	if (sc->content.n != sc->promised)
		return sc->pipe != -1 ? 0
				      : why_temp(why, "4.3.0", "the message did not arrive whole");
	if (sc->ev_pipe != NULL)
		event_free(sc->ev_pipe);
	sc->ev_pipe = NULL;
	fd_close(&sc->pipe);
	sc->asked = true;
	if (complete(sc, why) == -1)
		return -1;
	sc->chain = milters_new(sc->p->service->loop.base, sc->p->milters, &host, sc);
	ask(sc);
	return 0;
}

/* --- content in --- */

int
screening_data(struct screening *sc, struct str bytes, struct why *why)
{
	struct pickup *p = sc->p;

	if (bytes.n > (size_t)p->conf->common.milter_memory_limit - p->milter_held) {
		why_temp(why, "4.3.1", "too much mail is being looked at");
		why->smtp = 452;
		return -1;
	}
	if (buf_str(&sc->content, bytes) == -1) {
		why_perm(why, "5.3.4", "message size exceeds the fixed limit");
		why->smtp = 552;
		return -1;
	}
	p->milter_held += bytes.n;
	sc->held += bytes.n;
	return 0;
}

static void
on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct screening *sc = arg;
	char part[READ_PART];
	struct why why = {0};

	(void)what;
	ssize_t n = read(fd, part, sizeof part);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1)
		why_sys(&why, "4.3.0", "read the message");
	else if (n > 0 && screening_data(sc, str_make(part, (size_t)n), &why) == -1)
		n = -1;
	if (n == -1) {
		refuse(sc, &why);
		return;
	}
	if (n == 0) {
		event_free(sc->ev_pipe);
		sc->ev_pipe = NULL;
		fd_close(&sc->pipe);
	}
	if (proceed(sc, &why) == -1)
		refuse(sc, &why);
}

static int
watch_pipe(struct screening *sc, int content, struct why *why)
{
	sc->pipe = fcntl(content, F_DUPFD_CLOEXEC, 0); /* the message's own is closed */
	if (sc->pipe == -1 || fd_nonblock(sc->pipe) == -1)
		return why_sys(why, "4.3.0", "content is no pipe");
	sc->ev_pipe =
	    event_new(sc->p->service->loop.base, sc->pipe, EV_READ | EV_PERSIST, on_readable, sc);
	if (sc->ev_pipe == NULL || event_add(sc->ev_pipe, NULL) == -1)
		fatal("milter: no event");
	return 0;
}

/* --- life --- */

static struct str
own(struct str s)
{
	return str_make(str_dup(s), s.n);
}

static void
drop_text(struct str s)
{
	free((char *)(uintptr_t)s.p);
}

struct screening *
screening_new(struct intake *in, const struct msg_mail_open *open, struct why *why)
{
	struct screening *sc = xcalloc(1, sizeof *sc);

	*sc = (struct screening){.in = in, .p = in->pickup, .pipe = -1, .open = *open};
	sc->open.sender = own(open->sender);
	sc->open.service = own(open->service);
	sc->open.origin = own(open->origin);
	sc->open.full_name = own(open->full_name);
	sc->open.envid = own(open->envid);
	sc->open.content = -1;
	buf_init(&sc->content, (size_t)in->pickup->conf->common.message_size_limit + 2);
	if (open->content != -1 && watch_pipe(sc, open->content, why) == -1)
		screening_free(&sc);
	return sc;
}

void
screening_rcpt(struct screening *sc, const struct msg_mail_rcpt *rcpt)
{
	bool bare = str_rchr(rcpt->address, '@') < 0;

	if (sc->nrcpts == sc->size) {
		sc->size = sc->size == 0 ? 2 : sc->size * 2;
		sc->rcpts = xrealloc(sc->rcpts, size_mul(sc->size, sizeof *sc->rcpts));
	}
	sc->rcpts[sc->nrcpts++] = (struct held_rcpt){
	    .address =
		bare ? xasprintf("%.*s@%s", STR_ARG(rcpt->address), sc->p->conf->common.myorigin)
		     : str_dup(rcpt->address),
	    .orcpt = str_dup(rcpt->orcpt),
	    .notify = rcpt->notify,
	};
}

int
screening_commit(struct screening *sc, uint64_t size, struct why *why)
{
	sc->committed = true;
	sc->promised = size;
	return proceed(sc, why);
}

void
screening_free(struct screening **sp)
{
	struct screening *sc = *sp;

	*sp = NULL;
	if (sc == NULL)
		return;
	while (sc->calls != NULL)
		host_forget(sc, sc->calls->milter);
	milters_free(&sc->chain);
	if (sc->has_mail)
		milter_mail_clear(&sc->mail);
	if (sc->ev_pipe != NULL)
		event_free(sc->ev_pipe);
	fd_close(&sc->pipe);
	for (size_t i = 0; i < sc->nrcpts; i++) {
		free(sc->rcpts[i].address);
		free(sc->rcpts[i].orcpt);
	}
	free(sc->rcpts);
	for (size_t i = 0; i < sc->nedits; i++)
		free(sc->edits[i].text);
	free(sc->edits);
	buf_free(&sc->content);
	drop_text(sc->open.sender);
	drop_text(sc->open.service);
	drop_text(sc->open.origin);
	drop_text(sc->open.full_name);
	drop_text(sc->open.envid);
	sc->p->milter_held -= sc->held;
	free(sc);
}
