/* SPDX-License-Identifier: ISC */
/*
 * Two steps lead from a name to certificates: router says which files, keeper what is in them. Both
 * answers are kept. What cannot be told is no certificate, never another name's.
 *
 * A `certs` whose files have changed goes on with what it has until the new is there.
 */
#include "smtpd/identity.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/chan/chan.h"
#include "lib/log/log.h"
#include "lib/service/service.h"
#include "lib/tls/server.h"
#include "smtpd/smtpd.h"
#include "smtpd/stage.h"
#include "smtpd/tls.h"

enum { NAMES_MAX = 5000, AUTHORITIES_MAX = 4 * 1024 * 1024 };

/* What is in one list of files. */
struct certs {
	struct identities *all;
	char *files;
	struct tls_identity *identity; /* NULL: none yet, or none at all */
	struct tls_identity *next;     /* what comes in */
	bool stale;                    /* to be asked for at the next use */
	bool refused;                  /* keeper has none */
	struct chan *keeper;           /* asked now */
	uint32_t request;
	TAILQ_HEAD(, session_tls) waiters;
};

struct identities {
	struct server *server;
	struct tls_server *tls;
	struct certs *own;
	struct map *certs; /* struct certs by files, `own` among them */
	struct map *names; /* files by name, "" for those that the tables lack */

	struct chan *keeper; /* asked for the authorities of clients now */
	uint32_t request;
	struct buf authorities; /* what has come of them */
	bool too_long;
};

/* --- from files to certificates --- */

static struct certs *
certs_find(struct identities *all, struct str files)
{
	struct certs *c = map_get(all->certs, files);

	if (c != NULL)
		return c;
	c = xcalloc(1, sizeof *c);
	*c = (struct certs){.all = all, .files = str_dup(files), .stale = true};
	TAILQ_INIT(&c->waiters);
	map_put(all->certs, files, c);
	return c;
}

static void
certs_free(void *value)
{
	struct certs *c = value;

	if (c->keeper != NULL)
		chan_forget(c->keeper, c->request);
	tls_identity_drop(&c->identity);
	tls_identity_drop(&c->next);
	free(c->files);
	free(c);
}

static void
tell_waiters(struct certs *c)
{
	struct session_tls *st;

	while ((st = TAILQ_FIRST(&c->waiters)) != NULL) {
		identity_then_fn *then = st->then;
		TAILQ_REMOVE(&c->waiters, st, waiter);
		st->certs = NULL;
		then(st->session, c->identity);
	}
}

/* keeper has said all. */
static void
certs_end(struct certs *c, bool good)
{
	c->keeper = NULL;
	c->refused = !good;
	if (good) {
		tls_identity_drop(&c->identity);
		c->identity = c->next;
		c->next = NULL;
	}
	tls_identity_drop(&c->next);
	tell_waiters(c);
}

static void
on_identity(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct certs *c = arg;
	struct why why;

	if (msg != NULL && head->type == MSG_IDENTITY) {
		if (c->next != NULL &&
		    tls_identity_add(c->next, msg->identity.key, msg->identity.chain, &why) == -1) {
			log_warning("%s: %s", c->files, why.text);
			tls_identity_drop(&c->next);
		}
		return;
	}
	/* A keeper that has gone comes back: what there was is good until then. */
	c->stale = msg == NULL;
	certs_end(c, msg != NULL && head->type == MSG_DONE && c->next != NULL);
	if (msg == NULL)
		c->refused = false;
}

static void
certs_ask(struct certs *c)
{
	struct chan *keeper = service_peer(c->all->server->service, PROGRAM_KEEPER, 0);
	struct msg_identity_get msg = {.files = str_from(c->files)};

	if (c->keeper != NULL || keeper == NULL)
		return;
	c->request = chan_call(keeper, 0, MSG_IDENTITY_GET, &msg, on_identity, c);
	if (c->request == 0)
		return;
	c->keeper = keeper;
	c->stale = false;
	c->next = tls_identity_new(c->all->tls);
}

static void
certs_use(struct session *s, struct certs *c, identity_then_fn *then)
{
	if (c->stale || (c->refused && c->identity == NULL))
		certs_ask(c);
	if (c->identity != NULL || c->keeper == NULL) {
		then(s, c->identity);
		return;
	}
	s->tls->certs = c;
	s->tls->then = then;
	TAILQ_INSERT_TAIL(&c->waiters, s->tls, waiter);
}

/* --- from names to files --- */

static void
name_keep(struct identities *all, struct str name, struct str files)
{
	if (map_count(all->names) >= NAMES_MAX)
		identities_forget_names(all);
	free(map_put(all->names, name, str_dup(files)));
}

static void
name_found(struct session *s, struct str files, identity_then_fn *then)
{
	struct identities *all = s->server->identities;

	certs_use(s, files.n > 0 ? certs_find(all, files) : all->own, then);
}

static void name_ask(struct session *s);

static void
on_found(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct session *s = arg;
	struct session_tls *st = s->tls;

	session_answered(s);
	if (msg == NULL || head->type != MSG_FOUND) {
		st->then(s, NULL);
		return;
	}
	if (msg->found.found) {
		struct str files = str_trim(msg->found.value);
		name_keep(s->server->identities, str_from(st->name), files);
		name_found(s, files, st->then);
		return;
	}
	/* The next one up: ".example.com" behind "mail.example.com" (as Postfix has it). */
	st->key = strchr(st->key + 1, '.');
	name_ask(s);
}

