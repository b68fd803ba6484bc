/* SPDX-License-Identifier: ISC */
/*
 * The tables. The generation is a hash of the configuration and of the identity of every table's
 * file: two workers that see the same files have the same generation, and whoever keeps an answer
 * can tell when it is stale.
 */
#include "router/maps.h"

#include <libgen.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/log/log.h"
#include "lib/sandbox/sandbox.h"

static const struct {
	const char *name;
	size_t setting; /* offset in struct router_conf */
} rows[MAPS_COUNT] = {
    [MAPS_ALIAS] = {"alias_maps",           offsetof(struct router_conf, alias_maps)                },
    [MAPS_VIRTUAL_ALIAS] = {"virtual_alias_maps",   offsetof(struct router_conf, virtual_alias_maps)        },
    [MAPS_VIRTUAL_MAILBOX] = {"virtual_mailbox_maps",
		    offsetof(struct router_conf,                         virtual_mailbox_maps)      },
    [MAPS_VIRTUAL_UID] = {"virtual_uid_maps",     offsetof(struct router_conf, virtual_uid_maps)          },
    [MAPS_VIRTUAL_GID] = {"virtual_gid_maps",     offsetof(struct router_conf, virtual_gid_maps)          },
    [MAPS_LOCAL_RECIPIENT] = {"local_recipient_maps",
		    offsetof(struct router_conf,                         local_recipient_maps)      },
    [MAPS_RELAY_RECIPIENT] = {"relay_recipient_maps",
		    offsetof(struct router_conf,                         relay_recipient_maps)      },
    [MAPS_TRANSPORT] = {"transport_maps",       offsetof(struct router_conf, transport_maps)            },
    [MAPS_SNI] = {"tls_server_sni_maps",  offsetof(struct router_conf, common.tls_server_sni_maps)},
    [MAPS_ACCESS] = {"access_maps",          offsetof(struct router_conf, access_maps)               },
    [MAPS_ACCESS_TABLES] = {"access_tables",        offsetof(struct router_conf, access_tables)             },
};

static const struct {
	const char *name;
	size_t setting;
} domain_rows[DOMAINS_COUNT] = {
    [DOMAINS_LOCAL] = {"mydestination",           offsetof(struct router_conf, common.mydestination)   },
    [DOMAINS_ALIAS] = {"virtual_alias_domains",
		       offsetof(struct router_conf,                            virtual_alias_domains)  },
    [DOMAINS_VIRTUAL] = {"virtual_mailbox_domains",
		       offsetof(struct router_conf,                            virtual_mailbox_domains)},
    [DOMAINS_RELAY] = {"relay_domains",           offsetof(struct router_conf, relay_domains)          },
};

static const struct setting_list *
setting_at(const struct router *r, size_t offset)
{
	return (const struct setting_list *)(const void *)((const char *)r->conf + offset);
}

static bool
has_word(const struct setting_list *list, const char *word)
{
	for (size_t i = 0; i < list->n; i++)
		if (strcmp(list->items[i], word) == 0)
			return true;
	return false;
}

/* All settings as text: another configuration is another generation. */
static uint64_t
conf_stamp(const struct router *r)
{
	const struct settings *all[] = {&conf_common_settings, &router_settings};
	struct buf text;
	uint64_t stamp = 0;

	buf_init(&text, SIZE_MAX / 2);
	for (size_t i = 0; i < NELEM(all); i++)
		for (size_t k = 0; k < all[i]->n; k++)
			setting_show(&all[i]->rows[k], r->conf, &text);
	stamp = stamp_mix(0, buf_cstr(&text), text.n);
	buf_free(&text);
	return stamp;
}

static uint64_t
generation_now(const struct router *r)
{
	uint64_t stamp = r->conf_stamp;

	for (size_t i = 0; i < MAPS_COUNT; i++)
		stamp = tables_stamp(&r->maps[i], stamp);
	for (size_t i = 0; i < DOMAINS_COUNT; i++)
		stamp = tables_stamp(&r->domains[i].tables, stamp);
	return stamp != 0 ? stamp : 1; /* 0 means "nobody has asked router" */
}

/* The tables of restriction lists. One that is malformed is left out, and asking for it is an
 * error: it must not stop the mail of those who never ask. */
