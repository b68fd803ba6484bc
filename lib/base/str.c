/* SPDX-License-Identifier: ISC */
/* Borrowed text. No function here allocates but str_dup(), none reads past `n`. */
#include "lib/base/str.h"

#include <string.h>
#include <strings.h>

#include "lib/base/mem.h"

struct str
str_from(const char *s)
{
	return s != NULL ? (struct str){s, strlen(s)} : STR_EMPTY;
}

struct str
str_make(const char *p, size_t n)
{
	return (struct str){p, n};
}

bool
str_eq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
str_caseeq(struct str a, struct str b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

bool
str_is(struct str a, const char *s)
{
	return str_eq(a, str_from(s));
}

bool
str_caseis(struct str a, const char *s)
{
	return str_caseeq(a, str_from(s));
}

int
str_cmp(struct str a, struct str b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n == 0 ? 0 : memcmp(a.p, b.p, n);

	if (order != 0)
		return order;
	return (a.n > b.n) - (a.n < b.n);
}

bool
str_starts(struct str s, struct str prefix)
{
	return str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool
str_casestarts(struct str s, struct str prefix)
{
	return str_caseeq(str_sub(s, 0, prefix.n), prefix);
}

bool
str_ends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_eq(str_from_at(s, s.n - suffix.n), suffix);
}

bool
str_caseends(struct str s, struct str suffix)
{
	return s.n >= suffix.n && str_caseeq(str_from_at(s, s.n - suffix.n), suffix);
}

ptrdiff_t
str_chr(struct str s, char c)
{
	const char *p = s.n == 0 ? NULL : memchr(s.p, c, s.n);

	return p != NULL ? p - s.p : -1;
}

ptrdiff_t
str_rchr(struct str s, char c)
{
	const char *p = s.n == 0 ? NULL : memrchr(s.p, c, s.n);

	return p != NULL ? p - s.p : -1;
}

struct str
str_from_at(struct str s, size_t from)
{
	if (from > s.n)
		from = s.n;
	return (struct str){s.p + from, s.n - from};
}

struct str
str_sub(struct str s, size_t from, size_t n)
{
	struct str rest = str_from_at(s, from);

	if (n < rest.n)
		rest.n = n;
	return rest;
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str
str_trim(struct str s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = str_from_at(s, 1);
	while (s.n > 0 && is_blank(s.p[s.n - 1]))
		s.n--;
	return s;
}

static bool
stands_in(char c, const char *set)
{
	return c != '\0' && strchr(set, c) != NULL;
}

bool
str_word(struct str *rest, const char *separators, struct str *word)
{
	size_t from = 0;

	while (from < rest->n && stands_in(rest->p[from], separators))
		from++;
	size_t to = from;
	while (to < rest->n && !stands_in(rest->p[to], separators))
		to++;
	if (from == to) {
		*rest = str_from_at(*rest, from);
		return false;
	}
	*word = str_sub(*rest, from, to - from);
	*rest = str_from_at(*rest, to < rest->n ? to + 1 : to);
	return true;
}

bool
str_u64(struct str s, uint64_t max, uint64_t *value)
{
	uint64_t v = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10u, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
			return false;
	}
	if (v > max)
		return false;
	*value = v;
	return true;
}

char *
str_dup(struct str s)
{
	return xstrndup(s.p, s.n);
}

bool
str_copy(char *dst, size_t size, struct str s)
{
	bool fits = s.n < size;

	if (fits && s.n > 0)
		memcpy(dst, s.p, s.n);
	dst[fits ? s.n : 0] = '\0';
	return fits;
}

static size_t
min3(size_t a, size_t b, size_t d)
{
	size_t m = a < b ? a : b;

	return m < d ? m : d;
}

size_t
str_distance(struct str a, struct str b)
{
	size_t row[128];

	if (a.n > 127 || b.n > 127)
		return 128;
	for (size_t j = 0; j <= b.n; j++)
		row[j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		size_t diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t above = row[j];
			row[j] =
			    min3(above + 1, row[j - 1] + 1, diagonal + (a.p[i - 1] != b.p[j - 1]));
			diagonal = above;
		}
	}
	return row[b.n];
}

bool
str_ascii(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static bool
is_control(char c)
{
	return (unsigned char)c < ' ' || c == 0x7f;
}

bool
str_has_control(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (is_control(s.p[i]))
			return true;
	return false;
}

void
str_mask_control(char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (is_control(p[i]))
			p[i] = '?';
}
