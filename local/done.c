/* SPDX-License-Identifier: ISC */
/* A set of (queue id, recipient, leaf). When it is full it is emptied: better a repeated delivery
 * than memory without end. */
#include "local/done.h"

#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/map.h"

enum { DONE_MAX = 10000, KEY_MAX = 8192 };

static const char present[] = "x";

static bool
key_make(struct buf *key, const char *queue_id, uint64_t index, struct str what)
{
	buf_init(key, KEY_MAX);
	return buf_printf(
		   key, "%s %llu %.*s", queue_id, (unsigned long long)index, STR_ARG(what)) == 0;
}

bool
done_has(const struct local *l, const char *queue_id, uint64_t index, struct str what)
{
	struct buf key;
	bool has =
	    key_make(&key, queue_id, index, what) && map_get(l->done, buf_view(&key)) != NULL;

	buf_free(&key);
	return has;
}

void
done_add(struct local *l, const char *queue_id, uint64_t index, struct str what)
{
	struct buf key;

	if (map_count(l->done) >= DONE_MAX) {
		map_free(&l->done, NULL);
		l->done = map_new();
	}
	if (key_make(&key, queue_id, index, what))
		map_put(l->done, buf_view(&key), (void *)(uintptr_t)present);
	buf_free(&key);
}

void
done_forget(struct local *l, const char *queue_id, uint64_t index, struct str what)
{
	struct buf key;

	if (key_make(&key, queue_id, index, what))
		(void)map_take(l->done, buf_view(&key)); /* it may not be there */
	buf_free(&key);
}