static void
open_access(struct router *r)
{
	const struct setting_list *specs = &r->conf->access_tables;
	struct table_list *list = &r->maps[MAPS_ACCESS_TABLES];
	struct why why;

	*list = (struct table_list){xcalloc(specs->n + 1, sizeof(struct table *)), 0};
	for (size_t i = 0; i < specs->n; i++) {
		struct table *t = table_open(str_from(specs->items[i]), r->root, &why);
		if (t != NULL)
			list->items[list->n++] = t;
		else
			log_error("access tables: %s", why.text);
	}
}

int
maps_open(struct router *r, struct why *why)
{
	struct why inner = {0};

	open_access(r);
	for (size_t i = 0; i < MAPS_ACCESS_TABLES; i++)
		if (tables_open(&r->maps[i], setting_at(r, rows[i].setting), r->root, &inner) ==
		    -1) {
			maps_clear(r);
			return why_perm(why, NULL, "%s: %s", rows[i].name, inner.text);
		}
	for (size_t i = 0; i < DOMAINS_COUNT; i++) {
		bool below =
		    has_word(&r->conf->parent_domain_matches_subdomains, domain_rows[i].name);
		if (domains_open(&r->domains[i], setting_at(r, domain_rows[i].setting), below,
			r->root, &inner) == -1) {
			maps_clear(r);
			return why_perm(why, NULL, "%s: %s", domain_rows[i].name, inner.text);
		}
	}
	r->access_below = has_word(&r->conf->parent_domain_matches_subdomains, "smtpd_access_maps");
	r->conf_stamp = conf_stamp(r);
	r->generation = generation_now(r);
	r->checked = clock_ms();
	return 0;
}

void
maps_clear(struct router *r)
{
	for (size_t i = 0; i < MAPS_COUNT; i++)
		tables_clear(&r->maps[i]);
	for (size_t i = 0; i < DOMAINS_COUNT; i++)
		domains_clear(&r->domains[i]);
	for (size_t i = 0; r->paths != NULL && r->paths[i].path != NULL; i++)
		free((char *)(uintptr_t)r->paths[i].path);
	free(r->paths);
	r->paths = NULL;
}

const char *
maps_name(enum router_maps maps)
{
	return rows[maps].name;
}

enum router_maps
maps_find(struct str name)
{
	size_t i = 0;

	while (i < MAPS_COUNT && !str_is(name, rows[i].name))
		i++;
	return (enum router_maps)i;
}

bool
maps_check(struct router *r)
{
	int64_t now = clock_ms();

	if (now - r->checked < MAPS_CHECK_MS)
		return false;
	r->checked = now;
	bool changed = false;
	for (size_t i = 0; i < MAPS_COUNT; i++)
		changed = tables_refresh(&r->maps[i]) || changed;
	for (size_t i = 0; i < DOMAINS_COUNT; i++)
		changed = tables_refresh(&r->domains[i].tables) || changed;
	if (changed)
		r->generation = generation_now(r);
	return changed;
}

static void
add_path(struct router *r, size_t *n, const char *file)
{
	char *copy = xstrdup(file);

	r->paths = xrealloc(r->paths, size_mul(*n + 2, sizeof *r->paths));
	r->paths[(*n)++] = (struct sandbox_path){xstrdup(dirname(copy)), SANDBOX_READ};
	r->paths[*n] = (struct sandbox_path){NULL, 0};
	free(copy);
}

/* The folder as it is named, and the one that a link leads to. */
static void
add_paths(struct router *r, size_t *n, const struct table_list *list)
{
	char real[PATH_MAX];

	for (size_t i = 0; i < list->n; i++) {
		const char *path = table_path(list->items[i]);
		if (path == NULL)
			continue;
		add_path(r, n, path);
		if (realpath(path, real) != NULL && strcmp(real, path) != 0)
			add_path(r, n, real);
	}
}

const struct sandbox_path *
maps_paths(struct router *r)
{
	size_t n = 0;

	for (size_t i = 0; i < MAPS_COUNT; i++)
		add_paths(r, &n, &r->maps[i]);
	for (size_t i = 0; i < DOMAINS_COUNT; i++)
		add_paths(r, &n, &r->domains[i].tables);
	return r->paths;
}
