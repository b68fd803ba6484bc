/* SPDX-License-Identifier: ISC */
/*
 * Keys. due: next attempt (8 bytes, big-endian, so that LMDB's order is the order of time), id.
 * dest: hash of transport and next hop (8 bytes), next attempt, id. A row of `summary` says which
 * rows of the other two belong to it, so a change first removes these. The environment is opened
 * with MDB_NOSYNC: a kill leaves it whole, a power cut makes it worthless, which is known by the
 * boot id that stands in `meta`.
 */
#include "lib/queue/qindex.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "lib/base/buf.h"
#include "lib/base/io.h"
#include "lib/base/mem.h"
#include "lib/base/panic.h"
#include "lib/base/why.h"
#include "lib/queue/summary.h"

enum { KEY_MAX = 8 + 8 + 32, ROW_MAX = 1 << 30, READERS = 16, FORMAT = 1, CUT_MAX = 1 << 20 };

struct qindex {
	MDB_env *env;
	MDB_dbi meta, summary, due, dest;
	MDB_txn *txn; /* the group being made */
	struct buf row;
	char boot[64];
	int dir;            /* where its files are */
	atomic_bool broken; /* something in it could not be read */
};

struct key {
	unsigned char bytes[KEY_MAX];
	size_t n;
};

/* Ours is no excuse for these: the bytes are not what LMDB wrote. */
static bool
is_damage(int rc)
{
	return rc == MDB_CORRUPTED || rc == MDB_PAGE_NOTFOUND || rc == MDB_PANIC ||
	       rc == MDB_INVALID || rc == MDB_CURSOR_FULL || rc == MDB_BAD_VALSIZE ||
	       rc == MDB_INCOMPATIBLE || rc == MDB_BAD_TXN;
}

static int
failed(struct qindex *ix, struct why *why, const char *what, int rc)
{
	if (is_damage(rc))
		ix->broken = true;
	return why_temp(why, "4.3.0", "index: %s: %s", what, mdb_strerror(rc));
}

static void
be64_put(unsigned char *to, uint64_t v)
{
	for (int i = 7; i >= 0; i--, v >>= 8)
		to[i] = (unsigned char)v;
}

static uint64_t
be64_get(const unsigned char *from)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | from[i];
	return v;
}

static void
key_id(struct key *k, struct str id)
{
	size_t n = id.n < 32 ? id.n : 32;

	memcpy(k->bytes + k->n, id.p, n);
	k->n += n;
}

static struct key
key_due(uint64_t next, struct str id)
{
	struct key k = {.n = 8};

	be64_put(k.bytes, next);
	key_id(&k, id);
	return k;
}

static struct key
key_dest(struct str transport, struct str nexthop, uint64_t next, struct str id)
{
	struct key k = {.n = 16};
	uint64_t hash =
	    XXH3_64bits_withSeed(nexthop.p, nexthop.n, XXH3_64bits(transport.p, transport.n));

	be64_put(k.bytes, hash);
	be64_put(k.bytes + 8, next);
	key_id(&k, id);
	return k;
}

static MDB_val
val(const void *p, size_t n)
{
	return (MDB_val){n, (void *)(uintptr_t)p};
}

static MDB_val
key_val(const struct key *k)
{
	return val(k->bytes, k->n);
}

static struct str
val_str(MDB_val v)
{
	return str_make(v.mv_data, v.mv_size);
}

/* LMDB found a page that contradicts another. */
static void
on_contradiction(MDB_env *env, const char *text)
{
	qindex_distrust(mdb_env_get_userctx(env));
	fatal("index: damaged: it is made anew: %s", text);
}

static int
tables_open(struct qindex *ix)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(ix->env, NULL, 0, &txn);

	if (rc != 0)
		return rc;
	if ((rc = mdb_dbi_open(txn, "meta", MDB_CREATE, &ix->meta)) != 0 ||
	    (rc = mdb_dbi_open(txn, "summary", MDB_CREATE, &ix->summary)) != 0 ||
	    (rc = mdb_dbi_open(txn, "due", MDB_CREATE, &ix->due)) != 0 ||
	    (rc = mdb_dbi_open(txn, "dest", MDB_CREATE, &ix->dest)) != 0) {
		mdb_txn_abort(txn);
		return rc;
	}
	return mdb_txn_commit(txn);
}

/* Pages at the end may never have been written, where they were free again before their commit: a
 * few. What lacks more was cut, and reading it would end the process. */
