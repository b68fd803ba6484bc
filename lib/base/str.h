/* SPDX-License-Identifier: ISC */
/*
 * A borrowed piece of text: pointer and length, no NUL promised. It is valid until the memory it
 * points into changes. Parsers take and return it, and copy nothing.
 */
#ifndef KP_BASE_STR_H
#define KP_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/attr.h"

struct str {
	const char *p;
	size_t n;
};

/* A string literal as a `struct str`. */
#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_EMPTY ((struct str){"", 0})

/* For printf: "%.*s" takes STR_ARG(s). */
#define STR_ARG(s) ((int)(s).n), ((s).p)

/* A C string as a view; NULL is the empty text. */
struct str str_from(const char *s);
struct str str_make(const char *p, size_t n);

/* Equality, to the byte, or with ASCII letters folded. */
bool str_eq(struct str a, struct str b);
bool str_caseeq(struct str a, struct str b);
bool str_is(struct str a, const char *s);
bool str_caseis(struct str a, const char *s);
int str_cmp(struct str a, struct str b);

bool str_starts(struct str s, struct str prefix);
bool str_casestarts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);
bool str_caseends(struct str s, struct str suffix);

/* Index of the first (last) byte `c`, or -1. */
ptrdiff_t str_chr(struct str s, char c);
ptrdiff_t str_rchr(struct str s, char c);

/* The part from `from` on, and the part of `n` bytes from there; both are cut to what there is. */
struct str str_from_at(struct str s, size_t from);
struct str str_sub(struct str s, size_t from, size_t n);

/* Without blanks (space, tab, CR, LF) at both ends. */
struct str str_trim(struct str s);

/*
 * Cuts the next word off the front of `*rest`: bytes up to one that stands in `separators` (a C
 * string). Empty words are skipped. Returns false when there is none left.
 */
bool str_word(struct str *rest, const char *separators, struct str *word);

/*
 * Strict unsigned decimal: digits only, all of `s`, no sign, at least one digit, at most `max`.
 * Returns false and leaves `*value` alone otherwise.
 */
bool str_u64(struct str s, uint64_t max, uint64_t *value) KP_MUST_USE;

/* A NUL-terminated copy that the caller frees. */
char *str_dup(struct str s) KP_MUST_USE;

/* Copies into `dst` of `size` bytes, NUL-terminated; false (and "" in dst) where it does not fit
 * whole. */
bool str_copy(char *dst, size_t size, struct str s);

/* How many letters must be typed otherwise (Levenshtein); 128 where one is longer than 127. */
size_t str_distance(struct str a, struct str b);

/* Whether it has no octet over 127. */
bool str_ascii(struct str s);

/* Control characters of ASCII: whether there is one; and each made a "?" in place, for what is to
 * be one line of text. */
bool str_has_control(struct str s);
void str_mask_control(char *p, size_t n);

#endif
