/* SPDX-License-Identifier: ISC */
/*
 * Handshakes take turns: a few steps in a round of the loop, whatever their number, so that those
 * who are served already do not wait for a flood of newcomers. While one waits for keeper or router
 * its socket is not looked at.
 *
 * After STARTTLS the session is as new (RFC 3207 4.2), and nothing that came in plain behind the
 * command is ever read as a command.
 */
#include "smtpd/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/metrics/metrics.h"
#include "lib/service/service.h"
#include "lib/tls/server.h"
#include "lib/tls/session.h"
#include "smtpd/auth.h"
#include "smtpd/envelope.h"
#include "smtpd/files.h"
#include "smtpd/session.h"
#include "smtpd/stage.h"

enum { STEPS_A_ROUND = 8, CA_MAX = 4 * 1024 * 1024 };

static void take_turns(void *arg);

/* --- the server --- */

int
smtpd_tls_open(const struct smtpd_conf *conf, char **ca, struct why *why)
{
	struct buf text;

	*ca = NULL;
	tzset(); /* which OpenSSL's look at a certificate's dates would make up for */
	if (conf->smtpd_tls_CAfile[0] == '\0')
		return 0;
	buf_init(&text, CA_MAX);
	if (file_read(AT_FDCWD, conf->smtpd_tls_CAfile, &text, why) == -1) {
		buf_free(&text);
		return -1;
	}
	*ca = buf_steal(&text);
	return 0;
}

static const struct setting_list *
groups(const struct smtpd_conf *conf)
{
	static char p256[] = "prime256v1", p384[] = "secp384r1";
	static char *const strong[] = {p256}, *const ultra[] = {p384};
	static const struct setting_list grades[] = {
	    {(char **)(uintptr_t)strong, 1},
            {(char **)(uintptr_t)ultra,  1}
        };

	return conf->smtpd_tls_eecdh_grade == EECDH_AUTO
		   ? &conf->tls_eecdh_auto_curves
		   : &grades[conf->smtpd_tls_eecdh_grade == EECDH_ULTRA];
}

static int
start(struct server *server, const char *files, struct why *why)
{
	const struct smtpd_conf *conf = server->conf;
	bool must = conf->smtpd_tls_security_level == TLS_LEVEL_ENCRYPT;
	struct tls_policy policy = {
	    .protocols = must ? &conf->smtpd_tls_mandatory_protocols : &conf->smtpd_tls_protocols,
	    .grade = (enum tls_grade)(
		must ? conf->smtpd_tls_mandatory_ciphers : conf->smtpd_tls_ciphers),
	    .excluded = {&conf->smtpd_tls_exclude_ciphers,
			 must ? &conf->smtpd_tls_mandatory_exclude_ciphers : NULL},
	    .groups = groups(conf),
	    .server_order = conf->tls_preempt_cipherlist,
	    .service = server->service->name,
	    .session_ms = conf->common.smtpd_tls_session_cache_timeout,
	    .ask_certificate = conf->smtpd_tls_ask_ccert || conf->smtpd_tls_req_ccert,
	    .need_certificate = conf->smtpd_tls_req_ccert && (must || conf->smtpd_tls_wrappermode),
	    .depth = conf->smtpd_tls_ccert_verifydepth,
	    .ca = str_from(server->tls_ca),
	    .digest = conf->smtpd_tls_fingerprint_digest,
	};

	if (conf->smtpd_tls_req_ccert && !policy.need_certificate)
		log_warning("smtpd_tls_req_ccert has no effect without smtpd_tls_security_level = "
			    "encrypt");
	tls_open();
	server->tls = tls_server_new(&policy, why);
	if (server->tls == NULL)
		return -1;
	server->identities = identities_new(server, server->tls, files);
	return 0;
}

int
smtpd_tls_start(struct server *server, char *ca, struct why *why)
{
	const struct smtpd_conf *conf = server->conf;
	bool must = conf->smtpd_tls_security_level == TLS_LEVEL_ENCRYPT;
	struct buf files;
	int rc = 0;

	TAILQ_INIT(&server->turns);
	TAILQ_INIT(&server->crowd);
	server->turn = (struct loop_task){.on_round_end = take_turns, .arg = server};
	server->tls_ca = ca;
	buf_init(&files, 4096);
	if (files_list(conf, &files) == -1)
		rc = why_perm(why, NULL, "the list of certificate files is too long");
	else if (files.n == 0 && (must || conf->smtpd_tls_wrappermode))
		rc = why_perm(why, NULL, "%s, but no certificate is configured",
		    must ? "smtpd_tls_security_level = encrypt" : "smtpd_tls_wrappermode = yes");
	else if (files.n > 0 &&
		 (conf->smtpd_tls_security_level != TLS_LEVEL_NONE || conf->smtpd_tls_wrappermode))
		rc = start(server, buf_cstr(&files), why);
	buf_free(&files);
	return rc;
}