static int
size_check(struct qindex *ix)
{
	MDB_envinfo info;
	MDB_stat st;
	struct stat file;
	int fd, rc = mdb_env_info(ix->env, &info);

	if (rc == 0)
		rc = mdb_env_stat(ix->env, &st);
	if (rc == 0)
		rc = mdb_env_get_fd(ix->env, &fd);
	if (rc == 0 && fstat(fd, &file) == -1)
		rc = errno;
	if (rc != 0)
		return rc;
	uint64_t want = ((uint64_t)info.me_last_pgno + 1) * st.ms_psize,
		 have = (uint64_t)file.st_size;
	return have < want && (want - have > CUT_MAX || want - have > want / 4) ? MDB_CORRUPTED : 0;
}

static int
env_open(struct qindex *ix, const char *path, uint64_t max)
{
	int rc = mdb_env_create(&ix->env);

	if (rc != 0)
		return rc;
	if ((rc = mdb_env_set_userctx(ix->env, ix)) == 0 &&
	    (rc = mdb_env_set_assert(ix->env, on_contradiction)) == 0 &&
	    (rc = mdb_env_set_mapsize(ix->env, (size_t)max)) == 0 &&
	    (rc = mdb_env_set_maxdbs(ix->env, 8)) == 0 &&
	    (rc = mdb_env_set_maxreaders(ix->env, READERS)) == 0 &&
	    (rc = mdb_env_open(ix->env, path, MDB_NOSYNC | MDB_NOTLS | MDB_NORDAHEAD, 0600)) == 0 &&
	    (rc = size_check(ix)) == 0 && (rc = tables_open(ix)) == 0)
		return 0;
	mdb_env_close(ix->env);
	ix->env = NULL;
	return rc;
}

/* "1 BOOT" while it is in use, "1 clean" after a clean end: of this format, complete, and what was
 * committed is there. */
static bool
meta_good(struct qindex *ix)
{
	MDB_txn *txn;
	MDB_val key = val("state", 5), value;
	char want[80];
	bool good = false;

	snprintf(want, sizeof want, "%d %s", FORMAT, ix->boot);
	if (mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn) != 0)
		return false;
	if (mdb_get(txn, ix->meta, &key, &value) == 0)
		good = str_is(val_str(value), want) || str_is(val_str(value), "1 clean");
	mdb_txn_abort(txn);
	return good;
}

static int
meta_put(struct qindex *ix, const char *state)
{
	char text[80];
	MDB_val key = val("state", 5);

	snprintf(text, sizeof text, "%d %s", FORMAT, state);
	MDB_val value = val(text, strlen(text));
	return mdb_put(ix->txn, ix->meta, &key, &value, 0);
}

static void
files_remove(const char *path)
{
	static const char *const names[] = {"data.mdb", "lock.mdb"};

	for (size_t i = 0; i < NELEM(names); i++) {
		char *name = xasprintf("%s/%s", path, names[i]);
		(void)unlink(name); /* one that is not there is as well removed */
		free(name);
	}
}

struct qindex *
qindex_open(const char *path, uint64_t max, struct str boot, bool *rebuild, struct why *why)
{
	struct qindex *ix = xcalloc(1, sizeof *ix);
	int dead;

	buf_init(&ix->row, ROW_MAX);
	str_copy(ix->boot, sizeof ix->boot, str_trim(boot));
	ix->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = env_open(ix, path, max);
	*rebuild = rc != 0 || !meta_good(ix);
	if (*rebuild) {
		if (ix->env != NULL)
			mdb_env_close(ix->env);
		files_remove(path);
		rc = env_open(ix, path, max);
	}
	if (rc == 0 && !*rebuild && (rc = mdb_txn_begin(ix->env, NULL, 0, &ix->txn)) == 0) {
		/* In use from now on: a power cut must not find "clean". */
		rc = meta_put(ix, ix->boot);
		rc = rc == 0 ? mdb_txn_commit(ix->txn) : rc;
		ix->txn = NULL;
		if (rc == 0)
			rc = mdb_env_sync(ix->env, 1);
	}
	if (rc == 0) {
		(void)mdb_reader_check(ix->env, &dead);
		return ix;
	}
	failed(ix, why, "open", rc);
	if (ix->env != NULL)
		mdb_env_close(ix->env);
	fd_close(&ix->dir);
	free(ix);
	return NULL;
}

bool
qindex_broken(const struct qindex *ix)
{
	return ix->broken;
}

void
qindex_distrust(const struct qindex *ix)
{
	(void)unlinkat(ix->dir, "data.mdb", 0); /* what stays is found damaged again */
}

void
qindex_close(struct qindex **ixp, bool clean)
{
	struct qindex *ix = *ixp;

	*ixp = NULL;
	if (ix == NULL)
		return;
	qindex_abort(ix);
	if (clean && mdb_env_sync(ix->env, 1) == 0 &&
	    mdb_txn_begin(ix->env, NULL, 0, &ix->txn) == 0) {
		if (meta_put(ix, "clean") == 0)
			(void)mdb_txn_commit(ix->txn);
		else
			mdb_txn_abort(ix->txn);
		(void)mdb_env_sync(ix->env, 1);
	}
	mdb_env_close(ix->env);
	buf_free(&ix->row);
	fd_close(&ix->dir);
	free(ix);
}

