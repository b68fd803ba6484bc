/* SPDX-License-Identifier: ISC */
/*
 * Tables by their type's row. A file is known by its identity (device, inode, size, times): when
 * that changes, the new content is loaded beside the old one and takes its place; where it cannot
 * be loaded, every lookup says why.
 */
#include "lib/table/table.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/conf/setting.h"
#include "lib/table/type.h"

static const struct table_type *const types[] = {
    &table_lmdb,
    &table_text,
    &table_words,
    &table_inline,
    &table_static,
    &table_fail,
    &table_cidr,
    &table_pcre,
    &table_passwd,
    &table_tcp,
    &table_socketmap,
};

struct identity {
	uint64_t dev, ino, size, mtime,
	    ctime; /* all 0: not there; no padding, so that it can be hashed */
};

struct table {
	const struct table_type *type;
	char *spec;
	char *name; /* behind the type */
	char *path; /* of the file; NULL */
	void *content;
	struct why broken; /* class WHY_NONE: `content` is good */
	struct identity identity;
	uint64_t owner;
};

uint64_t
stamp_mix(uint64_t stamp, const void *p, size_t n)
{
	const unsigned char *byte = p;

	if (stamp == 0)
		stamp = 0xcbf29ce484222325u;
	for (size_t i = 0; i < n; i++)
		stamp = (stamp ^ byte[i]) * 0x100000001b3u;
	return stamp;
}