void
smtpd_tls_stop(struct server *server)
{
	loop_cancel(server->loop, &server->turn);
	identities_free(&server->identities);
	if (server->tls != NULL)
		tls_close();
	tls_server_free(&server->tls);
	free(server->tls_ca);
	server->tls_ca = NULL;
}

void
smtpd_tls_keeper(struct server *server, struct chan *keeper)
{
	(void)keeper;
	if (server->identities != NULL)
		identities_keeper(server->identities);
}

void
smtpd_tls_keeper_gone(struct server *server)
{
	if (server->identities != NULL)
		identities_keeper_gone(server->identities);
}

void
smtpd_tls_forget_names(struct server *server)
{
	if (server->identities != NULL)
		identities_forget_names(server->identities);
}

static struct server *
server_of(struct chan *ch)
{
	struct service *service = chan_owner(ch);

	return service->state;
}

void
on_ticket_keys(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct server *server = server_of(ch);

	(void)head;
	if (server->tls != NULL && tls_server_ticket_keys(server->tls, msg->ticket_keys.keys) == -1)
		chan_fail(ch, "malformed ticket keys");
}

void
on_identities_changed(struct chan *ch, const struct chan_head *head, union msg_any *msg)
{
	struct server *server = server_of(ch);

	(void)head;
	(void)msg;
	if (server->identities != NULL)
		identities_changed(server->identities);
}

/* --- what a session has --- */

bool
smtpd_tls_offered(const struct session *s)
{
	return s->server->tls != NULL && s->tls == NULL && !s->local &&
	       identities_hopeful(s->server->identities);
}

bool
smtpd_tls_missing(const struct session *s)
{
	return s->tls == NULL && !s->local &&
	       s->server->conf->smtpd_tls_security_level == TLS_LEVEL_ENCRYPT;
}

const struct tls_facts *
smtpd_tls_facts(const struct session *s)
{
	return s->tls != NULL ? s->tls->facts : NULL;
}

int
smtpd_tls_binding(const struct session *s, const char *type, struct buf *out)
{
	return smtpd_tls_facts(s) != NULL ? tls_binding(s->tls->tls, type, out) : -1;
}

static void
comment_on_client(const struct session *s, const struct tls_facts *f, struct buf *b)
{
	const struct smtpd_conf *conf = s->server->conf;
	int rc;

	if (!conf->smtpd_tls_ask_ccert && !conf->smtpd_tls_req_ccert)
		rc = buf_puts(b, ";No client certificate requested");
	else if (!f->certificate)
		rc = buf_puts(b, ";Client did not present a certificate");
	else
		rc = buf_printf(b, ";Client CN \"%s\", Issuer \"%s\" (%s)", f->subject, f->issuer,
		    f->trusted ? "verified OK" : "not verified");
	if (rc == -1)
		buf_reset(b);
}

void
smtpd_tls_comment(const struct session *s, char *out, size_t size)
{
	const struct tls_facts *f = smtpd_tls_facts(s);
	char text[400];
	struct buf b;

	out[0] = '\0';
	if (f == NULL || !s->server->conf->smtpd_tls_received_header)
		return;
	buf_init(&b, size - 1);
	tls_facts_show(f, " ", text, sizeof text);
	if (buf_printf(&b, "using %s", text) == 0)
		comment_on_client(s, f, &b);
	(void)str_copy(out, size, buf_view(&b)); /* it fits, or is left out */
	buf_free(&b);
}

/* --- the command --- */

size_t
smtpd_tls_drop_plain(struct session *s, struct str in)
{
	(void)s;
	return in.n;
}

static bool
is_refused(struct session *s)
{
	if (s->tls != NULL)
		session_reply(s, 554, "5.5.1", "Error: TLS already active");
	else if (s->server->tls == NULL || s->local)
		session_reply(s, 502, "5.5.1", "Error: command not implemented");
	else
		return false;
	return true;
}