int
qindex_begin(struct qindex *ix, struct why *why)
{
	int rc = mdb_txn_begin(ix->env, NULL, 0, &ix->txn);

	if (rc != 0)
		ix->txn = NULL;
	return rc == 0 ? 0 : failed(ix, why, "begin", rc);
}

void
qindex_abort(struct qindex *ix)
{
	if (ix->txn != NULL)
		mdb_txn_abort(ix->txn);
	ix->txn = NULL;
}

int
qindex_commit(struct qindex *ix, struct why *why)
{
	int rc = mdb_txn_commit(ix->txn);

	ix->txn = NULL;
	return rc == 0 ? 0 : failed(ix, why, "commit", rc);
}

int
qindex_complete(struct qindex *ix, struct why *why)
{
	int rc = meta_put(ix, ix->boot);

	return rc == 0 ? 0 : failed(ix, why, "note", rc);
}

/* One row of `due` or `dest`, put or deleted. */
static int
link_one(struct qindex *ix, MDB_dbi table, const struct key *k, bool put)
{
	MDB_val key = key_val(k), none = val("", 0);
	int rc =
	    put ? mdb_put(ix->txn, table, &key, &none, 0) : mdb_del(ix->txn, table, &key, NULL);

	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The rows of `due` and `dest` that belong to a summary. */
static int
link_all(struct qindex *ix, const struct summary *sum, bool put)
{
	int rc = 0;

	if (str_is(sum->folder, "cur")) {
		struct key k = key_due(sum->next, sum->id);
		rc = link_one(ix, ix->due, &k, put);
	}
	for (size_t i = 0; rc == 0 && i < sum->nrcpts; i++) {
		const struct summary_rcpt *rcpt = &sum->rcpts[i];
		struct key k = key_dest(rcpt->transport, rcpt->nexthop, sum->next, sum->id);
		rc = link_one(ix, ix->dest, &k, put);
	}
	return rc;
}

static int
unlink_old(struct qindex *ix, struct str id, bool *found)
{
	MDB_val key = val(id.p, id.n), value;
	struct summary old;
	int rc = mdb_get(ix->txn, ix->summary, &key, &value);

	*found = rc == 0;
	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc != 0)
		return rc;
	/* Copied: LMDB's memory does not outlive the next write. */
	buf_reset(&ix->row);
	if (buf_add(&ix->row, value.mv_data, value.mv_size) == -1 ||
	    summary_decode(&old, buf_view(&ix->row), NULL) == -1)
		return MDB_CORRUPTED;
	rc = link_all(ix, &old, false);
	summary_clear(&old);
	return rc;
}

int
qindex_put(struct qindex *ix, const struct summary *sum, struct why *why)
{
	bool found;
	MDB_val key = val(sum->id.p, sum->id.n);
	int rc = unlink_old(ix, sum->id, &found);

	if (rc != 0)
		return failed(ix, why, "put", rc);
	buf_reset(&ix->row);
	summary_encode(sum, &ix->row);
	MDB_val value = val(ix->row.p, ix->row.n);
	if ((rc = mdb_put(ix->txn, ix->summary, &key, &value, 0)) != 0 ||
	    (rc = link_all(ix, sum, true)) != 0)
		return failed(ix, why, "put", rc);
	return 0;
}

int
qindex_delete(struct qindex *ix, struct str id, struct why *why)
{
	bool found;
	MDB_val key = val(id.p, id.n);
	int rc = unlink_old(ix, id, &found);

	if (rc == 0 && found)
		rc = mdb_del(ix->txn, ix->summary, &key, NULL);
	return rc == 0 ? 0 : failed(ix, why, "delete", rc);
}

/* --- reading --- */

static int
visit_id(struct qindex *ix, MDB_txn *txn, struct str id, qindex_fn *fn, void *arg)
{
	MDB_val key = val(id.p, id.n), value;
	struct summary sum;

	if (mdb_get(txn, ix->summary, &key, &value) != 0 ||
	    summary_decode(&sum, val_str(value), NULL) == -1) {
		ix->broken = true;
		return 0;
	}
	int rc = fn(arg, &sum);
	summary_clear(&sum);
	return rc;
}

struct range {
	MDB_dbi table;
	struct key from; /* rows behind this */
	size_t prefix;   /* bytes of `from` that a row must share */
	uint64_t until;  /* the greatest next attempt */
	unsigned max;
};