static void
name_ask(struct session *s)
{
	struct session_tls *st = s->tls;
	struct msg_lookup msg = {.maps = STR("tls_server_sni_maps"), .key = str_from(st->key)};

	if (st->key == NULL || st->key[1] == '\0') {
		name_keep(s->server->identities, str_from(st->name), STR_EMPTY);
		name_found(s, STR_EMPTY, st->then);
		return;
	}
	if (!session_ask(s, PROGRAM_ROUTER, s->serial, MSG_LOOKUP, &msg, on_found))
		st->then(s, NULL);
}

void
identity_find(struct session *s, struct str name, identity_then_fn *then)
{
	struct identities *all = s->server->identities;
	const char *kept;

	if (name.n == 0 || s->server->conf->common.tls_server_sni_maps.n == 0) {
		certs_use(s, all->own, then);
		return;
	}
	kept = map_get(all->names, name);
	if (kept != NULL) {
		name_found(s, str_from(kept), then);
		return;
	}
	free(s->tls->name);
	s->tls->name = str_dup(name);
	s->tls->key = s->tls->name;
	s->tls->then = then;
	name_ask(s);
}

void
identity_forget(struct session *s)
{
	struct session_tls *st = s->tls;

	if (st->certs != NULL)
		TAILQ_REMOVE(&st->certs->waiters, st, waiter);
	st->certs = NULL;
	free(st->name);
	st->name = NULL;
}

/* --- the authorities of clients --- */

/* Those that there are stay where others cannot be had. */
static void
authorities_take(struct identities *all)
{
	const char *file = all->server->conf->smtpd_tls_CAfile;
	struct why why;
	size_t cursor = 0;
	void *value;

	if (all->too_long ||
	    tls_server_authorities(all->tls, buf_view(&all->authorities), &why) == -1) {
		log_warning("%s: %s", file, all->too_long ? "too long" : why.text);
		return;
	}
	while (map_next(all->certs, &cursor, NULL, &value)) {
		struct certs *c = value;
		if (c->identity != NULL)
			tls_identity_refresh(c->identity);
		if (c->next != NULL)
			tls_identity_refresh(c->next);
	}
}

static void authorities_ask(struct identities *all);

static void
on_authorities(void *arg, const struct chan_head *head, union msg_any *msg)
{
	struct identities *all = arg;

	if (msg != NULL && head->type == MSG_AUTHORITIES) {
		all->too_long |= buf_str(&all->authorities, msg->authorities.bytes) == -1;
		return;
	}
	all->keeper = NULL;
	if (msg != NULL && head->type == MSG_DONE)
		authorities_take(all);
	buf_free(&all->authorities);
	if (msg == NULL) /* the successor may have come before this one's end was seen */
		authorities_ask(all);
}

static void
authorities_ask(struct identities *all)
{
	struct chan *keeper = service_peer(all->server->service, PROGRAM_KEEPER, 0);
	struct msg_authorities_get msg = {.file = str_from(all->server->conf->smtpd_tls_CAfile)};

	if (msg.file.n == 0 || keeper == NULL || all->keeper != NULL)
		return;
	all->request = chan_call(keeper, 0, MSG_AUTHORITIES_GET, &msg, on_authorities, all);
	if (all->request == 0)
		return;
	all->keeper = keeper;
	all->too_long = false;
	buf_init(&all->authorities, AUTHORITIES_MAX);
}

/* --- all --- */

struct identities *
identities_new(struct server *server, struct tls_server *tls, const char *files)
{
	struct identities *all = xcalloc(1, sizeof *all);

	*all = (struct identities){
	    .server = server, .tls = tls, .certs = map_new(), .names = map_new()};
	all->own = certs_find(all, str_from(files));
	return all;
}

void
identities_free(struct identities **ip)
{
	struct identities *all = *ip;

	*ip = NULL;
	if (all == NULL)
		return;
	if (all->keeper != NULL)
		chan_forget(all->keeper, all->request);
	buf_free(&all->authorities);
	map_free(&all->certs, certs_free);
	map_free(&all->names, free);
	free(all);
}

void
identities_changed(struct identities *all)
{
	size_t cursor = 0;
	void *value;

	while (map_next(all->certs, &cursor, NULL, &value))
		((struct certs *)value)->stale = true;
	certs_ask(all->own);
	authorities_ask(all);
}

void
identities_keeper(struct identities *all)
{
	identities_changed(all);
}

/* Requests under way are answered by the channel's end. */
void
identities_keeper_gone(struct identities *all)
{
	size_t cursor = 0;
	void *value;

	while (map_next(all->certs, &cursor, NULL, &value))
		((struct certs *)value)->stale = true;
	authorities_ask(all);
}

void
identities_forget_names(struct identities *all)
{
	map_free(&all->names, free);
	all->names = map_new();
}

bool
identities_hopeful(const struct identities *all)
{
	return all->own->identity != NULL || !all->own->refused;
}