static void
on_starttls_judged(struct session *s, const struct why *why)
{
	if (why != NULL) {
		session_reject(s, "STARTTLS", STR_EMPTY, why);
		return;
	}
	session_reply(s, 220, "2.0.0", "Ready to start TLS");
	s->tls_due = true;
	s->take = smtpd_tls_drop_plain;
}

void
cmd_starttls(struct session *s, struct str argument)
{
	if (is_refused(s))
		return;
	if (argument.n > 0) {
		session_reply(s, 501, "5.5.4", "Syntax: STARTTLS");
		return;
	}
	if (!identities_hopeful(s->server->identities) ||
	    service_peer(s->server->service, PROGRAM_KEEPER, 0) == NULL) {
		session_reply(s, 454, "4.7.0", "Error: TLS not available due to local problem");
		return;
	}
	stage_begin(s, STAGE_STARTTLS, on_starttls_judged);
}

void
refuse_starttls(struct session *s, struct str argument)
{
	(void)argument;
	if (!is_refused(s))
		session_reply(s, 503, "5.5.1", "Error: MAIL transaction in progress");
}

/* --- the handshake --- */

static void step(struct session_tls *st);

/* Its turn comes this round or the next. */
static void
queue(struct session_tls *st)
{
	struct server *server = st->session->server;

	if (st->queued)
		return;
	st->queued = true;
	TAILQ_INSERT_TAIL(&server->turns, st, turn);
	loop_defer(server->loop, &server->turn);
}

static void
unqueue(struct session_tls *st)
{
	struct server *server = st->session->server;

	if (st->queued)
		TAILQ_REMOVE(&server->turns, st, turn);
	if (st->crowded)
		TAILQ_REMOVE(&server->crowd, st, turn);
	st->queued = st->crowded = false;
}

/* There is no stack left for a handshake: it waits until another one gives its own back. */
static void
wait_for_room(struct session_tls *st)
{
	st->crowded = true;
	TAILQ_INSERT_TAIL(&st->session->server->crowd, st, turn);
}

static void
make_room(struct server *server)
{
	struct session_tls *st = TAILQ_FIRST(&server->crowd);

	if (st == NULL)
		return;
	unqueue(st);
	queue(st);
}

static void
take_turns(void *arg)
{
	struct server *server = arg;
	struct session_tls *st;

	for (int i = 0; i < STEPS_A_ROUND && (st = TAILQ_FIRST(&server->turns)) != NULL; i++) {
		unqueue(st);
		step(st);
	}
	if (!TAILQ_EMPTY(&server->turns))
		loop_defer(server->loop, &server->turn);
}

static void
log_done(const struct session *s, const struct tls_facts *f)
{
	char text[400];

	if (s->server->conf->smtpd_tls_loglevel == 0)
		return;
	tls_facts_show(f, " ", text, sizeof text);
	struct ev_tls ev = {
	    .trust = str_from(tls_facts_trust(f)),
	    .client_name = str_from(s->client_name),
	    .client_addr = str_from(s->client_addr),
	    .text = str_from(text),
	    .resumed = f->resumed,
	    .subject = str_from(f->subject),
	    .fingerprint = str_from(f->fingerprint),
	};
	log_event(s->trace, EV_TLS, &ev);
}

static void
read_on(struct session *s)
{
	if (!s->paused && event_add(&s->ev_read, NULL) == -1)
		fatal("session: no event");
}

static void
done(struct session_tls *st)
{
	struct session *s = st->session;

	st->facts = xcalloc(1, sizeof *st->facts);
	tls_facts(st->tls, st->facts);
	identity_forget(s);
	metric_add(METRIC_TLS_HANDSHAKES, 1);
	if (st->facts->resumed)
		metric_add(METRIC_TLS_RESUMED, 1);
	log_done(s, st->facts);
	read_on(s);
	/* OpenSSL reads ahead: what came in one piece with the handshake's end has left the socket.
	 */
	loop_defer(s->server->loop, &s->more);
	session_secured(s);
}

static void
failed(struct session_tls *st, const struct why *why)
{
	struct session *s = st->session;
	struct ev_tls_failed ev = {.client_name = str_from(s->client_name),
	    .client_addr = str_from(s->client_addr),
	    .text = str_from(why->text)};

	log_event(s->trace, EV_TLS_FAILED, &ev);
	metric_add(METRIC_TLS_FAILED, 1);
	session_lost(s, "lost connection");
}

