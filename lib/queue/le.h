/* SPDX-License-Identifier: ISC */
/* Little-endian numbers in bytes: all that the queue keeps on disk is written and read by these. */
#ifndef KP_QUEUE_LE_H
#define KP_QUEUE_LE_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void
le16_put(void *to, uint16_t v)
{
	v = htole16(v);
	memcpy(to, &v, sizeof v);
}

static inline void
le32_put(void *to, uint32_t v)
{
	v = htole32(v);
	memcpy(to, &v, sizeof v);
}

static inline void
le64_put(void *to, uint64_t v)
{
	v = htole64(v);
	memcpy(to, &v, sizeof v);
}

static inline uint16_t
le16_get(const void *from)
{
	uint16_t v;
	memcpy(&v, from, sizeof v);
	return le16toh(v);
}

static inline uint32_t
le32_get(const void *from)
{
	uint32_t v;
	memcpy(&v, from, sizeof v);
	return le32toh(v);
}

static inline uint64_t
le64_get(const void *from)
{
	uint64_t v;
	memcpy(&v, from, sizeof v);
	return le64toh(v);
}

#endif
