/* SPDX-License-Identifier: ISC */
/*
 * Bytes that are owned and grow: counted, always followed by a NUL, with a hard maximum.
 * Going over the maximum is the only failure, and leaves the buffer as it was.
 */
#ifndef KP_BASE_BUF_H
#define KP_BASE_BUF_H

#include <stdarg.h>
#include <stddef.h>

#include "lib/base/attr.h"
#include "lib/base/str.h"

struct buf {
	char *p;     /* owned; NULL before the first byte */
	size_t n;    /* bytes in use */
	size_t size; /* bytes allocated, the NUL's place included */
	size_t max;  /* most bytes in use ever */
};

void buf_init(struct buf *b, size_t max);

/* Frees the memory; the buffer is as after buf_init(). */
void buf_free(struct buf *b);

/* As buf_free(), for secrets: no trace of them stays in its memory. */
void buf_free_secret(struct buf *b);

/* Empties it and keeps the memory. */
void buf_reset(struct buf *b);

/* Appends; -1 where that would go over `max`, and nothing is changed. */
int buf_add(struct buf *b, const void *p, size_t n) KP_MUST_USE;
int buf_str(struct buf *b, struct str s) KP_MUST_USE;
int buf_puts(struct buf *b, const char *s) KP_MUST_USE;
int buf_byte(struct buf *b, char c) KP_MUST_USE;
int buf_printf(struct buf *b, const char *fmt, ...) KP_PRINTF(2, 3) KP_MUST_USE;

/*
 * Makes room for `n` more bytes and returns where they go, or NULL over `max`.
 * buf_grown() then says how many were written there.
 */
char *buf_room(struct buf *b, size_t n) KP_MUST_USE;
void buf_grown(struct buf *b, size_t n);

/* Drops `n` bytes at the front. */
void buf_consume(struct buf *b, size_t n);

/* Cuts to the first `n` bytes. */
void buf_cut(struct buf *b, size_t n);

/* Its content, valid until it changes. */
struct str buf_view(const struct buf *b);

/* Its content as a C string ("" when empty), valid until it changes. */
const char *buf_cstr(const struct buf *b);

/* Hands the memory over to the caller, who frees it (NUL-terminated, never NULL); the buffer is
 * empty after. */
char *buf_steal(struct buf *b) KP_MUST_USE;

#endif