static void
on_expired(struct session *s)
{
	struct why why;

	why_temp(&why, "4.7.0", "timeout");
	failed(s->tls, &why);
}

static void
on_signature(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session_tls *st = arg;
	bool good = msg != NULL && head->type == MSG_SIGNATURE;

	st->signer = NULL;
	tls_sign(st->tls, good ? msg->signature.signature : STR_EMPTY);
	queue(st);
}

static void
ask_signature(struct session_tls *st)
{
	struct session *s = st->session;
	const struct tls_request *r = tls_request(st->tls);
	struct msg_sign msg = {.key = r->key, .scheme = r->scheme, .input = r->input};
	struct chan *keeper = service_peer(s->server->service, PROGRAM_KEEPER, 0);

	st->request =
	    keeper != NULL ? chan_call(keeper, s->trace, MSG_SIGN, &msg, on_signature, st) : 0;
	if (st->request != 0) {
		st->signer = keeper;
		return;
	}
	tls_sign(st->tls, STR_EMPTY);
	queue(st);
}

static void
on_identity(struct session *s, struct tls_identity *identity)
{
	tls_use(s->tls->tls, identity);
	queue(s->tls);
}

static void
step(struct session_tls *st)
{
	struct session *s = st->session;
	struct why why = {0};

	if (s->state == ST_CLOSING)
		return;
	switch (tls_handshake(st->tls, &why)) {
	case TLS_DONE:
		done(st);
		break;
	case TLS_WANT_READ:
		read_on(s);
		break;
	case TLS_WANT_WRITE:
		if (event_add(&s->ev_write, NULL) == -1)
			fatal("session: no event");
		break;
	case TLS_WANT_IDENTITY:
		identity_find(s, tls_server_name(st->tls), on_identity);
		break;
	case TLS_WANT_SIGNATURE:
		if (st->signer == NULL)
			ask_signature(st);
		return;
	case TLS_WANT_ROOM:
		wait_for_room(st);
		return;
	case TLS_FAILED:
		failed(st, &why);
		break;
	}
	make_room(s->server);
}

void
smtpd_tls_begin(struct session *s)
{
	struct session_tls *st = xcalloc(1, sizeof *st);

	s->tls_due = false;
	*st = (struct session_tls){.session = s, .tls = tls_accept(s->server->tls, s->fd)};
	s->tls = st;
	buf_free(&s->in);
	session_wait(s, s->server->conf->smtpd_starttls_timeout, on_expired);
	read_on(s);
}

bool
smtpd_tls_shaking(const struct session *s)
{
	return s->tls != NULL && s->tls->facts == NULL;
}

void
smtpd_tls_on_socket(struct session *s)
{
	event_del(&s->ev_read);
	queue(s->tls);
}

/* --- the stream --- */

ssize_t
smtpd_read(struct session *s, void *p, size_t n)
{
	size_t done = 0;
	ssize_t part = 0;

	if (s->tls == NULL || s->state == ST_CLOSING)
		return read(s->fd, p, n);
	while (done < n && (part = tls_read(s->tls->tls, (char *)p + done, n - done)) > 0)
		done += (size_t)part;
	if (done < n && part == -1 && errno == EAGAIN) {
		if (tls_wants_write(s->tls->tls) && event_add(&s->ev_write, NULL) == -1)
			fatal("session: no event");
	} else {
		/* There is more, or an end that the socket will not tell a second time. */
		loop_defer(s->server->loop, &s->more);
	}
	if (done > 0)
		return (ssize_t)done;
	return n > 0 ? part : 0;
}

ssize_t
smtpd_write(struct session *s, const void *p, size_t n)
{
	if (s->tls == NULL)
		return write(s->fd, p, n);
	if (s->tls->facts == NULL) /* nobody could read it */
		return (ssize_t)n;
	return tls_write(s->tls->tls, p, n);
}

void
smtpd_tls_end(struct session *s)
{
	if (s->tls != NULL)
		tls_end(s->tls->tls);
}

void
smtpd_tls_free(struct session *s)
{
	struct session_tls *st = s->tls;

	if (st == NULL)
		return;
	if (st->signer != NULL)
		chan_forget(st->signer, st->request);
	unqueue(st);
	identity_forget(s);
	tls_free(&st->tls);
	make_room(s->server);
	free(st->facts);
	free(st);
	s->tls = NULL;
}
