/* SPDX-License-Identifier: ISC */
/*
 * lmdb: read side. The file is never written in place: a rebuild makes a new file and renames it
 * (build.c), so a reader needs no lock and no lock file (MDB_NOLOCK), and a changed identity means
 * another file. Postfix's own files, whose keys may end in a NUL, are read as well.
 */
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/table/type.h"

struct content {
	MDB_env *env;
	MDB_txn *txn; /* reset between lookups */
	MDB_dbi dbi;
};

static void
lmdb_free(void *content)
{
	struct content *c = content;

	if (c->txn != NULL)
		mdb_txn_abort(c->txn);
	if (c->env != NULL)
		mdb_env_close(c->env);
	free(c);
}

static int
open_steps(struct content *c, const char *path)
{
	int rc = mdb_env_create(&c->env);

	if (rc == 0)
		rc = mdb_env_open(
		    c->env, path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK | MDB_NOTLS, 0);
	if (rc == 0)
		rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &c->txn);
	if (rc == 0)
		rc = mdb_dbi_open(c->txn, NULL, 0, &c->dbi);
	if (rc == 0)
		mdb_txn_reset(c->txn);
	return rc;
}

static void *
lmdb_load(KP_UNUSED struct str name, const char *path, struct why *why)
{
	struct content *c = xcalloc(1, sizeof *c);
	int rc = open_steps(c, path);

	if (rc == 0)
		return c;
	why_temp(why, "4.3.0", "open %s: %s", path, mdb_strerror(rc));
	lmdb_free(c);
	return NULL;
}

static int
get(struct content *c, const void *key, size_t n, MDB_val *value)
{
	MDB_val k = {.mv_size = n, .mv_data = (void *)(uintptr_t)key};

	return mdb_get(c->txn, c->dbi, &k, value);
}

static int
copy(const MDB_val *value, struct buf *out, struct why *why)
{
	struct str text = {value->mv_data, value->mv_size};

	if (text.n > 0 && text.p[text.n - 1] == '\0')
		text.n--;
	if (memchr(text.p, '\0', text.n) != NULL || buf_str(out, text) == -1)
		return why_temp(why, "4.3.0", "a table's value is too long or not text");
	return TABLE_FOUND;
}

static int
lmdb_lookup(void *content, struct str key, struct buf *out, struct why *why)
{
	struct content *c = content;
	char with_nul[TABLE_KEY_MAX + 1];
	MDB_val value;
	int rc = mdb_txn_renew(c->txn);

	if (rc != 0)
		return why_temp(why, "4.3.0", "read a table: %s", mdb_strerror(rc));
	rc = get(c, key.p, key.n, &value);
	if (rc == MDB_NOTFOUND && key.n < TABLE_KEY_MAX) {
		memcpy(with_nul, key.p, key.n);
		with_nul[key.n] = '\0';
		rc = get(c, with_nul, key.n + 1, &value);
	}
	int found = TABLE_NONE;
	if (rc == 0)
		found = copy(&value, out, why);
	else if (rc != MDB_NOTFOUND)
		found = why_temp(why, "4.3.0", "read a table: %s", mdb_strerror(rc));
	mdb_txn_reset(c->txn);
	return found;
}

const struct table_type table_lmdb = {
    "lmdb", ".lmdb", TABLE_FILE, lmdb_load, lmdb_lookup, lmdb_free};
