/* SPDX-License-Identifier: ISC */
/* The growing buffer. Invariant: n <= max, n < size when p is set, p[n] == NUL. */
#include "lib/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/base/panic.h"

enum { FIRST_SIZE = 128 };

void
buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){.max = max};
}

void
buf_free(struct buf *b)
{
	free(b->p);
	buf_init(b, b->max);
}

void
buf_free_secret(struct buf *b)
{
	if (b->p != NULL)
		explicit_bzero(b->p, b->size);
	buf_free(b);
}

void
buf_reset(struct buf *b)
{
	buf_cut(b, 0);
}

char *
buf_room(struct buf *b, size_t n)
{
	size_t want = size_add(b->n, n);

	if (want > b->max)
		return NULL;
	if (size_add(want, 1) > b->size) {
		size_t size = b->size != 0 ? b->size : FIRST_SIZE;
		while (size < want + 1)
			size = size_mul(size, 2);
		b->p = xrealloc(b->p, size);
		b->size = size;
		b->p[b->n] = '\0';
	}
	return b->p + b->n;
}

void
buf_grown(struct buf *b, size_t n)
{
	if (b->p == NULL || b->n + n >= b->size)
		panic("buf_grown: more than there was room for");
	b->n += n;
	b->p[b->n] = '\0';
}

int
buf_add(struct buf *b, const void *p, size_t n)
{
	char *room = buf_room(b, n);

	if (room == NULL)
		return -1;
	if (n > 0)
		memcpy(room, p, n);
	buf_grown(b, n);
	return 0;
}

int
buf_str(struct buf *b, struct str s)
{
	return buf_add(b, s.p, s.n);
}

int
buf_puts(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_byte(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	char *room = n < 0 ? NULL : buf_room(b, (size_t)n);
	if (room == NULL)
		return -1;
	va_start(ap, fmt);
	vsnprintf(room, (size_t)n + 1, fmt, ap);
	va_end(ap);
	buf_grown(b, (size_t)n);
	return 0;
}

void
buf_consume(struct buf *b, size_t n)
{
	if (n > b->n)
		panic("buf_consume: more than there is");
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n);
	buf_cut(b, b->n - n);
}

void
buf_cut(struct buf *b, size_t n)
{
	if (n > b->n)
		panic("buf_cut: longer than it was");
	b->n = n;
	if (b->p != NULL)
		b->p[n] = '\0';
}

struct str
buf_view(const struct buf *b)
{
	return str_make(buf_cstr(b), b->n);
}

const char *
buf_cstr(const struct buf *b)
{
	return b->p != NULL ? b->p : "";
}

char *
buf_steal(struct buf *b)
{
	char *p = b->p != NULL ? b->p : xstrdup("");

	buf_init(b, b->max);
	return p;
}
