/* SPDX-License-Identifier: ISC */
/* A hash map from bytes to pointers. Keys are copied, values are the caller's. Outside keys cannot
 * degrade it. */
#ifndef KP_BASE_MAP_H
#define KP_BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "lib/base/str.h"

struct map;

struct map *map_new(void);

/* Frees the map; `free_value` (may be NULL) is called for each value. Clears the caller's pointer.
 */
void map_free(struct map **mp, void (*free_value)(void *value));

/* The value, or NULL. */
void *map_get(const struct map *m, struct str key);

/* Stores a value that is not NULL; returns the one it replaces, or NULL. */
void *map_put(struct map *m, struct str key, void *value);

/* Removes and returns the value, or NULL. */
void *map_take(struct map *m, struct str key);

size_t map_count(const struct map *m);

/*
 * Walks all entries: start with *cursor = 0; false at the end. `key` and `value` may be NULL. The
 * map must not be changed during the walk.
 */
bool map_next(const struct map *m, size_t *cursor, struct str *key, void **value);

/* A 64-bit hash of bytes with this process's secret seed; not for anything that is stored. */
uint64_t map_hash(struct str key);

#endif
