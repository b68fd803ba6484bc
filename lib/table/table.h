/* SPDX-License-Identifier: ISC */
/*
 * Lookup tables, written `type:name`: what an operator keeps addresses, routes and rules in.
 *
 *	lmdb:/path	/path.lmdb, built by `kingpost map build` or newaliases
 *	texthash:/path	plain text, "key value" a line, read whole
 *	inline:{k=v, { k = long value }}	static:value	fail:why
 *	cidr:/path	networks, for addresses		pcre:/path	patterns, $1 in the value
 *	unix:passwd.byname, unix:group.byname		the system's users and groups
 *	tcp:host:port, socketmap:inet:host:port:name, socketmap:unix:/path:name
 *							another program answers (remote.h)
 *
 * Keys of the plain types are compared without regard to ASCII case. A table that cannot be read,
 *or has an error in it, is kept as an open table whose every lookup says why: "could not tell" is
 *never "not there".
 */
#ifndef KP_TABLE_TABLE_H
#define KP_TABLE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf;
struct setting_list;
struct table;
struct why;

/* Answers of a lookup; TABLE_ASKED only from a table_ask_fn. */
enum { TABLE_ERROR = -1, TABLE_NONE = 0, TABLE_FOUND = 1, TABLE_ASKED = 2 };

enum { TABLE_KEY_MAX = 511, TABLE_VALUE_MAX = 32 * 1024, TABLE_SIZE_MAX = 64 * 1024 * 1024 };

/*
 * Asks somebody else about a Unix user or group ("passwd.byname"), or a table over a socket (as it
 * is written), for whom blocking is no harm. Returns as
 * table_lookup(), or TABLE_ASKED: the answer will come; look up again then.
 */
typedef int table_ask_fn(
    void *arg, struct str map, struct str key, struct buf *out, struct why *why);

struct table_asker {
	table_ask_fn *ask;
	void *arg;
};

/*
 * Opens a table; `root` ("" for "/") stands before paths that do not start with a slash. NULL with
 * `why` only where the specification itself is malformed ("unknown table type").
 */
struct table *table_open(struct str spec, const char *root, struct why *why) KP_MUST_USE;
void table_free(struct table **tp);

/*
 * Looks up `key`: TABLE_FOUND and the value in `out` (emptied first), TABLE_NONE, or TABLE_ERROR
 * with `why` (class temporary). Unix tables and those over a socket ask `asker`; where that is NULL
 * they call the system, or the server, which may block.
 */
int table_lookup(struct table *t, struct str key, const struct table_asker *asker, struct buf *out,
    struct why *why) KP_MUST_USE;

/* Whether it only answers whole keys: parts of an address (user, @domain, .parent) are not asked
 * (pcre, cidr). */
bool table_is_pattern(const struct table *t);

/* Whether its answers rest on the system's users; on what a server says. */
bool table_is_unix(const struct table *t);
bool table_is_remote(const struct table *t);

/* As it was written, and its file's path (NULL where it has none). */
const char *table_spec(const struct table *t);
const char *table_path(const struct table *t);

/* The owner of its file; 0 where it has none or the file is not there. */
uint64_t table_owner(const struct table *t);

/* Opens the file again where it has changed; true where it had. A reader sees the old table or the
 * new one. */
bool table_refresh(struct table *t);

/* A number that changes when the table does; the same in every process that has the same table
 * open. */
uint64_t table_stamp(const struct table *t);

/* Mixes bytes into such a number (FNV-1a). */
uint64_t stamp_mix(uint64_t stamp, const void *p, size_t n);

/* --- the value of a setting such as alias_maps: tables that are asked in turn --- */

struct table_list {
	struct table **items;
	size_t n;
};

/* 0, or -1 with `why` that names the item at fault. */
int tables_open(struct table_list *list, const struct setting_list *specs, const char *root,
    struct why *why) KP_MUST_USE;
void tables_clear(struct table_list *list);

/* The first table that has `key` (then `*which`, which may be NULL); the first that cannot tell
 * ends the search. */
int tables_lookup(const struct table_list *list, struct str key, const struct table_asker *asker,
    struct buf *out, const struct table **which, struct why *why) KP_MUST_USE;
bool tables_refresh(struct table_list *list);
uint64_t tables_stamp(const struct table_list *list, uint64_t stamp);
bool tables_have_unix(const struct table_list *list);
bool tables_have_remote(const struct table_list *list);

#endif
