/* SPDX-License-Identifier: ISC */
/*
 * Two tables: "users", and "meta" with the seed. Every change is synced before it is answered.
 * Files that root makes belong to the folder's owner, or keeper could not open them.
 */
#include "lib/users/users.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/why.h"
#include "lib/users/secret.h"

enum { MAP_SIZE = 1 << 30 };

struct users {
	MDB_env *env;
	MDB_dbi users, meta;
	char seed[USERS_SEED_SIZE];
};

static int
failed(struct why *why, const char *what, int rc)
{
	return why_temp(why, "4.3.0", "user database: %s: %s", what, mdb_strerror(rc));
}

static MDB_val
val(struct str s)
{
	return (MDB_val){s.n, (void *)(uintptr_t)s.p};
}

static struct str
view(MDB_val v)
{
	return str_make(v.mv_data, v.mv_size);
}

/* --- opening --- */

static int
seed_make(struct users *u, MDB_txn *txn)
{
	MDB_val key = val(STR("seed")), value;
	int rc = mdb_get(txn, u->meta, &key, &value);

	if (rc == 0 && value.mv_size == sizeof u->seed) {
		memcpy(u->seed, value.mv_data, sizeof u->seed);
		return 0;
	}
	if (rc != 0 && rc != MDB_NOTFOUND)
		return rc;
	if (RAND_bytes((unsigned char *)u->seed, sizeof u->seed) != 1)
		return EIO;
	value = (MDB_val){sizeof u->seed, u->seed};
	return mdb_put(txn, u->meta, &key, &value, 0);
}

static int
tables_open(struct users *u)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(u->env, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	if ((rc = mdb_dbi_open(txn, "users", MDB_CREATE, &u->users)) == 0 &&
	    (rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &u->meta)) == 0 &&
	    (rc = seed_make(u, txn)) == 0)
		return mdb_txn_commit(txn);
	mdb_txn_abort(txn);
	return rc;
}

/* data.mdb and lock.mdb to the folder's owner. */
static void
give_away(const char *folder)
{
	static const char *const names[] = {"data.mdb", "lock.mdb"};
	int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir != -1 && geteuid() == 0 && fstat(dir, &st) == 0)
		for (size_t i = 0; i < NELEM(names); i++)
			(void)!fchownat(dir, names[i], st.st_uid, st.st_gid,
			    AT_SYMLINK_NOFOLLOW); /* else keeper will say that it cannot open it */
	fd_close(&dir);
}

struct users *
users_open(const char *folder, struct why *why)
{
	struct users *u = xcalloc(1, sizeof *u);
	int rc = mdb_env_create(&u->env);

	if (rc == 0 && (rc = mdb_env_set_mapsize(u->env, MAP_SIZE)) == 0 &&
	    (rc = mdb_env_set_maxdbs(u->env, 4)) == 0 &&
	    (rc = mdb_env_open(u->env, folder, MDB_NOTLS, 0600)) == 0)
		rc = tables_open(u);
	if (rc == 0) {
		give_away(folder);
		return u;
	}
	failed(why, folder, rc);
	users_close(&u);
	return NULL;
}

void
users_close(struct users **up)
{
	struct users *u = *up;

	*up = NULL;
	if (u == NULL)
		return;
	if (u->env != NULL)
		mdb_env_close(u->env);
	explicit_bzero(u->seed, sizeof u->seed);
	free(u);
}

struct str
users_seed(const struct users *u)
{
	return str_make(u->seed, sizeof u->seed);
}

/* --- names and records --- */

bool
users_name(struct str said, struct buf *name)
{
	buf_reset(name);
	if (said.n == 0 || said.n > USERS_NAME_MAX || said.p[0] == ' ' ||
	    said.p[said.n - 1] == ' ' || str_has_control(said))
		return false;
	for (size_t i = 0; i < said.n; i++) {
		char c = said.p[i];
		if (buf_byte(name, (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c)) == -1)
			return false;
	}
	return true;
}

const char *
users_schemes(struct str record)
{
	struct secret s;
	struct why why;

	if (secret_parse(record, &s, &why) == -1)
		return "malformed";
	bool scram = s.scram[SCRAM_SHA256].iterations != 0 || s.scram[SCRAM_SHA1].iterations != 0;
	return s.crypt.n == 0 ? "scram" : scram ? "crypt scram" : "crypt";
}

int
users_get(struct users *u, struct str name, struct buf *record, struct why *why)
{
	MDB_val key = val(name), value;
	MDB_txn *txn;
	int rc = mdb_txn_begin(u->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return failed(why, "read", rc);
	rc = mdb_get(txn, u->users, &key, &value);
	int found = rc == 0 ? 1 : rc == MDB_NOTFOUND ? 0 : failed(why, "read", rc);
	if (found == 1 && buf_str(record, view(value)) == -1)
		found = failed(why, "read", MDB_BAD_VALSIZE);
	mdb_txn_abort(txn);
	return found;
}

/* --- changes --- */

static int
change_in(struct users *u, MDB_txn *txn, enum users_change change, struct str name,
    struct str record, struct why *why)
{
	MDB_val key = val(name), value;
	int rc = mdb_get(txn, u->users, &key, &value);

	if (rc != 0 && rc != MDB_NOTFOUND)
		return failed(why, "read", rc);
	if (change == USERS_ADD && rc == 0)
		return why_perm(why, NULL, "%.*s: there is such an account", STR_ARG(name));
	if (change != USERS_ADD && rc == MDB_NOTFOUND)
		return why_perm(why, NULL, "%.*s: there is no such account", STR_ARG(name));
	value = val(record);
	rc = change == USERS_DELETE ? mdb_del(txn, u->users, &key, NULL)
				    : mdb_put(txn, u->users, &key, &value, 0);
	return rc == 0 ? 0 : failed(why, "write", rc);
}

int
users_set(
    struct users *u, enum users_change change, struct str name, struct str record, struct why *why)
{
	struct secret s;
	MDB_txn *txn;
	int rc;

	if (change != USERS_DELETE && secret_parse(record, &s, why) == -1)
		return -1;
	if ((rc = mdb_txn_begin(u->env, NULL, 0, &txn)) != 0)
		return failed(why, "write", rc);
	if (change_in(u, txn, change, name, record, why) == -1) {
		mdb_txn_abort(txn);
		return -1;
	}
	rc = mdb_txn_commit(txn);
	return rc == 0 ? 0 : failed(why, "write", rc);
}

int
users_list(struct users *u, struct str after, users_row_fn *row, void *arg, struct why *why)
{
	MDB_val key = val(after), value;
	MDB_cursor *cursor = NULL;
	MDB_txn *txn;
	int rc = mdb_txn_begin(u->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return failed(why, "read", rc);
	rc = mdb_cursor_open(txn, u->users, &cursor);
	if (rc == 0)
		rc = mdb_cursor_get(cursor, &key, &value, after.n > 0 ? MDB_SET_RANGE : MDB_FIRST);
	if (rc == 0 && after.n > 0 && str_eq(view(key), after))
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	while (rc == 0 && row(arg, view(key), view(value)))
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	if (cursor != NULL)
		mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return rc == 0 || rc == MDB_NOTFOUND ? 0 : failed(why, "read", rc);
}