static uint64_t
nanoseconds(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static struct identity
identity_of(const char *path, uint64_t *owner)
{
	struct stat st;

	*owner = 0;
	if (stat(path, &st) == -1)
		return (struct identity){0};
	*owner = st.st_uid;
	return (struct identity){(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
	    nanoseconds(st.st_mtim), nanoseconds(st.st_ctim)};
}

static void
load(struct table *t)
{
	struct why why = {0};
	void *content = t->type->load(str_from(t->name), t->path, &why);

	if (t->content != NULL)
		t->type->free(t->content);
	t->content = content;
	t->broken = (struct why){0};
	if (content == NULL)
		why_temp(&t->broken, "4.3.0", "table %s: %s", t->spec, why.text);
}

static const struct table_type *
type_find(struct str name)
{
	for (size_t i = 0; i < NELEM(types); i++)
		if (str_is(name, types[i]->name))
			return types[i];
	return NULL;
}

static void
unknown_type(struct str spec, struct why *why)
{
	struct buf known;

	buf_init(&known, 256);
	for (size_t i = 0; i < NELEM(types); i++)
		if (buf_printf(&known, "%s%s", i > 0 ? ", " : "", types[i]->name) == -1)
			break;
	why_perm(why, NULL, "%.*s: a table is written type:name, and the types are %s",
	    STR_ARG(spec), buf_cstr(&known));
	buf_free(&known);
}

/* Postfix's proxymap has no counterpart here: "proxy:type:name" is type:name. */
static struct str
without_proxy(struct str spec)
{
	return str_starts(spec, STR("proxy:")) ? str_from_at(spec, sizeof "proxy:" - 1) : spec;
}

struct table *
table_open(struct str spec, const char *root, struct why *why)
{
	struct str bare = without_proxy(spec);
	ptrdiff_t colon = str_chr(bare, ':');
	const struct table_type *type =
	    colon > 0 ? type_find(str_sub(bare, 0, (size_t)colon)) : NULL;

	if (type == NULL) {
		unknown_type(spec, why);
		return NULL;
	}
	struct str name = str_from_at(bare, (size_t)colon + 1);
	struct table *t = xcalloc(1, sizeof *t);
	t->type = type;
	t->spec = str_dup(spec);
	t->name = str_dup(name);
	if (type->flags & TABLE_FILE) {
		t->path = xasprintf("%s%s%.*s%s", str_starts(name, STR("/")) ? "" : root,
		    str_starts(name, STR("/")) ? "" : "/", STR_ARG(name), type->suffix);
		t->identity = identity_of(t->path, &t->owner);
	}
	load(t);
	if (t->content == NULL &&
	    t->path == NULL) { /* what stands in the configuration itself is wrong */
		why_perm(why, NULL, "%s", t->broken.text);
		table_free(&t);
	}
	return t;
}

void
table_free(struct table **tp)
{
	struct table *t = *tp;

	if (t == NULL)
		return;
	if (t->content != NULL)
		t->type->free(t->content);
	free(t->spec);
	free(t->name);
	free(t->path);
	free(t);
	*tp = NULL;
}

static int
lookup_unix(const struct table *t, struct str key, const struct table_asker *asker, struct buf *out,
    struct why *why)
{
	struct str map = str_from(t->name);

	return asker != NULL ? asker->ask(asker->arg, map, key, out, why)
			     : unix_lookup(map, key, out, why);
}

int
table_lookup(struct table *t, struct str key, const struct table_asker *asker, struct buf *out,
    struct why *why)
{
	char folded[TABLE_KEY_MAX + 1];

	buf_reset(out);
	if (t->broken.class != WHY_NONE)
		return why_temp(why, t->broken.code, "%s", t->broken.text);
	if (key.n == 0)
		return TABLE_NONE;
	bool ask = (t->type->flags & TABLE_REMOTE) != 0 && asker != NULL;
	/* patterns are for lines of mail, too */
	if ((t->type->flags & TABLE_PATTERN) && !ask)
		return t->type->lookup(t->content, key, out, why);
	if (key.n > TABLE_KEY_MAX)
		return ask ? why_temp(why, "4.3.0", "table %s: the key is too long", t->spec)
			   : TABLE_NONE;
	if (ask)
		return asker->ask(asker->arg, without_proxy(str_from(t->spec)), key, out, why);
	for (size_t i = 0; i < key.n; i++)
		folded[i] = key.p[i] >= 'A' && key.p[i] <= 'Z' ? (char)(key.p[i] | 0x20) : key.p[i];
	if (t->type->flags & TABLE_UNIX)
		return lookup_unix(t, str_make(folded, key.n), asker, out, why);
	return t->type->lookup(t->content, str_make(folded, key.n), out, why);
}

bool
table_is_pattern(const struct table *t)
{
	return (t->type->flags & TABLE_PATTERN) != 0;
}

bool
table_is_unix(const struct table *t)
{
	return (t->type->flags & TABLE_UNIX) != 0;
}

bool
table_is_remote(const struct table *t)
{
	return (t->type->flags & TABLE_REMOTE) != 0;
}

const char *
table_spec(const struct table *t)
{
	return t->spec;
}

const char *
table_path(const struct table *t)
{
	return t->path;
}

uint64_t
table_owner(const struct table *t)
{
	return t->owner;
}

bool
table_refresh(struct table *t)
{
	if (t->path == NULL)
		return false;
	uint64_t owner;
	struct identity now = identity_of(t->path, &owner);
	if (memcmp(&now, &t->identity, sizeof now) == 0)
		return false;
	t->identity = now; /* before the load: a change during it is seen at the next look */
	t->owner = owner;
	load(t);
	return true;
}

uint64_t
table_stamp(const struct table *t)
{
	return stamp_mix(stamp_mix(0, t->spec, strlen(t->spec)), &t->identity, sizeof t->identity);
}

int
tables_open(
    struct table_list *list, const struct setting_list *specs, const char *root, struct why *why)
{
	*list = (struct table_list){xcalloc(specs->n + 1, sizeof(struct table *)), 0};
	for (size_t i = 0; i < specs->n; i++) {
		struct table *t = table_open(str_from(specs->items[i]), root, why);
		if (t == NULL) {
			tables_clear(list);
			return -1;
		}
		list->items[list->n++] = t;
	}
	return 0;
}

void
tables_clear(struct table_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		table_free(&list->items[i]);
	free(list->items);
	*list = (struct table_list){0};
}

int
tables_lookup(const struct table_list *list, struct str key, const struct table_asker *asker,
    struct buf *out, const struct table **which, struct why *why)
{
	for (size_t i = 0; i < list->n; i++) {
		int found = table_lookup(list->items[i], key, asker, out, why);
		if (found == TABLE_NONE)
			continue;
		if (which != NULL)
			*which = list->items[i];
		return found;
	}
	return TABLE_NONE;
}

bool
tables_refresh(struct table_list *list)
{
	bool changed = false;

	for (size_t i = 0; i < list->n; i++)
		changed = table_refresh(list->items[i]) || changed;
	return changed;
}

uint64_t
tables_stamp(const struct table_list *list, uint64_t stamp)
{
	for (size_t i = 0; i < list->n; i++) {
		uint64_t one = table_stamp(list->items[i]);
		stamp = stamp_mix(stamp, &one, sizeof one);
	}
	return stamp;
}

bool
tables_have_remote(const struct table_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (table_is_remote(list->items[i]))
			return true;
	return false;
}

bool
tables_have_unix(const struct table_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (table_is_unix(list->items[i]))
			return true;
	return false;
}
