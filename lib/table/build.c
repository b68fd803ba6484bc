/* SPDX-License-Identifier: ISC */
/*
 * Building lmdb: tables. Steps: (1) read and check the text whole, into memory; (2) write
 * PATH.lmdb.PID, with the owner and mode of the text; (3) fsync it; (4) rename; (5) fsync the
 * directory.
 */
#include "lib/table/build.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/map.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/alias.h"
#include "lib/table/lines.h"
#include "lib/table/table.h"

struct builder {
	const char *path;
	struct build_report *report;
	struct map *entries; /* key to value */
};

static int
entry_add(void *arg, struct str key, struct str value, struct why *why)
{
	struct builder *b = arg;
	struct build_report *r = b->report;

	if (map_get(b->entries, key) != NULL) {
		if (r->warnings != NULL &&
		    buf_printf(r->warnings, "%s: \"%.*s\" comes twice, the first entry counts\n",
			b->path, STR_ARG(key)) == -1)
			return why_perm(why, NULL, "too many entries come twice");
		return 0;
	}
	map_put(b->entries, key, str_dup(value));
	r->count++;
	r->total += key.n + value.n;
	if (value.n > r->longest)
		r->longest = value.n;
	return 0;
}

static int
pairs_parse(struct str text, const char *path, alias_entry_fn *on_entry, void *arg, struct why *why)
{
	struct lines lines;
	struct buf key;
	struct str line, value;
	struct why inner = {0};
	int more;

	lines_init(&lines, text);
	buf_init(&key, TABLE_KEY_MAX);
	while ((more = lines_next(&lines, &line, &inner)) == 1) {
		if (!line_pair(line, &key, &value)) {
			why_perm(&inner, NULL,
			    "a line is \"key value\", the key of at most %d bytes", TABLE_KEY_MAX);
			break;
		}
		if (value.n > TABLE_VALUE_MAX) {
			why_perm(&inner, NULL, "the value is over %d bytes", TABLE_VALUE_MAX);
			break;
		}
		for (size_t i = 0; i < key.n; i++)
			if (key.p[i] >= 'A' && key.p[i] <= 'Z')
				key.p[i] |= 0x20;
		if (on_entry(arg, buf_view(&key), value, &inner) == -1)
			break;
	}
	if (more != 0)
		why_perm(why, NULL, "%s:%zu: %s", path, lines.first, inner.text);
	buf_free(&key);
	lines_clear(&lines);
	return more == 0 ? 0 : -1;
}

static int
put_all(MDB_txn *txn, MDB_dbi dbi, const struct map *entries)
{
	size_t cursor = 0;
	struct str key;
	void *value;

	while (map_next(entries, &cursor, &key, &value)) {
		MDB_val k = {key.n, (void *)(uintptr_t)key.p}, v = {strlen(value), value};
		int rc = mdb_put(txn, dbi, &k, &v, 0);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Room for all, generously: pages are half full at worst, and a long value takes whole pages. */
static size_t
map_size(const struct build_report *r)
{
	size_t need = size_add(size_mul(r->total, 4), size_mul(r->count, 512));

	return size_add(need, 16 * 1024 * 1024) / 4096 * 4096;
}

static int
lmdb_write(const char *path, mode_t mode, const struct builder *b)
{
	MDB_env *env = NULL;
	MDB_txn *txn = NULL;
	MDB_dbi dbi;
	int rc = mdb_env_create(&env);

	if (rc == 0)
		rc = mdb_env_set_mapsize(env, map_size(b->report));
	if (rc == 0)
		rc = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK, mode);
	if (rc == 0)
		rc = mdb_txn_begin(env, NULL, 0, &txn);
	if (rc == 0)
		rc = mdb_dbi_open(txn, NULL, MDB_CREATE, &dbi);
	if (rc == 0)
		rc = put_all(txn, dbi, b->entries);
	if (rc == 0) {
		rc = mdb_txn_commit(txn);
		txn = NULL;
	}
	if (txn != NULL)
		mdb_txn_abort(txn);
	if (env != NULL)
		mdb_env_close(env);
	return rc;
}

static int
fsync_path(const char *path, int flags)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | flags);

	if (fd == -1)
		return -1;
	int rc = fsync(fd);
	close(fd);
	return rc;
}

/* The table belongs to whom the text belongs: commands and files in an alias table run as its
 * owner. */
static int
take_owner(const char *path, const struct stat *text)
{
	if (chmod(path, text->st_mode & 0666) == -1)
		return -1;
	return geteuid() == 0 ? chown(path, text->st_uid, text->st_gid) : 0;
}

static int
install(const char *temporary, const char *path, const struct stat *text)
{
	char *copy = xstrdup(path);
	int rc = -1;

	if (take_owner(temporary, text) == 0 && fsync_path(temporary, 0) == 0 &&
	    rename(temporary, path) == 0)
		rc = fsync_path(dirname(copy), O_DIRECTORY);
	free(copy);
	return rc;
}

static int
table_write(const struct builder *b, const struct stat *text, struct why *why)
{
	char *path = xasprintf("%s.lmdb", b->path),
	     *temporary = xasprintf("%s.lmdb.%ld", b->path, (long)getpid());
	int rc = 0;

	(void)unlink(
	    temporary); /* of a namesake that died; the open below tells if it is still there */
	int error = lmdb_write(temporary, 0600, b);
	if (error != 0)
		rc = why_temp(why, NULL, "write %s: %s", temporary, mdb_strerror(error));
	else if (install(temporary, path, text) == -1)
		rc = why_sys(why, NULL, "install %s", path);
	if (rc == -1)
		(void)unlink(temporary); /* nothing to do about it */
	free(temporary);
	free(path);
	return rc;
}

/* What reads a text entry by entry. */
typedef int parse_fn(
    struct str text, const char *path, alias_entry_fn *on_entry, void *arg, struct why *why);

static int
build(const char *path, struct build_report *report, parse_fn *parse, struct why *why)
{
	struct builder b = {path, report, map_new()};
	struct buf text;
	struct stat st;
	int rc = -1;

	report->count = report->longest = report->total = 0;
	buf_init(&text, TABLE_SIZE_MAX);
	if (stat(path, &st) == -1)
		why_sys(why, NULL, "open %s", path);
	else if (file_read(AT_FDCWD, path, &text, why) == 0 &&
		 parse(buf_view(&text), path, entry_add, &b, why) == 0)
		rc = table_write(&b, &st, why);
	buf_free(&text);
	map_free(&b.entries, free);
	return rc;
}

int
map_build(const char *path, struct build_report *report, struct why *why)
{
	return build(path, report, pairs_parse, why);
}

int
alias_build(const char *path, struct build_report *report, struct why *why)
{
	return build(path, report, alias_parse, why);
}
