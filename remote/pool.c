/* SPDX-License-Identifier: ISC */
/*
 * Idle sessions by next hop: the newest of each is at hand (it is the least likely to have been
 * closed), the older ones hang behind it; and all of them in a list, the oldest first.
 */
#include "remote/pool.h"

#include <stdlib.h>

#include "lib/base/map.h"
#include "lib/base/mem.h"

void
pool_add(struct session *s)
{
	struct remote *remote = s->remote;

	s->same = map_put(remote->pool, str_from(s->key), s);
	TAILQ_INSERT_TAIL(&remote->idle, s, idle);
}

void
pool_remove(struct session *s)
{
	struct remote *remote = s->remote;
	struct session *first = map_get(remote->pool, str_from(s->key));

	TAILQ_REMOVE(&remote->idle, s, idle);
	if (first == s && s->same == NULL) {
		map_take(remote->pool, str_from(s->key));
	} else if (first == s) {
		map_put(remote->pool, str_from(s->key), s->same);
	} else {
		while (first->same != s)
			first = first->same;
		first->same = s->same;
	}
	s->same = NULL;
}

char *
pool_key(const struct delivery *d)
{
	return xasprintf("%s:%s", d->transport, d->nexthop);
}

struct session *
pool_take(const struct delivery *d)
{
	char *key = pool_key(d);
	struct session *s = map_get(d->remote->pool, str_from(key));

	free(key);
	if (s != NULL)
		pool_remove(s);
	return s;
}
