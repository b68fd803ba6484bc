/* SPDX-License-Identifier: ISC */
/* Memory that never comes back NULL (out of memory is fatal()), and arithmetic that cannot wrap. */
#ifndef KP_BASE_MEM_H
#define KP_BASE_MEM_H

#include <stddef.h>

#include "lib/base/attr.h"

struct str;

/* Zeroed memory of `n` elements of `size` bytes; the caller frees it. */
void *xcalloc(size_t n, size_t size) KP_MUST_USE KP_NEVER_NULL;
void *xmalloc(size_t size) KP_MUST_USE KP_NEVER_NULL;
void *xrealloc(void *p, size_t size) KP_MUST_USE KP_NEVER_NULL;
char *xstrdup(const char *s) KP_MUST_USE KP_NEVER_NULL;
char *xstrndup(const char *p, size_t n) KP_MUST_USE KP_NEVER_NULL;

/* printf into memory that the caller frees. */
char *xasprintf(const char *fmt, ...) KP_PRINTF(1, 2) KP_MUST_USE KP_NEVER_NULL;

/* Sum and product of outside numbers; SIZE_MAX where they would wrap, which every limit refuses. */
size_t size_add(size_t a, size_t b);
size_t size_mul(size_t a, size_t b);

#endif
