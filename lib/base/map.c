/* SPDX-License-Identifier: ISC */
/*
 * Open addressing with linear probing; a removed entry is closed by shifting its followers back, so
 * there are no tombstones. The hash is XXH3 with a seed drawn at the first use, so that keys from
 * the network cannot be chosen to collide.
 */
#include "lib/base/map.h"

#include <bsd/stdlib.h>
#include <stdlib.h>
#include <xxhash.h>

#include "lib/base/mem.h"

struct entry {
	char *key; /* NULL: the slot is free */
	size_t n;
	uint64_t hash;
	void *value;
};

struct map {
	struct entry *slots;
	size_t size; /* a power of two */
	size_t count;
};

enum { FIRST_SLOTS = 16 };

uint64_t
map_hash(struct str key)
{
	static uint64_t seed; /* drawn once, then constant */

	while (seed == 0)
		seed = (uint64_t)arc4random() << 32 | arc4random();
	return XXH3_64bits_withSeed(key.p, key.n, seed);
}

struct map *
map_new(void)
{
	struct map *m = xcalloc(1, sizeof *m);

	m->size = FIRST_SLOTS;
	m->slots = xcalloc(m->size, sizeof *m->slots);
	return m;
}

void
map_free(struct map **mp, void (*free_value)(void *value))
{
	struct map *m = *mp;

	if (m == NULL)
		return;
	for (size_t i = 0; i < m->size; i++) {
		if (m->slots[i].key != NULL && free_value != NULL)
			free_value(m->slots[i].value);
		free(m->slots[i].key);
	}
	free(m->slots);
	free(m);
	*mp = NULL;
}

/* The slot that holds `key`, or the free one where it would go. */
static struct entry *
find(const struct map *m, struct str key, uint64_t hash)
{
	size_t i = hash & (m->size - 1);

	for (;; i = (i + 1) & (m->size - 1)) {
		struct entry *e = &m->slots[i];
		if (e->key == NULL || (e->hash == hash && str_eq(str_make(e->key, e->n), key)))
			return e;
	}
}

static void
grow(struct map *m)
{
	struct entry *old = m->slots;
	size_t old_size = m->size;

	m->size = size_mul(old_size, 2);
	m->slots = xcalloc(m->size, sizeof *m->slots);
	for (size_t i = 0; i < old_size; i++)
		if (old[i].key != NULL)
			*find(m, str_make(old[i].key, old[i].n), old[i].hash) = old[i];
	free(old);
}

void *
map_get(const struct map *m, struct str key)
{
	struct entry *e = find(m, key, map_hash(key));

	return e->key != NULL ? e->value : NULL;
}

void *
map_put(struct map *m, struct str key, void *value)
{
	uint64_t hash = map_hash(key);
	struct entry *e = find(m, key, hash);

	if (e->key != NULL) {
		void *old = e->value;
		e->value = value;
		return old;
	}
	*e = (struct entry){str_dup(key), key.n, hash, value};
	if (++m->count > m->size / 4 * 3)
		grow(m);
	return NULL;
}

void *
map_take(struct map *m, struct str key)
{
	struct entry *e = find(m, key, map_hash(key));

	if (e->key == NULL)
		return NULL;
	void *value = e->value;
	free(e->key);
	m->count--;

	size_t hole = (size_t)(e - m->slots);
	for (size_t i = (hole + 1) & (m->size - 1); m->slots[i].key != NULL;
	     i = (i + 1) & (m->size - 1)) {
		size_t home = m->slots[i].hash & (m->size - 1);
		/* Does the way from its home to here lead over the hole? */
		if (((i - home) & (m->size - 1)) >= ((i - hole) & (m->size - 1))) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole] = (struct entry){0};
	return value;
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

bool
map_next(const struct map *m, size_t *cursor, struct str *key, void **value)
{
	while (*cursor < m->size) {
		const struct entry *e = &m->slots[(*cursor)++];
		if (e->key == NULL)
			continue;
		if (key != NULL)
			*key = str_make(e->key, e->n);
		if (value != NULL)
			*value = e->value;
		return true;
	}
	return false;
}