/* Walks rows of `due` or `dest`: [prefix] next id. */
static int
walk(struct qindex *ix, const struct range *range, struct qindex_key *after, qindex_fn *fn,
    void *arg, struct why *why)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	MDB_val key = key_val(&range->from), value;
	int n = 0, rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return failed(ix, why, "read", rc);
	if ((rc = mdb_cursor_open(txn, range->table, &cursor)) != 0) {
		mdb_txn_abort(txn);
		return failed(ix, why, "read", rc);
	}
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	     rc == 0 && (unsigned)n < range->max;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		const unsigned char *p = key.mv_data;
		if (key.mv_size == range->from.n &&
		    memcmp(p, range->from.bytes, range->from.n) == 0)
			continue;
		if (key.mv_size < range->prefix + 8 ||
		    memcmp(p, range->from.bytes, range->prefix) != 0 ||
		    be64_get(p + range->prefix) > range->until)
			break;
		struct str id =
		    str_make((const char *)p + range->prefix + 8, key.mv_size - range->prefix - 8);
		after->next = be64_get(p + range->prefix);
		str_copy(after->id, sizeof after->id, id);
		n++;
		if (visit_id(ix, txn, id, fn, arg) == -1)
			break;
	}
	ix->broken = ix->broken || is_damage(rc);
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return n;
}

int
qindex_due(struct qindex *ix, struct qindex_key *after, uint64_t now, unsigned max, qindex_fn *fn,
    void *arg, struct why *why)
{
	struct range range = {
	    .table = ix->due,
	    .from = key_due(after->next, str_from(after->id)),
	    .until = now,
	    .max = max,
	};

	return walk(ix, &range, after, fn, arg, why);
}

static int
stop_at_once(void *arg, const struct summary *sum)
{
	(void)arg;
	(void)sum;
	return -1;
}

uint64_t
qindex_first_due(struct qindex *ix, const struct qindex_key *after)
{
	struct qindex_key at = *after;

	return qindex_due(ix, &at, UINT64_MAX, 1, stop_at_once, NULL, NULL) == 1 ? at.next : 0;
}

int
qindex_destination(struct qindex *ix, struct str transport, struct str nexthop,
    struct qindex_key *after, unsigned max, qindex_fn *fn, void *arg, struct why *why)
{
	struct range range = {
	    .table = ix->dest,
	    .from = key_dest(transport, nexthop, after->next, str_from(after->id)),
	    .prefix = 8,
	    .until = UINT64_MAX,
	    .max = max,
	};

	return walk(ix, &range, after, fn, arg, why);
}

int
qindex_list(
    struct qindex *ix, char after[32], unsigned max, qindex_fn *fn, void *arg, struct why *why)
{
	MDB_txn *txn;
	MDB_cursor *cursor;
	/* An empty key is no key in LMDB; no id is below "0". */
	MDB_val key = after[0] != '\0' ? val(after, strlen(after)) : val("0", 1), value;
	struct summary sum;
	int n = 0, stop = 0, rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return failed(ix, why, "read", rc);
	if ((rc = mdb_cursor_open(txn, ix->summary, &cursor)) != 0) {
		mdb_txn_abort(txn);
		return failed(ix, why, "read", rc);
	}
	for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	     rc == 0 && (unsigned)n < max && stop == 0;
	     rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
		if (str_is(val_str(key), after))
			continue;
		str_copy(after, 32, val_str(key));
		n++;
		if (summary_decode(&sum, val_str(value), NULL) == -1) {
			ix->broken = true;
			continue;
		}
		stop = fn(arg, &sum);
		summary_clear(&sum);
	}
	ix->broken = ix->broken || is_damage(rc);
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return n;
}

int
qindex_get(struct qindex *ix, struct str id, qindex_fn *fn, void *arg, struct why *why)
{
	MDB_txn *txn;
	MDB_val key = val(id.p, id.n), value;
	struct summary sum;
	int rc = mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return failed(ix, why, "read", rc);
	rc = id.n == 0 ? MDB_NOTFOUND : mdb_get(txn, ix->summary, &key, &value);
	if (rc == 0 && summary_decode(&sum, val_str(value), why) == 0) {
		fn(arg, &sum);
		summary_clear(&sum);
		mdb_txn_abort(txn);
		return 1;
	}
	mdb_txn_abort(txn);
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc == 0 ? -1 : failed(ix, why, "read", rc);
}

static uint64_t
count_rows(struct qindex *ix, MDB_dbi table)
{
	MDB_txn *txn;
	MDB_stat stat = {0};

	if (mdb_txn_begin(ix->env, NULL, MDB_RDONLY, &txn) != 0)
		return 0;
	(void)mdb_stat(txn, table, &stat);
	mdb_txn_abort(txn);
	return stat.ms_entries;
}

uint64_t
qindex_count(struct qindex *ix)
{
	return count_rows(ix, ix->summary);
}

uint64_t
qindex_waiting(struct qindex *ix)
{
	return count_rows(ix, ix->due);
}
