/* SPDX-License-Identifier: ISC */
/* Backends by service, and what each of them has to offer. */
#include "keeper/backend.h"

#include <stdlib.h>
#include <string.h>

#include "keeper/auth.h"
#include "keeper/dovecot.h"
#include "lib/base/buf.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/log/log.h"
#include "lib/service/service.h"

/* --- which there are --- */

static struct backend *
find(const struct auth *a, enum auth_type type, struct str path)
{
	struct backend *b;

	TAILQ_FOREACH (b, &a->backends, link)
		if (b->type == type && str_is(path, b->path))
			return b;
	return NULL;
}

static struct backend *
make(struct auth *a, enum auth_type type, struct str path)
{
	struct backend *b = xcalloc(1, sizeof *b);

	*b = (struct backend){.auth = a, .type = type, .path = str_dup(path)};
	TAILQ_INSERT_TAIL(&a->backends, b, link);
	if (type == AUTH_DOVECOT)
		b->dovecot = dovecot_new(b);
	return b;
}

struct backend *
backend_hold(struct backend *b)
{
	b->holders++;
	return b;
}

void
backend_drop(struct backend **bp)
{
	struct backend *b = *bp;

	*bp = NULL;
	if (b == NULL || --b->holders > 0)
		return;
	TAILQ_REMOVE(&b->auth->backends, b, link);
	dovecot_free(&b->dovecot);
	free(b->mechanisms);
	free(b->plain);
	free(b->path);
	free(b);
}

static void
drop_value(void *value)
{
	struct backend *b = value;

	backend_drop(&b);
}

static bool
parse_type(struct str word, enum auth_type *type)
{
	static const char *const words[] = {"kingpost", "dovecot", "checkpassword"};

	for (size_t i = 0; i < NELEM(words); i++)
		if (str_caseis(word, words[i])) {
			*type = (enum auth_type)i;
			return true;
		}
	return false;
}

/* "service type path" */
static void
add_service(struct auth *a, struct map *services, struct str item)
{
	struct str service = STR_EMPTY, word = STR_EMPTY;
	enum auth_type type;

	if (!str_word(&item, " ", &service) || !str_word(&item, " ", &word) ||
	    !parse_type(word, &type)) {
		log_warning("sasl_services: expected service, type and path");
		return;
	}
	struct str path = type == AUTH_DOVECOT ? str_trim(item) : STR_EMPTY;
	struct backend *b = find(a, type, path);
	if (b == NULL)
		b = make(a, type, path);
	struct backend *before = map_put(services, service, backend_hold(b));
	backend_drop(&before);
}

void
backends_reload(struct auth *a)
{
	const struct setting_list *list = &a->k->conf->sasl_services;
	struct map *before = a->services, *services = map_new();

	for (size_t i = 0; i < list->n; i++)
		add_service(a, services, str_from(list->items[i]));
	a->services = services;
	if (before != NULL)
		map_free(&before, drop_value);
}

struct backend *
backend_of(const struct auth *a, const struct chan *ch)
{
	const struct service_partner *partner = service_partner(ch);

	return partner != NULL ? map_get(a->services, str_from(partner->service)) : NULL;
}

/* --- what it has --- */

static void
add_word(struct buf *b, const char *word)
{
	if (buf_printf(b, "%s%s", b->n > 0 ? " " : "", word) == -1)
		log_warning("too many mechanisms: %s is not offered", word);
}

static void
add_mechanism(struct buf *names, struct buf *plain, const struct mechanism *m)
{
	add_word(names, m->name);
	if (m->plain)
		add_word(plain, m->name);
}

/* The suite's own mechanisms that the type has; checkpassword needs the password itself. */
static bool
has_mechanism(const struct backend *b, const struct mechanism *m)
{
	return b->type == AUTH_KINGPOST || m->plain;
}

static void
list_own(const struct backend *b, struct buf *names, struct buf *plain)
{
	for (const struct mechanism *m = sasl_mechanisms; m->name != NULL; m++)
		if (has_mechanism(b, m))
			add_mechanism(names, plain, m);
	add_mechanism(names, plain, &external_mechanism);
}

bool
backend_list(struct backend *b)
{
	struct buf names = {.max = MECHANISMS_MAX}, plain = {.max = MECHANISMS_MAX};

	if (b->dovecot != NULL)
		dovecot_list(b->dovecot, &names, &plain);
	else
		list_own(b, &names, &plain);
	bool same = str_is(buf_view(&names), b->mechanisms != NULL ? b->mechanisms : "");
	free(b->mechanisms);
	free(b->plain);
	b->mechanisms = buf_steal(&names);
	b->plain = buf_steal(&plain);
	return !same;
}

static const struct mechanism *
find_own(const struct backend *b, const char *name)
{
	for (const struct mechanism *m = sasl_mechanisms; m->name != NULL; m++)
		if (strcmp(m->name, name) == 0 && has_mechanism(b, m))
			return m;
	return strcmp(external_mechanism.name, name) == 0 ? &external_mechanism : NULL;
}

const struct mechanism *
backend_mechanism(const struct backend *b, const char *name)
{
	if (b->dovecot != NULL)
		return dovecot_has(b->dovecot, name) ? &dovecot_mechanism : NULL;
	return find_own(b, name);
}
